{{- with $global.imagePullSecrets }}
  imagePullSecrets:
{{- range . }}
  - { name: {{ toJson . }} }
{{- end }}
{{- end }}
