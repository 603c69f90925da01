"""Mesh-wide policy: who may talk in plaintext.

Owns the PeerAuthentication of the root namespace. Must never exist unless the user asked for a mode: without
one Istio's own default holds, and a foreign object of that name is left alone. Invariant: at most one
object.
"""

from __future__ import annotations

from collections.abc import Iterator

from navarch.core.istio.assets import Assets
from navarch.core.model.labels import ISTIO_REV
from navarch.core.model.refs import Manifest
from navarch.core.render.engine import render_data
from navarch.core.render.source import RevisionInput


def build_objects(revision: RevisionInput, assets: Assets) -> Iterator[Manifest]:
    """The mesh's PeerAuthentication. It names no revision, for it holds for every one of the mesh."""
    mtls = revision.config.mtls
    if mtls is None or mtls.mode is None:
        return
    labels = revision.labels("policies", shared=True)
    del labels[ISTIO_REV]
    yield render_data(
        assets, "policies/peer-authentication.yaml", revision=revision, labels=labels, mode=mtls.mode.upper()
    )
