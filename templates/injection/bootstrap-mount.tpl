{{- if $bootstrap }}
    - { name: custom-bootstrap-volume, mountPath: /etc/istio/custom-bootstrap }
{{- end }}
