[% set token = "expirationSeconds: 43200, audience: {{ toJson $global.sds.token.aud }}" %]
[% set sources = {
  "credential-socket": "emptyDir: {}",
  "istio-ca-crl": "configMap: { name: istio-ca-crl, optional: true }",
  "istio-data": "emptyDir: {}",
  "istio-envoy": "emptyDir: { medium: Memory }",
  "istio-podinfo": "downwardAPI: { items: [" ~
    "{ path: labels, fieldRef: { fieldPath: metadata.labels } }, " ~
    "{ path: annotations, fieldRef: { fieldPath: metadata.annotations } }] }",
  "istio-token": "projected: { sources: [{ serviceAccountToken: { path: istio-token, " ~ token ~ " } }] }",
  "istio-xds": "emptyDir: { medium: Memory }",
  "istiod-ca-cert": "configMap: { name: istio-ca-root-cert }",
  "tmp": "emptyDir: {}",
  "workload-certs": "emptyDir: {}",
  "workload-socket": "emptyDir: {}",
  "xds-token": "projected: { sources: [{ serviceAccountToken: { path: xds-token, " ~ token ~ " } }] }",
} %]
  volumes:
[% for volume in volumes %]
  - { name: [[ volume ]], [[ sources[volume] ]] }
[% endfor %]
