"""Our kinds: models, schema, admission, permissions, and what installs the operator."""
