"""Texts of a ProxyConfig that the agent writes into Envoy's bootstrap as they are.

Owns which fields those are (tools/packaging/common/envoy_bootstrap.json) and what they may hold. istiod and
the agent take any text there; a quote in it ends the JSON string, so it either keeps every new proxy from
starting or adds configuration of its writer's choice. Invariant (tests/upstream, real agent and Envoy): with
what passes, the bootstrap is JSON that Envoy takes, and has no other keys than without it.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from math import prod
from typing import Final

from navarch.core.istio.validation.reading import Tree, Violation, build_violation, join_path

_BREAKS_JSON: Final = re.compile(r'["\\\x00-\x1f\x7f]')
_STAT_TAG: Final = re.compile(r"[A-Za-z0-9_.-]+")
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_CLASS: Final = re.compile(r"\[\^?\]?[^\]]*\]")
_NOT_OF_RE2: Final = re.compile(r"\(\?(?!:|P<)|[*+?}]\+|\[:")
"""Lookaround and the like, possessive repetition; and classes by a name, which only RE2 knows."""
_REPEATED: Final = re.compile(r"\{([0-9]{1,9})(?:,([0-9]{0,9}))?\}")
_MOST_REPEATS: Final = 1000
"""Of RE2, also of one repetition within another (re2/parse.cc, maximum_repeat_count)."""


def explain_plain(text: str) -> str:
    """A text that stands between quotes as it is."""
    return "holds a quote, a backslash or a control character" if _BREAKS_JSON.search(text) else ""


def explain_stat_tag(text: str) -> str:
    """The name of a tag, which becomes part of a regular expression too."""
    return "" if _STAT_TAG.fullmatch(text) else "is not made of letters, digits, '_', '.' and '-' alone"


def explain_pattern(text: str) -> str:
    """A regular expression that RE2 takes; the agent escapes it.

    It has to be one of Python's too, which knows neither \\pL nor \\Q…\\E: no name of a statistic needs them.
    """
    odd = next((e[0] for e in _ESCAPE.finditer(text) if e[1].isalnum() and e[1] not in "dDwWsSbB"), "")
    plain = _ESCAPE.sub("x", text)
    odd = odd or next((found[0] for found in _NOT_OF_RE2.finditer(_CLASS.sub(_keep_named, plain))), "")
    if odd:
        return f"uses {odd}, which RE2 has not, or which cannot be checked"
    counts = (int(found[2] or found[1]) for found in _REPEATED.finditer(plain))
    if prod(max(count, 1) for count in counts) > _MOST_REPEATS:
        return f"repeats more than {_MOST_REPEATS:,} times"
    try:
        with warnings.catch_warnings(action="ignore"):
            re.compile(text)
    except (re.error, RecursionError, OverflowError, ValueError) as error:
        return f"is no regular expression: {error}"
    return ""


def _keep_named(found: re.Match[str]) -> str:
    return "[:" if "[:" in found[0] else "x"


def find_in_bootstrap(proxy: Tree, path: str) -> Iterator[Violation]:
    """Texts that Envoy's bootstrap cannot hold. `proxy` is the normal form of reading.py."""
    for name in ("configPath", "serviceCluster"):
        yield from _find(proxy.get(name, ""), join_path(path, name), explain_plain)
    matcher = proxy.get("proxyStatsMatcher", {})
    lists = (
        ("extraStatTags", proxy.get("extraStatTags", ()), explain_stat_tag),
        ("proxyStatsMatcher.inclusionPrefixes", matcher.get("inclusionPrefixes", ()), explain_plain),
        ("proxyStatsMatcher.inclusionSuffixes", matcher.get("inclusionSuffixes", ()), explain_plain),
        ("proxyStatsMatcher.inclusionRegexps", matcher.get("inclusionRegexps", ()), explain_pattern),
    )
    for name, texts, explain in lists:
        for index, text in enumerate(texts):
            yield from _find(text, f"{join_path(path, name)}[{index}]", explain)


def _find(text: str, path: str, explain: Callable[[str], str]) -> Iterator[Violation]:
    if why := explain(text):
        yield build_violation(
            path, text, f"{why}; Envoy's bootstrap would be broken, or hold more than meant"
        )
