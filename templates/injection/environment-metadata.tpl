{{- range $key, $value := .ProxyConfig.ProxyMetadata }}
    - { name: {{ toJson $key }}, value: {{ toJson $value }} }
{{- end }}
