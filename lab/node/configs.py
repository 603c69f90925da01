"""Configuration files of the node's components.

Owns `conf/` in the state directory and the CNI configuration. Must never hold a path of the host:
everything is written as the lab's processes see it. Reasons for settings that look odd stand beside them.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import yaml

from lab.images.base import PAUSE
from lab.node.layout import (
    CNI_PLUGINS,
    CONFIGURATION,
    CREDENTIALS,
    DNS_ADDRESS,
    NODE_NAME,
    POD_NETWORK,
    cgroup_of,
    files_of,
)
from lab.progress import LabError

_PLUGINS = ("bridge", "host-local", "loopback", "portmap")

CONTAINERD = f"""\
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.internal.v1.opt",
]
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  disable_apparmor = true
  restrict_oom_score_adj = true  # lowering it needs CAP_SYS_RESOURCE, which root may lack
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/opt/cni/bin"
    conf_dir = "/etc/cni/net.d"
    max_conf_num = 1
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
"""


def write_configs(state: Path, name: str) -> None:
    """All configuration files of a lab. LabError when the CNI plugins are not where Debian puts them."""
    directory = state / "conf"
    (directory / "containerd.toml").write_text(CONTAINERD)
    (directory / "resolv.conf").write_text("")
    for file, content in (
        ("kubelet.yaml", _build_kubelet(name)),
        ("kube-proxy.yaml", _build_kube_proxy()),
        ("audit.yaml", _build_audit_policy()),
    ):
        (directory / file).write_text(yaml.safe_dump(content, sort_keys=False))
    plugins, networks = files_of(state, "/opt/cni") / "bin", files_of(state, "/etc/cni") / "net.d"
    for folder in (plugins, networks):
        folder.mkdir(parents=True, exist_ok=True)
    for plugin in _PLUGINS:
        if not (CNI_PLUGINS / plugin).exists():
            raise LabError(f"{CNI_PLUGINS / plugin} is missing: install containernetworking-plugins")
        shutil.copy2(CNI_PLUGINS / plugin, plugins / plugin)
    (networks / "10-lab.conflist").write_text(json.dumps(_build_network(), indent=1))


def _build_network() -> dict[str, Any]:
    address_range = {
        "type": "host-local",
        "ranges": [[{"subnet": POD_NETWORK}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    bridge = {"type": "bridge", "bridge": "cni0", "isGateway": True, "ipMasq": False, "hairpinMode": True}
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "1.0.0", "name": "lab", "plugins": [bridge | {"ipam": address_range}, ports]}


def _build_kubelet(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "failCgroupV1": False,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{cgroup_of(name)}",
        "cgroupsPerQOS": True,
        "enforceNodeAllocatable": [],
        "failSwapOn": False,
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "volumePluginDir": "/var/lib/kubelet/volume-plugins",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True, "cacheTTL": "10s"},
            "x509": {"clientCAFile": str(CREDENTIALS / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(CREDENTIALS / "kubelet-server.crt"),
        "tlsPrivateKeyFile": str(CREDENTIALS / "kubelet-server.key"),
        "clusterDNS": [DNS_ADDRESS],
        "clusterDomain": "cluster.local",
        "resolvConf": str(CONFIGURATION / "resolv.conf"),
        "maxPods": 250,
        "serializeImagePulls": False,
        # An image that was collected could not be pulled again.
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "evictionHard": {
            "memory.available": "200Mi",
            "nodefs.available": "1%",
            "nodefs.inodesFree": "1%",
            "imagefs.available": "1%",
        },
        "nodeStatusUpdateFrequency": "5s",
        # Bounds how long a changed ConfigMap or Secret needs into a pod's volume.
        "syncFrequency": "10s",
        "configMapAndSecretChangeDetectionStrategy": "Watch",
        "makeIPTablesUtilChains": False,
    }


def _build_kube_proxy() -> dict[str, Any]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clientConnection": {"kubeconfig": str(CREDENTIALS / "kube-proxy.kubeconfig")},
        "hostnameOverride": NODE_NAME,
        "clusterCIDR": POD_NETWORK,
        # Limits of connection tracking cannot be written in a network namespace of one's own.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
    }


def _build_audit_policy() -> dict[str, Any]:
    """Metadata of every request once, when it is answered; without heartbeats and probes."""
    leases = {"level": "None", "resources": [{"group": "coordination.k8s.io", "resources": ["leases"]}]}
    probes = {"level": "None", "nonResourceURLs": ["/readyz*", "/livez*", "/healthz*", "/metrics"]}
    return {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [leases | {"namespaces": ["kube-node-lease"]}, probes, {"level": "Metadata"}],
    }
