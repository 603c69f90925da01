"""What there is in a cluster, of every kind: all that carries a mesh's labels, and all that a user has
written by the audit log.

Must never rely on a list of kinds: orphans are of the kinds that such a list forgets.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

from tests.support.api import Api, Object, Refused
from tests.support.audit import Request

Name = tuple[str, str]
"""Kind and name of an object; what a namespace adds to the name reads `NS`."""


def list_collections(api: Api) -> list[tuple[str, str]]:
    """Path and kind of every collection of the cluster that can be listed and deleted from."""
    roots = ["/api/v1"]
    for group in api.request("GET", "/apis")["groups"]:
        roots.append(f"/apis/{group['preferredVersion']['groupVersion']}")
    return [
        (f"{root}/{resource['name']}", resource["kind"])
        for root in roots
        for resource in _discover(api, root)
        if "/" not in resource["name"] and {"list", "delete"} <= set(resource["verbs"])
    ]


def _discover(api: Api, root: str) -> list[Object]:
    try:
        return list(api.request("GET", root)["resources"])
    except Refused as refused:
        if refused.code != 503:  # announced, and its server is not there
            raise
        return []


def list_labelled(api: Api, namespace: str) -> list[Object]:
    """Every object of any kind whose labels name a mesh of this namespace."""
    query = f"?labelSelector={quote(f'mesh.navarch.io/mesh-namespace={namespace}')}"

    def look(collection: tuple[str, str]) -> list[Object]:
        path, kind = collection
        return [{**item, "kind": kind} for item in api.request("GET", path + query)["items"]]

    with ThreadPoolExecutor(8) as pool:
        found = [item for items in pool.map(look, list_collections(api)) for item in items]
    # A pod, its ReplicaSet and its endpoints carry the labels of the workload and go with it, in their time.
    return [item for item in found if not item["metadata"].get("ownerReferences") and not _is_derived(item)]


def _is_derived(item: Object) -> bool:
    return item["kind"] in {"Endpoints", "EndpointSlice"}


def name_objects(objects: Iterable[Object], namespace: str) -> set[Name]:
    """Kinds and names, comparable between namespaces."""
    return {(o["kind"], o["metadata"]["name"].replace(namespace, "NS")) for o in objects}


def find_written(requests: Iterable[Request]) -> list[str]:
    """Paths of the objects that these requests have written, in order, each once."""
    paths = (
        r.uri.partition("?")[0].removesuffix(f"/{r.subresource}")
        if r.subresource
        else r.uri.partition("?")[0]
        for r in requests
        if r.code < 300 and r.verb != "delete"
    )
    return list(dict.fromkeys(paths))


def find_left(api: Api, paths: Iterable[str]) -> Iterator[Object]:
    """Those of the objects at these paths that are still there."""
    for path in paths:
        try:
            yield api.request("GET", path)
        except Refused as refused:
            if refused.code != 404:
                raise
