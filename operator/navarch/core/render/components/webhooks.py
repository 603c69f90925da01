"""The webhooks of a revision: injection, and validation of Istio's configuration.

Owns both configurations. Must never carry a caBundle, nor a validator's failurePolicy: istiod writes them.
They are applied only once istiod answers, since from then on they fail closed. Invariant (tests/property):
what is validated and what is injected is exactly the mesh's, by core/membership.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from navarch.core.istio.assets import Assets
from navarch.core.membership.selectors import build_discovery_selectors, build_injection_selectors
from navarch.core.model.labels import ISTIO_REV
from navarch.core.model.refs import Manifest
from navarch.core.render.engine import render_data
from navarch.core.render.source import RevisionInput
from navarch.core.render.values import build_values


@dataclass(frozen=True, slots=True)
class ValidationSelector:
    """One entry of the validator: its name's prefix and its two selectors."""

    prefix: str
    namespace_selector: dict[str, Any]
    object_selector: dict[str, Any]


def build_validation_selectors(revision: RevisionInput) -> list[ValidationSelector]:
    """Configuration that names this revision, anywhere; and such as names none, in the mesh's own namespaces
    (one entry for each way of belonging to it)."""
    named = {"matchExpressions": [{"key": ISTIO_REV, "operator": "In", "values": [revision.name]}]}
    unnamed = {"matchExpressions": [{"key": ISTIO_REV, "operator": "DoesNotExist"}]}
    entries = [ValidationSelector("rev.", {}, named)]
    for index, selector in enumerate(build_discovery_selectors(revision.membership)):
        entries.append(ValidationSelector(f"member-{index}.", selector, unnamed))
    return entries


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
