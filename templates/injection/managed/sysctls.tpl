      securityContext:
        sysctls: [{ name: net.ipv4.ip_unprivileged_port_start, value: "0" }]
{{- with $gateways.seccompProfile }}
        seccompProfile: {{ toJson . }}
{{- end }}
