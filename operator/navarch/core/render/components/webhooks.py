"""The webhooks of a revision: injection, and validation of Istio's configuration.

Owns both configurations. Must never carry a caBundle, nor a validator's failurePolicy: istiod writes them.
They are applied only once istiod answers, since from then on they fail closed. Invariant (tests/property):
what is validated and what is injected is exactly the mesh's, by core/membership.
"""

from __future__ import annotations

from collections.abc import Iterator

from navarch.core.istio.assets import Assets
from navarch.core.membership.selectors import build_injection_selectors
from navarch.core.membership.validation import ValidationSelector, build_unnamed_selectors
from navarch.core.model.labels import ISTIO_REV
from navarch.core.model.refs import Manifest
from navarch.core.render.engine import render_data
from navarch.core.render.source import RevisionInput
from navarch.core.render.values import build_values


def build_validation_selectors(revision: RevisionInput) -> list[ValidationSelector]:
    """Configuration that names this revision, anywhere; and such as names none, in the mesh's own namespaces.
    A revision that may run beside others leaves the latter to the webhook that follows the tag."""
    named = {"matchExpressions": [{"key": ISTIO_REV, "operator": "In", "values": [revision.name]}]}
    unnamed = [] if revision.beside_others else build_unnamed_selectors(revision.membership)
    return [ValidationSelector("rev.", {}, named), *unnamed]


def build_objects(revision: RevisionInput, assets: Assets) -> Iterator[Manifest]:
    """The revision's MutatingWebhookConfiguration and ValidatingWebhookConfiguration."""
    names = revision.names
    yield render_data(
        assets,
        "webhooks/injector.yaml",
        revision=revision,
        names=names,
        name=names.injector,
        labels=revision.labels("injection", {"app": "sidecar-injector"}),
        entries=build_injection_selectors(revision.membership, revision.name, default=False),
        reinvocation=build_values(revision, assets)["sidecarInjectorWebhook"]["reinvocationPolicy"],
    )
    yield render_data(
        assets,
        "webhooks/validator.yaml",
        revision=revision,
        names=names,
        name=names.validator,
        labels=revision.labels("validation", {"app": "istiod", "istio": "istiod"}),
        entries=build_validation_selectors(revision),
    )
