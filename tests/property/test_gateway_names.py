"""Over all gateways that admission takes: what is named or labelled after them fits Kubernetes' bounds.

What a mesh's injector adds to pods is seen with the real istiod (tests/upstream/test_injected_pods.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from navarch.api.gateway import LONGEST_NAME
from navarch.core.model.naming import TAG_LENGTH
from navarch.core.model.ownership import inventory_name, parent_of_inventory
from navarch.core.model.parent import GATEWAY, Parent
from navarch.core.model.refs import Manifest

from tests.golden.rendering import render_gateway

SLOW = settings(max_examples=60, deadline=None)
LABEL = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
SERVICE = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
OTHERS = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
LONGEST, LONGEST_LABEL = 253, 63


def words(most: int, first: str = "a-z0-9") -> st.SearchStrategy[str]:
    """Names of up to so many characters, the longest among them."""
    pattern = rf"[{first}]([-a-z0-9]{{0,{most - 2}}}[a-z0-9])?"
    return st.one_of(st.from_regex(pattern, fullmatch=True), st.just("n" * most))


names = words(LONGEST_NAME, "a-z")
labels = st.from_regex(LABEL, fullmatch=True).filter(bool)
routes = st.lists(words(LONGEST_LABEL), min_size=1, max_size=16, unique=True)
specs = st.fixed_dictionaries(
    {"networkPolicy": st.booleans()},
    optional={
        "labels": st.dictionaries(st.sampled_from(("app", "team")), labels),
        "autoscaling": st.just({"minReplicas": 2, "maxReplicas": 3}),
        "openshift": routes.map(
            lambda named: {
                "routes": [
                    {"name": name, "host": "a.example", "port": "https", "termination": "Passthrough"}
                    for name in named
                ]
            }
        ),
    },
)
kinds = st.one_of(
    st.just({"type": "Ingress"}),
    st.just({"type": "Egress", "workload": "DaemonSet"}),
    labels.map(lambda network: {"type": "EastWest", "networkGateway": network}),
)


def find_labels(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Every label that an object has, gives to pods, or selects by."""
    if isinstance(value, dict):
        if key in ("labels", "matchLabels", "selector") and all(isinstance(v, str) for v in value.values()):
            yield from value.items()
            return
        for below, held in value.items():
            yield from find_labels(held, below)
    elif isinstance(value, list):
        for held in value:
            yield from find_labels(held)


def find_misfits(manifest: Manifest) -> Iterator[str]:
    """What of an object the API server would refuse for its length or its letters."""
    kind, name = manifest["kind"], manifest["metadata"]["name"]
    form, longest = (SERVICE, LONGEST_LABEL) if kind == "Service" else (OTHERS, LONGEST)
    if not form.fullmatch(name) or len(name) > longest:
        yield f"{kind} {name}"
    for key, value in find_labels(manifest):
        if not LABEL.fullmatch(value):
            yield f"{kind} {key}: {value}"


@given(
    name=names,
    namespace=words(LONGEST_LABEL),
    mesh=st.tuples(words(31), words(31)),
    tag=words(TAG_LENGTH, "a-z"),
    spec=specs,
    kind=kinds,
)
@example(
    name="n" * LONGEST_NAME,
    namespace="n" * LONGEST_LABEL,
    mesh=("m" * 31, "m" * 31),
    tag="t" * TAG_LENGTH,
    spec={
        "networkPolicy": True,
        "labels": {"app": "a" * LONGEST_LABEL},
        "autoscaling": {"minReplicas": 2, "maxReplicas": 3},
    },
    kind={"type": "Ingress"},
)
@SLOW
def test_what_is_named_after_a_gateway_fits(
    name: str, namespace: str, mesh: tuple[str, str], tag: str, spec: dict[str, Any], kind: dict[str, str]
) -> None:
    said = {**spec, **kind}
    if "workload" in kind:
        said.pop("autoscaling", None)
    objects = render_gateway(said, namespace=namespace, name=name, mesh=mesh, tag=tag)
    assert {"Service", "ServiceAccount", "RoleBinding"} < {o["kind"] for o in objects}
    assert [misfit for manifest in objects for misfit in find_misfits(manifest)] == []
    parent = Parent(GATEWAY, namespace, name)
    assert len(inventory_name(parent)) <= LONGEST
    assert parent_of_inventory(inventory_name(parent)) == parent
