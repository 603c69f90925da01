"""Which parts of a text are secrets: by their form, or by the name that stands before them.

Owns the patterns. Pure. Must never give away a part of a secret to keep a text readable: where the end of one
is unclear, more is masked. Invariant: each pattern takes time in proportion to the text: what may stand
before a match is bounded.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator
from functools import partial

from navarch.core.diagnosis.masking.names import KEYWORD, has_keyword, is_plain, is_secret_name

MASK = "(masked)"
Replace = Callable[[re.Match[str]], str]

_FORMS = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,10}-----.*?"
    r"(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,10}-----|\Z)"
    r"|\beyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]{6,}(?:\.[A-Za-z0-9_-]*)?"
    r"|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"
    r"|\b(?:gh[pousr]_|github_pat_|glpat-|xox[abeprs]-|hv[sb]\.|npm_|sk_live_|sha256~|pypi-|dop_v1_|ya29\.)"
    r"[A-Za-z0-9_.-]{16,}"
    r"|\bsk-(?=[\w-]{0,200}[0-9])(?=[\w-]{0,200}[A-Z])[\w-]{20,}"
    r"|\bAIza[0-9A-Za-z_-]{35}|\bAGE-SECRET-KEY-1[0-9A-Z]{20,}",
    re.DOTALL,
)
"""Private keys as PEM, JSON web tokens, and tokens that say by their beginning what they are."""
_END_OF_KEY = re.compile(r"\A[A-Za-z0-9+/=\s\\]{0,8192}-----END [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,10}-----")
"""The rest of a private key, where a log begins amid one."""
_BASE64_PEM = re.compile(r"LS0tLS1CRUdJTi[A-Za-z0-9+/=_-]+")
_BASE64 = re.compile(r"(?<![\w+/=-])[\w+/-]{24,}={0,2}(?![\w+/=-])", re.ASCII)
"""What may be a text in base64, such as a kubeconfig in a ConfigMap; a line of one that is wrapped, too."""
_USER_OF_URL = re.compile(r"(://[^\s/:@\"']{0,256}:)[^\s/\"']{1,1024}@")
_SCHEME = re.compile(r"(?i)\b(bearer|negotiate)(\s+|%20)(?=\S)([^\s\"'\]}]+)")
_BASIC = re.compile(r"(?i)\b(basic)(\s+)(?=[A-Za-z0-9+/_-]*[A-Z0-9+/=])([A-Za-z0-9+/_-]{6,}={0,2})")

_PLACES = tuple(
    re.compile(pattern)
    for pattern in (
        r"(?i)([?&](?:sig|signature|x-(?:amz|goog)-signature)=)[^\s&\"']{1,4096}",  # a signed URL
        r"(hooks\.slack\.com/[a-z]{1,20}/)[\w/-]{10,256}",
        r"((?<![\w-])(?:-u|--user|--proxy-user)[ =,\"'\s-]{1,40}[^\s:\"']{1,256}:)[^\s\"']{1,1024}",  # curl
        r"(\bmysql\w{0,20}\b[^\n]{0,256}?\s-p)[^\s\"']{1,256}",
        r"(\b[\w.-]{1,64}:)[^\s/@:]{1,256}(?=@(?:tcp|unix)\()",  # a data source name of Go's drivers
        r"(?m)(^[^\s:]{1,256}:(?:\*|\d{3,5}):[^\s:]{1,64}:[^\s:]{1,64}:)\S{1,1024}$",  # a line of .pgpass
        r"(\blogin\s{1,4}\S{1,256}\s{1,8}password\s{1,4})\S{1,1024}",  # .netrc
    )
)
"""Where a secret stands without a name of its own; the group is what stands before it."""
_JSON_WEB_KEY = re.compile(r"(?<![\w-])((?:d|p|q|dp|dq|qi|k)\\*[\"']?\s{0,4}:\s{0,4}\\*[\"']?)[\w-]{16,4096}")
"""The private part of a JSON web key, which says `kty` of itself."""

_NAME = rf"(?P<name>[\w.-]{{0,60}}?{KEYWORD}[\w.-]{{0,40}})"
_COLON = r"\\*[\"']?\s{0,4}:\s{0,4}"
# Go writes the type of an object before what went wrong with it: "*v1.Secret: secrets is forbidden".
_ASSIGNED = re.compile(
    rf"(?i)(?<!v1\.)(?P<name>{KEYWORD}[\w.-]{{0,40}})\\*[\"']?\]?\s{{0,4}}(?::=|=>|[:=])\s{{0,4}}"
)
_FLAG = re.compile(rf"(?i)(?<![\w-])(?P<name>--?[\w-]{{0,60}}?{KEYWORD}[\w-]{{0,40}})\s+")
_SPOKEN = re.compile(r"(?i)\b(?P<name>password|passwd|passphrase|pwd)\s{1,4}(?=\\*[\"'])")
"""In a sentence: login failed with password 'x'. Of a Secret, its name stands so: secret "cacerts"."""
_NAMED = re.compile(rf"(?i)\b(?:name|key|header){_COLON}\\*[\"']?{_NAME}")
_PAIR = re.compile(rf"{_NAMED.pattern}\\*[\"']?\s{{0,4}}[,\n]\s{{0,40}}\\*[\"']?value{_COLON}")
_VALUE = re.compile(rf"(?i)\bvalue{_COLON}")
_THEN = re.compile(r"\s{0,4}[,\n]\s{0,40}\\*[\"']?")
_QUOTE = re.compile(r"\\*[\"']")
_REFERENCE = re.compile(r"\{\s{0,4}\\*[\"']?(?:path|name|key|secretName)\\*[\"']?\s{0,4}:")
"""The beginning of what names a Secret, or a token's place: its fields are judged by their own names."""
_TEMPLATE = re.compile(r"\{\{[^\n]*?\}\}")
_BARE = re.compile(r"(?:(?!\\*[\"'](?:[,}\])\s]|$))\S)*")
"""What is not quoted ends with white space, or at a quote after which the text around it goes on."""
_OF_LINE = re.compile(r"(?i)authorization|cookie")
"""Headers, whose values have several words."""
_LONGEST = 16 * 1024
"""Characters within which a quote is looked for that ends a value; without one the line ends it."""
_LINE = re.compile(
    r"(?P<indent>[ \t]*(?:-[ \t]+)*)[\"']?(?P<name>[\w.\-/]{1,253})[\"']?:(?P<value>[ \t]+\S.*|)$"
)
_KIND_SECRET = re.compile(r"^[ \t-]*[\"']?kind[\"']?:[ \t]*[\"']?Secret[\"']?,?[ \t\r]*$", re.MULTILINE)
_OF_SECRETS = ("data", "stringData")


