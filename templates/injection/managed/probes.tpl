        startupProbe:
          httpGet: { path: /healthz/ready, port: 15021 }
          initialDelaySeconds: 1
          periodSeconds: 1
          timeoutSeconds: 1
          failureThreshold: 30
        readinessProbe:
          httpGet: { path: /healthz/ready, port: 15021 }
          initialDelaySeconds: 0
          periodSeconds: 15
          timeoutSeconds: 1
          failureThreshold: 4
