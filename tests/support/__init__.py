"""What the suites that run the operator share: an API client, the operator's process, the audit log."""
