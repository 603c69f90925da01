"""Texts with a grammar: addresses, ranges, ports, host names, durations, levels, quantities.

Owns one parser per grammar, as Istio's reader of that text has it (Go's net, netip, strconv and time). Each
`explain_` function says what is wrong with a text, as the end of a sentence that begins with the text, and
gives "" for a good one. Must never take what the reader refuses.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final

_LABEL: Final = re.compile(r"[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?")
_WILDCARD_LABEL: Final = re.compile(r"\*|(\*-?)?[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?")
_INTEGER: Final = re.compile(r"[-+]?[0-9]+")
_BITS: Final = re.compile(r"0|[1-9][0-9]{0,2}")
_PORT: Final = re.compile(r"[0-9]{1,5}")
_DURATION: Final = re.compile(r"[-+]?(0|(([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+)")
_DURATION_PART: Final = re.compile(r"([0-9]*)\.?([0-9]*)(ns|us|µs|μs|ms|s|m|h)")
_NANOSECONDS: Final = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "μs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
MILLISECOND, SECOND, HOUR = _NANOSECONDS["ms"], _NANOSECONDS["s"], _NANOSECONDS["h"]
_LONGEST: Final = 2**63 - 1
_UNPRINTABLE: Final = re.compile(
    "[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)
"""What Go's reader of YAML refuses in a text; and the byte order mark, which it drops."""
_QUANTITY: Final = re.compile(
    r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)(n|u|m|k|Ki|Mi|Gi|Ti|Pi|Ei|M|G|T|P|E|[eE][-+]?[0-9]+)?"
)
_LABEL_VALUE: Final = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?")
_FLOAT: Final = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")

ISTIO_LEVELS: Final = ("debug", "info", "warn", "error", "fatal", "none")
"""Levels of istiod's and the agent's log (pkg/log/options.go)."""
ENVOY_LEVELS: Final = ("trace", "debug", "info", "warning", "warn", "error", "critical", "off")
"""Levels of Envoy's log (spdlog's, and Envoy's own other word for warning)."""


def parse_duration(text: str) -> int | None:
    """Nanoseconds of a duration as Go reads it; None when it does not."""
    if not _DURATION.fullmatch(text):
        return None
    total = 0
    for whole, fraction, unit in _DURATION_PART.findall(text):
        scale = _NANOSECONDS[unit]
        total += int(whole or 0) * scale + int(fraction or 0) * scale // 10 ** len(fraction)
    if total > _LONGEST:
        return None
    return -total if text.startswith("-") else total


def parse_integer(text: str, bits: int = 64) -> int | None:
    """A signed decimal number of so many bits; None for anything else."""
    if not _INTEGER.fullmatch(text) or len(text.lstrip("+-0")) > 20:
        return None
    number = int(text)
    return number if -(2 ** (bits - 1)) <= number < 2 ** (bits - 1) else None


def explain_address(text: str) -> str:
    """An IP address without a prefix."""
    try:
        IPv6Address(text) if ":" in text else IPv4Address(text)
    except (AddressValueError, ValueError):
        return "is not an IP address"
    return ""


def explain_range(text: str) -> str:
    """A range of addresses in CIDR notation."""
    address, slash, bits = text.rpartition("/")
    if not slash or "%" in address or explain_address(address):
        return "is not a range of addresses in CIDR notation, such as 10.0.0.0/8"
    longest = 128 if ":" in address else 32
    if not _BITS.fullmatch(bits) or int(bits) > longest:
        return f"is no CIDR range: the prefix is not a number from 0 to {longest}"
    return ""


def explain_port(number: int | None) -> str:
    """A number of a port."""
    return "" if number is not None and 1 <= number <= 65535 else "is not a port from 1 to 65535"


def _explain_port_text(text: str) -> str:
    return explain_port(int(text) if _PORT.fullmatch(text) else None)


def is_label(text: str) -> bool:
    """Whether a text is one label of a domain name."""
    return len(text) <= 63 and _LABEL.fullmatch(text) is not None


def _explain_labels(text: str) -> str:
    *first, last = text.split(".")
    if parse_integer(last) is not None:
        return "is not a host name: its last part is a number"
    for label in [*first, *([last] if last else [])]:
        if not is_label(label):
            return f"is not a host name: {label!r} is no label of letters, digits and inner dashes, up to 63"
    return ""


def explain_host(text: str) -> str:
    """A fully qualified host name."""
    if not 0 < len(text) <= 255:
        return "is not a host name of 1 to 255 characters"
    return _explain_labels(text)


def explain_wildcard_host(text: str) -> str:
    """A host name of which the first part may have a wildcard."""
    if not 0 < len(text) <= 255:
        return "is not a host name of 1 to 255 characters"
    first, dot, rest = text.partition(".")
    if len(first) > 63 or not _WILDCARD_LABEL.fullmatch(first):
        return f"is not a host name: {first!r} is no label, nor a wildcard"
    return _explain_labels(rest) if dot else ""


