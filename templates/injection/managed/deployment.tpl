---
apiVersion: apps/v1
kind: Deployment
metadata: {{ merge (dict "name" .DeploymentName "annotations" $annotations "labels" $managed) $common | toJson }}
spec:
  selector: { matchLabels: {{ toJson $selector }} }
  template:
    metadata:
      annotations: {{ toJsonMap $annotations (strdict "istio.io/rev" (.Revision | default "default") "mesh.navarch.io/proxy" "[[ stamp ]]" "prometheus.io/path" "/stats/prometheus" "prometheus.io/port" "15020" "prometheus.io/scrape" "true") }}
      labels: {{ toJsonMap (strdict "sidecar.istio.io/inject" "false" "service.istio.io/canonical-name" .DeploymentName "service.istio.io/canonical-revision" "latest") $outside $managed }}
    spec:
      serviceAccountName: {{ toJson .ServiceAccount }}
