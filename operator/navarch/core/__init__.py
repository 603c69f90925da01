"""Decisions: pure functions over what was observed."""
