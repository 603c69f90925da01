"""Tags: what users' namespaces carry, and which revision stands behind it.

Owns a tag's webhook and Service, with tag `default` the validator of configuration that names no revision,
and that of a mesh with several revisions. Must never point to a revision that is not ready. Invariant:
exactly one webhook of a mesh takes istio-injection=enabled, and only if the mesh owns tag `default`.
"""

from __future__ import annotations

from collections.abc import Iterator

from navarch.core.istio.assets import Assets
from navarch.core.membership.selectors import build_injection_selectors
from navarch.core.membership.validation import build_unnamed_selectors
from navarch.core.model.labels import ISTIO_REV, ISTIO_TAG
from navarch.core.model.naming import DEFAULT_TAG, DEFAULT_VALIDATOR
from navarch.core.model.refs import Manifest
from navarch.core.render.engine import render_data
from navarch.core.render.source import RevisionInput
from navarch.core.render.values import build_values

COMPONENT = "tags"


def build_objects(revision: RevisionInput, assets: Assets) -> Iterator[Manifest]:
    """The objects of the mesh's tag, and of tag `default` where the mesh owns it, all pointing to
    `revision`."""
    for tag in (revision.tag, *([DEFAULT_TAG] if revision.membership.default else [])):
        yield from _build_tag(revision, assets, tag)
    if revision.membership.default:
        yield _build_default_validator(revision, assets)
    if revision.beside_others:
        yield _build_validator(revision, assets)


def _build_tag(revision: RevisionInput, assets: Assets, tag: str) -> Iterator[Manifest]:
    names = revision.names
    yield render_data(
        assets,
        "istiod/service.yaml",
        revision=revision,
        name=names.tag_service(tag),
        labels=revision.labels(COMPONENT, {"app": "istiod", ISTIO_TAG: tag}, shared=True),
    )
    yield render_data(
        assets,
        "webhooks/injector.yaml",
        revision=revision,
        names=names,
        name=names.tag_webhook(tag, default_suffixed=revision.features.default_tag_webhook_suffixed),
        labels=revision.labels(COMPONENT, {"app": "sidecar-injector", ISTIO_TAG: tag}, shared=True),
        entries=build_injection_selectors(revision.membership, tag, default=tag == DEFAULT_TAG),
        reinvocation=build_values(revision, assets)["sidecarInjectorWebhook"]["reinvocationPolicy"],
    )


def _build_validator(revision: RevisionInput, assets: Assets) -> Manifest:
    """The validator of the mesh's configuration that names no revision: one for all revisions, since one that
    is not proved yet, or is to go, has no say in it."""
    own = {"app": "istiod", "istio": "istiod", ISTIO_TAG: revision.tag}
    return render_data(
        assets,
        "webhooks/validator.yaml",
        revision=revision,
        names=revision.names,
        name=revision.names.tag_validator(revision.tag),
        labels=revision.labels(COMPONENT, own, shared=True),
        entries=build_unnamed_selectors(revision.membership),
    )


def _build_default_validator(revision: RevisionInput, assets: Assets) -> Manifest:
    unnamed = {"matchExpressions": [{"key": ISTIO_REV, "operator": "DoesNotExist"}]}
    own = {"app": "istiod", "istio": "istiod", ISTIO_TAG: DEFAULT_TAG}
    return render_data(
        assets,
        "webhooks/validator.yaml",
        revision=revision,
        names=revision.names,
        name=DEFAULT_VALIDATOR,
        labels=revision.labels(COMPONENT, own, shared=True),
        entries=[{"prefix": "", "namespace_selector": {}, "object_selector": unnamed}],
    )
