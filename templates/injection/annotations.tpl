    istio.io/rev: {{ toJson (.Revision | default "default") }}
{{- if $apps }}
{{- if not (isset $annotations "kubectl.kubernetes.io/default-logs-container") }}
    kubectl.kubernetes.io/default-logs-container: {{ toJson (index $apps 0) }}
{{- end }}
{{- if not (isset $annotations "kubectl.kubernetes.io/default-container") }}
    kubectl.kubernetes.io/default-container: {{ toJson (index $apps 0) }}
{{- end }}
{{- end }}
