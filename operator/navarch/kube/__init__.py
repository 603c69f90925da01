"""The API server's edge: everything that reads from or writes to a cluster."""
