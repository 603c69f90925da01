"""Objects of OpenShift Service Mesh 2 (Maistra) as objects of Navarch's.

Owns which kind becomes which. Pure. Must never invent: what has no equal is told. Invariants: each object of
the input gives at least one note; what the output holds passes our own models, or a note names the field.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from navarch.api.controlplane import MEMBERS, MeshControlPlaneSpec
from navarch.api.member import NAME as MEMBER
from navarch.api.member import MeshMemberSpec
from navarch.api.meta import API_VERSION
from navarch.api.problems import list_problems
from navarch.api.roll import MeshMemberRollSpec
from navarch.core.conversion import controlplane
from navarch.core.conversion.defaults import DEFAULTS, fill_defaults
from navarch.core.conversion.gateways import convert_gateways
from navarch.core.conversion.rules import UNKNOWN, Note, Outcome, convert_fields, find, list_fields
from navarch.core.model.refs import Manifest

CONTROL_PLANE, ROLL, JOINED = "ServiceMeshControlPlane", "ServiceMeshMemberRoll", "ServiceMeshMember"
KINDS = (CONTROL_PLANE, ROLL, JOINED)
"""Kinds that have an equal."""
_GROUPS = ("maistra.io/", "federation.maistra.io/")
_BY_ROLL = "maistra.io/created-by"
_WITHOUT: Mapping[str, str] = {
    "ServiceMeshPeer": "Navarch federates no meshes; join them as Istio's guide to many clusters says",
    "ExportedServiceSet": "Navarch federates no meshes; join them as Istio's guide to many clusters says",
    "ImportedServiceSet": "Navarch federates no meshes; join them as Istio's guide to many clusters says",
    "ServiceMeshExtension": "Istio has WasmPlugin in its place",
}
_PROFILES = ("default", "small", "maistra", "servicemesh", "base")


@dataclass(frozen=True, slots=True)
class Conversion:
    """`objects` in the order of applying; `notes` by what they are about, such as
    `ServiceMeshControlPlane istio-system/basic`."""

    objects: tuple[Manifest, ...]
    notes: Mapping[str, tuple[Note, ...]]


def convert(documents: Sequence[Manifest], *, version: str) -> Conversion:
    """What objects of Service Mesh become. `version` is the Istio of the new mesh. Documents of other groups
    are passed over."""
    objects: list[Manifest] = []
    notes: dict[str, tuple[Note, ...]] = {}
    for document in sorted(filter(_is_of_service_mesh, documents), key=_find_order):
        made, told = _convert_one(document, version)
        objects += [made] if made else []
        notes[_tell_name(document)] = tuple(told)
    return Conversion(tuple(objects), notes)


def _is_of_service_mesh(document: Manifest) -> bool:
    return str(document.get("apiVersion")).startswith(_GROUPS)


def _find_order(document: Manifest) -> int:
    kind = document.get("kind")
    return KINDS.index(kind) if kind in KINDS else len(KINDS)


def _tell_name(document: Manifest) -> str:
    metadata = list_fields(document.get("metadata"))
    return f"{document.get('kind')} {metadata.get('namespace', 'default')}/{metadata.get('name', '')}"


def _convert_one(document: Manifest, version: str) -> tuple[Manifest | None, list[Note]]:
    kind, spec = str(document.get("kind")), document.get("spec") or {}
    if document.get("apiVersion") == "maistra.io/v1" and kind == CONTROL_PLANE:
        text = (
            "this is its old form (v1); print it as v2: oc get servicemeshcontrolplanes.v2.maistra.io "
            "NAME -o yaml"
        )
        return None, [Note(Outcome.BY_HAND, "apiVersion", text=text)]
    if not isinstance(spec, Mapping):
        return None, [Note(Outcome.BY_HAND, "spec", text="is no map of fields")]
    match kind:
        case "ServiceMeshControlPlane":
            return _convert_control_plane(document, spec, version)
        case "ServiceMeshMemberRoll":
            return _convert_roll(document, spec)
        case "ServiceMeshMember":
            return _convert_member(document, spec)
    return None, [Note(Outcome.BY_HAND, "", text=_WITHOUT.get(kind, UNKNOWN))]


def _convert_control_plane(
    document: Manifest, spec: Mapping[str, Any], version: str
) -> tuple[Manifest, list[Note]]:
    rest = {key: spec[key] for key in spec if key not in ("version", "profiles", "mode", "gateways")}
    made, notes = convert_fields(rest, controlplane.RULES, root="spec")
    notes += fill_defaults(DEFAULTS, spec, made, root="spec")
    gateways, told = convert_gateways(spec.get("gateways"), root="spec.gateways")
    converted = {"version": version, "scope": MEMBERS, **made}
    if gateways:
        converted["gateways"] = gateways
    notes = [*_tell_version(version), *_tell_profiles(spec), *_tell_mode(spec), *notes, *told]
    return _build("MeshControlPlane", document, converted, MeshControlPlaneSpec, notes)


def _tell_version(version: str) -> Iterator[Note]:
    text = (
        f"Navarch installs Istio {version} beside the old mesh; move one namespace after the other, and "
        "restart its workloads"
    )
    yield Note(Outcome.CHANGED, "spec.version", "spec.version", text)


def _tell_profiles(spec: Mapping[str, Any]) -> Iterator[Note]:
    named = spec.get("profiles") or []
    for name in named if isinstance(named, list) else [named]:
        if name in _PROFILES:
            yield Note(
                Outcome.DROPPED,
                f"spec.profiles[{name}]",
                text="Navarch's profile default is below every mesh",
            )
        elif name == "gateway-controller":
            text = "istiod serves Gateway API wherever its CRDs are"
            yield Note(Outcome.DROPPED, f"spec.profiles[{name}]", text=text)
        else:
            text = (
                "a profile of your own: convert its file as if it were a mesh, and make a ConfigMap of the "
                "result as docs/how-to/use-profiles.md says; what it sets is told here as not set"
            )
            yield Note(Outcome.BY_HAND, f"spec.profiles[{name}]", text=text)


def _tell_mode(spec: Mapping[str, Any]) -> Iterator[Note]:
    mode = spec.get("mode")
    if mode == "ClusterWide":
        text = (
            "namespaces are members by a MeshMemberRoll beside the mesh: of the roll that Service Mesh has "
            "made, which selects istio-injection=enabled, or with members: ['*']. scope: Cluster, whose "
            "istiod looks at every namespace as Service Mesh's does, is for when that one is gone: until "
            "then both would write their root certificate into the same namespaces"
        )
        yield Note(Outcome.CHANGED, "spec.mode", "spec.scope", text)
    elif mode in (None, "MultiTenant"):
        text = "istiod reads the whole cluster, and looks at members only; Service Mesh's istiod was a fork"
        yield Note(Outcome.CHANGED, "spec.mode", "spec.scope", text)
    else:
        yield Note(Outcome.BY_HAND, "spec.mode", text=f"{mode!r} is neither MultiTenant nor ClusterWide")


def _convert_roll(document: Manifest, spec: Mapping[str, Any]) -> tuple[Manifest, list[Note]]:
    notes = [
        Note(Outcome.CONVERTED, f"spec.{key}", f"spec.{key}")
        for key in ("members", "memberSelectors")
        if key in spec
    ]
    notes += [
        Note(Outcome.BY_HAND, f"spec.{key}", text=UNKNOWN)
        for key in spec
        if key not in ("members", "memberSelectors")
    ]
    converted = {key: spec[key] for key in ("members", "memberSelectors") if spec.get(key)}
    return _build("MeshMemberRoll", document, converted, MeshMemberRollSpec, notes)


def _convert_member(document: Manifest, spec: Mapping[str, Any]) -> tuple[Manifest | None, list[Note]]:
    if str(find(document, "metadata", "annotations", _BY_ROLL)).startswith("servicemeshmemberroll"):
        text = "the roll made it, and Navarch's roll makes its own"
        return None, [Note(Outcome.DROPPED, "spec", text=text)]
    notes = [Note(Outcome.CONVERTED, "spec.controlPlaneRef", "spec.controlPlaneRef")]
    notes += [Note(Outcome.BY_HAND, f"spec.{key}", text=UNKNOWN) for key in spec if key != "controlPlaneRef"]
    ref = {"controlPlaneRef": spec.get("controlPlaneRef")}
    return _build("MeshMember", document, ref, MeshMemberSpec, notes, name=MEMBER)


def _build(
    kind: str,
    document: Manifest,
    spec: Mapping[str, Any],
    model: type[BaseModel],
    notes: list[Note],
    *,
    name: str = "",
) -> tuple[Manifest, list[Note]]:
    """An object of ours, and a note for each of its fields that our own model refuses."""
    metadata = list_fields(document.get("metadata"))
    kept = {"name": name or metadata.get("name"), "namespace": metadata.get("namespace", "default")}
    try:
        model.model_validate(spec, extra="forbid", strict=True)
    except ValidationError as error:
        notes = notes + [
            Note(Outcome.BY_HAND, "", text=f"the API server will refuse {problem.tell()}; correct it")
            for problem in list_problems(model, error)
        ]
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": kept, "spec": dict(spec)}, notes
