"""Metrics, logs, health: what the process tells about itself."""
