[% set volumes = ["workload-socket", "workload-certs", "istiod-ca-cert", "istio-data", "istio-xds", "istio-token", "istio-podinfo"] %]
[% set port = 15020 %]
[# What istiod merges into a pod whose applications speak xDS themselves: an agent without Envoy, which gives them their
   configuration and certificates. #]
[% include "injection/preamble.tpl" %]
{{- $workload := .DeploymentMeta.Name -}}
metadata:
  labels:
    service.istio.io/canonical-name: {{ toJson $name }}
    service.istio.io/canonical-revision: {{ toJson $revision }}
  annotations:
[% include "injection/annotations.tpl" %]
    sidecar.istio.io/rewriteAppHTTPProbers: "false"
spec:
  containers:
  - name: istio-proxy
    image: {{ toJson $image }}
    ports:
    - { name: mesh-metrics, containerPort: 15020, protocol: TCP }
    args: {{ toJson (concat (list "proxy" "sidecar" "--domain" (print "$(POD_NAMESPACE).svc." $proxy.clusterDomain)) $logArgs) }}
    lifecycle: { postStart: { exec: { command: [pilot-agent, wait, "--url=http://localhost:15020/healthz/ready"] } } }
    env:
    - { name: ISTIO_META_GENERATOR, value: grpc }
    - { name: OUTPUT_CERTS, value: /var/lib/istio/data }
[% include "injection/environment-localhost.tpl" %]
[% include "injection/environment-pod.tpl" %]
[% include "injection/environment-workload.tpl" %]
[% include "injection/environment-mesh.tpl" %]
[% include "injection/environment-metadata.tpl" %]
    - { name: ISTIO_META_DNS_CAPTURE, value: "false" }
    - { name: DISABLE_ENVOY, value: "true" }
[% include "injection/pull-policy.tpl" %]
{{- if ne $statusPort "0" }}
[% include "injection/readiness.tpl" %]
{{- end }}
    resources: {{ template "resources" . }}
[% include "injection/mounts.tpl" %]
[% include "injection/user-mounts.tpl" %]
{{- range $apps }}
  - name: {{ toJson . }}
    env:
    - { name: GRPC_XDS_BOOTSTRAP, value: /etc/istio/proxy/grpc-bootstrap.json }
    - { name: GRPC_XDS_EXPERIMENTAL_SECURITY_SUPPORT, value: "true" }
    volumeMounts:
    - { name: istio-data, mountPath: /var/lib/istio/data }
    - { name: istio-xds, mountPath: /etc/istio/proxy }
    - { name: workload-certs, mountPath: /var/run/secrets/workload-spiffe-credentials }
{{- end }}
[% include "injection/volumes.tpl" %]
[% include "injection/user-volumes.tpl" %]
[% include "injection/pull-secrets.tpl" %]
