"""Certificate authorities: what one is, how it is read, and what is wrong with it."""
