    - { name: ISTIO_META_POD_PORTS, value: {{ print "[" (join "," $ports) "]" | toJson }} }
    - { name: ISTIO_META_APP_CONTAINERS, value: {{ join "," $apps | toJson }} }
    - { name: ISTIO_META_CLUSTER_ID, value: {{ $global.multiCluster.clusterName | default "Kubernetes" | toJson }} }
{{- with $global.network }}
    - { name: ISTIO_META_NETWORK, value: {{ toJson . }} }
{{- end }}
{{- with $workload }}
    - { name: ISTIO_META_WORKLOAD_NAME, value: {{ toJson . }} }
{{- end }}
{{- if and .TypeMeta.APIVersion .DeploymentMeta.Name }}
    - name: ISTIO_META_OWNER
      value: {{ printf "kubernetes://apis/%s/namespaces/%s/%ss/%s" .TypeMeta.APIVersion (valueOrDefault .DeploymentMeta.Namespace "default") (toLower .TypeMeta.Kind) .DeploymentMeta.Name | toJson }}
{{- end }}
