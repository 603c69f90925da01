"""What other installers of Istio were told, as objects of Navarch's, with a note on each field.

Owns the tables of fields. Pure. Must never guess: what has no equal is told, and left out. Invariant: each
field of the input that says anything gives exactly one note.
"""
