    - { name: PILOT_CERT_PROVIDER, value: {{ toJson $global.pilotCertProvider }} }
    - name: CA_ADDR
      value: {{ $global.caAddress | default (printf "istiod-%s.%s.svc:15012" .Values.revision $global.istioNamespace) | toJson }}
    - { name: POD_NAME, valueFrom: { fieldRef: { fieldPath: metadata.name } } }
    - { name: POD_NAMESPACE, valueFrom: { fieldRef: { fieldPath: metadata.namespace } } }
    - { name: INSTANCE_IP, valueFrom: { fieldRef: { fieldPath: status.podIP } } }
    - { name: SERVICE_ACCOUNT, valueFrom: { fieldRef: { fieldPath: spec.serviceAccountName } } }
    - { name: HOST_IP, valueFrom: { fieldRef: { fieldPath: status.hostIP } } }
    - { name: PROXY_CONFIG, value: {{ protoToJSON .ProxyConfig | toJson }} }
    - { name: ISTIO_META_NODE_NAME, valueFrom: { fieldRef: { fieldPath: spec.nodeName } } }
