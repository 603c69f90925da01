{{- $meta := .ObjectMeta -}}
{{- $global := .Values.global -}}
{{- $proxy := .Values.global.proxy -}}
{{- $waypoint := .Values.global.waypoint -}}
{{- $gateways := .Values.gateways -}}
{{- $annotations := omit .InfrastructureAnnotations "kubectl.kubernetes.io/last-applied-configuration" "gateway.istio.io/name-override" "gateway.istio.io/service-account" "gateway.istio.io/controller-version" -}}
{{- $labels := mergeMaps .InfrastructureLabels (strdict "gateway.networking.k8s.io/gateway-name" .Name "gateway.networking.k8s.io/gateway-class-name" .GatewayClass) -}}
{{- $managed := mergeMaps $labels (strdict "gateway.istio.io/managed" "istio.io-gateway-controller") -}}
{{- $selector := strdict .GatewayNameLabel .Name -}}
{{- $owner := dict "apiVersion" "gateway.networking.k8s.io/v1" "kind" "Gateway" "name" .Name "uid" .UID -}}
{{- $common := dict "namespace" .Namespace "ownerReferences" (list $owner) -}}
{{- $network := index .InfrastructureLabels "topology.istio.io/network" | default $global.network -}}
{{- $cluster := $global.multiCluster.clusterName | default .ClusterID -}}
{{- $image := annotation $meta "sidecar.istio.io/proxyImage" $proxy.image -}}
{{- if not (contains "/" $image) }}{{ $image = .ProxyImage }}{{ end -}}
{{- $domain := print "$(POD_NAMESPACE).svc." $proxy.clusterDomain -}}
{{- $logs := list (print "--proxyLogLevel=" (annotation $meta "sidecar.istio.io/logLevel" $proxy.logLevel)) (print "--proxyComponentLogLevel=" (annotation $meta "sidecar.istio.io/componentLogLevel" $proxy.componentLogLevel)) (print "--log_output_level=" (annotation $meta "sidecar.istio.io/agentLogLevel" $global.logging.level)) -}}
{{- $outside := strdict -}}
{{- $traffic := strdict -}}
{{- $args := concat (list "proxy" "router" "--domain" $domain) $logs -}}
{{- if $global.sts.servicePort }}{{ $args = append $args (print "--stsPort=" $global.sts.servicePort) }}{{ end -}}
{{- if $global.logAsJson }}{{ $args = append $args "--log_as_json" }}{{ end }}
apiVersion: v1
kind: ServiceAccount
metadata: {{ merge (dict "name" .ServiceAccount "annotations" $annotations "labels" $labels) $common | toJson }}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{ merge (dict "name" .DeploymentName "annotations" $annotations "labels" $managed) $common | toJson }}
spec:
  selector: { matchLabels: {{ toJson $selector }} }
  template:
    metadata:
      annotations: {{ toJsonMap $annotations (strdict "istio.io/rev" (.Revision | default "default") "mesh.navarch.io/proxy" "1.31.4-2747c3b3d2" "prometheus.io/path" "/stats/prometheus" "prometheus.io/port" "15020" "prometheus.io/scrape" "true") }}
      labels: {{ toJsonMap (strdict "sidecar.istio.io/inject" "false" "service.istio.io/canonical-name" .DeploymentName "service.istio.io/canonical-revision" "latest") $outside $managed }}
    spec:
      serviceAccountName: {{ toJson .ServiceAccount }}
      securityContext:
        sysctls: [{ name: net.ipv4.ip_unprivileged_port_start, value: "0" }]
{{- with $gateways.seccompProfile }}
        seccompProfile: {{ toJson . }}
{{- end }}
      containers:
      - name: istio-proxy
        image: {{ toJson $image }}
        args: {{ toJson $args }}
        resources: {{ $proxy.resources | default dict | toJson }}
        ports:
        - { name: metrics, containerPort: 15020, protocol: TCP }
        - { name: status-port, containerPort: 15021, protocol: TCP }
        - { name: http-envoy-prom, containerPort: 15090, protocol: TCP }
{{- with $proxy.lifecycle }}
        lifecycle: {{ toJson . }}
{{- end }}
        securityContext:
          allowPrivilegeEscalation: false
          capabilities: { drop: [ALL] }
          privileged: false
          readOnlyRootFilesystem: true
          runAsNonRoot: true
          runAsUser: {{ .ProxyUID | default 1337 }}
          runAsGroup: {{ .ProxyGID | default 1337 }}
        env:
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
        - { name: ISTIO_CPU_LIMIT, valueFrom: { resourceFieldRef: { resource: limits.cpu, divisor: "1" } } }
        - { name: GOMEMLIMIT, valueFrom: { resourceFieldRef: { resource: limits.memory, divisor: "1" } } }
        - { name: GOMAXPROCS, valueFrom: { resourceFieldRef: { resource: limits.cpu, divisor: "1" } } }
        - { name: ISTIO_META_CLUSTER_ID, value: {{ toJson $cluster }} }
{{- with $network }}
        - { name: ISTIO_META_NETWORK, value: {{ toJson . }} }
{{- end }}
        - { name: ISTIO_META_WORKLOAD_NAME, value: {{ toJson .DeploymentName }} }
        - { name: ISTIO_META_OWNER, value: {{ printf "kubernetes://apis/apps/v1/namespaces/%s/deployments/%s" .Namespace .DeploymentName | toJson }} }
    {{- $trustDomain := .MeshConfig.TrustDomain | default $global.trustDomain }}
    {{- with $global.meshID | default $trustDomain }}
        - { name: ISTIO_META_MESH_ID, value: {{ toJson . }} }
    {{- end }}
    {{- with $trustDomain }}
        - { name: TRUST_DOMAIN, value: {{ toJson . }} }
    {{- end }}
    {{- range $key, $value := .ProxyConfig.ProxyMetadata }}
        - { name: {{ toJson $key }}, value: {{ toJson $value }} }
    {{- end }}
        - { name: ISTIO_META_POD_PORTS, value: "[]" }
        - { name: ISTIO_META_APP_CONTAINERS, value: "" }
        - { name: ISTIO_META_INTERCEPTION_MODE, value: {{ toJson .ProxyConfig.InterceptionMode.String }} }
{{- with index .InfrastructureLabels "topology.istio.io/network" }}
        - { name: ISTIO_META_REQUESTED_NETWORK_VIEW, value: {{ toJson . }} }
{{- end }}
{{- with $global.imagePullPolicy }}
        imagePullPolicy: {{ toJson . }}
{{- end }}
        startupProbe:
          httpGet: { path: /healthz/ready, port: 15021 }
          initialDelaySeconds: 1
          periodSeconds: 1
          timeoutSeconds: 1
          failureThreshold: 30
        readinessProbe:
          httpGet: { path: /healthz/ready, port: 15021 }
          initialDelaySeconds: 0
          periodSeconds: 15
          timeoutSeconds: 1
          failureThreshold: 4
        volumeMounts:
        - { name: workload-socket, mountPath: /var/run/secrets/workload-spiffe-uds }
        - { name: credential-socket, mountPath: /var/run/secrets/credential-uds }
        - { name: workload-certs, mountPath: /var/run/secrets/workload-spiffe-credentials }
        - { name: istiod-ca-cert, mountPath: /var/run/secrets/istio }
        - { name: istio-data, mountPath: /var/lib/istio/data }
        - { name: istio-envoy, mountPath: /etc/istio/proxy }
        - { name: istio-token, mountPath: /var/run/secrets/tokens }
        - { name: istio-podinfo, mountPath: /etc/istio/pod }
      volumes:
      - { name: workload-socket, emptyDir: {} }
      - { name: credential-socket, emptyDir: {} }
      - { name: workload-certs, emptyDir: {} }
      - { name: istiod-ca-cert, configMap: { name: istio-ca-root-cert } }
      - { name: istio-data, emptyDir: {} }
      - { name: istio-envoy, emptyDir: { medium: Memory } }
      - { name: istio-token, projected: { sources: [{ serviceAccountToken: { path: istio-token, expirationSeconds: 43200, audience: {{ toJson $global.sds.token.aud }} } }] } }
      - { name: istio-podinfo, downwardAPI: { items: [{ path: labels, fieldRef: { fieldPath: metadata.labels } }, { path: annotations, fieldRef: { fieldPath: metadata.annotations } }] } }
    {{- with $global.imagePullSecrets }}
      imagePullSecrets:
    {{- range . }}
      - { name: {{ toJson . }} }
    {{- end }}
    {{- end }}
{{- $ports := list -}}
{{- range .Ports -}}
{{- $ports = append $ports (dict "name" .Name "port" .Port "protocol" .Protocol "appProtocol" .AppProtocol) -}}
{{- end }}
---
apiVersion: v1
kind: Service
metadata: {{ merge (dict "name" .DeploymentName "annotations" (mergeMaps $traffic $annotations) "labels" $labels) $common | toJson }}
spec:
  type: {{ toJson .ServiceType }}
  ipFamilyPolicy: PreferDualStack
  selector: {{ toJson $selector }}
  ports: {{ toJson $ports }}
{{- if and .Spec.Addresses (eq .ServiceType "LoadBalancer") }}
  loadBalancerIP: {{ toJson (index .Spec.Addresses 0).Value }}
{{- end }}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {{ merge (dict "name" .DeploymentName "annotations" $annotations "labels" $labels) $common | toJson }}
spec:
  scaleTargetRef: { apiVersion: apps/v1, kind: Deployment, name: {{ toJson .DeploymentName }} }
  maxReplicas: 1
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {{ merge (dict "name" .DeploymentName "annotations" $annotations "labels" $labels) $common | toJson }}
spec:
  selector: { matchLabels: {{ toJson $selector }} }
