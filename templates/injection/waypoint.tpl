[% set volumes = ["workload-socket", "istiod-ca-cert", "istio-data", "istio-envoy", "istio-token", "istio-podinfo"] %]
[% set controller = ".ControllerLabel" %]
[% set protocol = '"TCP"' %]
[# What istiod deploys for a Gateway that stands in the way of services, or between networks, of an ambient mesh. #]
[% include "injection/managed/preamble.tpl" %]
[% include "injection/managed/image.tpl" %]
{{- $outside := strdict "istio.io/dataplane-mode" "none" -}}
{{- $traffic := strdict "networking.istio.io/traffic-distribution" "PreferClose" -}}
{{- $args := concat (list "proxy" "waypoint" "--domain" $domain "--serviceCluster" (print .ServiceAccount ".$(POD_NAMESPACE)")) $logs -}}
{{- if $global.logAsJson }}{{ $args = append $args "--log_as_json" }}{{ end -}}
{{- with $proxy.outlierLogPath }}{{ $args = append $args (print "--outlierLogPath=" .) }}{{ end }}
[% include "injection/managed/account.tpl" %]
[% include "injection/managed/deployment.tpl" %]
[% include "injection/managed/placement.tpl" %]
      containers:
      - name: istio-proxy
        image: {{ toJson $image }}
        args: {{ toJson $args }}
        resources: {{ $waypoint.resources | default dict | toJson }}
        ports:
        - { name: metrics, containerPort: 15020, protocol: TCP }
        - { name: status-port, containerPort: 15021, protocol: TCP }
        - { name: http-envoy-prom, containerPort: 15090, protocol: TCP }
[% include "injection/managed/confined.tpl" %]
{{- if ne $global.platform "openshift" }}
          runAsUser: 1337
          runAsGroup: 1337
{{- end }}
{{- with $gateways.seccompProfile }}
          seccompProfile: {{ toJson . }}
{{- end }}
[% include "injection/managed/environment.tpl" %]
        - { name: ISTIO_META_SERVICE_ACCOUNT, valueFrom: { fieldRef: { fieldPath: spec.serviceAccountName } } }
        - { name: ISTIO_META_INTERCEPTION_MODE, value: REDIRECT }
{{- if and $network (eq .ControllerLabel "istio.io-eastwest-controller") }}
        - { name: ISTIO_META_REQUESTED_NETWORK_VIEW, value: {{ toJson $network }} }
{{- end }}
[% include "injection/managed/pull.tpl" %]
[% include "injection/managed/probes.tpl" %]
[% filter indent(4, true) %]
[% include "injection/mounts.tpl" %]
[% endfilter %]
[% include "injection/managed/pod-end.tpl" %]
[% include "injection/managed/exposure.tpl" %]
