[% set paths = {
  "credential-socket": "/var/run/secrets/credential-uds",
  "istio-ca-crl": "/var/run/secrets/istio/crl",
  "istio-data": "/var/lib/istio/data",
  "istio-envoy": "/etc/istio/proxy",
  "istio-podinfo": "/etc/istio/pod",
  "istio-token": "/var/run/secrets/tokens",
  "istio-xds": "/etc/istio/proxy",
  "istiod-ca-cert": "/var/run/secrets/istio",
  "workload-certs": "/var/run/secrets/workload-spiffe-credentials",
  "workload-socket": "/var/run/secrets/workload-spiffe-uds",
} %]
    volumeMounts:
[% for volume in volumes %]
    - { name: [[ volume ]], mountPath: [[ paths[volume] ]] }
[% endfor %]
