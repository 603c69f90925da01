  volumes:
  - { name: workload-socket, emptyDir: {} }
  - { name: credential-socket, emptyDir: {} }
  - { name: workload-certs, emptyDir: {} }
  - { name: istio-envoy, emptyDir: { medium: Memory } }
  - { name: istio-data, emptyDir: {} }
  - name: istio-podinfo
    downwardAPI:
      items:
      - { path: labels, fieldRef: { fieldPath: metadata.labels } }
      - { path: annotations, fieldRef: { fieldPath: metadata.annotations } }
  - name: istio-token
    projected:
      sources:
      - serviceAccountToken: { path: istio-token, expirationSeconds: 43200, audience: {{ toJson $global.sds.token.aud }} }
  - { name: istiod-ca-cert, configMap: { name: istio-ca-root-cert } }
[% if kind == "sidecar" %]
  - { name: istio-ca-crl, configMap: { name: istio-ca-crl, optional: true } }
[% endif %]
{{- if $bootstrap }}
  - { name: custom-bootstrap-volume, configMap: { name: {{ toJson $bootstrap }} } }
{{- end }}
