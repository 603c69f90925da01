{{- with index $annotations "sidecar.istio.io/userVolume" }}
{{- range $volume, $source := fromJSON . }}
  - {{ toJson (mustMerge (dict "name" $volume) $source) }}
{{- end }}
{{- end }}
