{{- $image := annotation $meta "sidecar.istio.io/proxyImage" $proxy.image -}}
{{- if not (contains "/" $image) }}{{ $image = .ProxyImage }}{{ end -}}
{{- $domain := print "$(POD_NAMESPACE).svc." $proxy.clusterDomain -}}
{{- $logs := list (print "--proxyLogLevel=" (annotation $meta "sidecar.istio.io/logLevel" $proxy.logLevel)) (print "--proxyComponentLogLevel=" (annotation $meta "sidecar.istio.io/componentLogLevel" $proxy.componentLogLevel)) (print "--log_output_level=" (annotation $meta "sidecar.istio.io/agentLogLevel" $global.logging.level)) -}}
