{{- if $bootstrap }}
  - { name: custom-bootstrap-volume, configMap: { name: {{ toJson $bootstrap }} } }
{{- end }}
