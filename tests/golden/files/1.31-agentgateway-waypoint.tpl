{{- $meta := .ObjectMeta -}}
{{- $global := .Values.global -}}
{{- $proxy := .Values.global.proxy -}}
{{- $waypoint := .Values.global.waypoint -}}
{{- $gateways := .Values.gateways -}}
{{- $annotations := omit .InfrastructureAnnotations "kubectl.kubernetes.io/last-applied-configuration" "gateway.istio.io/name-override" "gateway.istio.io/service-account" "gateway.istio.io/controller-version" -}}
{{- $labels := mergeMaps .InfrastructureLabels (strdict "gateway.networking.k8s.io/gateway-name" .Name "gateway.networking.k8s.io/gateway-class-name" .GatewayClass) -}}
{{- $managed := mergeMaps $labels (strdict "gateway.istio.io/managed" "istio.io-agentgateway-waypoint-controller") -}}
{{- $selector := strdict .GatewayNameLabel .Name -}}
{{- $owner := dict "apiVersion" "gateway.networking.k8s.io/v1" "kind" "Gateway" "name" .Name "uid" .UID -}}
{{- $common := dict "namespace" .Namespace "ownerReferences" (list $owner) -}}
{{- $network := index .InfrastructureLabels "topology.istio.io/network" | default $global.network -}}
{{- $cluster := $global.multiCluster.clusterName | default .ClusterID -}}
{{- $outside := strdict "istio.io/dataplane-mode" "none" -}}
{{- $traffic := strdict -}}
{{- $resources := $waypoint.resources -}}
{{- $lifecycle := dict -}}
{{- $confinement := $gateways.seccompProfile -}}
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
        securityContext:
          allowPrivilegeEscalation: false
          capabilities: { drop: [ALL] }
          privileged: false
          readOnlyRootFilesystem: true
          runAsNonRoot: true
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
    {{- range $key, $value := .ProxyConfig.ProxyMetadata }}
        - { name: {{ toJson $key }}, value: {{ toJson $value }} }
    {{- end }}
        - { name: XDS_ADDRESS, value: {{ toJson .ProxyConfig.DiscoveryAddress }} }
        - name: CA_ADDRESS
          value: {{ $global.caAddress | default (printf "istiod-%s.%s.svc:15012" .Values.revision $global.istioNamespace) | toJson }}
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
        - { name: istiod-ca-cert, mountPath: /var/run/secrets/istio }
        - { name: istiod-ca-cert, mountPath: /var/run/secrets/xds }
        - { name: istio-token, mountPath: /var/run/secrets/tokens }
        - { name: xds-token, mountPath: /var/run/secrets/xds-tokens }
        - { name: tmp, mountPath: /tmp }
      volumes:
      - { name: istiod-ca-cert, configMap: { name: istio-ca-root-cert } }
      - { name: istio-token, projected: { sources: [{ serviceAccountToken: { path: istio-token, expirationSeconds: 43200, audience: {{ toJson $global.sds.token.aud }} } }] } }
      - { name: xds-token, projected: { sources: [{ serviceAccountToken: { path: xds-token, expirationSeconds: 43200, audience: {{ toJson $global.sds.token.aud }} } }] } }
      - { name: tmp, emptyDir: {} }
    {{- with $global.imagePullSecrets }}
      imagePullSecrets:
    {{- range . }}
      - { name: {{ toJson . }} }
    {{- end }}
    {{- end }}
{{- $ports := list -}}
{{- range .Ports -}}
{{- $ports = append $ports (dict "name" .Name "port" .Port "protocol" "TCP" "appProtocol" .AppProtocol) -}}
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
