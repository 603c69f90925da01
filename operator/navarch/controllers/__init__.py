"""One file per kind: gather, check, plan, apply, summarise, report."""
