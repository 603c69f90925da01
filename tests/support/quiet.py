"""Whether a settled mesh is quiet: one more reconcile writes nothing, and asks two things at most.

Must never leave a request out because of its scope: what is counted is all that the operator sent, but for
requests that name another mesh, its own Lease, and watches.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tests.polling import eventually
from tests.support.activity import count_reconciles, wait_for_rest
from tests.support.api import Api, Object
from tests.support.audit import Audit, Request
from tests.support.meshes import is_current
from tests.support.operator import Operator

NOT_MADE = ("ForeignObject", "NotAMember", "NotInstalled")
"""What a mesh says of gateways that it asks for and that are not its own."""
REQUESTS = 2
"""How many requests one reconcile of a settled mesh may cost."""
MOST_LOOKS = 5
"""Looks of which all but the last may bring status up to date."""


async def assert_quiet(api: Api, audit: Audit, operator: Operator, namespace: str, name: str) -> None:
    """Provoke one more reconcile and see that it writes nothing, Events included, and costs two requests at
    most. One that brings status up to date, whose numbers follow pods, members and gateways at a pace of
    their own (controllers/pace.py), is not the last.
    """
    await eventually(
        lambda: not is_redirected(api, namespace, name),
        seconds=120,
        what="plain paths of webhooks",
    )
    await eventually(
        lambda: are_gateways_told(api, namespace, name), seconds=60, what="the mesh speaks of its gateways"
    )
    for left in reversed(range(MOST_LOOKS)):
        await wait_for_rest(operator)
        before = _read_status(api, namespace, name)
        reconciles, requests = await _look_again(api, audit, operator, namespace, name)
        if left == 0 or before == _read_status(api, namespace, name):
            break
    written = [str(request) for request in requests if request.is_mutating]
    assert not written, f"{namespace}/{name} is not quiet: {written}"
    assert len(requests) <= REQUESTS * reconciles, [f"{reconciles:.0f} reconciles", *map(str, requests)]


async def _look_again(
    api: Api, audit: Audit, operator: Operator, namespace: str, name: str
) -> tuple[float, list[Request]]:
    """Has the mesh looked at once more: the reconciles since, and the requests that were made for them."""
    others = [mesh for mesh in api.list("mesh") if _name(mesh) != (namespace, name)]
    mark, before = audit.mark(), count_reconciles(operator)
    api.patch("mesh", namespace, name, {"metadata": {"annotations": {"test": f"look again {mark}"}}})
    try:
        await eventually(lambda: count_reconciles(operator) > before, every=0.1, what="another reconcile")
    except AssertionError as error:
        told = operator.log.read_text().splitlines()[-20:] if operator.log.exists() else ()
        raise AssertionError("\n".join([f"{error}, {before:.0f} before", *told])) from None
    await wait_for_rest(operator)
    return count_reconciles(operator) - before, [*leave_out(audit.since(mark), others)]


def _read_status(api: Api, namespace: str, name: str) -> object:
    """What the mesh and its revisions say: words alone are held back where status was written just before."""
    told = [api.get("mesh", namespace, name) or {}, *api.list("revision", namespace)]
    return [each.get("status") for each in told]


def is_redirected(api: Api, namespace: str, name: str) -> bool:
    """Whether the webhooks of a mesh are on a path that is taken back by itself: after two rolls within a
    minute and a half (core/revision/route.py)."""
    labels = f"mesh.navarch.io/mesh-namespace={namespace},mesh.navarch.io/mesh-name={name}"
    webhooks = [each for found in api.list("mwc", labels=labels) for each in found.get("webhooks") or ()]
    paths = [(webhook["clientConfig"].get("service") or {}).get("path") or "" for webhook in webhooks]
    return any(path.rpartition("/")[2].isdigit() for path in paths)


def are_gateways_told(api: Api, namespace: str, name: str) -> bool:
    """Whether status.gateways of a mesh is what its gateways say: it follows them a second later."""
    mesh = api.get("mesh", namespace, name) or {}
    there = {_name(gateway): gateway for gateway in api.list("gateway")}
    told = [
        each for each in (mesh.get("status") or {}).get("gateways") or () if each["reason"] not in NOT_MADE
    ]
    keys = [(each["namespace"], each["name"]) for each in told]
    return all(key in there and _tells(there[key], each) for key, each in zip(keys, told, strict=True))


def _tells(gateway: Object, told: Object) -> bool:
    status = gateway.get("status") or {}
    ready = next((c for c in status.get("conditions") or () if c["type"] == "Ready"), {"status": "Unknown"})
    address = next(iter(status.get("addresses") or ()), None)
    said = (ready["status"] == "True", ready.get("reason", told["reason"]), address)
    return said == (told["ready"], told["reason"], told.get("address"))


def is_settled(mesh: Object) -> bool:
    """Whether a mesh says that it is ready, and that nothing of it moves or will."""
    conditions = (mesh.get("status") or {}).get("conditions") or ()
    states = {c["type"]: c["status"] for c in conditions}
    return (
        "deletionTimestamp" not in mesh["metadata"]
        and is_current(mesh)
        and states.get("Ready") == "True"
        and states.get("Progressing") == "False"
    )


def leave_out(requests: Iterable[Request], others: Iterable[Object]) -> Iterator[Request]:
    """The requests without watches, without those for the Lease, and without those that name another mesh.

    Another mesh is named by its namespace, or by its tag in the name of what lies in none.
    """
    named = [_name(mesh) for mesh in others]
    for request in requests:
        if request.verb == "watch" or request.resource == "leases":
            continue
        if any(request.namespace == ns or f"{ns}-{name}" in request.name for ns, name in named):
            continue
        yield request


def _name(mesh: Object) -> tuple[str, str]:
    return mesh["metadata"]["namespace"], mesh["metadata"]["name"]
