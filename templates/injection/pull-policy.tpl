{{- with $global.imagePullPolicy }}
    imagePullPolicy: {{ toJson . }}
{{- end }}
