{{- with $waypoint.affinity }}
      affinity: {{ toJson . }}
{{- end }}
{{- with $waypoint.topologySpreadConstraints }}
      topologySpreadConstraints: {{ toJson . }}
{{- end }}
{{- with $waypoint.nodeSelector }}
      nodeSelector: {{ toJson . }}
{{- end }}
{{- with $waypoint.tolerations }}
      tolerations: {{ toJson . }}
{{- end }}
