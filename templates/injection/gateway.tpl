[% set volumes = ["workload-socket", "credential-socket", "workload-certs", "istiod-ca-cert", "istio-data", "istio-envoy", "istio-token", "istio-podinfo"] %]
[# What istiod merges into a gateway's pod, whose one container is the proxy itself. #]
[% include "injection/preamble.tpl" %]
{{- $mode := .ProxyConfig.InterceptionMode.String -}}
{{- $workload := .DeploymentMeta.Name -}}
metadata:
  labels:
    service.istio.io/canonical-name: {{ toJson $name }}
    service.istio.io/canonical-revision: {{ toJson $revision }}
  annotations:
[% include "injection/annotations.tpl" %]
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
[% include "injection/environment.tpl" %]
[% include "injection/environment-metadata.tpl" %]
[% include "injection/pull-policy.tpl" %]
    readinessProbe:
      httpGet: { path: /healthz/ready, port: 15021 }
      initialDelaySeconds: {{ $proxy.readinessInitialDelaySeconds }}
      periodSeconds: {{ $proxy.readinessPeriodSeconds }}
      timeoutSeconds: 3
      failureThreshold: {{ $proxy.readinessFailureThreshold }}
[% include "injection/mounts.tpl" %]
[% include "injection/bootstrap-mount.tpl" %]
[% include "injection/volumes.tpl" %]
[% include "injection/bootstrap-volume.tpl" %]
[% include "injection/pull-secrets.tpl" %]
