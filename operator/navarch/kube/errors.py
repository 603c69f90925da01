"""Everything that can go wrong between us and the API server, as a closed set.

Owns the translation of a Status response. Must never let the content of a Secret into a message.
Invariant: every error names the method, the object and the server's reason, and carries the engine's cause.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from navarch.engine.result import Cause, Fault


class KubeError(Fault):
    """A request failed.

    `method` is the HTTP method, `subject` names the object or path, `status` is the HTTP status (0 when there
    was no answer), `reason` the server's one word, `message` its sentence, `causes` the details of a Status.
    """

    def __init__(
        self,
        message: str,
        *,
        method: str = "",
        subject: str = "",
        status: int = 0,
        reason: str = "",
        causes: Sequence[Mapping[str, Any]] = (),
        retry_after: float | None = None,
    ) -> None:
        self.message, self.method, self.subject = message, method, subject
        self.status, self.reason, self.causes = status, reason, tuple(causes)
        self.retry_after = retry_after
        super().__init__(f"{method} {subject}: {reason or status}: {message}")


class NotFound(KubeError):
    """404: the API server knows the kind, and has no such object."""

    cause = Cause.VANISHED


class Unserved(KubeError):
    """404 that names no object: the kind is not served, or not by the server that answered. It says nothing
    about an object: an API server that starts, or a proxy in front of it, answers like that."""

    cause = Cause.VANISHED


class Conflict(KubeError):
    """409: another client wrote first or owns a field, or the precondition does not hold."""

    cause = Cause.CONFLICT

    @property
    def fields(self) -> tuple[str, ...]:
        """What other field managers own, a sentence each; empty for other conflicts."""
        return tuple(
            f"{cause.get('field', '')}: {cause.get('message', '')}"
            for cause in self.causes
            if cause.get("reason") == "FieldManagerConflict"
        )


class Invalid(KubeError):
    """400, 413, 415, 422: the object itself is refused."""

    cause = Cause.REFUSED

    @property
    def immutable(self) -> bool:
        """Whether a field was refused because it may not change after creation."""
        return bool(_IMMUTABLE.search(self.message))


class Gone(KubeError):
    """410: a resourceVersion or continue token is too old; list again."""

    cause = Cause.CONFLICT


class TooManyRequests(KubeError):
    """429 that outlasted the client's own patience."""

    cause = Cause.THROTTLED


class Unavailable(KubeError):
    """No answer, a time-out, or a 5xx."""

    cause = Cause.UNREACHABLE


class TooLarge(KubeError):
    """An answer that is longer than what is read of one; nothing of it was taken in."""

    cause = Cause.UNREACHABLE


class Denial(StrEnum):
    """What forbids; three different things behind one status code."""

    NAMESPACE_TERMINATING = "namespace terminating"
    ADMISSION = "denied by admission"
    PERMISSION = "missing permission"


class Forbidden(KubeError):
    """Refused by authorization, by admission, or because the namespace is going away.

    `verb` and `resource` are set for a missing permission.
    """

    def __init__(
        self, message: str, *, denial: Denial, verb: str = "", resource: str = "", **about: Any
    ) -> None:
        super().__init__(message, **about)
        self.denial, self.verb, self.resource = denial, verb, resource
        self.cause = _DENIAL_CAUSES[denial]


_DENIAL_CAUSES = {
    Denial.NAMESPACE_TERMINATING: Cause.NAMESPACE_TERMINATING,
    Denial.ADMISSION: Cause.DENIED,
    Denial.PERMISSION: Cause.NOT_PERMITTED,
}

# The texts below are the API server's own and have no machine-readable form: apimachinery's validation
# (field is immutable), the registries' strategies (may not be changed, cannot change roleRef), the RBAC
# authorizer (cannot VERB resource), its escalation check, quota, PodSecurity, policy and webhook admission.
_IMMUTABLE = re.compile(r"immutable|may not be changed|may not change once set|cannot change roleRef")
_NO_PERMISSION = re.compile(
    r'cannot (?P<verb>[a-z]+) (?:resource|path) "(?P<resource>[^"]+)"'
    r'(?: in API group "(?P<group>[^"]*)")?'
)
_ESCALATION = re.compile(r"attempting to grant RBAC permissions not currently held")
_UNDECLARED = re.compile(r"field not declared in schema|failed to create typed patch object")
_ADMISSION = re.compile(
    r'admission webhook "|failed calling webhook|AdmissionPolicy \'|exceeded quota|violates PodSecurity'
)


def error_of(
    status: int,
    body: object,
    *,
    method: str,
    subject: str,
    retry_after: float | None = None,
) -> KubeError:
    """The error for a response with this status.

    `body` is the parsed Status, or text where the server sent something else; `subject` starts with the kind.
    """
    answer: Mapping[str, Any] = body if isinstance(body, Mapping) else {"message": str(body or "")[:1024]}
    text = str(answer.get("message") or "no message")
    details = answer.get("details") or {}
    causes = details.get("causes") or ()
    about: dict[str, Any] = {
        "method": method,
        "subject": subject,
        "status": status,
        "reason": str(answer.get("reason") or ""),
        "causes": causes,
        "retry_after": retry_after,
    }
    forbidden = _forbidden(status, text, causes, about)
    if forbidden is not None:
        return forbidden
    if status == 500 and _UNDECLARED.search(text):
        status = 422  # server-side apply answers 500 to a field that is not in the schema
    if status == 422 and any(cause.get("field") == "metadata.uid" for cause in causes):
        status = 409  # the object that was meant has been replaced by another one of its name
    if _is_secret(subject):
        text, about["causes"] = _masked(causes), ()
    if status == 404 and not details.get("name"):
        return Unserved(text, **about)
    return _class_of(status)(text, **about)


def _class_of(status: int) -> type[KubeError]:
    known: dict[int, type[KubeError]] = {404: NotFound, 409: Conflict, 410: Gone, 429: TooManyRequests}
    if status in known:
        return known[status]
    # 401 is a credential that is being rotated: worth another try, unlike an object that is refused.
    return Unavailable if status >= 500 or status in (0, 401, 408) else Invalid


def _forbidden(
    status: int, text: str, causes: Sequence[Mapping[str, Any]], about: dict[str, Any]
) -> Forbidden | None:
    if status == 403 and any(cause.get("reason") == "NamespaceTerminating" for cause in causes):
        return Forbidden(text, denial=Denial.NAMESPACE_TERMINATING, **about)
    if _ADMISSION.search(text) and status in (400, 403, 422, 500):
        if _is_secret(about["subject"]):
            text, about = (
                "denied by admission (the message is withheld: it may quote data)",
                about | {"causes": ()},
            )
        return Forbidden(text, denial=Denial.ADMISSION, **about)
    if status != 403:
        return None
    if _ESCALATION.search(text):
        return Forbidden(text, denial=Denial.PERMISSION, verb="escalate", resource="roles", **about)
    match = _NO_PERMISSION.search(text)
    if match is None:
        return Forbidden(text, denial=Denial.ADMISSION, **about)
    resource = ".".join(part for part in (match["resource"], match["group"]) if part)
    return Forbidden(text, denial=Denial.PERMISSION, verb=match["verb"], resource=resource, **about)


def _is_secret(subject: str) -> bool:
    return subject.startswith("Secret ")


def _masked(causes: Sequence[Mapping[str, Any]]) -> str:
    fields = ", ".join(str(cause.get("field")) for cause in causes if cause.get("field"))
    return f"refused at {fields}" if fields else "refused (the message is withheld: it may quote data)"
