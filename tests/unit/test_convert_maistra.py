"""Objects of OpenShift Service Mesh 2 become Navarch's, and of each field is told what became of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from navarch.assets import load_assets, load_catalog
from navarch.cli.convert import convert_text, tell_notes
from navarch.cli.inputs import InputError
from navarch.core.conversion.defaults import DEFAULTS, Default
from navarch.core.conversion.maistra import Conversion, convert
from navarch.core.conversion.rules import Note, Outcome
from navarch.core.model.findings import Severity
from navarch.core.model.merging import merge
from navarch.core.offline import build_offline
from navarch.core.world.cluster import Environment

from tests.support.command import navarch

WHOLE = Path(__file__).with_name("maistra.yaml")
"""A ServiceMeshControlPlane that says something in every field of Service Mesh 2.5."""
DNS_CAPTURE = "spec.techPreview.meshConfig.defaultConfig.proxyMetadata.ISTIO_META_DNS_CAPTURE (not set: true)"
MESH = {"apiVersion": "maistra.io/v2", "kind": "ServiceMeshControlPlane"}
PLACE = {"name": "basic", "namespace": "istio-system"}


def convert_spec(spec: Mapping[str, Any]) -> tuple[dict[str, Any], list[Note]]:
    conversion = convert([{**MESH, "metadata": PLACE, "spec": spec}], version="1.31")
    ((_, notes),) = conversion.notes.items()
    (made,) = conversion.objects
    return dict(made["spec"]), list(notes)


def list_leaves(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, Mapping) and value:
        for key, below in value.items():
            yield from list_leaves(below, f"{path}.{key}")
    else:
        yield path


USUAL_PORTS = [
    {"name": "status-port", "port": 15021, "targetPort": 15021},
    {"name": "http2", "port": 80, "targetPort": 8080},
    {"name": "https", "port": 443, "targetPort": 8443},
]
GROUPS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "trust": (
        {"security": {"trust": {"domain": "a.example", "additionalDomains": ["b.example"]}}},
        {"trust": {"domain": "a.example", "additionalDomains": ["b.example"]}},
    ),
    "strict mTLS": (
        {"security": {"dataPlane": {"mtls": True, "automtls": False}}},
        {"mtls": {"mode": "Strict"}, "meshConfig": {"enableAutoMtls": False}},
    ),
    "network policies": (
        {"security": {"manageNetworkPolicy": True}},
        {"networkPolicies": {"manage": True, "isolateMembers": True}},
    ),
    "no network policies": (
        {"security": {"manageNetworkPolicy": False}},
        {"networkPolicies": {"manage": False}},
    ),
    "lifetimes of certificates": (
        {
            "security": {
                "certificateAuthority": {
                    "istiod": {"workloadCertTTLDefault": "12h", "selfSigned": {"gracePeriod": "20%"}}
                }
            }
        },
        {
            "controlPlane": {
                "environment": [
                    {"name": "CITADEL_SELF_SIGNED_ROOT_CERT_GRACE_PERIOD_PERCENTILE", "value": "20"},
                    {"name": "DEFAULT_WORKLOAD_CERT_TTL", "value": "12h"},
                ]
            }
        },
    ),
    "traffic capture": (
        {
            "proxy": {
                "networking": {
                    "trafficControl": {
                        "inbound": {"interceptionMode": "TPROXY", "excludedPorts": [22, 9000]},
                        "outbound": {"includedIPRanges": ["10.0.0.0/8"], "policy": "REGISTRY_ONLY"},
                    }
                }
            }
        },
        {
            "proxy": {
                "trafficCapture": {
                    "mode": "TProxy",
                    "excludeInboundPorts": "22,9000",
                    "includeOutboundIPRanges": "10.0.0.0/8",
                }
            },
            "meshConfig": {"outboundTrafficPolicy": {"mode": "REGISTRY_ONLY"}},
        },
    ),
    "logs": (
        {
            "general": {
                "logging": {"componentLevels": {"default": "warn", "ads": "debug"}, "logAsJSON": True}
            },
            "proxy": {
                "logging": {"level": "info", "componentLevels": {"misc": "error"}},
                "accessLogging": {"file": {"name": "/dev/stdout", "encoding": "JSON"}},
            },
        },
        {
            "controlPlane": {"logging": {"level": "ads:debug,default:warn", "json": True}},
            "proxy": {
                "logLevel": "info",
                "componentLogLevel": "misc:error",
                "accessLog": {"file": "/dev/stdout", "encoding": "JSON"},
            },
        },
    ),
    "tracing": (
        {"tracing": {"sampling": 1050}},
        {"meshConfig": {"defaultConfig": {"tracing": {"sampling": 10.5}}}},
    ),
    "istiod": (
        {
            "runtime": {
                "components": {
                    "pilot": {
                        "deployment": {"autoScaling": {"enabled": True, "minReplicas": 2, "maxReplicas": 4}},
                        "pod": {"tolerations": [{"operator": "Exists"}]},
                        "container": {"resources": {"requests": {"cpu": 1, "memory": "1Gi"}}},
                    }
                },
                "defaults": {
                    "pod": {"priorityClassName": "high"},
                    "deployment": {"podDisruption": {"enabled": True}},
                },
            }
        },
        {
            "controlPlane": {
                "autoscaling": {"enabled": True, "minReplicas": 2, "maxReplicas": 4},
                "placement": {"tolerations": [{"operator": "Exists"}], "priorityClassName": "high"},
                "resources": {"requests": {"cpu": "1", "memory": "1Gi"}},
                "podDisruptionBudget": {"enabled": True},
            }
        },
    ),
    "clusters": (
        {"cluster": {"name": "east", "network": "net1"}},
        {"values": {"global": {"multiCluster": {"clusterName": "east"}, "network": "net1"}}},
    ),
    "readiness": (
        {"proxy": {"runtime": {"readiness": {"periodSeconds": 5, "initialDelaySeconds": 2}}}},
        {
            "proxy": {"readinessPeriodSeconds": 5},
            "values": {"global": {"proxy": {"readinessInitialDelaySeconds": 2}}},
        },
    ),
}


@pytest.mark.parametrize(("spec", "wanted"), GROUPS.values(), ids=GROUPS)
def test_a_group_of_fields_goes_where_it_means_the_same(spec: dict[str, Any], wanted: dict[str, Any]) -> None:
    made, _ = convert_spec({**spec, "gateways": {"enabled": False}})
    bare, _ = convert_spec({"gateways": {"enabled": False}})
    assert made == merge(bare, wanted)


def test_gateways_keep_the_labels_by_which_they_are_selected() -> None:
    ports = [{"name": "https", "port": 443, "targetPort": 8443}]
    scaling = {"enabled": True, "minReplicas": 2, "maxReplicas": 3, "targetCPUUtilizationPercentage": 60}
    made, notes = convert_spec(
        {
            "gateways": {
                "ingress": {
                    "service": {"type": "ClusterIP", "ports": ports},
                    "routeConfig": {"enabled": True},
                },
                "egress": {"enabled": False},
                "additionalIngress": {
                    "private": {
                        "namespace": "edge",
                        "service": {"metadata": {"labels": {"app": "private"}}},
                        "runtime": {"deployment": {"autoScaling": scaling}},
                    }
                },
                "openshiftRoute": {"enabled": True},
            }
        }
    )
    assert made["gateways"] == {
        "ingress": [
            {
                "name": "istio-ingressgateway",
                "labels": {"app": "istio-ingressgateway", "istio": "ingressgateway"},
                "service": {"type": "ClusterIP", "ports": ports},
            },
            {
                "name": "private",
                "namespace": "edge",
                "labels": {"app": "private"},
                "service": {"type": "ClusterIP", "ports": USUAL_PORTS},
                "autoscaling": {"minReplicas": 2, "maxReplicas": 3, "targetCPUUtilization": 60},
            },
        ]
    }
    told = {note.field: note.outcome for note in notes}
    assert told["spec.gateways.openshiftRoute"] is Outcome.BY_HAND
    assert told["spec.gateways.ingress.routeConfig.enabled"] is Outcome.BY_HAND
    assert told["spec.gateways.egress"] is Outcome.DROPPED


def test_without_a_word_a_mesh_has_both_of_the_usual_gateways() -> None:
    made, _ = convert_spec({})
    assert {key: [each["name"] for each in found] for key, found in made["gateways"].items()} == {
        "ingress": ["istio-ingressgateway"],
        "egress": ["istio-egressgateway"],
    }


def test_what_service_mesh_does_by_default_is_converted_where_navarch_can_do_it() -> None:
    made, _ = convert_spec({})
    (ingress,), (egress,) = made.pop("gateways").values()
    assert ingress["service"] == {"type": "ClusterIP", "ports": USUAL_PORTS}
    assert "service" not in egress, "Navarch's own default of an egress gateway is ClusterIP as well"
    assert made == {
        "version": "1.31",
        "scope": "Members",
        "controlPlane": {"logging": {"level": "default:warn"}},
        "meshConfig": {
            "dnsRefreshRate": "300s",
            "defaultConfig": {"proxyMetadata": {"ISTIO_META_DNS_CAPTURE": "true"}},
        },
    }


@pytest.mark.parametrize(
    ("field", "means"),
    [
        ("spec.proxy.networking.initialization.type (not set: CNI)", "no CNI plugin"),
        ("spec.security.certificateAuthority.type (not set: Istiod)", "a root of its own"),
        ("spec.proxy.injection.autoInject (not set: false)", 'sidecar.istio.io/inject: "false"'),
        ("spec.gateways.ingress.routeConfig.enabled (not set: true)", "name its host"),
        ("spec.security.manageNetworkPolicy (not set: true)", "let in members only"),
        ("spec.addons.kiali (not set)", "mesh.navarch.io/member-of"),
        ("spec.tracing.type (not set: Jaeger)", "Telemetry"),
        ("spec.runtime (not set)", "profiles: [minimal]"),
    ],
)
def test_what_navarch_does_otherwise_without_a_word_is_told_with_what_to_do(field: str, means: str) -> None:
    _, notes = convert_spec({})
    (note,) = [note for note in notes if note.field == field]
    assert note.outcome in (Outcome.BY_HAND, Outcome.CHANGED)
    assert means in note.text


def test_a_mesh_that_says_a_field_is_told_of_no_default() -> None:
    ((_, notes),) = convert([yaml.safe_load(WHOLE.read_text())], version="1.31").notes.items()
    left = {note.field for note in notes if "(not set" in note.field}
    assert left == {DNS_CAPTURE}, "no field but of techPreview, which this mesh leaves alone there"


@pytest.mark.parametrize("default", DEFAULTS, ids=lambda default: default.field)
def test_each_default_gives_way_to_what_the_mesh_says(default: Default) -> None:
    said: Any = default.value or {"defaults": {}}
    for key in reversed(default.field.split(".")):
        said = {key: said}
    _, notes = convert_spec(said)
    assert not [note for note in notes if note.field.startswith(f"spec.{default.field} (")]


def test_a_mesh_of_the_whole_cluster_is_told_of_the_roll_that_brings_its_namespaces_in() -> None:
    made, notes = convert_spec({"mode": "ClusterWide"})
    assert made["scope"] == "Members"
    told = next(note.text for note in notes if note.field == "spec.mode")
    assert "members: ['*']" in told
    assert "scope: Cluster" in told, "not while both istiods are there"


def test_of_every_field_is_told_what_became_of_it() -> None:
    mesh = yaml.safe_load(WHOLE.read_text())
    ((_, notes),) = convert([mesh], version="1.31").notes.items()
    told = [note.field for note in notes]
    for leaf in list_leaves(mesh["spec"], "spec"):
        about = [field for field in told if leaf == field or leaf.startswith((f"{field}.", f"{field}["))]
        if leaf != "spec.profiles":
            assert len(about) == 1, f"{leaf}: {about}"
    assert not [note for note in notes if "not known here" in note.text or "will refuse" in note.text]


def test_a_field_that_is_not_known_and_one_of_a_wrong_type_are_told() -> None:
    odd = {
        "proxy": {"concurrency": "2", "colour": "red"},
        "security": [1],
        "gateways": {"additionalEgress": 1},
    }
    made, notes = convert_spec(odd)
    told = {note.field: note.text for note in notes if note.outcome is Outcome.BY_HAND}
    assert told["spec.proxy.concurrency"] == (
        "'2' is no whole number; set spec.meshConfig.defaultConfig.concurrency by hand"
    )
    assert "not known here" in told["spec.proxy.colour"]
    assert "not known here" in told["spec.security"]
    assert "not known here" in told["spec.gateways.additionalEgress"]
    assert "proxy" not in made


def test_what_our_own_model_refuses_is_told_with_its_field() -> None:
    _, notes = convert_spec({"runtime": {"components": {"pilot": {"deployment": {"replicas": 1000}}}}})
    assert [n.text for n in notes if "will refuse" in n.text] == [
        "the API server will refuse spec.controlPlane.replicas: '1000': must be at most 100; correct it"
    ]


def test_a_mesh_with_every_field_is_accepted_by_navarch() -> None:
    (mesh,) = convert([yaml.safe_load(WHOLE.read_text())], version="1.31").objects
    assets, environment = load_assets(), Environment((1, 34), "navarch-system", "navarch-probe")
    findings = build_offline(mesh, assets, environment).findings
    assert not [str(finding) for finding in findings if finding.severity is Severity.ERROR]


ROLL = {"apiVersion": "maistra.io/v1", "kind": "ServiceMeshMemberRoll"}
MEMBER = {"apiVersion": "maistra.io/v1", "kind": "ServiceMeshMember"}
REF = {"controlPlaneRef": {"name": "basic", "namespace": "istio-system"}}


def test_rolls_and_members_become_ours_and_a_rolls_own_members_are_left_to_it() -> None:
    made_by_roll = {"maistra.io/created-by": "servicemeshmemberroll-controller"}
    own, left = ({"name": "default", "namespace": namespace} for namespace in ("shop", "a"))
    roll = {"name": "default", "namespace": "istio-system"}
    conversion = convert(
        [
            {**MEMBER, "metadata": own, "spec": REF},
            {**MEMBER, "metadata": {**left, "annotations": made_by_roll}, "spec": REF},
            {**ROLL, "metadata": roll, "spec": {"members": ["a"]}},
        ],
        version="1.31",
    )
    assert [(o["kind"], o["metadata"], o["spec"]) for o in conversion.objects] == [
        ("MeshMemberRoll", roll, {"members": ["a"]}),
        ("MeshMember", own, REF),
    ]
    assert len(conversion.notes) == 3


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({**MESH, "apiVersion": "maistra.io/v1"}, "servicemeshcontrolplanes.v2.maistra.io"),
        ({"apiVersion": "federation.maistra.io/v1", "kind": "ServiceMeshPeer"}, "federates no meshes"),
        ({"apiVersion": "maistra.io/v1", "kind": "ServiceMeshExtension"}, "WasmPlugin"),
        ({**MESH, "spec": "none"}, "is no map of fields"),
    ],
)
def test_what_has_no_equal_is_told_and_gives_no_object(document: dict[str, Any], said: str) -> None:
    conversion = convert([{**document, "metadata": PLACE}], version="1.31")
    assert not conversion.objects
    ((_, (note,)),) = conversion.notes.items()
    assert said in str(note)


def test_other_objects_are_passed_over_and_a_file_without_ours_is_refused() -> None:
    with pytest.raises(InputError, match=r"none of ServiceMeshControlPlane.*, but Deployment"):
        convert_text("kind: Deployment\napiVersion: apps/v1\n", load_catalog())
    with pytest.raises(InputError, match=r"--version 1\.9: .* is not known here"):
        convert_text("", load_catalog(), version="1.9")


def test_the_command_prints_objects_and_the_report_apart(tmp_path: Path) -> None:
    listed = {"apiVersion": "v1", "kind": "List", "items": [yaml.safe_load(WHOLE.read_text())]}
    file = tmp_path / "mesh.yaml"
    file.write_text(yaml.safe_dump(listed))
    run = navarch("convert-maistra", "-f", str(file))
    assert run.code == 0
    (made,) = yaml.safe_load_all(run.out)
    assert made["kind"] == "MeshControlPlane"
    assert "ServiceMeshControlPlane istio-system/basic" in run.err
    assert "by hand: spec.addons.kiali" in run.err


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=8), below, max_size=3),
    max_leaves=8,
)


@st.composite
def odd_meshes(draw: st.DrawFn) -> Any:
    """The mesh with every field, in which anything stands anywhere."""
    mesh = yaml.safe_load(WHOLE.read_text())
    leaves = sorted(
        {".".join(leaf.split(".")[: draw(st.integers(2, 5))]) for leaf in list_leaves(mesh["spec"], "spec")}
    )
    for path in draw(st.lists(st.sampled_from(leaves), min_size=1, max_size=4)):
        *parents, last = path.split(".")
        place = mesh
        for parent in parents:
            place = place[parent] if isinstance(place, dict) and isinstance(place.get(parent), dict) else {}
        place[last] = draw(json_values)
    return mesh


@given(mesh=odd_meshes())
@settings(max_examples=60, deadline=None)
def test_anything_in_any_field_gives_an_object_or_a_note(mesh: Any) -> None:
    conversion = convert([mesh], version="1.31")
    assert [*tell_notes(conversion)]


def test_equal_inputs_give_equal_results() -> None:
    def run() -> Conversion:
        return convert_text(WHOLE.read_text(), load_catalog())

    assert run() == run()
