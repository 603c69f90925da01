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
{{- $mode := annotation $meta "sidecar.istio.io/interceptionMode" .ProxyConfig.InterceptionMode -}}
{{- $workload := index $labels "service.istio.io/workload-name" | default .DeploymentMeta.Name -}}
{{- $captures := ne $mode "NONE" -}}
{{- $transparent := eq $mode "TPROXY" -}}
{{- $lowPorts := eq (annotation $meta "sidecar.istio.io/capNetBindService" $proxy.capNetBindService) "true" -}}
{{- $native := ne (index $annotations "sidecar.istio.io/nativeSidecar" | default (printf "%t" .NativeSidecars)) "false" -}}
{{- $holds := and (or .ProxyConfig.HoldApplicationUntilProxyStarts.GetValue $proxy.holdApplicationUntilProxyStarts) (not $native) -}}
{{- $cni := .Values.pilot.cni.enabled -}}
{{- $includeRanges := annotation $meta "traffic.sidecar.istio.io/includeOutboundIPRanges" $proxy.includeIPRanges -}}
{{- $excludeRanges := annotation $meta "traffic.sidecar.istio.io/excludeOutboundIPRanges" $proxy.excludeIPRanges -}}
{{- $includeInbound := annotation $meta "traffic.sidecar.istio.io/includeInboundPorts" $proxy.includeInboundPorts -}}
{{- $excludeInbound := excludeInboundPort $statusPort (annotation $meta "traffic.sidecar.istio.io/excludeInboundPorts" $proxy.excludeInboundPorts) -}}
{{- $includeOutbound := annotation $meta "traffic.sidecar.istio.io/includeOutboundPorts" (valueOrDefault $proxy.includeOutboundPorts "") -}}
{{- $excludeOutbound := annotation $meta "traffic.sidecar.istio.io/excludeOutboundPorts" (valueOrDefault $proxy.excludeOutboundPorts "") -}}
{{- $namesIncludeOutbound := or (isset $annotations "traffic.sidecar.istio.io/includeOutboundPorts") $includeOutbound -}}
{{- $namesExcludeOutbound := or (isset $annotations "traffic.sidecar.istio.io/excludeOutboundPorts") $excludeOutbound -}}
metadata:
  labels:
    security.istio.io/tlsMode: {{ index $labels "security.istio.io/tlsMode" | default "istio" | toJson }}
{{- if eq (index .ProxyConfig.ProxyMetadata "ISTIO_META_ENABLE_HBONE") "true" }}
    networking.istio.io/tunnel: {{ index $labels "networking.istio.io/tunnel" | default "http" | toJson }}
{{- end }}
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
{{- if $cni }}
{{- if eq .Values.pilot.cni.provider "multus" }}
    k8s.v1.cni.cncf.io/networks: {{ appendMultusNetwork (index $annotations "k8s.v1.cni.cncf.io/networks") "default/istio-cni" | toJson }}
{{- end }}
    sidecar.istio.io/interceptionMode: {{ toJson $mode }}
    traffic.sidecar.istio.io/includeInboundPorts: {{ toJson $includeInbound }}
    traffic.sidecar.istio.io/excludeInboundPorts: {{ toJson $excludeInbound }}
{{- with $includeRanges }}
    traffic.sidecar.istio.io/includeOutboundIPRanges: {{ toJson . }}
{{- end }}
{{- with $excludeRanges }}
    traffic.sidecar.istio.io/excludeOutboundIPRanges: {{ toJson . }}
{{- end }}
{{- if $namesIncludeOutbound }}
    traffic.sidecar.istio.io/includeOutboundPorts: {{ toJson $includeOutbound }}
{{- end }}
{{- if $namesExcludeOutbound }}
    traffic.sidecar.istio.io/excludeOutboundPorts: {{ toJson $excludeOutbound }}
{{- end }}
{{- end }}
spec:
{{- if or $captures $native }}
  initContainers:
{{- end }}
{{- if $captures }}
  {{- $initImage := annotation $meta "sidecar.istio.io/proxyImage" $global.proxy_init.image }}
  {{- if not (contains "/" $initImage) }}{{ $initImage = .ProxyInitImage }}{{ end }}
  {{- $redirectedUser := ternary 1337 $uid $transparent }}
  {{- $args := list "istio-iptables" "-p" (.MeshConfig.ProxyListenPort | default 15001 | toString) "-z" (.MeshConfig.ProxyInboundListenPort | default 15006 | toString) "-u" (toString $redirectedUser) "-m" $mode "-i" $includeRanges "-x" $excludeRanges "-b" $includeInbound "-d" (join "," (without (list "15090" "15021" $excludeInbound) "")) }}
  {{- if $namesIncludeOutbound }}{{ $args = concat $args (list "-q" $includeOutbound) }}{{ end }}
  {{- if $namesExcludeOutbound }}{{ $args = concat $args (list "-o" $excludeOutbound) }}{{ end }}
  {{- with index $annotations "istio.io/reroute-virtual-interfaces" | default (index $annotations "traffic.sidecar.istio.io/kubevirtInterfaces") }}{{ $args = concat $args (list "-k" .) }}{{ end }}
  {{- with index $annotations "traffic.sidecar.istio.io/excludeInterfaces" }}{{ $args = concat $args (list "-c" .) }}{{ end }}
  {{- $args = append $args (print "--log_output_level=" (annotation $meta "sidecar.istio.io/agentLogLevel" $global.logging.level)) }}
  {{- if $global.logAsJson }}{{ $args = append $args "--log_as_json" }}{{ end }}
  {{- if $cni }}{{ $args = concat $args (list "--run-validation" "--skip-rule-apply") }}{{ else if $global.proxy_init.forceApplyIptables }}{{ $args = append $args "--force-apply" }}{{ end }}
  {{- if $global.nativeNftables }}{{ $args = append $args "--native-nftables" }}{{ end }}
  - name: {{ ternary "istio-validation" "istio-init" (eq (toString $cni) "true") }}
    image: {{ toJson $initImage }}
    args: {{ toJson $args }}
{{- with $global.imagePullPolicy }}
    imagePullPolicy: {{ toJson . }}
{{- end }}
{{- with .ProxyConfig.ProxyMetadata }}
    env:
{{- range $key, $value := . }}
    - { name: {{ toJson $key }}, value: {{ toJson $value }} }
{{- end }}
{{- end }}
    resources: {{ template "resources" . }}
    securityContext:
      allowPrivilegeEscalation: {{ $proxy.privileged }}
      privileged: {{ $proxy.privileged }}
{{- if $cni }}
      capabilities: { drop: [ALL] }
      readOnlyRootFilesystem: true
      runAsNonRoot: true
      runAsUser: {{ $redirectedUser }}
      runAsGroup: {{ ternary 1337 $gid $transparent }}
{{- else }}
      capabilities: { add: [NET_ADMIN, NET_RAW], drop: [ALL] }
      readOnlyRootFilesystem: false
      runAsNonRoot: false
      runAsUser: 0
      runAsGroup: 0
{{- end }}
{{- with $proxy.seccompProfile }}
      seccompProfile: {{ toJson . }}
{{- end }}
{{- end }}
{{- if not $native }}
  containers:
{{- end }}
  - name: istio-proxy
    image: {{ toJson $image }}
{{- if $native }}
    restartPolicy: Always
{{- end }}
    ports:
    - { name: http-envoy-prom, containerPort: 15090, protocol: TCP }
    {{- $args := concat (list "proxy" "sidecar" "--domain" (print "$(POD_NAMESPACE).svc." $proxy.clusterDomain)) $logArgs }}
    {{- with $proxy.outlierLogPath }}{{ $args = append $args (print "--outlierLogPath=" .) }}{{ end }}
    args: {{ toJson $args }}
{{- $hooks := dict }}
{{- if $holds }}{{ $hooks = dict "postStart" (dict "exec" (dict "command" (list "pilot-agent" "wait"))) }}
{{- else if $native }}{{ $hooks = dict "preStop" (dict "exec" (dict "command" (list "pilot-agent" "request" (print "--debug-port=" $statusPort) "POST" "drain"))) }}
{{- end }}
{{- range $name, $hook := $proxy.lifecycle }}{{ $_ := set $hooks $name $hook }}{{ end }}
{{- if $hooks }}
    lifecycle: {{ toJson $hooks }}
{{- end }}
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
{{- if eq .InboundTrafficPolicyMode "localhost" }}
    - { name: REWRITE_PROBE_LEGACY_LOCALHOST_DESTINATION, value: "true" }
{{- end }}
{{- with otelResourceAttributes .MeshConfig $annotations $labels .DeploymentMeta.Namespace .Spec.Containers }}
    - { name: OTEL_RESOURCE_ATTRIBUTES, value: {{ toJson . }} }
{{- end }}
{{- range $key, $value := .ProxyConfig.ProxyMetadata }}
    - { name: {{ toJson $key }}, value: {{ toJson $value }} }
{{- end }}
{{- with $global.imagePullPolicy }}
    imagePullPolicy: {{ toJson . }}
{{- end }}
{{- if ne $statusPort "0" }}
{{- if $proxy.startupProbe.enabled }}
    startupProbe:
      httpGet: { path: /healthz/ready, port: 15021 }
      initialDelaySeconds: 0
      periodSeconds: 1
      timeoutSeconds: 3
      failureThreshold: {{ $proxy.startupProbe.failureThreshold }}
{{- end }}
    readinessProbe:
      httpGet: { path: /healthz/ready, port: 15021 }
      initialDelaySeconds: {{ annotation $meta "readiness.status.sidecar.istio.io/initialDelaySeconds" $proxy.readinessInitialDelaySeconds }}
      periodSeconds: {{ annotation $meta "readiness.status.sidecar.istio.io/periodSeconds" $proxy.readinessPeriodSeconds }}
      timeoutSeconds: 3
      failureThreshold: {{ annotation $meta "readiness.status.sidecar.istio.io/failureThreshold" $proxy.readinessFailureThreshold }}
{{- end }}
    securityContext:
{{- if eq (index .ProxyConfig.ProxyMetadata "IPTABLES_TRACE_LOGGING") "true" }}
      allowPrivilegeEscalation: true
      privileged: true
      capabilities: { add: [NET_ADMIN], drop: [ALL] }
      runAsNonRoot: false
      runAsUser: 0
      runAsGroup: {{ $gid }}
{{- else }}
      {{- $added := list }}
      {{- if $transparent }}{{ $added = append $added "NET_ADMIN" }}{{ end }}
      {{- if $lowPorts }}{{ $added = append $added "NET_BIND_SERVICE" }}{{ end }}
      allowPrivilegeEscalation: {{ $proxy.privileged }}
      privileged: {{ $proxy.privileged }}
{{- if $added }}
      capabilities: { add: {{ toJson $added }}, drop: [ALL] }
      runAsNonRoot: false
      runAsUser: 0
      runAsGroup: 1337
{{- else }}
      capabilities: { drop: [ALL] }
      runAsNonRoot: true
      runAsUser: {{ $uid }}
      runAsGroup: {{ $gid }}
{{- end }}
{{- end }}
      readOnlyRootFilesystem: true
{{- with $proxy.seccompProfile }}
      seccompProfile: {{ toJson . }}
{{- end }}
    resources: {{ template "resources" . }}
    volumeMounts:
    - { name: workload-socket, mountPath: /var/run/secrets/workload-spiffe-uds }
    - { name: credential-socket, mountPath: /var/run/secrets/credential-uds }
    - { name: workload-certs, mountPath: /var/run/secrets/workload-spiffe-credentials }
    - { name: istiod-ca-cert, mountPath: /var/run/secrets/istio }
    - { name: istio-ca-crl, mountPath: /var/run/secrets/istio/crl }
    - { name: istio-data, mountPath: /var/lib/istio/data }
    - { name: istio-envoy, mountPath: /etc/istio/proxy }
    - { name: istio-token, mountPath: /var/run/secrets/tokens }
    - { name: istio-podinfo, mountPath: /etc/istio/pod }
{{- if $bootstrap }}
    - { name: custom-bootstrap-volume, mountPath: /etc/istio/custom-bootstrap }
{{- end }}
{{- with index $annotations "sidecar.istio.io/userVolumeMount" }}
{{- range $volume, $mount := fromJSON . }}
    - {{ toJson (mustMerge (dict "name" $volume) $mount) }}
{{- end }}
{{- end }}
  volumes:
  - { name: workload-socket, emptyDir: {} }
  - { name: credential-socket, emptyDir: {} }
  - { name: workload-certs, emptyDir: {} }
  - { name: istiod-ca-cert, configMap: { name: istio-ca-root-cert } }
  - { name: istio-ca-crl, configMap: { name: istio-ca-crl, optional: true } }
  - { name: istio-data, emptyDir: {} }
  - { name: istio-envoy, emptyDir: { medium: Memory } }
  - { name: istio-token, projected: { sources: [{ serviceAccountToken: { path: istio-token, expirationSeconds: 43200, audience: {{ toJson $global.sds.token.aud }} } }] } }
  - { name: istio-podinfo, downwardAPI: { items: [{ path: labels, fieldRef: { fieldPath: metadata.labels } }, { path: annotations, fieldRef: { fieldPath: metadata.annotations } }] } }
{{- if $bootstrap }}
  - { name: custom-bootstrap-volume, configMap: { name: {{ toJson $bootstrap }} } }
{{- end }}
{{- with index $annotations "sidecar.istio.io/userVolume" }}
{{- range $volume, $source := fromJSON . }}
  - {{ toJson (mustMerge (dict "name" $volume) $source) }}
{{- end }}
{{- end }}
{{- with $global.imagePullSecrets }}
  imagePullSecrets:
{{- range . }}
  - { name: {{ toJson . }} }
{{- end }}
{{- end }}
