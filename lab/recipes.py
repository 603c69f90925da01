"""Forms of what the lab builds, and the recipes of what runs beside a cluster: OLM, Prometheus, what
enforces NetworkPolicies.

Owns these tables. Must never build. Invariant: a recipe's text decides, with the pins, what is made of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Binary:
    """A command built from a module of `lab/modules`; `name` is its key in ensure(), `file` its file."""

    name: str
    module: str
    package: str
    file: str
    stamps: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Edit:
    """A change of one file of a pinned dependency at build time: `old` stands in it exactly once."""

    file: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class EditedBinary(Binary):
    """A command of `source` with build tags and edits. (Not fields of Binary: its text names the entries of
    the cache.)"""

    source: str = ""
    tags: str = ""
    edits: tuple[Edit, ...] = ()


@dataclass(frozen=True, slots=True)
class Extract:
    """Text files of a pinned dependency, joined as YAML documents (or copied when it is one)."""

    name: str
    module: str
    source: str
    paths: tuple[str, ...]
    file: str


Recipe: TypeAlias = Binary | Extract

OLM, OPM = (
    "github.com/operator-framework/operator-lifecycle-manager",
    "github.com/operator-framework/operator-registry",
)
_API = "github.com/operator-framework/api"
_TAGS = "json1 containers_image_openpgp"
# Both serve health and metrics on all interfaces of the machine, at one fixed port, and opm its catalog.
_OLM_LISTENS = Edit("pkg/lib/server/server.go", 'return ":8080"', 'return "127.0.0.1:0"')
_OPM_LISTENS = Edit(
    "cmd/opm/serve/serve.go", 'net.Listen("tcp", ":"+s.port)', 'net.Listen("tcp", "127.0.0.1:"+s.port)'
)
_OLM_KINDS = (
    *("catalogsources", "clusterserviceversions", "installplans", "olmconfigs", "operatorconditions"),
    *("operatorgroups", "operators", "subscriptions"),
)
OLM_RECIPES: tuple[Recipe, ...] = (
    EditedBinary("olm", "olm", f"{OLM}/cmd/olm", "olm", (), OLM, _TAGS, (_OLM_LISTENS,)),
    EditedBinary("catalog", "olm", f"{OLM}/cmd/catalog", "catalog", (), OLM, _TAGS, (_OLM_LISTENS,)),
    EditedBinary("opm", "opm", f"{OPM}/cmd/opm", "opm", (), OPM, _TAGS, (_OPM_LISTENS,)),
    Binary("cpb", "olm", f"{OLM}/util/cpb", "cpb"),
    Binary("bundle-validators", "bundle", ".", "bundle-validators"),
    Binary("operator-verify", "bundle", f"{_API}/cmd/operator-verify", "operator-verify"),
    Extract(
        "olm-crds",
        "olm",
        OLM,
        tuple(f"deploy/chart/crds/0000_50_olm_00-{kind}.crd.yaml" for kind in _OLM_KINDS),
        "crds.yaml",
    ),
)

_PROMETHEUS = "github.com/prometheus/prometheus"
# What is scraped stands in a file: without discovery, clients of Kubernetes and of clouds are not built.
_KUBERNETES = """\
\t\t\tcase *kubernetes.SDConfig:
\t\t\t\tif err := checkTLSConfig(c.HTTPClientConfig.TLSConfig, checkSyntaxOnly); err != nil {
\t\t\t\t\treturn nil, nil, err
\t\t\t\t}
"""
_NO_DISCOVERY = tuple(
    Edit("cmd/promtool/main.go", text, "") for text in (f'"{_PROMETHEUS}/discovery/kubernetes"', _KUBERNETES)
)
_PROMETHEUS_OPERATOR = "github.com/prometheus-operator/prometheus-operator"
PROMETHEUS_RECIPES: tuple[Recipe, ...] = (
    *(
        EditedBinary(
            name, "prometheus", f"{_PROMETHEUS}/cmd/{name}", name, (), _PROMETHEUS, "remove_all_sd", edits
        )
        for name, edits in (("prometheus", ()), ("promtool", _NO_DISCOVERY))
    ),
    Extract(
        "prometheus-operator-crds",
        "prometheusoperator",
        _PROMETHEUS_OPERATOR,
        tuple(
            f"example/prometheus-operator-crd/monitoring.coreos.com_{kind}.yaml"
            for kind in ("servicemonitors", "prometheusrules")
        ),
        "crds.yaml",
    ),
)

FIREWALL_RECIPES: tuple[Recipe, ...] = (
    Binary(
        "kube-router",
        "firewall",
        "github.com/cloudnativelabs/kube-router/v2/cmd/kube-router",
        "kube-router",
    ),
)
