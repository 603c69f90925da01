{{- $server := printf "dns:///istiod-%s.%s.svc:15010" .Values.revision .Values.global.istioNamespace -}}
{{- $xds := dict "server_uri" $server "channel_creds" (list (dict "type" "insecure")) "server_features" (list "xds_v3") -}}
{{- $node := dict "id" "sidecar~$(GRPC_XDS_POD_IP)~$(GRPC_XDS_POD_NAME).$(GRPC_XDS_POD_NAMESPACE)~cluster.local" "metadata" (dict "GENERATOR" "grpc") -}}
{{- $bootstrap := toJson (dict "xds_servers" (list $xds) "node" $node) -}}
metadata:
  annotations:
    sidecar.istio.io/rewriteAppHTTPProbers: "false"
spec:
  containers:
{{- range .Spec.Containers }}
  - name: {{ toJson .Name }}
    env:
    - { name: GRPC_XDS_POD_IP, valueFrom: { fieldRef: { fieldPath: status.podIP } } }
    - { name: GRPC_XDS_POD_NAME, valueFrom: { fieldRef: { fieldPath: metadata.name } } }
    - { name: GRPC_XDS_POD_NAMESPACE, valueFrom: { fieldRef: { fieldPath: metadata.namespace } } }
    - { name: GRPC_XDS_BOOTSTRAP_CONFIG, value: {{ toJson $bootstrap }} }
{{- end }}