def explain_trust_domain(text: str) -> str:
    """A trust domain."""
    *first, last = text.split(".")
    if not text or not all(is_label(label) for label in [*first, *([last] if last or not first else [])]):
        return "is not a trust domain: dots between labels of letters, digits and inner dashes"
    return ""


def _split_host_port(text: str) -> tuple[str, str] | None:
    """As Go's net.SplitHostPort."""
    host, colon, port = text.rpartition(":")
    if not colon:
        return None
    if text.startswith("["):
        if not host.endswith("]") or "[" in host[1:] or "]" in host[:-1]:
            return None
        host = host[1:-1]
    elif ":" in host or "[" in host or "]" in host:
        return None
    return None if "[" in port or "]" in port else (host, port)


def explain_proxy_address(text: str) -> str:
    """`host:port`, of which the host is a name or an IP address."""
    parts = _split_host_port(text)
    if parts is None:
        return "is not of the form host:port"
    host, port = parts
    if explain_port(parse_integer(port)):
        return f"is not of the form host:port: {port!r} is not a port from 1 to 65535"
    if explain_host(host) and explain_address(host):
        return f"is not of the form host:port: {host!r} is neither a host name nor an IP address"
    return ""


def _explain_list(text: str, explain: Callable[[str], str], *, star: bool) -> str:
    if text == "" or (star and text == "*"):
        return ""
    for item in text.split(","):
        if item == "":
            return "has an empty item; it is a list with a comma between items, without spaces"
        if why := explain(item):
            return f"cannot be read: {item!r} {why}"
    return ""


def explain_ranges(text: str, *, star: bool = False) -> str:
    """Ranges in CIDR notation with commas between; `star` says whether * stands for all."""
    return _explain_list(text, explain_range, star=star)


def explain_ports(text: str, *, star: bool = False) -> str:
    """Ports with commas between; `star` says whether * stands for all."""
    return _explain_list(text, _explain_port_text, star=star)


def explain_istio_levels(text: str) -> str:
    """`scope:level,…` as istiod and the agent read it; a level alone is the default scope's; an empty text
    changes nothing."""
    for item in text.split(",") if text else ():
        pieces = item.split(":")
        if len(pieces) > 2:
            return f"cannot be read: {item!r} is not of the form scope:level"
        if pieces[-1] not in ISTIO_LEVELS:
            return f"cannot be read: {pieces[-1]!r} is not a level, which are {', '.join(ISTIO_LEVELS)}"
    return ""


def explain_envoy_levels(text: str) -> str:
    """`component:level,…` as Envoy reads it; empty for none."""
    for item in text.split(",") if text else ():
        component, colon, level = item.partition(":")
        if not colon or not component:
            return f"cannot be read: {item!r} is not of the form component:level"
        if level not in ENVOY_LEVELS:
            return f"cannot be read: {level!r} is not a level, which are {', '.join(ENVOY_LEVELS)}"
    return ""


def explain_envoy_level(text: str) -> str:
    """One level of Envoy's log."""
    return "" if text in ENVOY_LEVELS else f"is not a level, which are {', '.join(ENVOY_LEVELS)}"


def explain_quantity(text: str) -> str:
    """An amount of a resource, as Kubernetes reads it, that is not below zero."""
    if not _QUANTITY.fullmatch(text) or text.startswith("-"):
        return "is not an amount of a resource, such as 500m or 2Gi"
    return ""


def explain_label_value(text: str) -> str:
    """A value of a Kubernetes label."""
    if len(text) > 63 or not _LABEL_VALUE.fullmatch(text):
        return "cannot be the value of a label: up to 63 letters, digits, '-', '_' and '.'"
    return ""


def explain_truth(text: str) -> str:
    """A truth value as Go reads it."""
    words = {"1", "t", "T", "TRUE", "true", "True", "0", "f", "F", "FALSE", "false", "False"}
    return "" if text in words else "is neither true nor false"


def explain_whole(text: str) -> str:
    """A whole number as Go reads it."""
    return "" if parse_integer(text) is not None else "is not a whole number"


def explain_fraction(text: str) -> str:
    """A decimal number."""
    return "" if _FLOAT.fullmatch(text) and abs(float(text)) < float("inf") else "is not a number"


def explain_duration(text: str) -> str:
    """A duration as Go reads it."""
    return "" if parse_duration(text) is not None else "is not a duration, such as 5s or 1m30s"


def find_unprintable(text: str) -> Iterator[str]:
    """Characters that no reader of YAML takes, each as its code point."""
    for found in _UNPRINTABLE.finditer(text):
        yield f"U+{ord(found.group()):04X}"
