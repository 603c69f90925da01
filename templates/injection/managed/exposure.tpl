[# The Service of a Gateway; its autoscaler and its budget, which istiod makes only where an overlay asks for them. #]
{{- $ports := list -}}
{{- range .Ports -}}
{{- $ports = append $ports (dict "name" .Name "port" .Port "protocol" [[ protocol ]] "appProtocol" .AppProtocol) -}}
{{- end }}
---
apiVersion: v1
kind: Service
metadata: {{ merge (dict "name" .DeploymentName "annotations" (mergeMaps $traffic $annotations) "labels" $labels) $common | toJson }}
spec:
  type: {{ toJson .ServiceType }}
  ipFamilyPolicy: PreferDualStack
  selector: {{ toJson $selector }}
  ports: {{ toJson $ports }}
{{- if and .Spec.Addresses (eq .ServiceType "LoadBalancer") }}
  loadBalancerIP: {{ toJson (index .Spec.Addresses 0).Value }}
{{- end }}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {{ merge (dict "name" .DeploymentName "annotations" $annotations "labels" $labels) $common | toJson }}
spec:
  scaleTargetRef: { apiVersion: apps/v1, kind: Deployment, name: {{ toJson .DeploymentName }} }
  maxReplicas: 1
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {{ merge (dict "name" .DeploymentName "annotations" $annotations "labels" $labels) $common | toJson }}
spec:
  selector: { matchLabels: {{ toJson $selector }} }
