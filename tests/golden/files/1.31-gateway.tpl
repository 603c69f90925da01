{{- define "resources" -}}
{{- $annotations := .ObjectMeta.Annotations -}}
{{- $requests := dict -}}
{{- $limits := dict -}}
{{- with index $annotations "sidecar.istio.io/proxyCPU" }}{{ $_ := set $requests "cpu" . }}{{ end -}}
{{- with index $annotations "sidecar.istio.io/proxyMemory" }}{{ $_ := set $requests "memory" . }}{{ end -}}
{{- with index $annotations "sidecar.istio.io/proxyCPULimit" }}{{ $_ := set $limits "cpu" . }}{{ end -}}
{{- with index $annotations "sidecar.istio.io/proxyMemoryLimit" }}{{ $_ := set $limits "memory" . }}{{ end -}}
{{- if or $requests $limits -}}
{{- $asked := dict -}}
{{- if $requests }}{{ $_ := set $asked "requests" $requests }}{{ end -}}
{{- if $limits }}{{ $_ := set $asked "limits" $limits }}{{ end -}}
{{- toJson $asked -}}
{{- else -}}
{{- toJson (.Values.global.proxy.resources | default dict) -}}
{{- end -}}
{{- end -}}
{{- $meta := .ObjectMeta -}}
{{- $labels := .ObjectMeta.Labels -}}
{{- $annotations := .ObjectMeta.Annotations -}}
{{- $global := .Values.global -}}
{{- $proxy := .Values.global.proxy -}}
{{- $statusPort := annotation $meta "status.sidecar.istio.io/port" $proxy.statusPort -}}
{{- $bootstrap := index $annotations "sidecar.istio.io/bootstrapOverride" -}}
{{- $uid := .ProxyUID | default 1337 -}}
{{- $gid := .ProxyGID | default 1337 -}}
{{- $apps := list -}}
{{- $ports := list -}}
{{- range .Spec.Containers -}}
{{- if ne .Name "istio-proxy" }}{{ $apps = append $apps .Name }}{{ end -}}
{{- range .Ports }}{{ with structToJSON . }}{{ $ports = append $ports . }}{{ end }}{{ end -}}
{{- end -}}
{{- $image := annotation $meta "sidecar.istio.io/proxyImage" $proxy.image -}}
{{- if not (contains "/" $image) }}{{ $image = .ProxyImage }}{{ end -}}
{{- $name := index $labels "service.istio.io/canonical-name" | default (index $labels "app.kubernetes.io/name") | default (index $labels "app") | default .DeploymentMeta.Name -}}
{{- $name = $name | trunc 63 | trimAll "-_." -}}
{{- $revision := index $labels "service.istio.io/canonical-revision" | default (index $labels "app.kubernetes.io/version") | default (index $labels "version") | default "latest" -}}
{{- $logArgs := list (print "--proxyLogLevel=" (annotation $meta "sidecar.istio.io/logLevel" $proxy.logLevel)) (print "--proxyComponentLogLevel=" (annotation $meta "sidecar.istio.io/componentLogLevel" $proxy.componentLogLevel)) (print "--log_output_level=" (annotation $meta "sidecar.istio.io/agentLogLevel" $global.logging.level)) -}}
{{- if $global.sts.servicePort }}{{ $logArgs = append $logArgs (print "--stsPort=" $global.sts.servicePort) }}{{ end -}}
{{- if $global.logAsJson }}{{ $logArgs = append $logArgs "--log_as_json" }}{{ end -}}
{{- $mode := .ProxyConfig.InterceptionMode.String -}}
{{- $workload := .DeploymentMeta.Name -}}
metadata:
  labels:
    service.istio.io/canonical-name: {{ toJson $name }}
    service.istio.io/canonical-revision: {{ toJson $revision }}
  annotations:
    istio.io/rev: {{ toJson (.Revision | default "default") }}
{{- if $apps }}
{{- if not (isset $annotations "kubectl.kubernetes.io/default-logs-container") }}
    kubectl.kubernetes.io/default-logs-container: {{ toJson (index $apps 0) }}
{{- end }}
{{- if not (isset $annotations "kubectl.kubernetes.io/default-container") }}
    kubectl.kubernetes.io/default-container: {{ toJson (index $apps 0) }}
{{- end }}
{{- end }}
spec:
  securityContext: { sysctls: [{ name: net.ipv4.ip_unprivileged_port_start, value: "0" }] }
  containers:
  - name: istio-proxy
    image: {{ toJson $image }}
    ports:
    - { name: http-envoy-prom, containerPort: 15090, protocol: TCP }
    args: {{ toJson (concat (list "proxy" "router" "--domain" (print "$(POD_NAMESPACE).svc." $proxy.clusterDomain)) $logArgs) }}
{{- with $proxy.lifecycle }}
    lifecycle: {{ toJson . }}
{{- end }}
    securityContext: { runAsUser: {{ $uid }}, runAsGroup: {{ $gid }} }
    env:
    - { name: PILOT_CERT_PROVIDER, value: {{ toJson $global.pilotCertProvider }} }
    - name: CA_ADDR
      value: {{ $global.caAddress | default (printf "istiod-%s.%s.svc:15012" .Values.revision $global.istioNamespace) | toJson }}
    - { name: POD_NAME, valueFrom: { fieldRef: { fieldPath: metadata.name } } }
    - { name: POD_NAMESPACE, valueFrom: { fieldRef: { fieldPath: metadata.namespace } } }
    - { name: INSTANCE_IP, valueFrom: { fieldRef: { fieldPath: status.podIP } } }
    - { name: SERVICE_ACCOUNT, valueFrom: { fieldRef: { fieldPath: spec.serviceAccountName } } }
    - { name: HOST_IP, valueFrom: { fieldRef: { fieldPath: status.hostIP } } }
    - { name: PROXY_CONFIG, value: {{ protoToJSON .ProxyConfig | toJson }} }
    - { name: ISTIO_META_NODE_NAME, valueFrom: { fieldRef: { fieldPath: spec.nodeName } } }
    - { name: ISTIO_CPU_LIMIT, valueFrom: { resourceFieldRef: { resource: limits.cpu, divisor: "1" } } }
    - { name: GOMEMLIMIT, valueFrom: { resourceFieldRef: { resource: limits.memory, divisor: "1" } } }
    - { name: GOMAXPROCS, valueFrom: { resourceFieldRef: { resource: limits.cpu, divisor: "1" } } }
    - { name: ISTIO_META_POD_PORTS, value: {{ print "[" (join "," $ports) "]" | toJson }} }
    - { name: ISTIO_META_APP_CONTAINERS, value: {{ join "," $apps | toJson }} }
    - { name: ISTIO_META_CLUSTER_ID, value: {{ $global.multiCluster.clusterName | default "Kubernetes" | toJson }} }
{{- with $global.network }}
    - { name: ISTIO_META_NETWORK, value: {{ toJson . }} }
{{- end }}
{{- with $workload }}
    - { name: ISTIO_META_WORKLOAD_NAME, value: {{ toJson . }} }
{{- end }}
{{- if and .TypeMeta.APIVersion .DeploymentMeta.Name }}
    - name: ISTIO_META_OWNER
      value: {{ printf "kubernetes://apis/%s/namespaces/%s/%ss/%s" .TypeMeta.APIVersion (valueOrDefault .DeploymentMeta.Namespace "default") (toLower .TypeMeta.Kind) .DeploymentMeta.Name | toJson }}
{{- end }}
    - { name: ISTIO_META_INTERCEPTION_MODE, value: {{ toJson $mode }} }
{{- with .CompliancePolicy }}
    - { name: COMPLIANCE_POLICY, value: {{ toJson . }} }
{{- if eq . "fips-140-3" }}
    - { name: GODEBUG, value: "fips140=only" }
{{- end }}
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
{{- range $key, $value := .ProxyConfig.ProxyMetadata }}
    - { name: {{ toJson $key }}, value: {{ toJson $value }} }
{{- end }}
{{- with $global.imagePullPolicy }}
    imagePullPolicy: {{ toJson . }}
{{- end }}
    readinessProbe:
      httpGet: { path: /healthz/ready, port: 15021 }
      initialDelaySeconds: {{ $proxy.readinessInitialDelaySeconds }}
      periodSeconds: {{ $proxy.readinessPeriodSeconds }}
      timeoutSeconds: 3
      failureThreshold: {{ $proxy.readinessFailureThreshold }}
    volumeMounts:
    - { name: workload-socket, mountPath: /var/run/secrets/workload-spiffe-uds }
    - { name: credential-socket, mountPath: /var/run/secrets/credential-uds }
    - { name: workload-certs, mountPath: /var/run/secrets/workload-spiffe-credentials }
    - { name: istiod-ca-cert, mountPath: /var/run/secrets/istio }
    - { name: istio-data, mountPath: /var/lib/istio/data }
    - { name: istio-envoy, mountPath: /etc/istio/proxy }
    - { name: istio-token, mountPath: /var/run/secrets/tokens }
    - { name: istio-podinfo, mountPath: /etc/istio/pod }
{{- if $bootstrap }}
    - { name: custom-bootstrap-volume, mountPath: /etc/istio/custom-bootstrap }
{{- end }}
  volumes:
  - { name: workload-socket, emptyDir: {} }
  - { name: credential-socket, emptyDir: {} }
  - { name: workload-certs, emptyDir: {} }
  - { name: istiod-ca-cert, configMap: { name: istio-ca-root-cert } }
  - { name: istio-data, emptyDir: {} }
  - { name: istio-envoy, emptyDir: { medium: Memory } }
  - { name: istio-token, projected: { sources: [{ serviceAccountToken: { path: istio-token, expirationSeconds: 43200, audience: {{ toJson $global.sds.token.aud }} } }] } }
  - { name: istio-podinfo, downwardAPI: { items: [{ path: labels, fieldRef: { fieldPath: metadata.labels } }, { path: annotations, fieldRef: { fieldPath: metadata.annotations } }] } }
{{- if $bootstrap }}
  - { name: custom-bootstrap-volume, configMap: { name: {{ toJson $bootstrap }} } }
{{- end }}
{{- with $global.imagePullSecrets }}
  imagePullSecrets:
{{- range . }}
  - { name: {{ toJson . }} }
{{- end }}
{{- end }}
