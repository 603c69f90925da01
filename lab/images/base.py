"""The images every node lab starts with: pause, echo, CoreDNS, and Istio's istiod and proxy in
every version that the lab builds.

Owns where things lie inside these images. Must never depend on which lab loads them. All are from the
reserved name `lab.local`, which no registry answers for: an image that was not loaded fails, it is never
pulled.

Facts about Istio's images (tools/packaging/common in istio.io/istio, pilot/docker): istiod runs as 1337 and
needs /tmp and /var/lib/istio; the proxy's entry point is pilot-agent, which reads envoy_bootstrap_tmpl.json
in /var/lib/istio/envoy and calls iptables by name. Extensions of iptables are opened at run time, so ldd
cannot see them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from lab.builds import ISTIO_LINES, IstioLine, ensure, ensure_envoy
from lab.images.archive import Image, Layer, ensure_archive
from lab.toolchain import cache

REGISTRY = "lab.local"
PAUSE = f"{REGISTRY}/pause:1"
ECHO = f"{REGISTRY}/echo:1"
COREDNS = f"{REGISTRY}/coredns:1"
ISTIO_HUB = f"{REGISTRY}/istio"

_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
_IPTABLES = Path("/usr/sbin/xtables-nft-multi")
_NFT = Path("/usr/sbin/nft")


def ensure_base_archive() -> Path:
    """One archive with all base images, made from the binaries of the group `node` and Envoy."""
    images = build_images(ensure("node"), envoy=ensure_envoy(), lines=ISTIO_LINES)
    return ensure_archive(cache() / "images", "base", images)


def build_images(files: Mapping[str, Path], *, envoy: Path, lines: Iterable[IstioLine]) -> tuple[Image, ...]:
    """All base images, of files by the names of builds.ensure("node").

    Layers are shared between versions, and echo's binary is also the pause program.
    """
    system, proxy = _build_system(), _build_proxy(envoy)
    echo, coredns = Layer(), Layer()
    echo.add_program("/echo", files["echo"])
    coredns.add_program("/coredns", files["coredns"])
    images = [
        Image(PAUSE, (echo,), {"Entrypoint": ["/echo", "pause"], "User": "65535:65535"}),
        Image(ECHO, (echo,), {"Entrypoint": ["/echo"], "Cmd": ["serve"], "User": "1000:1000"}),
        Image(COREDNS, (system, coredns), {"Entrypoint": ["/coredns"]}),
    ]
    for line, version in [(one, version) for one in lines for version in one.versions]:
        istiod, agent = Layer(), Layer()
        istiod.add_program("/usr/local/bin/pilot-discovery", files[f"pilot-discovery-{version}"])
        agent.add_program("/usr/local/bin/pilot-agent", files[f"pilot-agent-{version}"])
        agent.add_file("/var/lib/istio/envoy/envoy_bootstrap_tmpl.json", files[line.bootstrap])
        pilot_config = {"Entrypoint": ["/usr/local/bin/pilot-discovery"], "User": "1337:1337", "Env": [_PATH]}
        proxy_config = {"Entrypoint": ["/usr/local/bin/pilot-agent"], "WorkingDir": "/", "Env": [_PATH]}
        images.append(Image(f"{ISTIO_HUB}/pilot:{version}", (system, istiod), pilot_config))
        images.append(Image(f"{ISTIO_HUB}/proxyv2:{version}", (system, proxy, agent), proxy_config))
    return tuple(images)


def _build_system() -> Layer:
    layer = Layer()
    layer.add_text(
        "/etc/passwd",
        "root:x:0:0:root:/root:/sbin/nologin\n"
        "istio-proxy:x:1337:1337:proxy:/var/lib/istio:/sbin/nologin\n"
        "nobody:x:65534:65534:nobody:/:/sbin/nologin\n",
    )
    layer.add_text("/etc/group", "root:x:0:\nistio-proxy:x:1337:\nnogroup:x:65534:\n")
    layer.add_text("/etc/nsswitch.conf", "hosts: files dns\npasswd: files\ngroup: files\n")
    layer.add_text("/etc/os-release", 'ID=lab\nPRETTY_NAME="lab image"\n')
    layer.add_file(str(_CERTIFICATES), _CERTIFICATES)
    layer.add_directory("/tmp", mode=0o1777)
    layer.add_directory("/run")
    layer.add_directory("/etc/istio", parent=1337)
    layer.add_directory("/var/lib/istio", parent=1337)
    return layer


def _build_proxy(envoy: Path) -> Layer:
    """Envoy and what sets up its traffic capture: the big layer that all proxy versions share."""
    layer = Layer()
    layer.add_program("/usr/local/bin/envoy", envoy)
    for program in (_IPTABLES, _NFT):
        layer.add_program(str(program), program)
    for extension in sorted(Path("/usr/lib").glob("*/xtables/*.so")):
        layer.add_file(str(extension), extension)
    for family in ("iptables", "ip6tables"):
        for backend in ("", "-nft"):
            for verb in ("", "-save", "-restore"):
                layer.add_link(f"/usr/sbin/{family}{backend}{verb}", _IPTABLES.name)
    return layer
