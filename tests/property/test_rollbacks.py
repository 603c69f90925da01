"""Whatever is asked for in whatever order, and however often the operator starts anew: a mesh ends at what
its spec asks for if that can be proved, else at what was proved last, and each change is written once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from navarch.core.mesh.observed import ObservedMesh
from navarch.core.mesh.plan import build_wanted_revision
from navarch.core.mesh.rollback import fall_back, read_return
from navarch.core.model.actions import Plan, Wave
from navarch.core.model.conditions import ConditionType, Verdict, merge_conditions, summarise_ready
from navarch.core.model.hashing import stable_hash
from navarch.core.model.labels import REVISION
from navarch.core.model.reasons import Reason
from navarch.core.model.refs import Manifest, Ref
from navarch.core.revision.observed import ObservedRevision
from navarch.core.revision.proof import hash_input, hold_overdue, summarise_proof
from navarch.core.world.cluster import Environment, Webhook, WebhookEntry

from tests.unit.observations import ADMISSION, MUTATING, PARENT, VALIDATING, a_spec, an_observed_mesh, assets

SPECS: dict[str, dict[str, Any]] = {
    "first": {"version": "1.30.7"},
    "strict": {"version": "1.30.7", "mtls": {"mode": "Strict"}},
    "patch": {"version": "1.30.8"},
    "minor": {"version": "1.31.4"},
}
DEADLINE = 600
ROOT = "root"


@cache
def observe(name: str, retries: int) -> ObservedMesh:
    observed = an_observed_mesh(spec=a_spec(**SPECS[name]))
    if retries:
        annotations = {"annotations": {"mesh.navarch.io/retry": str(retries)}}
        body = {**observed.body, "metadata": {**observed.body["metadata"], **annotations}}
        return an_observed_mesh(spec=a_spec(**SPECS[name]), body=body)
    return observed


@cache
def build_wanted(name: str) -> Manifest:
    wanted = build_wanted_revision(observe(name, 0))
    assert wanted is not None
    return wanted


def build_deployment(revision: Manifest, *, serves: bool) -> Manifest:
    """istiod's Deployment as it is rolled out for a MeshRevision."""
    counts = {"replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}
    made = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "istiod", "labels": {REVISION: revision["metadata"]["name"]}},
        "spec": {"input": stable_hash(revision["spec"])},
    }
    annotations = {"mesh.navarch.io/applied": stable_hash(made)}
    status = counts if serves else {**counts, "replicas": 2}
    return {**made, "metadata": {**made["metadata"], "annotations": annotations}, "status": status}


