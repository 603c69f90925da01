"""spec.upgrade.dataPlane of a mesh: who restarts workloads whose proxies are older, how fast, and when.

Owns these fields, their bounds and defaults, and what status says of them. Invariant: every default is the
cautious one, and without the field nothing is restarted.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from navarch.api.gates import Gates, GateStatus
from navarch.api.meta import Model, build_rule

MANAGED = "Managed"
WAVES, MAX_UNAVAILABLE, PARALLELISM, SOAK, DEADLINE = 4, 1, 1, 300, 600
"""Defaults; the last two in seconds."""
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

Namespace = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)]
Day = Literal["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]


class Window(Model):
    """A time in which restarts may begin; those that have begun are not stopped at its end."""

    days: list[Day] | None = Field(
        None,
        min_length=1,
        max_length=7,
        json_schema_extra={"x-kubernetes-list-type": "set"},
        description="Days on which it opens. Default: every day.",
    )
    start: Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$", max_length=5)] = Field(
        description="When it opens, by the clock of timeZone (`22:00`). Where the clocks are put forward "
        "over it, it opens that much later; where they are put back over it, the first time."
    )
    duration_minutes: Annotated[int, Field(ge=1, le=1440)] = Field(
        description="Minutes for which it is open, whatever the clocks do meanwhile."
    )
    time_zone: Annotated[str, Field(pattern=r"^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*$", max_length=64)] = Field(
        description="Time zone by its name in the IANA database (`Europe/Berlin`, `UTC`)."
    )


class DataPlane(Model):
    """How workloads come to the proxy that the mesh injects now."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                build_rule(
                    "!has(self.perNamespaceParallelism) || "
                    "self.perNamespaceParallelism <= (has(self.maxUnavailable) ? self.maxUnavailable : "
                    f"{MAX_UNAVAILABLE})",
                    field=".perNamespaceParallelism",
                    message="no more workloads of one namespace can be restarted at once than of the mesh; "
                    "raise maxUnavailable, or lower this",
                    shown="string(self.perNamespaceParallelism)",
                )
            ]
        }
    )

    mode: Literal["Manual", "Managed"] | None = Field(
        None,
        description="Manual: workloads are restarted by their owners. Managed: Navarch restarts Deployments, "
        "StatefulSets and DaemonSets with older proxies, as `kubectl rollout restart` does, and Rollouts of "
        "Argo, as `kubectl argo rollouts restart` does; that takes the "
        "ClusterRole navarch-rollouts, bound to the operator. To say Managed needs the verb host. "
        "Default: Manual.",
    )
    canary_namespaces: list[Namespace] | None = Field(
        None,
        max_length=100,
        json_schema_extra={"x-kubernetes-list-type": "set"},
        description="Namespaces whose workloads are restarted before all others, in a wave of their own.",
    )
    waves: Annotated[int, Field(ge=1, le=20)] | None = Field(
        None,
        description="Into how many waves the other namespaces are divided, by a hash of their names. A wave "
        f"begins when all before it are done. Default: {WAVES}.",
    )
    max_unavailable: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        None,
        description="How many workloads of the mesh may be in a restart by Navarch at once. "
        f"Default: {MAX_UNAVAILABLE}.",
    )
    per_namespace_parallelism: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        None,
        description="How many of these may be in one namespace; at most maxUnavailable. "
        f"Default: {PARALLELISM}.",
    )
    soak_seconds: Annotated[int, Field(ge=0, le=604800)] | None = Field(
        None,
        description="Seconds between the end of a wave and the first restart of the next one. "
        f"Default: {SOAK}.",
    )
    workload_deadline_seconds: Annotated[int, Field(ge=10, le=86400)] | None = Field(
        None,
        description="Seconds in which all pods of a restarted workload are to be replaced and available. One "
        "that is not, or whose own progressDeadlineSeconds pass before, halts the rollout: nothing more is "
        f"restarted until it is well, or opts out. Default: {DEADLINE}.",
    )
    windows: list[Window] | None = Field(
        None,
        max_length=20,
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
        description="When restarts may begin; in one of them is enough. Default: at any time.",
    )
    gates: Gates | None = Field(
        None,
        description="What has to hold before more workloads are restarted. Default: what each of its fields "
        "says.",
    )
    on_failure: Literal["Halt", "Rollback"] | None = Field(
        None,
        description="What a gate does that has failed for a minute. Halt: nothing more is restarted until it "
        "has passed for a minute. Rollback: the mesh goes back to what was proved before, and the workloads "
        "that were restarted are restarted once more (reason RolledBack). Default: Halt.",
    )
    pause: bool | None = Field(
        None,
        description="While true no restart begins; those that have begun are not stopped. Default: false.",
    )


class DataPlaneStatus(Model):
    """The rollout of the proxies, as it was seen."""

    target: str = Field(max_length=128, description="The proxy that the mesh injects now; empty: unknown.")
    phase: Literal["Waiting", "Rolling", "Soaking", "Halted", "Paused", "Done"] = Field(
        description="Rolling: workloads are being restarted. Soaking: a wave is done, and the next one has "
        "to wait for soakSeconds. Waiting: something else has to come first. Halted: a workload does not "
        "come up, or a gate has failed, and nothing more is restarted. Paused: by dataPlane.pause. Done: "
        "every proxy is current that a restart by Navarch could make current."
    )
    phase_since: str | None = Field(
        None,
        max_length=64,
        json_schema_extra={"format": "date-time"},
        description="Since when it has been in this phase, for this target.",
    )
    wave: int | None = Field(
        None, ge=1, description="The wave that is worked on; that of the canaries, if any, is the first."
    )
    waves: int = Field(ge=1, description="Number of waves, that of the canaries included.")
    since: str | None = Field(
        None,
        max_length=64,
        json_schema_extra={"format": "date-time"},
        description="When this wave was first seen to be the next one.",
    )
    total: int = Field(ge=0, description="Workloads with pods that have a proxy of the mesh.")
    updated: int = Field(ge=0, description="Workloads whose proxies are all current, and that are done.")
    rolling: int = Field(ge=0, description="Workloads that Navarch has restarted and that are not done yet.")
    waiting: int = Field(ge=0, description="Workloads that are to be restarted.")
    manual: int = Field(
        ge=0, description="Workloads with older proxies that Navarch does not restart: the owner has to."
    )
    gates: list[GateStatus] | None = Field(
        None,
        max_length=32,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        description="The gates, while they are asked.",
    )
    waiting_for: str | None = Field(
        None, max_length=4096, description="What is waited for, and for which workloads nothing is done."
    )
