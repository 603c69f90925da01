{{- with index $annotations "sidecar.istio.io/userVolumeMount" }}
{{- range $volume, $mount := fromJSON . }}
    - {{ toJson (mustMerge (dict "name" $volume) $mount) }}
{{- end }}
{{- end }}
