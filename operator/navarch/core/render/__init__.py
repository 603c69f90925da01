"""From one input to manifests: templates, components, overlays, waves. Knows its input and nothing else."""
