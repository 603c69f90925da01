"""Admission policies out of force, in a cluster whose operator keeps them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from navarch.api.meta import RELEASE

from tests.support.api import Api, Object

BINDINGS = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings"


@contextmanager
def out_of_force(api: Api, name: str) -> Iterator[None]:
    """The policy of this name refuses nothing: its binding only audits, and says that a newer release wrote
    it, which an operator leaves alone."""
    path = f"{BINDINGS}/{name}.mesh.navarch.io"
    before = api.request("GET", path)
    put(api, path, before, annotations={RELEASE: "99.0.0"}, actions=["Audit"])
    annotations = before["metadata"].get("annotations") or {}
    try:
        yield
    finally:
        put(api, path, before, annotations=annotations, actions=before["spec"]["validationActions"])


def put(api: Api, path: str, binding: Object, *, annotations: dict[str, str], actions: list[str]) -> None:
    metadata = {**api.request("GET", path)["metadata"], "annotations": annotations}
    spec = {**binding["spec"], "validationActions": actions}
    api.request("PUT", path, {**binding, "metadata": metadata, "spec": spec})
