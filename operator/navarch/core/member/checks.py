"""What is wrong with a membership.

Owns the rules that the schema and the policies cannot say. Must never look at what runs. Invariant: with a
finding of severity ERROR the namespace leaves the mesh, or does not join it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pydantic import ValidationError

from navarch.api.dataplane import Window
from navarch.api.windows import Windows
from navarch.core.member.isolation import isolates, read_policies
from navarch.core.member.observed import ObservedMember
from navarch.core.membership.places import tell_refusal
from navarch.core.membership.rule import read_put_out
from navarch.core.model.findings import Finding, Severity
from navarch.core.model.labels import ISTIO_INJECTION, ISTIO_REV
from navarch.core.model.messages import join
from navarch.core.model.moments import read_moment
from navarch.core.model.reasons import Reason
from navarch.core.model.refs import Manifest
from navarch.core.rollout.narrowing import Narrowing


def run_checks(observed: ObservedMember) -> tuple[Finding, ...]:
    """Everything that keeps the namespace out of the mesh, or is worth a warning."""
    if observed.body is None:
        return ()
    if observed.spec is None:
        return (Finding(Reason.INVALID_SPEC, "spec", "", observed.spec_error, "correct the field"),)
    return tuple(finding for check in CHECKS for finding in check(observed))


def check_place(observed: ObservedMember) -> Iterator[Finding]:
    """The namespace is not the platform's, nor Navarch's own, and holds no mesh."""
    name = observed.namespace
    message = tell_refusal(name, environment=observed.environment, holds=observed.holds)
    remedy = "delete the MeshMember, and run what needs a sidecar in a namespace of its own"
    if message:
        yield Finding(Reason.NAMESPACE_REFUSED, "metadata.namespace", name, message, remedy)


def check_mesh(observed: ObservedMember) -> Iterator[Finding]:
    """The mesh exists."""
    if observed.mesh is None and observed.spec is not None:
        ref = observed.spec.control_plane_ref
        message = "there is no such MeshControlPlane; the namespace joins when there is"
        remedy = "create the mesh, or make a MeshMember for another one"
        shown = f"{ref.namespace}/{ref.name}"
        yield Finding(Reason.MESH_NOT_FOUND, "spec.controlPlaneRef", shown, message, remedy)


def check_let_in(observed: ObservedMember) -> Iterator[Finding]:
    """The mesh's administrator has not put the namespace out."""
    if observed.mesh is None or observed.namespace not in read_put_out(observed.mesh):
        return
    mesh = "{namespace}/{name}".format(**observed.mesh["metadata"])
    message = f"spec.excludedNamespaces of mesh {mesh} names this namespace, so it is no member"
    remedy = "ask the mesh's administrator, or delete the MeshMember"
    yield Finding(Reason.NAMESPACE_EXCLUDED, "metadata.namespace", observed.namespace, message, remedy)


def check_alone(observed: ObservedMember) -> Iterator[Finding]:
    """No other mesh takes the namespace by a tag: each istiod would write its own root certificate into
    ConfigMap istio-ca-root-cert of the namespace."""
    if not observed.taker or observed.place is None or observed.deleting:
        return
    key = next(key for key in (ISTIO_INJECTION, ISTIO_REV) if key in observed.place.labels)
    label = f"{key}={observed.place.labels[key]}"
    message = f"belongs to mesh {observed.taker} as well, by its label {label}, and to two meshes none can"
    remedy = f"kubectl label namespace {observed.namespace} {key}-, or delete the MeshMember"
    yield Finding(Reason.NAMESPACE_SHARED, "metadata.namespace", observed.namespace, message, remedy)


def check_webhooks_are_let_in(observed: ObservedMember) -> Iterator[Finding]:
    """Pods of an isolated namespace serve no webhook that the API server is not let in to call: with
    failurePolicy Fail it would refuse requests of the whole cluster."""
    policies = read_policies(observed.revision)
    if not observed.webhooks or not isolates(policies) or policies.webhook_sources or observed.deleting:
        return
    message = (
        f"{join(observed.webhooks)} is served in this namespace, which the mesh isolates, and nothing says "
        "from where the API server calls it; unless a NetworkPolicy of your own lets it in, the call fails"
    )
    remedy = "set spec.networkPolicies.webhookSources of the mesh"
    yield Finding(Reason.WEBHOOK_CUT_OFF, "", "", message, remedy, Severity.WARNING)


def check_restart_windows(observed: ObservedMember) -> Iterator[Finding]:
    """The windows of restarts can be read, and are open at some time when those of the mesh are. No mistake
    in them takes the namespace out of the mesh: nothing in it is restarted."""
    windows = tuple((observed.spec.restart_windows if observed.spec is not None else None) or ())
    unknown = [(i, w.time_zone) for i, w in enumerate(windows) if w.time_zone not in observed.zones]
    for place, name in unknown:
        message = "no time zone has this name: nothing is restarted in this window"
        remedy = "write a name of the IANA database, such as Europe/Berlin or UTC"
        field = f"spec.restartWindows[{place}].timeZone"
        yield Finding(Reason.TIME_ZONE_UNKNOWN, field, name, message, remedy, Severity.WARNING)
    now = read_moment(observed.now)
    if not windows or len(unknown) == len(windows) or now is None:
        return
    closed = Narrowing(read_mesh_windows(observed.mesh), observed.zones, now).find_closed([windows])
    if closed is not None and closed.at is None:
        message = "never open together with spec.upgrade.dataPlane.windows of the mesh: nothing is restarted"
        remedy = "name a time that is in both"
        yield Finding(Reason.WINDOWS_NEVER_OPEN, "spec.restartWindows", "", message, remedy, Severity.WARNING)


def read_mesh_windows(mesh: Manifest | None) -> Windows:
    """The windows of a mesh; none where it has none, or none that can be read: its own checks say so."""
    upgrade = ((mesh or {}).get("spec") or {}).get("upgrade") or {}
    try:
        return tuple(map(Window.model_validate, (upgrade.get("dataPlane") or {}).get("windows") or ()))
    except (ValidationError, TypeError):
        return ()


CHECKS: tuple[Callable[[ObservedMember], Iterator[Finding]], ...] = (
    check_place,
    check_mesh,
    check_let_in,
    check_alone,
    check_webhooks_are_let_in,
    check_restart_windows,
)
"""The rules, in the order in which they are told."""
