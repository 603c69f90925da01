"""Secrets in what people hand on: objects and logs without values that look like keys, tokens or passwords.

Owns how a value is masked in an object (here), which names belong to a secret (names), and which texts are
one (texts). Pure. Must never look at a Secret: none is read. Invariants: what is masked is replaced whole by
MASK; certificates, digests, names of objects and references to Secrets stay, for a diagnosis needs them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from navarch.core.diagnosis.masking.names import has_keyword, is_flag, is_plain, is_secret_name
from navarch.core.diagnosis.masking.texts import MASK, mask_text
from navarch.core.model.plain_yaml import PlainDumper
from navarch.core.model.refs import Manifest
from navarch.core.model.trees import read_tree

__all__ = ["MASK", "mask_object", "mask_text"]

_REFERENCE = frozenset(
    {
        *("apiGroup", "apiVersion", "group", "kind", "name", "namespace", "key", "optional", "items", "mode"),
        *("secretName", "defaultMode", "path", "aud", "audience", "expirationSeconds"),
    }
)
"""Fields of what names a Secret, or a token's place, and holds neither."""
_BETWEEN = re.compile(r"(^---.*\n)", re.MULTILINE)
_RULES = ("CustomResourceDefinition", "ValidatingAdmissionPolicy")
"""Kinds whose spec speaks of fields with the names of secrets, and holds no value of one."""
_OF_SECRETS = ("data", "stringData", "binaryData")
_OF_WEB_KEY = ("d", "p", "q", "dp", "dq", "qi", "k")
"""The private parts of a JSON web key (RFC 7518 §6), which says its type as `kty`."""
_CREDENTIALS = re.compile(r"-u|--(?:proxy-)?user")
"""Flags of curl, after which `name:password` is an argument of its own."""


def mask_object(manifest: Manifest) -> dict[str, Any]:
    """A Kubernetes object without its secrets."""
    return _mask_mapping(manifest, secret=False, by_name=True)


def _mask(value: Any, *, secret: bool, by_name: bool) -> Any:
    if isinstance(value, Mapping):
        return _mask_mapping(value, secret=secret, by_name=by_name)
    if isinstance(value, str):
        return _mask_string(value, secret=secret, by_name=by_name)
    if isinstance(value, Sequence):
        return [*_mask_list(value, secret=secret, by_name=by_name)]
    return MASK if secret and value is not None and not isinstance(value, bool) else value


def _mask_mapping(value: Mapping[str, Any], *, secret: bool, by_name: bool) -> dict[str, Any]:
    told = (value.get(key) for key in ("name", "key", "header"))
    named = any(isinstance(name, str) and is_secret_name(name) for name in told)
    kind = value.get("kind")
    masked = {}
    for key, below in value.items():
        by = by_name and not (kind in _RULES and key == "spec")
        held = secret or key == "binaryData" or (kind == "Secret" and key in _OF_SECRETS)
        held = held or ("kty" in value and key in _OF_WEB_KEY)
        if by:
            held = held or is_secret_name(key) or (named and key == "value")
        if isinstance(below, Mapping) and below.keys() <= _REFERENCE:
            held = False
        masked[mask_text(key, by_name=by)] = _mask(below, secret=held, by_name=by)
    return masked


def _mask_list(values: Sequence[Any], *, secret: bool, by_name: bool) -> Iterator[Any]:
    """The items; of a command line also what follows a flag such as `--token`."""
    follows = user = False
    for value in values:
        held = follows or (user and isinstance(value, str) and ":" in value)
        yield _mask(value, secret=secret or held, by_name=by_name)
        follows = by_name and isinstance(value, str) and is_flag(value)
        user = isinstance(value, str) and bool(_CREDENTIALS.fullmatch(value))


def _mask_string(text: str, *, secret: bool, by_name: bool) -> str:
    if secret:
        return text if is_plain(text) else MASK
    if text[:1] in ("{", "[") and (said := _read_json(text)) is not None:
        masked = _mask(said, secret=False, by_name=by_name)
        return text if masked == said else json.dumps(masked, ensure_ascii=False)
    if by_name and "\n" in text and has_keyword(text):
        text = "".join(_mask_document(part, by_name=by_name) for part in _BETWEEN.split(text))
    return mask_text(text, by_name=by_name)


def _mask_document(text: str, *, by_name: bool) -> str:
    """One document of a text that may be YAML, in its own words where it holds no secret."""
    said, _ = read_tree(text, "")
    if not isinstance(said, (dict, list)):
        return text
    masked = _mask(said, secret=False, by_name=by_name)
    return text if masked == said else yaml.dump(masked, Dumper=PlainDumper, sort_keys=False, width=1000)


def _read_json(text: str) -> Any:
    """What a text says that is JSON, such as the annotation of `kubectl apply`; None for another one, and for
    one that says a field twice."""
    try:
        return json.loads(text, object_pairs_hook=_read_pairs)
    except ValueError:
        return None


def _read_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    if len(read) < len(pairs):
        raise ValueError("a field is there twice")
    return read
