"""spec.upgrade.dataPlane.gates of a mesh: what has to hold before more workloads are restarted.

Owns these fields, their bounds and defaults, and what status says of them. Must never hold how a gate is
asked or judged: gather/gates.py and core/rollout/gates.py do. Invariant: a gate of which nothing is known
lets nothing pass.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from navarch.api.meta import Model, Name, build_rule

IGNORED, ROLLBACK = "Ignored", "Rollback"
PROXIES = "proxies"
"""The gate that every mesh has unless it says otherwise."""
TIMEOUT = 10
"""Seconds in which whoever is asked has to answer, by default."""
PLACEHOLDER = "$(NAMESPACES)"
"""In a query: a regular expression of the namespaces in which workloads were restarted."""

_SERVER = r"^https?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?"
_PATH = r"(/[A-Za-z0-9._~%!$&'()*+,;=:@/-]*)?"
Base = Annotated[str, Field(pattern=f"{_SERVER}{_PATH}$", max_length=1024)]
URL = Annotated[
    str, Field(pattern=_SERVER + _PATH + r"(\?[A-Za-z0-9._~%!$&'()*+,;=:@/?-]*)?$", max_length=1024)
]
Bound = Annotated[str, Field(pattern=r"^-?[0-9]{1,15}(\.[0-9]{1,15})?$", max_length=32)]
Bundle = Annotated[str, Field(pattern=r"^[A-Za-z0-9+/]+={0,2}$", max_length=65536)]
Seconds = Annotated[int, Field(ge=1, le=30)]

_BUNDLE = "Certificates in PEM, base64, that sign the server's; default: those of the operator's image."
_TIMEOUT = f"Seconds in which it has to answer; else it is asked again. Default: {TIMEOUT}."


class Query(Model):
    """A question to Prometheus, and the values with which workloads may be restarted."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                build_rule(
                    "has(self.min) || has(self.max)",
                    field=".min",
                    message="a query without a bound lets everything pass; set min, max or both",
                    shown="self.name",
                ),
                build_rule(
                    "!has(self.min) || !has(self.max) || double(self.min) <= double(self.max)",
                    field=".max",
                    message="no value is at least min and at most max; raise max, or lower min",
                    shown="self.max",
                ),
            ]
        }
    )

    name: Name = Field(description="Name of the gate, in status and messages.")
    query: Annotated[str, Field(min_length=1, max_length=4096)] = Field(
        description="PromQL that gives a number, or a vector of which each has to be within the bounds. "
        f"{PLACEHOLDER} stands for the namespaces in which workloads were restarted, for a matcher `=~`. No "
        "value, or one that is not a number, lets nothing pass."
    )
    min: Bound | None = Field(None, description='The least that lets pass (`"0.99"`).')
    max: Bound | None = Field(None, description='The most that lets pass (`"250"`).')


class Prometheus(Model):
    """Where the mesh's metrics are, and what is asked there."""

    url: Base = Field(
        description="The server's address as the operator reaches it (`http://prometheus.monitoring:9090`); "
        "/api/v1/query is asked beneath it, without credentials."
    )
    ca_bundle: Bundle | None = Field(None, description=_BUNDLE)
    timeout_seconds: Seconds | None = Field(None, description=_TIMEOUT)
    queries: list[Query] = Field(
        min_length=1,
        max_length=20,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        description="The questions, each a gate of its own.",
    )


class Webhook(Model):
    """Somebody who is asked by HTTP. 2xx lets workloads be restarted, 4xx does not; after anything else (408,
    425 and 429 too) and after no answer, nothing is restarted and it is asked again."""

    name: Name = Field(description="Name of the gate, in status and messages.")
    url: URL = Field(
        description="Where a POST goes to, as the operator reaches it. Its body is JSON: mesh (namespace, "
        "name), target, wave, waves, and namespaces, in which workloads were restarted. No redirect is "
        "followed."
    )
    ca_bundle: Bundle | None = Field(None, description=_BUNDLE)
    timeout_seconds: Seconds | None = Field(None, description=_TIMEOUT)


class Gates(Model):
    """What has to hold of the workloads that were restarted before more are. Asked every ten seconds from the
    first restart until the last."""

    proxies: Literal["Required", "Ignored"] | None = Field(
        None,
        description="Required: the proxies of restarted workloads have their configuration from istiod and "
        "refuse none of it, and istiod counts no more refusals than before. They are asked by the API "
        "server's pod proxy. Default: Required.",
    )
    workloads: Literal["Required", "Ignored"] | None = Field(
        None,
        description="Required: workloads that were restarted have all pods that they should have available, "
        "also after the restart. Default: Required.",
    )
    prometheus: Prometheus | None = Field(None, description="Questions to a Prometheus. Default: none.")
    webhooks: list[Webhook] | None = Field(
        None,
        max_length=10,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        description="Others who are asked. Default: nobody.",
    )


class GateStatus(Model):
    """What was last known of a gate."""

    name: str = Field(max_length=80, description="proxies, query/NAME, or webhook/NAME.")
    state: Literal["Passed", "Failed", "Unknown"] = Field(
        description="Failed and Unknown let nothing be restarted; only Failed leads to onFailure."
    )
    message: str | None = Field(None, max_length=1024, description="What was found, and what was expected.")
