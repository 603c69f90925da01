[# What both kinds of proxy compute first. Every value is printed by toJson, so that none can change the pod's shape. #]
[% include "injection/resources.tpl" %]
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
