"""Restarting workloads so that they get the proxy that their mesh injects now: waves, windows, budgets."""
