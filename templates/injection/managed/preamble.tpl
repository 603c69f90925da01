[# What all gateways that istiod deploys for a Gateway compute first. Metadata is built as a whole and printed by toJson,
   so that no name or label can change an object's shape. #]
{{- $meta := .ObjectMeta -}}
{{- $global := .Values.global -}}
{{- $proxy := .Values.global.proxy -}}
{{- $waypoint := .Values.global.waypoint -}}
{{- $gateways := .Values.gateways -}}
{{- $annotations := omit .InfrastructureAnnotations "kubectl.kubernetes.io/last-applied-configuration" "gateway.istio.io/name-override" "gateway.istio.io/service-account" "gateway.istio.io/controller-version" -}}
{{- $labels := mergeMaps .InfrastructureLabels (strdict "gateway.networking.k8s.io/gateway-name" .Name "gateway.networking.k8s.io/gateway-class-name" .GatewayClass) -}}
{{- $managed := mergeMaps $labels (strdict "gateway.istio.io/managed" [[ controller ]]) -}}
{{- $selector := strdict .GatewayNameLabel .Name -}}
{{- $owner := dict "apiVersion" "gateway.networking.k8s.io/v1" "kind" "Gateway" "name" .Name "uid" .UID -}}
{{- $common := dict "namespace" .Namespace "ownerReferences" (list $owner) -}}
{{- $network := index .InfrastructureLabels "topology.istio.io/network" | default $global.network -}}
{{- $cluster := $global.multiCluster.clusterName | default .ClusterID -}}
