{{- if eq .InboundTrafficPolicyMode "localhost" }}
    - { name: REWRITE_PROBE_LEGACY_LOCALHOST_DESTINATION, value: "true" }
{{- end }}
