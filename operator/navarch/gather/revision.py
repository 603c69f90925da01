"""One revision as its reconcile has to see it.

Owns the composition of the aspects into ObservedRevision. Must never decide, and never write. Invariant: for
a settled revision, gathering costs no request,
and of the one that reaches every namespace one: itself, read fresh.
"""

from __future__ import annotations

from navarch.api import controlplane, revision
from navarch.api.meta import API_VERSION
from navarch.core.model.labels import MESH_COMPONENTS, component_of, revision_of
from navarch.core.model.ordering import WEBHOOK_KINDS
from navarch.core.model.parent import parent_of
from navarch.core.model.refs import Manifest, Ref
from navarch.core.model.scope import has_to_ask, is_of_cluster
from navarch.core.revision.alone import build_selector, find_rivals
from navarch.core.revision.manifest import is_hosted
from navarch.core.revision.observed import ObservedRevision
from navarch.core.world.hosting import read_home
from navarch.core.world.workload import find_deployment
from navarch.gather.cluster import read_webhook
from navarch.gather.workload import read_pod, read_problems
from navarch.gather.world import World
from navarch.kube.errors import NotFound
from navarch.kube.resources import resource_of


async def gather_revision(world: World, namespace: str, name: str) -> ObservedRevision | None:
    """A revision and everything its reconcile depends on; None when it is gone or not ours."""
    body = await _read_body(world, Ref(API_VERSION, revision.KIND, namespace, name))
    parent = parent_of(body) if body else None
    if body is None or parent is None:
        return None
    mesh = world.stores["meshes"].get(Ref(API_VERSION, controlplane.KIND, namespace, parent.name))
    inventory = world.owned.inventory(parent)
    every = tuple(world.owned.objects(parent, inventory))
    owned = tuple(o for o in every if revision_of(o) == name)
    home = read_home(parent, every, inventory) if is_hosted(body) else None
    deployment = find_deployment(owned, name)
    pods = [
        p for p in world.stores["istiods"].list(home.name if home else namespace) if revision_of(p) == name
    ]
    return ObservedRevision(
        environment=world.environment,
        assets=world.assets,
        parent=parent,
        body=body,
        mesh=mesh,
        namespace=world.cluster.namespace(namespace),
        owned=owned,
        problems=read_problems(deployment, pods),
        pods=tuple(pod for p in pods if (pod := read_pod(p)) is not None),
        inventory=inventory,
        now=world.now(),
        roles=world.cluster.roles(),
        kinds=await world.kinds.gather(),
        home=home,
        rivals=await _find_rivals(world, body),
        webhooks=tuple(
            read_webhook(o)
            for o in owned
            if o["kind"] in WEBHOOK_KINDS and component_of(o) not in MESH_COMPONENTS
        ),
        root=world.cluster.root(namespace),
    )


async def _find_rivals(world: World, body: Manifest) -> tuple[str, ...]:
    """The meshes beside which the revision cannot be rolled out. The API server is asked: no watch tells in
    time of one that was made at the same moment."""
    if not has_to_ask(body):
        return ()
    kind, selector = resource_of(API_VERSION, revision.KIND), build_selector(body)
    others = await world.client.list(kind, label_selector=selector, metadata_only=True)
    return find_rivals(body, others.items)


async def _read_body(world: World, ref: Ref) -> Manifest | None:
    """A revision as the store has it; read fresh where it was too large to be kept whole, and where it
    reaches every namespace: what it has given up under another leader, it must not take again."""
    store = world.stores["revisions"]
    kept = store.get(ref)
    if store.is_whole(ref) and not (kept is not None and is_of_cluster(kept)):
        return kept
    try:
        return await world.client.get(ref)
    except NotFound:
        return None
