"""Which names belong to a secret: of fields, environment variables, flags, headers.

Owns the words. Pure. Invariant: a name that ends in what a secret is not (its name, its path, its lifetime)
belongs to none, in any style of writing.
"""

from __future__ import annotations

import re

KEYWORD = (
    r"(?:pass(?:word|wd|phrase)|pwd|secret|token|credential|cookie|bearer|authorization"
    r"|(?:api|access|private|client|secret|signing|encryption|ssh|storage|account|master|session|shared|license"
    r"|auth)"
    r"[-_. ]?key|connection[-_. ]?string|\bauth\b|\bpass\b|(?:\b|_)pw\b|\.key\b|\bkey\.pem\b)"
)
"""A pattern, without regard to case: what stands in the names of secrets."""
_KEYWORD = re.compile(KEYWORD, re.IGNORECASE)
_LAST = frozenset({"auth", "pass", "pw"})
"""Words that make a name a secret's only as its last."""
_KEY_FILE = re.compile(r"\.key$|(?:^|[.\-_])key\.pem$|^id_(?:rsa|dsa|ecdsa|ed25519)$", re.IGNORECASE)
"""Names of files that hold a private key, as keys of a ConfigMap: tls.key, ca-key.pem."""
_KEY_ALONE = "key"
_HARMLESS = frozenset(
    {
        *("name", "names", "namespace", "ref", "refs", "reference", "path", "paths", "file", "files", "dir"),
        *("mount", "seconds", "minutes", "ttl", "expiration", "expiry", "expires", "duration", "interval"),
        *("type", "types", "policy", "mode", "count", "size", "length", "limit", "audience", "audiences"),
        *("issuer", "issuers", "enabled", "version", "provider", "url", "uri", "endpoint", "selector"),
        *("kind", "resource", "request", "requests", "review", "reviews", "status", "reason", "message"),
    }
)
"""What is said about a secret, as the last word of a name."""
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_PLAIN = re.compile(r"(?i)\s*(?:true|false|null|none|nil|<nil>|\{\{.*\}\}|\$\([A-Za-z_][\w.-]*\))?\s*")
_PULL_SECRETS = "imagePullSecrets"


def is_secret_name(name: str) -> bool:
    """Whether a field, variable, flag or header of this name holds a secret."""
    if name in (_KEY_ALONE, _PULL_SECRETS):
        return False
    if _KEY_FILE.search(name):
        return True
    words = [word.lower() for word in _WORD.findall(name)]
    if not words or words[-1] in _HARMLESS:
        return False
    return bool(_KEYWORD.search(name)) or words[-1] in _LAST


def has_keyword(text: str) -> bool:
    """Whether a text has a word that may belong to the name of a secret."""
    return bool(_KEYWORD.search(text))


def is_flag(text: str) -> bool:
    """Whether an argument is a flag whose value, a secret, follows as the next argument."""
    return text.startswith("-") and "=" not in text and is_secret_name(text.lstrip("-"))


def is_plain(value: str) -> bool:
    """Whether a value is no secret under any name: empty, a truth value, or a reference to another one."""
    return bool(_PLAIN.fullmatch(value))
