"""Templates to plain data: the jinja2 environment, and how a value gets into an object.

Must never decide what is rendered: templates hold shape, Python holds decisions. A template of an object is
rendered with a mark in the place of each value and read as YAML; the values replace the marks afterwards. So
no value can change an object's shape, and a text is read as YAML once for all meshes with an object of that
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
from jinja2 import DictLoader, Environment, StrictUndefined, Undefined, pass_context
from jinja2.runtime import Context

from navarch.core.istio.assets import Assets
from navarch.core.model.plain_yaml import PlainDumper

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_PLAIN_WORD = re.compile(r"[A-Za-z/][A-Za-z0-9_./@-]+")

_MARK = "\0"
"""What a mark begins with; no template holds it, since no YAML does."""
_VALUES = "values of this rendering"
"""The name under which a template's context has the values that were printed so far."""
_SHAPES = 256
"""Texts with marks that are remembered as they were read: some for each template."""


@pass_context
def _mark(context: Context, value: Any) -> str:
    """A mark for a printed value, as YAML."""
    if isinstance(value, Undefined):
        str(value)  # raises with the name that is missing
    values: list[Any] = context[_VALUES]
    values.append(_copy(value))
    return f'"\\0{len(values) - 1}"'


def _copy(value: Any) -> Any:
    """A value as JSON has it, apart from the original."""
    if value is None or type(value) in (str, int, bool):
        return value
    return json.loads(json.dumps(value, sort_keys=True, allow_nan=False))


@lru_cache(maxsize=_SHAPES)
def _read_shape(text: str) -> Any:
    return yaml.load(text, _LOADER)


def _fill(shape: Any, values: list[Any]) -> Any:
    """A copy of a shape with values for its marks."""
    if isinstance(shape, str):
        return values[int(shape[1:])] if shape.startswith(_MARK) else shape
    if isinstance(shape, dict):
        return {_fill(key, values): _fill(item, values) for key, item in shape.items()}
    if isinstance(shape, list):
        return [_fill(item, values) for item in shape]
    return shape


@lru_cache(maxsize=4)
def _objects(assets: Assets) -> Environment:
    return Environment(
        loader=DictLoader(assets.templates),
        undefined=StrictUndefined,
        finalize=_mark,
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
    values: list[Any] = []
    text = _objects(assets).get_template(path).render({**context, _VALUES: values})
    data: dict[str, Any] = _fill(_read_shape(text), values)
    return data


def render_text(assets: Assets, path: str, **context: Any) -> str:
    """The text of the injection template at `path`, for istiod to evaluate."""
    return _texts(assets).get_template(path).render(context)


class _Dumper(PlainDumper):
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
