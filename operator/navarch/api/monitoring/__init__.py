"""What a Prometheus and a Grafana are given: alerts, where to scrape, a dashboard."""
