"""One look at a cluster, for the command: lists in place of watches, the operator's own gather(), no write.

Owns everything between the command line and the core for `navarch check` and `navarch describe`. Must never
write: the client that it is given refuses to. What could not be looked at is a value, never an exception.
"""
