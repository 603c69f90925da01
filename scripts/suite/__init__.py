"""Runs the suites: `python -m scripts.suite [PART]... [-- ARGUMENT OF PYTEST]...`."""
