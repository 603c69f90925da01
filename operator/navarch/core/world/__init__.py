"""What gather returns, one module for each aspect: cluster, neighbours, workloads, proxies, dry run."""
