"""Messages for a specification that its model refuses: field, value, and what the user most likely meant."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from navarch.api.controlplane import MeshControlPlaneSpec
from navarch.api.problems import build_path, find_fields, list_problems
from pydantic import ValidationError

MISTAKES = {
    "{version: 1.30}": "spec.version: '1.3': YAML reads this as a number: put it in quotes",
    "{version: v1.31}": "spec.version: 'v1.31': does not match "
    r"^[0-9]+\.[0-9]+(\.[0-9]+)?$; did you mean 1.31?",
    "{version: '1.31', mtsl: {}}": "spec.mtsl: there is no such field; did you mean mtls?",
    "{version: '1.31', mtls: {mod: Strict}}": "spec.mtls.mod: there is no such field; did you mean mode?",
    "{version: '1.31', mtls: {mode: STRICT}}": "spec.mtls.mode: 'STRICT': "
    "must be one of 'Strict' or 'Permissive'; did you mean Strict?",
    "{version: '1.31', mtls: Strict}": "spec.mtls: 'Strict': must be a map of fields",
    "{version: '1.31', profiles: minimal}": "spec.profiles: 'minimal': must be a list; "
    "did you mean [minimal]?",
    "{version: '1.31', paused: 'true'}": "spec.paused: 'true': must be true or false, without quotes",
    "{version: '1.31', controlPlane: {replicas: 900}}": "spec.controlPlane.replicas: '900': "
    "must be at most 100",
    "{version: '1.31', controlPlane: {environment: [{name: A, valeu: b}]}}": ""
    "spec.controlPlane.environment[0].value: is required\n"
    "spec.controlPlane.environment[0].valeu: there is no such field; did you mean value?",
    "{}": "spec.version: is required",
    "[]": "spec: must be a map of fields",
}


def tell(spec: Any) -> str:
    """A line for each problem of a specification."""
    with pytest.raises(ValidationError) as refused:
        MeshControlPlaneSpec.model_validate(spec, extra="forbid", strict=True)
    return "\n".join(problem.tell() for problem in list_problems(MeshControlPlaneSpec, refused.value))


@pytest.mark.parametrize("written", MISTAKES)
def test_a_usual_mistake_is_answered_with_the_field_and_with_what_was_meant(written: str) -> None:
    assert tell(yaml.safe_load(written)) == MISTAKES[written]


def test_a_large_value_is_not_repeated() -> None:
    told = tell({"version": "1.31", "profiles": {"many": ["x" * 1000] * 1000}})
    assert told == "spec.profiles: must be a list"


def test_names_of_fields_are_those_that_users_write() -> None:
    assert "minimumProtocolVersion" in find_fields(MeshControlPlaneSpec, ["mtls"])
    assert "value" in find_fields(MeshControlPlaneSpec, ["controlPlane", "environment", 0])
    assert find_fields(MeshControlPlaneSpec, ["meshConfig", "anything"]) == []
    assert build_path("controlPlane", "environment", 0, root="") == "controlPlane.environment[0]"
