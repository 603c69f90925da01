"""From events to keys. Nothing else."""
