[# An agentgateway, which takes its whole configuration from istiod. #]
      containers:
      - name: agentgateway
        {{- $image := annotation $meta "gateway.istio.io/agentgatewayImage" $global.agentgateway.image }}
        image: {{ ternary $image .AgentgatewayImage (contains "/" $image) | toJson }}
        args: ["--config", "{}"]
        resources: {{ $resources | default dict | toJson }}
        ports:
        - { name: metrics, containerPort: 15020, protocol: TCP }
        - { name: status-port, containerPort: 15021, protocol: TCP }
{{- with $lifecycle }}
        lifecycle: {{ toJson . }}
{{- end }}
[% include "injection/managed/confined.tpl" %]
          runAsUser: {{ .ProxyUID | default 10101 }}
          runAsGroup: {{ .ProxyGID | default 10101 }}
{{- with $confinement }}
          seccompProfile: {{ toJson . }}
{{- end }}
        env:
        - { name: POD_NAME, valueFrom: { fieldRef: { fieldPath: metadata.name } } }
        - { name: POD_NAMESPACE, valueFrom: { fieldRef: { fieldPath: metadata.namespace } } }
        - { name: NAMESPACE, valueFrom: { fieldRef: { fieldPath: metadata.namespace } } }
        - { name: INSTANCE_IP, valueFrom: { fieldRef: { fieldPath: status.podIP } } }
        - { name: SERVICE_ACCOUNT, valueFrom: { fieldRef: { fieldPath: spec.serviceAccountName } } }
        - { name: CPU_LIMIT, valueFrom: { resourceFieldRef: { resource: limits.cpu, divisor: "1" } } }
        - { name: GATEWAY, value: {{ toJson .Name }} }
        - { name: RUST_BACKTRACE, value: "1" }
        - { name: CLUSTER_ID, value: {{ toJson $cluster }} }
{{- with $network }}
        - { name: NETWORK, value: {{ toJson . }} }
{{- end }}
{{- with .MeshConfig.TrustDomain | default $global.trustDomain }}
        - { name: TRUST_DOMAIN, value: {{ toJson . }} }
{{- end }}
[% filter indent(4, true) %]
[% include "injection/environment-metadata.tpl" %]
[% endfilter %]
        - { name: XDS_ADDRESS, value: {{ toJson .ProxyConfig.DiscoveryAddress }} }
[% if features.agentgateway_ca %]
        - name: CA_ADDRESS
          value: {{ $global.caAddress | default (printf "istiod-%s.%s.svc:15012" .Values.revision $global.istioNamespace) | toJson }}
[% endif %]
[% include "injection/managed/pull.tpl" %]
[% include "injection/managed/probes.tpl" %]
        volumeMounts:
[% if features.agentgateway_ca %]
        - { name: istiod-ca-cert, mountPath: /var/run/secrets/istio }
[% endif %]
        - { name: istiod-ca-cert, mountPath: /var/run/secrets/xds }
[% if features.agentgateway_ca %]
        - { name: istio-token, mountPath: /var/run/secrets/tokens }
[% endif %]
        - { name: xds-token, mountPath: /var/run/secrets/xds-tokens }
        - { name: tmp, mountPath: /tmp }
[% include "injection/managed/pod-end.tpl" %]
