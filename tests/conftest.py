"""Fixtures of all suites."""

pytest_plugins = ["lab.pytest_plugin"]
