[% set volumes = ["workload-socket", "credential-socket", "workload-certs", "istiod-ca-cert", "istio-data", "istio-envoy", "istio-token", "istio-podinfo"] %]
[% set controller = '"istio.io-gateway-controller"' %]
[% set protocol = ".Protocol" if features.gateway_listener_protocols else '"TCP"' %]
[# What istiod deploys for a Gateway of its own class: an Envoy that routes, and its Service. #]
[% include "injection/managed/preamble.tpl" %]
[% include "injection/managed/image.tpl" %]
{{- $outside := strdict -}}
{{- $traffic := strdict -}}
{{- $args := concat (list "proxy" "router" "--domain" $domain) $logs -}}
{{- if $global.sts.servicePort }}{{ $args = append $args (print "--stsPort=" $global.sts.servicePort) }}{{ end -}}
{{- if $global.logAsJson }}{{ $args = append $args "--log_as_json" }}{{ end }}
[% include "injection/managed/account.tpl" %]
[% include "injection/managed/deployment.tpl" %]
[% include "injection/managed/sysctls.tpl" %]
      containers:
      - name: istio-proxy
        image: {{ toJson $image }}
        args: {{ toJson $args }}
        resources: {{ $proxy.resources | default dict | toJson }}
        ports:
        - { name: metrics, containerPort: 15020, protocol: TCP }
        - { name: status-port, containerPort: 15021, protocol: TCP }
        - { name: http-envoy-prom, containerPort: 15090, protocol: TCP }
{{- with $proxy.lifecycle }}
        lifecycle: {{ toJson . }}
{{- end }}
[% include "injection/managed/confined.tpl" %]
          runAsUser: {{ .ProxyUID | default 1337 }}
          runAsGroup: {{ .ProxyGID | default 1337 }}
[% include "injection/managed/environment.tpl" %]
        - { name: ISTIO_META_POD_PORTS, value: "[]" }
        - { name: ISTIO_META_APP_CONTAINERS, value: "" }
        - { name: ISTIO_META_INTERCEPTION_MODE, value: {{ toJson .ProxyConfig.InterceptionMode.String }} }
{{- with index .InfrastructureLabels "topology.istio.io/network" }}
        - { name: ISTIO_META_REQUESTED_NETWORK_VIEW, value: {{ toJson . }} }
{{- end }}
[% include "injection/managed/pull.tpl" %]
[% include "injection/managed/probes.tpl" %]
[% filter indent(4, true) %]
[% include "injection/mounts.tpl" %]
[% endfilter %]
[% include "injection/managed/pod-end.tpl" %]
[% include "injection/managed/exposure.tpl" %]