def mask_text(text: str, *, by_name: bool = True) -> str:
    """A text of any kind (a log, a configuration, a message) without its secrets: those of a secret's form,
    and `by_name` those after a secret's name."""
    if "-----" in text:
        text = _END_OF_KEY.sub(MASK, text)
    text = _FORMS.sub(MASK, text)
    text = _BASE64_PEM.sub(_mask_encoded, text)
    text = _BASE64.sub(partial(_mask_base64, by_name=by_name), text)
    text = _USER_OF_URL.sub(rf"\1{MASK}@", text)
    text = _SCHEME.sub(rf"\1\2{MASK}", text)
    text = _BASIC.sub(rf"\1\2{MASK}", text)
    for pattern in _PLACES:
        text = pattern.sub(rf"\1{MASK}", text)
    if "kty" in text:
        text = _JSON_WEB_KEY.sub(rf"\1{MASK}", text)
    if by_name and has_keyword(text):
        if "\n" in text:
            text = "\n".join(_mask_lines(text))
        text = "".join(_mask_before_name(text))
        for pattern in (_PAIR, _FLAG, _SPOKEN, _ASSIGNED):
            text = "".join(_mask_after(pattern, text))
    return text


def _mask_encoded(match: re.Match[str]) -> str:
    """A PEM in base64: a certificate stays."""
    text = match[0].translate({ord("-"): "+", ord("_"): "/"})
    try:
        said = base64.b64decode(text[: len(text) // 4 * 4])
    except binascii.Error:
        return MASK
    return MASK if b"PRIVATE KEY" in said else match[0]


def _mask_base64(match: re.Match[str], *, by_name: bool) -> str:
    """A text in base64 that holds a secret; other bytes stay, such as a digest."""
    text = match[0].rstrip("=").translate({ord("-"): "+", ord("_"): "/"})
    try:
        said = base64.b64decode(text + "=" * (-len(text) % 4), validate=True).decode()
    except ValueError:
        return match[0]
    return match[0] if mask_text(said, by_name=by_name) == said else MASK


def _mask_after(pattern: re.Pattern[str], text: str) -> Iterator[str]:
    """The text, where `pattern` finds a secret's name with a mask for the value that follows it."""
    told = position = 0
    while (match := pattern.search(text, position)) is not None:
        position = match.end()
        if is_secret_name(match["name"]) and not _REFERENCE.match(text, position):
            begin, end, after = _find_value(text, position, line=bool(_OF_LINE.search(match["name"])))
            if not _is_told(text[begin:end]):
                yield text[told:begin] + MASK
                told, position = end, after
    yield text[told:]


def _mask_before_name(text: str) -> Iterator[str]:
    """The same for a value that stands before its name, as in `value: x, name: PASSWORD`."""
    told = position = 0
    while (match := _VALUE.search(text, position)) is not None:
        begin, end, position = _find_value(text, match.end())
        then = _THEN.match(text, position)
        named = _NAMED.match(text, then.end()) if then else None
        if named and is_secret_name(named["name"]) and not _is_told(text[begin:end]):
            yield text[told:begin] + MASK
            told = end
    yield text[told:]


def _find_value(text: str, start: int, *, line: bool = False) -> tuple[int, int, int]:
    """Where a value begins and ends, and where the text after it begins. With `line`, one without quotes has
    the rest of its line."""
    quote = _QUOTE.match(text, start)
    if quote is None:
        end = _find_in_line(text, start, "\n") if line else _find_end(text, start)
        return start, end, end
    end = quote.end()
    while (end := text.find(quote[0], end, start + _LONGEST)) >= 0:
        if text[end - 1] != "\\" or end == quote.end():
            return quote.end(), end, end + len(quote[0])
        end += 1
    end = _find_in_line(text, start, "\n")
    return quote.end(), end, end


def _find_end(text: str, start: int) -> int:
    template = _TEMPLATE.match(text, start)
    if template is not None:
        return template.end()
    if closing := {"[": "]", "{": "}"}.get(text[start : start + 1]):
        return _find_in_line(text, start, closing)
    found = _BARE.match(text, start)
    return found.end() if found else start


def _find_in_line(text: str, start: int, what: str) -> int:
    """Where `what` is, or the end of the line."""
    line = text.find("\n", start)
    line = len(text) if line < 0 else line
    end = text.find(what, start, line)
    return line if end < 0 else end


def _mask_lines(text: str) -> Iterator[str]:
    """The lines of what may be YAML: of a line that begins with a secret's name the whole value, with the
    lines that continue it, and all that a Secret holds."""
    holders = _OF_SECRETS if _KIND_SECRET.search(text) else ()
    depth = -1
    for line in text.split("\n"):
        indent = len(line) - len(line.lstrip(" \t"))
        if depth >= 0 and (indent > depth or not line.strip()):
            continue
        depth = -1
        match = _LINE.match(line)
        if match is None:
            yield line
            continue
        value = match["value"].strip()
        secret = bool(value) and is_secret_name(match["name"]) and not _is_told(value)
        # What is written as a list or an object in one line is no line that others continue.
        secret = secret and value[0] not in "{["
        if secret or match["name"] in holders:
            depth = len(match["indent"])
            yield line[: len(line) - len(match["value"])] + f" {MASK}"
        else:
            yield line


def _is_told(value: str) -> bool:
    """Whether a value is no secret, or is masked already."""
    return is_plain(value.strip("\"'")) or value.startswith(MASK)
