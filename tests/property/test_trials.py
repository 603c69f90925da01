"""Random pods of a trial proxy, and random moments of an upgrade: which of them prove anything, and when the
proxy is there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache

from hypothesis import given
from hypothesis import strategies as st
from navarch.core.mesh.observed import ObservedMesh
from navarch.core.mesh.trial import build_trial, plan_trial, tell_untried
from navarch.core.model.labels import ISTIO_INJECTION, ISTIO_REV, TEMPLATE
from navarch.core.model.refs import Manifest, Ref, ref_of
from navarch.core.offline import observe_offline
from navarch.core.world.cluster import Namespace, Webhook, WebhookEntry
from navarch.core.world.trial import TrialPod

from tests.golden.rendering import (
    ASSETS,
    ENVIRONMENT,
    NAMESPACE,
    build_mesh,
    find_one,
    render_mesh,
)

TAG = "mesh-a-basic"
SPECS = ("Always", "Never", None)


@cache
def an_upgrade(wish: str | None) -> tuple[ObservedMesh, Manifest, str]:
    """A mesh whose spec says `wish` of trials, the MeshRevision that it asks for, and what its trial's pods
    are made from."""
    spec = {"upgrade": {"strategy": "RevisionBased", **({"trialProxy": wish} if wish else {})}}
    observed = observe_offline(build_mesh(spec), ASSETS, ENVIRONMENT, profiles={})
    objects = render_mesh(spec)
    asked, injector = (
        find_one(objects, "MeshRevision"),
        find_one(objects, "MutatingWebhookConfiguration", "istio-sidecar-injector"),
    )
    entries = tuple(
        WebhookEntry(e["name"], "root", "Fail", e["namespaceSelector"], e["objectSelector"])
        for e in injector["webhooks"]
    )
    webhook = Webhook(ref_of(injector), observed.parent, asked["metadata"]["name"], "", entries)
    observed = replace(observed, webhooks=(webhook,))
    _, workload = build_trial(observed, asked)
    return observed, asked, workload["spec"]["template"]["metadata"]["labels"][TEMPLATE]


NAME = an_upgrade(None)[1]["metadata"]["name"]
pods = st.lists(
    st.builds(
        TrialPod,
        st.sampled_from(("a", "b")),
        st.sampled_from(("", "another", an_upgrade(None)[2])),
        revision=st.sampled_from(("", NAME, f"{TAG}-1-30-8")),
        ready=st.booleans(),
        leaving=st.booleans(),
        problem=st.sampled_from(("", "pod a: ErrImagePull: gone")),
    ),
    max_size=4,
)
labels = st.dictionaries(
    st.sampled_from((ISTIO_REV, ISTIO_INJECTION, "team")), st.sampled_from((TAG, NAME, "enabled"))
)


def place(observed: ObservedMesh, labels: Mapping[str, str]) -> ObservedMesh:
    return replace(observed, namespaces={NAMESPACE: Namespace(NAMESPACE, labels)})


@given(seen=pods, wish=st.sampled_from(SPECS), labels=labels)
def test_only_a_ready_pod_that_this_revision_injected_for_this_input_proves_anything(
    seen: list[TrialPod], wish: str | None, labels: Mapping[str, str]
) -> None:
    observed, asked, template = an_upgrade(wish)
    told = tell_untried(replace(place(observed, labels), trial=tuple(seen)), asked)
    proves = any(p.ready and not p.leaving and (p.template, p.revision) == (template, NAME) for p in seen)
    assert (told == "") == (proves or wish == "Never")
    assert not told or "spec.upgrade.trialProxy: Never" in told


@given(wish=st.sampled_from(SPECS), labels=labels, upgrading=st.booleans(), due=st.booleans())
def test_it_is_there_while_the_tag_is_to_move_and_is_made_where_it_can_prove_something(
    wish: str | None, labels: Mapping[str, str], upgrading: bool, due: bool
) -> None:
    observed, asked, template = an_upgrade(wish)
    observed = place(observed, labels)
    trial = plan_trial(observed, asked, upgrading=upgrading, due=due)
    made = {ref_of(o) for o in (*trial.accounts, *trial.workloads)}
    assert made <= trial.kept
    assert bool(trial.kept) == (upgrading and wish != "Never")
    silent = ISTIO_REV not in labels and ISTIO_INJECTION not in labels
    assert bool(made) == (bool(trial.kept) and due and silent)
    assert all(ref.namespace == NAMESPACE and ref.name == f"istio-trial-{NAME}" for ref in trial.kept)
    assert not made or Ref("apps/v1", "Deployment", NAMESPACE, f"istio-trial-{NAME}") in made
    stamped = [o["spec"]["template"]["metadata"]["labels"][TEMPLATE] for o in trial.workloads]
    assert stamped in ([], [template])
