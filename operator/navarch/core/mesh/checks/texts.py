"""Texts with a grammar, wherever in the specification they stand, and texts that nothing could read.

Owns which field has which grammar (core/istio/validation/grammar.py has the grammars). A text that the schema
lets pass is otherwise read first by a proxy's agent at its next start, which then hangs, or by Envoy. Must
never ask for more than the reader does, except where docs/explanation/validation.md says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

from navarch.core.istio.validation import grammar
from navarch.core.mesh.checks.layers import resolved_config
from navarch.core.mesh.content import MeshContent
from navarch.core.model.findings import Finding
from navarch.core.model.messages import shorten
from navarch.core.model.reasons import Reason

Rule = Callable[[str], str]

_INCLUDED_RANGES: Rule = partial(grammar.explain_ranges, star=True)
_INCLUDED_PORTS: Rule = partial(grammar.explain_ports, star=True)

_TEXTS: Final[Mapping[str, Rule]] = {
    "controlPlane.logging.level": grammar.explain_istio_levels,
    "proxy.componentLogLevel": grammar.explain_envoy_levels,
    "proxy.trafficCapture.excludeInboundPorts": grammar.explain_ports,
    "proxy.trafficCapture.excludeOutboundIPRanges": grammar.explain_ranges,
    "proxy.trafficCapture.excludeOutboundPorts": grammar.explain_ports,
    "proxy.trafficCapture.includeInboundPorts": _INCLUDED_PORTS,
    "proxy.trafficCapture.includeOutboundIPRanges": _INCLUDED_RANGES,
    "values.global.logging.level": grammar.explain_istio_levels,
    "values.global.network": grammar.explain_label_value,
    "values.global.proxy.clusterDomain": grammar.explain_host,
    "values.global.proxy.componentLogLevel": grammar.explain_envoy_levels,
    "values.global.proxy.excludeIPRanges": grammar.explain_ranges,
    "values.global.proxy.excludeInboundPorts": grammar.explain_ports,
    "values.global.proxy.excludeOutboundPorts": grammar.explain_ports,
    "values.global.proxy.includeIPRanges": _INCLUDED_RANGES,
    "values.global.proxy.includeInboundPorts": _INCLUDED_PORTS,
    "values.global.proxy.includeOutboundPorts": _INCLUDED_PORTS,
    "values.global.proxy.logLevel": grammar.explain_envoy_level,
}
"""The grammar of each text, by its path below spec."""

_AMOUNTS: Final = tuple(
    f"{where}.{side}"
    for where in (
        "values.global.proxy.resources",
        "values.global.waypoint.resources",
        "values.global.proxy_init.resources",
    )
    for side in ("requests", "limits")
)
"""Maps of which every value is an amount of a resource; the typed fields have their pattern in the schema."""


def _look_up(tree: Any, path: str) -> Any:
    for step in path.split("."):
        tree = tree.get(step) if isinstance(tree, Mapping) else None
    return tree


def _find_in_amounts(config: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for path in _AMOUNTS:
        amounts = _look_up(config, path)
        for name, amount in amounts.items() if isinstance(amounts, Mapping) else ():
            text = (
                str(amount) if isinstance(amount, (int, float)) and not isinstance(amount, bool) else amount
            )
            why = (
                grammar.explain_quantity(text) if isinstance(text, str) else "is not an amount of a resource"
            )
            if why:
                yield f"{path}.{name}", str(amount), why


def _find_in_texts(config: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """(path below spec, text, what is wrong with it); what is no text is another rule's."""
    for path, rule in _TEXTS.items():
        text = _look_up(config, path)
        if isinstance(text, str) and text and (why := rule(text)):
            yield path, text, why
    yield from _find_in_amounts(config)


def check_texts_have_their_grammar(content: MeshContent) -> Iterator[Finding]:
    """Every address, range, port, level and amount can be read by what reads it."""
    config = resolved_config(content)
    if config is None:
        return
    own = content.spec.to_json()
    for path, text, why in _find_in_texts(config.to_json()):
        reason = Reason.VALUES_INVALID if path.startswith("values.") else Reason.INVALID_SPEC
        mine = _look_up(own, path) is not None
        field, subject = (f"spec.{path}", "") if mine else ("spec.profiles", f"{path} of a profile ")
        yield Finding(reason, field, shorten(text), subject + why, "correct it, or leave it out")


def _walk(tree: Any, path: str) -> Iterator[tuple[str, str]]:
    """Every text of a tree with its path, the names in it too."""
    if isinstance(tree, str):
        yield path, tree
    elif isinstance(tree, Mapping):
        for key, value in tree.items():
            yield f"{path} (a name in it)", str(key)
            yield from _walk(value, f"{path}.{key}" if path else str(key))
    elif isinstance(tree, Sequence):
        for index, item in enumerate(tree):
            yield from _walk(item, f"{path}[{index}]")


def check_texts_are_printable(content: MeshContent) -> Iterator[Finding]:
    """No text has a character that YAML forbids: istiod would read nothing of its configuration."""
    config = resolved_config(content)
    if config is None:
        return
    own = dict(_walk(content.spec.to_json(), "spec"))
    for path, text in _walk(config.to_json(), "spec"):
        characters = list(dict.fromkeys(grammar.find_unprintable(text)))
        if characters:
            mine = own.get(path) == text
            field, subject = (
                (path, "") if mine else ("spec.profiles", f"{path.removeprefix('spec.')} of a profile ")
            )
            message = f"{subject}contains {', '.join(characters[:5])}, which no text may"
            yield Finding(
                Reason.INVALID_SPEC,
                ascii(field)[1:-1],
                ascii(shorten(text))[1:-1],
                message,
                "remove the character",
            )
