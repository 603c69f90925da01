"""spec.upgrade of a mesh: how it goes from one version to the next, and what status says meanwhile.

Owns these fields and their defaults, but for the data plane's (api/dataplane.py). Must never hold how a
strategy works: core/mesh and core/revision do.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from navarch.api.dataplane import DataPlane
from navarch.api.meta import Model

REVISION_BASED, IN_PLACE = "RevisionBased", "InPlace"
"""The strategies of an upgrade."""
PROGRESS_DEADLINE, GRACE_PERIOD = 600, 300
"""Seconds: the defaults of spec.upgrade."""

Gate = Literal["Automatic", "Manual"]
_GATE = "Manual: it waits until the plan's hash, `status.plan.hash`, is approved. Default: Automatic."


class Approval(Model):
    """Which changes of what runs wait for an approval. Membership and MeshGateways wait for none."""

    minor: Gate | None = Field(None, description=f"Another minor of Istio. {_GATE}")
    patch: Gate | None = Field(
        None,
        description="Another patch of the same minor, also one that a minor as version stands for since "
        f"Navarch or its catalog knows it. {_GATE}",
    )
    config: Gate | None = Field(
        None, description=f"Any other change of what istiod and proxies run with. {_GATE}"
    )


class Upgrade(Model):
    """How the mesh goes from one version to the next."""

    strategy: Literal["RevisionBased", "InPlace"] | None = Field(
        None,
        description="InPlace: one revision, updated where it stands, one minor at a time. RevisionBased: a "
        "new version comes up beside the one that serves, at most two minors on; the tag moves when it is "
        "proved. A change of it leaves what serves as it is, and shows at the next version, which comes up "
        "beside. Default: that of the revision that serves; of a mesh without one, InPlace.",
    )
    canary_config: bool | None = Field(
        None,
        description="RevisionBased: a change of the configuration at the same version comes up beside what "
        "serves, too, as a revision with six digits behind its version: proved before the tag moves, with "
        "proxies of the older one until they are restarted. Default: false, which makes it where the serving "
        "revision stands.",
    )
    progress_deadline_seconds: Annotated[int, Field(ge=1, le=86400)] | None = Field(
        None,
        description="Seconds in which a change of version or configuration is to be proved. After that a "
        "new revision is held (reason UpgradeHeld), and the older one serves on; a revision that is changed "
        "where it stands goes back to what was proved last (reason RolledBack). "
        f"Default: {PROGRESS_DEADLINE}.",
    )
    inactive_revision_grace_period_seconds: Annotated[int, Field(ge=0, le=2592000)] | None = Field(
        None,
        description="RevisionBased: seconds for which a revision that served is kept after nothing uses it "
        f"any more; until then the way back needs no new istiod. Default: {GRACE_PERIOD}.",
    )
    trial_proxy: Literal["Always", "Never"] | None = Field(
        None,
        description="RevisionBased: whether a proxy of Navarch's own, a pod in the mesh's namespace, has to "
        "take the configuration that the new revision sends before the tag moves. Never: the tag moves "
        "without that proof, which is for clusters in which such a pod cannot run. Default: Always.",
    )
    data_plane: DataPlane | None = Field(
        None,
        description="How workloads come to the proxy that the mesh injects. Default: their owners restart "
        "them.",
    )
    approval: Approval | None = Field(None, description="Which changes wait for an approval. Default: none.")
    rollback: bool | None = Field(
        None,
        description="While true the mesh runs with what was proved before its present version and "
        "configuration, which it keeps to whatever the spec asks for; it needs no approval. With "
        "RevisionBased that is the revision before the present one, while it is there. Default: false.",
    )


class UpgradeStatus(Model):
    """An upgrade that is under way: a revision is there, or is to be, to which the tag does not point yet."""

    from_: str = Field(alias="from", max_length=253, description="The revision that serves.")
    to: str = Field(max_length=253, description="The revision to which the tag is to move.")
    phase: Literal["Proving", "Held"] = Field(
        description="Proving: the new revision is made and proved. Held: it was not proved in "
        "progressDeadlineSeconds; the older one serves on, and the tag still moves once it is proved."
    )
    since: str = Field(
        max_length=64,
        json_schema_extra={"format": "date-time"},
        description="When this upgrade was first seen.",
    )
    waiting_for: str | None = Field(
        None, max_length=4096, description="What is missing before the tag moves."
    )


class PlanStatus(Model):
    """A change that waits for an approval."""

    hash: str = Field(
        max_length=64,
        description="What has to be approved, by the annotation mesh.navarch.io/approved or `navarch "
        "approve`: a hash of version and configuration as they are in force and as the spec asks for them. "
        "So an edit of either is another change that needs an approval of its own, and what else the cluster "
        "holds does not matter. It is not the hash in the last line of `navarch plan`.",
    )
    change: Literal["minor", "patch", "config"] = Field(
        description="Which of spec.upgrade.approval holds it: of all that changes, the greatest part."
    )
    from_: str = Field(alias="from", max_length=20, description="Exact version of Istio that runs.")
    to: str = Field(max_length=20, description="Exact version of Istio that the spec resolves to.")
