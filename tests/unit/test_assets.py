"""The package's data in memory: of Istio's CRDs only the sets that meshes need."""

from __future__ import annotations

import json

from navarch.assets import load_assets
from navarch.core.istio.assets import CRDSets

from tests.support.memory import Memory
from tests.unit.observations import assets


def test_the_names_of_all_crds_are_known_and_no_set_is_kept_for_them() -> None:
    texts = {"1.30": _text("a", "b"), "1.31": _text("b", "c")}
    sets = CRDSets(texts)
    assert sets.names == {"a", "b", "c"}
    assert sets._parsed == {}
    assert [crd["metadata"]["name"] for crd in sets["1.31"]] == ["b", "c"]
    assert list(sets._parsed) == ["1.31"], "and only the one that was asked for"
    known = {crd["metadata"]["name"] for crds in assets().crds.values() for crd in crds}
    assert assets().crds.names == known


def _text(*names: str) -> bytes:
    """A set of CRDs whose schemas have fields that are called like what names stand in."""
    fields = {"metadata": {"properties": {"name": {"type": "string"}}}, "name": {"type": "string"}}
    crds = [{"metadata": {"name": name}, "spec": {"properties": fields}} for name in names]
    return json.dumps(crds).encode()


async def test_looks_at_meshes_of_one_minor_keep_the_crds_of_that_minor_alone() -> None:
    """A set takes 2 MiB."""
    own = load_assets.__wrapped__()
    memory = Memory(data=own)
    await memory.add_mesh("a", version="1.31")
    assert set(own.crds._parsed) == {"1.31"}
