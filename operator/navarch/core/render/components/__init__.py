"""One module per component, each saying what its objects are. They do not know each other."""
