"""Keys of the maps that a gateway hands on: labels, annotations, labels of nodes.

Owns the form that Kubernetes demands of them (apimachinery, IsQualifiedName): a bad one is told by the field
of the gateway before any of its objects is made. The schema of a CustomResourceDefinition has no rule for
keys. Must never look at what a key means. Invariant: a key that is refused here is refused by every API
server.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from navarch.core.gateway.observed import ObservedGateway
from navarch.core.model.findings import Finding
from navarch.core.model.messages import shorten
from navarch.core.model.reasons import Reason

_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_PREFIX = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LONGEST_PREFIX = 253


def is_key(key: str) -> bool:
    """Whether Kubernetes takes a key of a label or an annotation."""
    prefix, slash, name = key.rpartition("/")
    if slash and not (len(prefix) <= _LONGEST_PREFIX and _PREFIX.fullmatch(prefix)):
        return False
    return _NAME.fullmatch(name) is not None


def check_keys(observed: ObservedGateway) -> Iterator[Finding]:
    """Every key is one."""
    for field, said in _list_maps(observed):
        # Of annotations the API server folds the case before it looks.
        fold = str.lower if field.endswith("annotations") else str
        for key, value in sorted((said or {}).items()):
            if not is_key(fold(key)):
                message = "no label or annotation can have this key"
                remedy = (
                    "use up to 63 letters, digits, '-', '_' and '.', a letter or digit first and last; "
                    "before them there may be a domain in lower case and '/'"
                )
                yield Finding(
                    Reason.INVALID_SPEC, f"{field}[{shorten(key)}]", shorten(value), message, remedy
                )


def _list_maps(observed: ObservedGateway) -> Iterator[tuple[str, Mapping[str, str] | None]]:
    spec = observed.spec
    if spec is None:
        return
    yield "spec.labels", spec.labels
    yield "spec.annotations", spec.annotations
    if spec.service is not None:
        yield "spec.service.labels", spec.service.labels
        yield "spec.service.annotations", spec.service.annotations
    if spec.placement is not None:
        yield "spec.placement.nodeSelector", spec.placement.node_selector
