    volumeMounts:
    - { name: workload-socket, mountPath: /var/run/secrets/workload-spiffe-uds }
    - { name: credential-socket, mountPath: /var/run/secrets/credential-uds }
    - { name: workload-certs, mountPath: /var/run/secrets/workload-spiffe-credentials }
    - { name: istiod-ca-cert, mountPath: /var/run/secrets/istio }
[% if kind == "sidecar" %]
    - { name: istio-ca-crl, mountPath: /var/run/secrets/istio/crl }
[% endif %]
    - { name: istio-data, mountPath: /var/lib/istio/data }
    - { name: istio-envoy, mountPath: /etc/istio/proxy }
    - { name: istio-token, mountPath: /var/run/secrets/tokens }
    - { name: istio-podinfo, mountPath: /etc/istio/pod }
{{- if $bootstrap }}
    - { name: custom-bootstrap-volume, mountPath: /etc/istio/custom-bootstrap }
{{- end }}
