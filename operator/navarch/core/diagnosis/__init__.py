"""What `navarch check` and `describe` say of a cluster: diagnoses by stable ids, and the tree of a mesh.

Owns the ids that no condition carries, the advice that belongs to each id, and the rules about the cluster as
a whole. Must never judge a mesh anew: its diagnoses are its conditions, word by word.
"""
