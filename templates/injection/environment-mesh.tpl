{{- $trustDomain := .MeshConfig.TrustDomain | default $global.trustDomain }}
{{- with $global.meshID | default $trustDomain }}
    - { name: ISTIO_META_MESH_ID, value: {{ toJson . }} }
{{- end }}
{{- with $trustDomain }}
    - { name: TRUST_DOMAIN, value: {{ toJson . }} }
{{- end }}