class Mesh:
    """A mesh and its MeshRevision in memory; nothing else is kept from look to look."""

    def __init__(self) -> None:
        self.now = datetime(2026, 10, 1, tzinfo=UTC)
        self.spec, self.retries, self.changes = "first", 0, 0
        self.good = dict.fromkeys(SPECS, True)
        self.there: Manifest | None = None

    def look(self) -> bool:
        """One look at the mesh and one at its revision; whether either wrote anything but status."""
        wanted, observed = build_wanted(self.spec), observe(self.spec, self.retries)
        there = self.there
        if there is not None:
            observed = an_observed_mesh(spec=observed.body["spec"], body=observed.body, revisions=(there,))
            wanted, _ = fall_back(observed, wanted, fixed=False)
        told = {k: (there or {}).get(k, {}) for k in ("spec", "status")}
        before = (told["spec"], there and read_return(there))
        wrote = before != (wanted["spec"], read_return(wanted))
        self.changes += wrote
        generation = there["metadata"]["generation"] if there is not None else 0
        generation += told["spec"] != wanted["spec"]
        metadata = {**wanted["metadata"], "generation": generation}
        self.there = {**wanted, "metadata": metadata, "status": told["status"]}
        self.there = {**self.there, "status": self._summarise(self.there)}
        return wrote

    def _summarise(self, revision: Manifest) -> dict[str, Any]:
        deployment = build_deployment(revision, serves=self._serves(revision))
        wanted = {key: value for key, value in deployment.items() if key != "status"}
        metadata = {key: value for key, value in wanted["metadata"].items() if key != "annotations"}
        plan = Plan(PARENT, (Wave("workload", ({**wanted, "metadata": metadata},)),))
        entry = (WebhookEntry("entry", ROOT, "Fail", {}, {}),)
        now = self.now.isoformat()
        observed = ObservedRevision(
            environment=Environment((1, 35), "navarch-system", "navarch-probe"),
            assets=assets(),
            parent=PARENT,
            body=revision,
            mesh={"spec": {"upgrade": {"progressDeadlineSeconds": DEADLINE}}},
            namespace=None,
            owned=(deployment,),
            now=now,
            webhooks=tuple(
                Webhook(Ref(ADMISSION, kind, "", "hook"), PARENT, "", "", entry)
                for kind in (MUTATING, VALIDATING)
            ),
            root=ROOT,
        )
        serves = self._serves(revision)
        rolling = Verdict("False", Reason.SETTLED) if serves else Verdict("True", Reason.ROLLOUT_STUCK, "why")
        progressing = hold_overdue(observed, plan, rolling)
        ready = summarise_ready([Verdict("True" if serves else "False", progressing.reason)])
        previous = revision["status"].get("conditions") or ()
        conditions = merge_conditions(
            previous, {ConditionType.PROGRESSING: progressing}, generation=observed.generation, now=now
        )
        return {"conditions": conditions, **summarise_proof(observed, ready=ready)}

    def _serves(self, revision: Manifest) -> bool:
        return self.good[self.find_spec(revision)]

    def find_spec(self, revision: Manifest) -> str:
        """Which of the specs a MeshRevision stands at."""
        keys = ("version", "config")
        (name,) = (
            name
            for name in SPECS
            if [build_wanted(name)["spec"][k] for k in keys] == [revision["spec"][k] for k in keys]
        )
        return name


steps = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.sampled_from(sorted(SPECS))),
        st.tuples(st.just("break"), st.sampled_from(sorted(SPECS))),
        st.tuples(st.just("repair"), st.sampled_from(sorted(SPECS))),
        st.tuples(st.just("wait"), st.integers(1, 2 * DEADLINE)),
        st.tuples(st.just("retry"), st.just(0)),
        st.tuples(st.just("look"), st.just(0)),
    ),
    max_size=25,
)


@given(steps)
def test_a_mesh_ends_at_what_can_be_proved_and_never_turns_round_by_itself(
    steps: list[tuple[str, Any]],
) -> None:
    mesh = Mesh()
    mesh.look()
    mesh.look()
    asked = 1
    for step, value in steps:
        if step == "ask":
            asked += value != mesh.spec
            mesh.spec = value
        elif step in ("break", "repair"):
            mesh.good[value] = step == "repair"
        elif step == "wait":
            mesh.now += timedelta(seconds=value)
        elif step == "retry":
            mesh.retries += 1
            asked += 1
        mesh.look()
        assert mesh.changes <= 2 * asked, "there, and back once, for each thing that was asked for"
    for _ in range(3):
        mesh.look()
        mesh.now += timedelta(seconds=2 * DEADLINE)
    changes = mesh.changes
    for _ in range(3):
        assert not mesh.look()
        mesh.now += timedelta(seconds=2 * DEADLINE)
    assert mesh.changes == changes
    assert mesh.there is not None
    assert mesh.there["status"]["proved"][0]["hash"] == hash_input(mesh.there["spec"])
    assert (mesh.find_spec(mesh.there) == mesh.spec) == (read_return(mesh.there) is None), "it says why"
    mesh.good[mesh.spec] = True
    mesh.retries += 1
    for _ in range(3):
        mesh.look()
    assert mesh.find_spec(mesh.there) == mesh.spec
