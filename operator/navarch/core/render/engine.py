"""Templates to plain data: the jinja2 environment, and how a value becomes text.

Owns quoting. Must never decide what is rendered: templates hold shape, Python holds decisions. Every value
that a template of an object prints is written as JSON, which is YAML, so no value can change an object's
shape; a template therefore never puts a value into the middle of a word. Injection templates are texts for
istiod, written in Go's template language; there jinja2's marks are `[[ ]]` and `[% %]`. Invariant: equal
templates and equal context give equal data, and a name that the context lacks is an error.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any

import yaml
from jinja2 import DictLoader, Environment, StrictUndefined, Undefined

from navarch.core.istio.assets import Assets

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_NOT_PLAIN_ASCII = re.compile(r"[^ -~]")

_PLAIN_WORD = re.compile(r"[A-Za-z/][A-Za-z0-9_./@-]+")


def quote(value: Any) -> str:
    """A value as JSON that YAML reads back unchanged: everything outside printable ASCII is escaped YAML's
    way."""
    if isinstance(value, Undefined):
        str(value)  # raises with the name that is missing
    text = json.dumps(value, separators=(", ", ": "), sort_keys=True, ensure_ascii=False, allow_nan=False)
    return _NOT_PLAIN_ASCII.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


@lru_cache(maxsize=4)
def _objects(assets: Assets) -> Environment:
    return Environment(
        loader=DictLoader(assets.templates),
        undefined=StrictUndefined,
        finalize=quote,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
    )


@lru_cache(maxsize=4)
def _texts(assets: Assets) -> Environment:
    return Environment(
        loader=DictLoader(assets.templates),
        undefined=StrictUndefined,
        variable_start_string="[[",
        variable_end_string="]]",
        block_start_string="[%",
        block_end_string="%]",
        comment_start_string="[#",
        comment_end_string="#]",
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )


def render_data(assets: Assets, path: str, **context: Any) -> dict[str, Any]:
    """The object that the template at `path` describes. Raises jinja2.TemplateError for a broken template."""
    text = _objects(assets).get_template(path).render(context)
    data: dict[str, Any] = yaml.load(text, _LOADER)
    return data


def render_text(assets: Assets, path: str, **context: Any) -> str:
    """The text of the injection template at `path`, for istiod to evaluate."""
    return _texts(assets).get_template(path).render(context)


class _Dumper(yaml.CSafeDumper):
    """Writes YAML for Go programs too: what any of YAML's versions could take for a number or a word of its
    own is quoted, and a text of several lines stays readable."""


def _represent_text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    one_line = "" if _PLAIN_WORD.fullmatch(text) else '"'
    style = "|" if "\n" in text else one_line
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


def dump_yaml(value: Any) -> str:
    """A value as block YAML with sorted keys, the same on every machine."""
    return yaml.dump(
        value, Dumper=_Dumper, sort_keys=True, default_flow_style=False, allow_unicode=True, width=100_000
    )
