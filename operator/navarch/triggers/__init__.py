"""From events to keys, with the thread in which kopf lives. Nothing else."""
