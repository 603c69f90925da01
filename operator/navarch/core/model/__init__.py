"""Values that every room speaks in: references, labels, names, findings, conditions, plans and outcomes."""
