"""Which key runs when, and what its result means. Knows keys, knows nothing of meshes."""
