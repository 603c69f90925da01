    env:
[% if kind == "sidecar" %]
{{- if eq .InboundTrafficPolicyMode "localhost" }}
    - { name: REWRITE_PROBE_LEGACY_LOCALHOST_DESTINATION, value: "true" }
{{- end }}
[% endif %]
    - { name: PILOT_CERT_PROVIDER, value: {{ toJson $global.pilotCertProvider }} }
    - name: CA_ADDR
      value: {{ $global.caAddress | default (printf "istiod-%s.%s.svc:15012" .Values.revision $global.istioNamespace) | toJson }}
    - { name: POD_NAME, valueFrom: { fieldRef: { fieldPath: metadata.name } } }
    - { name: POD_NAMESPACE, valueFrom: { fieldRef: { fieldPath: metadata.namespace } } }
    - { name: INSTANCE_IP, valueFrom: { fieldRef: { fieldPath: status.podIP } } }
    - { name: SERVICE_ACCOUNT, valueFrom: { fieldRef: { fieldPath: spec.serviceAccountName } } }
    - { name: HOST_IP, valueFrom: { fieldRef: { fieldPath: status.hostIP } } }
    - { name: ISTIO_CPU_LIMIT, valueFrom: { resourceFieldRef: { resource: limits.cpu, divisor: "1" } } }
    - { name: PROXY_CONFIG, value: {{ protoToJSON .ProxyConfig | toJson }} }
    - { name: ISTIO_META_POD_PORTS, value: {{ print "[" (join "," $ports) "]" | toJson }} }
    - { name: ISTIO_META_APP_CONTAINERS, value: {{ join "," $apps | toJson }} }
    - { name: GOMEMLIMIT, valueFrom: { resourceFieldRef: { resource: limits.memory, divisor: "1" } } }
    - { name: GOMAXPROCS, valueFrom: { resourceFieldRef: { resource: limits.cpu, divisor: "1" } } }
{{- with .CompliancePolicy }}
    - { name: COMPLIANCE_POLICY, value: {{ toJson . }} }
[% if features.fips_godebug %]
{{- if eq . "fips-140-3" }}
    - { name: GODEBUG, value: "fips140=only" }
{{- end }}
[% endif %]
{{- end }}
    - { name: ISTIO_META_CLUSTER_ID, value: {{ $global.multiCluster.clusterName | default "Kubernetes" | toJson }} }
    - { name: ISTIO_META_NODE_NAME, valueFrom: { fieldRef: { fieldPath: spec.nodeName } } }
    - { name: ISTIO_META_INTERCEPTION_MODE, value: {{ toJson $mode }} }
{{- with $global.network }}
    - { name: ISTIO_META_NETWORK, value: {{ toJson . }} }
{{- end }}
[% if kind == "sidecar" %]
{{- with index $labels "service.istio.io/workload-name" | default .DeploymentMeta.Name }}
[% else %]
{{- with .DeploymentMeta.Name }}
[% endif %]
    - { name: ISTIO_META_WORKLOAD_NAME, value: {{ toJson . }} }
{{- end }}
{{- if and .TypeMeta.APIVersion .DeploymentMeta.Name }}
    - name: ISTIO_META_OWNER
      value: {{ printf "kubernetes://apis/%s/namespaces/%s/%ss/%s" .TypeMeta.APIVersion (valueOrDefault .DeploymentMeta.Namespace "default") (toLower .TypeMeta.Kind) .DeploymentMeta.Name | toJson }}
{{- end }}
{{- if $bootstrap }}
    - { name: ISTIO_BOOTSTRAP_OVERRIDE, value: /etc/istio/custom-bootstrap/custom_bootstrap.json }
{{- end }}
{{- $trustDomain := .MeshConfig.TrustDomain | default $global.trustDomain }}
{{- with $global.meshID | default $trustDomain }}
    - { name: ISTIO_META_MESH_ID, value: {{ toJson . }} }
{{- end }}
{{- with $trustDomain }}
    - { name: TRUST_DOMAIN, value: {{ toJson . }} }
{{- end }}
[% if kind == "sidecar" and features.otel_resource_attributes %]
{{- with otelResourceAttributes .MeshConfig $annotations $labels .DeploymentMeta.Namespace .Spec.Containers }}
    - { name: OTEL_RESOURCE_ATTRIBUTES, value: {{ toJson . }} }
{{- end }}
[% endif %]
{{- range $key, $value := .ProxyConfig.ProxyMetadata }}
    - { name: {{ toJson $key }}, value: {{ toJson $value }} }
{{- end }}
{{- with $global.imagePullPolicy }}
    imagePullPolicy: {{ toJson . }}
{{- end }}
