        env:
[% filter indent(4, true) %]
[% include "injection/environment-pod.tpl" %]
[% include "injection/environment-limits.tpl" %]
[% endfilter %]
        - { name: ISTIO_META_CLUSTER_ID, value: {{ toJson $cluster }} }
{{- with $network }}
        - { name: ISTIO_META_NETWORK, value: {{ toJson . }} }
{{- end }}
        - { name: ISTIO_META_WORKLOAD_NAME, value: {{ toJson .DeploymentName }} }
        - { name: ISTIO_META_OWNER, value: {{ printf "kubernetes://apis/apps/v1/namespaces/%s/deployments/%s" .Namespace .DeploymentName | toJson }} }
[% filter indent(4, true) %]
[% include "injection/environment-mesh.tpl" %]
[% include "injection/environment-metadata.tpl" %]
[% endfilter %]
