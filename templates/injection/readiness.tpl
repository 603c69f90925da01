    readinessProbe:
      httpGet: { path: /healthz/ready, port: [[ port ]] }
      initialDelaySeconds: {{ annotation $meta "readiness.status.sidecar.istio.io/initialDelaySeconds" $proxy.readinessInitialDelaySeconds }}
      periodSeconds: {{ annotation $meta "readiness.status.sidecar.istio.io/periodSeconds" $proxy.readinessPeriodSeconds }}
      timeoutSeconds: 3
      failureThreshold: {{ annotation $meta "readiness.status.sidecar.istio.io/failureThreshold" $proxy.readinessFailureThreshold }}
