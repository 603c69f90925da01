[% set volumes = ["workload-socket", "credential-socket", "workload-certs", "istiod-ca-cert", "istio-ca-crl", "istio-data", "istio-envoy", "istio-token", "istio-podinfo"] %]
[% set port = 15021 %]
[# What istiod merges into a pod that joins the mesh: a proxy beside its containers, and what leads traffic to it. #]
[% include "injection/preamble.tpl" %]
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
[% include "injection/annotations.tpl" %]
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
[% if features.proxy_init_image %]
  {{- if not (contains "/" $initImage) }}{{ $initImage = .ProxyInitImage }}{{ end }}
[% else %]
  {{- if not (contains "/" $initImage) }}{{ $initImage = .ProxyImage }}{{ end }}
[% endif %]
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
[# Hooks of the mesh's own take the place of ours one by one: a preStop hook leaves the wait after the start as it is. #]
{{- $hooks := dict }}
{{- if $holds }}{{ $hooks = dict "postStart" (dict "exec" (dict "command" (list "pilot-agent" "wait"))) }}
{{- else if $native }}{{ $hooks = dict "preStop" (dict "exec" (dict "command" (list "pilot-agent" "request" (print "--debug-port=" $statusPort) "POST" "drain"))) }}
{{- end }}
{{- range $name, $hook := $proxy.lifecycle }}{{ $_ := set $hooks $name $hook }}{{ end }}
{{- if $hooks }}
    lifecycle: {{ toJson $hooks }}
{{- end }}
[% include "injection/environment.tpl" %]
[% include "injection/environment-localhost.tpl" %]
[% if features.otel_resource_attributes %]
{{- with otelResourceAttributes .MeshConfig $annotations $labels .DeploymentMeta.Namespace .Spec.Containers }}
    - { name: OTEL_RESOURCE_ATTRIBUTES, value: {{ toJson . }} }
{{- end }}
[% endif %]
[% include "injection/environment-metadata.tpl" %]
[% include "injection/pull-policy.tpl" %]
{{- if ne $statusPort "0" }}
{{- if $proxy.startupProbe.enabled }}
    startupProbe:
      httpGet: { path: /healthz/ready, port: 15021 }
      initialDelaySeconds: 0
      periodSeconds: 1
      timeoutSeconds: 3
      failureThreshold: {{ $proxy.startupProbe.failureThreshold }}
{{- end }}
[% include "injection/readiness.tpl" %]
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
[% include "injection/mounts.tpl" %]
[% include "injection/bootstrap-mount.tpl" %]
[% include "injection/user-mounts.tpl" %]
[% include "injection/volumes.tpl" %]
[% include "injection/bootstrap-volume.tpl" %]
[% include "injection/user-volumes.tpl" %]
[% include "injection/pull-secrets.tpl" %]
