"""What a mesh is about to become, before anything is written: objects, restarts, and the order of steps."""
