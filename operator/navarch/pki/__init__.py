"""Keys and certificates: the one place where randomness becomes a key, and a key a signature."""
