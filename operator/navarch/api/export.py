"""CustomResourceDefinitions from the models: JSON Schema made structural for apiextensions.k8s.io/v1.

Owns the translation. Must never drop a keyword it does not know: an unknown one is an error here, not a rule
that silently does not hold. Invariant: no `$ref`, `anyOf`, `title` or `default` is left, and every list says
how it is merged by server-side apply.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from navarch.api import controlplane, gateway, member, revision, roll
from navarch.api.meta import (
    API_VERSION,
    GROUP,
    NAVARCH,
    RELEASE,
    VERSION,
    Column,
    JSONObject,
    Model,
    Resource,
)

RESOURCES: tuple[Resource, ...] = (
    controlplane.RESOURCE,
    revision.RESOURCE,
    gateway.RESOURCE,
    member.RESOURCE,
    roll.RESOURCE,
)

_KEPT = (
    "type",
    "description",
    "format",
    "enum",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
    "maxProperties",
    "required",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type",
    "x-kubernetes-validations",
)
_TRANSLATED = {"$ref", "anyOf", "title", "default", "const", "properties", "additionalProperties", "items"}


def build_schema(model: type[Model]) -> JSONObject:
    """The structural schema of a model. Raises ValueError for a keyword or a default that it cannot have."""
    schema = model.model_json_schema(by_alias=True)
    return _structure(schema, schema.get("$defs", {}), path=model.__name__)


def _structure(schema: Mapping[str, Any], definitions: Mapping[str, Any], *, path: str) -> JSONObject:
    schema = _resolve({key: value for key, value in schema.items() if key != "$defs"}, definitions, path=path)
    unknown = schema.keys() - _TRANSLATED - set(_KEPT)
    if unknown or schema.get("default") is not None:
        raise ValueError(
            f"{path}: {', '.join(sorted(unknown)) or 'a default'} cannot stand in a structural schema"
        )
    result: JSONObject = {key: schema[key] for key in _KEPT if key in schema}
    if "description" in result:
        result["description"] = " ".join(result["description"].split())
    if "const" in schema:
        result["enum"] = [schema["const"]]
    if "properties" in schema:
        result["properties"] = {
            name: _structure(child, definitions, path=f"{path}.{name}")
            for name, child in schema["properties"].items()
        }
    if "items" in schema:
        result.setdefault("x-kubernetes-list-type", "atomic")
        result["items"] = _structure(schema["items"], definitions, path=f"{path}[]")
    additional = schema.get("additionalProperties")
    if additional is True:
        result["x-kubernetes-preserve-unknown-fields"] = True
    elif additional:
        result["additionalProperties"] = _structure(additional, definitions, path=f"{path}{{}}")
    return result


def _resolve(schema: JSONObject, definitions: Mapping[str, Any], *, path: str) -> JSONObject:
    """Replace a reference by its target, and `X or null` by X; what stands beside either wins."""
    while "$ref" in schema or "anyOf" in schema:
        if "$ref" in schema:
            target = definitions[schema.pop("$ref").rpartition("/")[2]]
        else:
            branches = [branch for branch in schema.pop("anyOf") if branch != {"type": "null"}]
            if len(branches) != 1:
                raise ValueError(f"{path}: a union of types has no structural schema")
            target = branches[0]
        schema = {**target, **schema}
    return schema


def _build_column(column: Column) -> JSONObject:
    result: JSONObject = {
        "name": column.name,
        "type": column.type,
        "description": column.description,
        "jsonPath": column.path,
    }
    return result | ({"priority": 1} if column.wide else {})


def build_resource_schema(resource: Resource) -> JSONObject:
    """The schema of a whole object: metadata is left to the API server."""
    schema: JSONObject = {
        "type": "object",
        "description": resource.description,
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": f"Always {API_VERSION}."},
            "kind": {"type": "string", "description": f"Always {resource.kind}."},
            "metadata": {"type": "object"},
            "spec": build_schema(resource.spec),
            "status": build_schema(resource.status),
        },
    }
    return schema | ({"x-kubernetes-validations": list(resource.rules)} if resource.rules else {})


def build_crd(resource: Resource, *, release: str = NAVARCH) -> JSONObject:
    """The CustomResourceDefinition of one of our kinds, as a release of Navarch has it."""
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": [_build_column(column) for column in resource.columns],
        "schema": {"openAPIV3Schema": build_resource_schema(resource)},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{resource.plural}.{GROUP}",
            "labels": {"app.kubernetes.io/name": "navarch", "app.kubernetes.io/part-of": "navarch"},
            "annotations": {RELEASE: release},
        },
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": resource.kind,
                "listKind": f"{resource.kind}List",
                "plural": resource.plural,
                "singular": resource.kind.lower(),
                "shortNames": list(resource.short_names),
                "categories": ["mesh", "navarch"],
            },
            "versions": [version],
        },
    }


def build_crds() -> list[JSONObject]:
    """All our CustomResourceDefinitions."""
    return [build_crd(resource) for resource in RESOURCES]
