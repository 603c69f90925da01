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
