"""What is said of a whole cluster: every rule on a table, and the forms of the report."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO
from typing import Any

import pytest
from navarch.api.controlplane import RESOURCE
from navarch.core.diagnosis.advice import BY_NAVARCH, OF_REASONS, WELL
from navarch.core.diagnosis.cluster import run_rules, run_rules_of_namespace
from navarch.core.diagnosis.conditions import (
    RESUME,
    heed_pause,
    judge_verdicts,
    without_consequences,
    without_echoes,
)
from navarch.core.diagnosis.installations import Installation, Installer
from navarch.core.diagnosis.labels import find_lost_labels
from navarch.core.diagnosis.observed import Lease, Navarch, ObservedCluster, Tagged
from navarch.core.diagnosis.pods import find_asking_pods
from navarch.core.diagnosis.report import CLUSTER, Diagnosis, Report, Subject, order_diagnoses
from navarch.core.diagnosis.routes import OF_ROUTES
from navarch.core.diagnosis.signs import OF_SIGNS, Sign
from navarch.core.membership.selectors import NameCondition
from navarch.core.model.accepted import determine_accepted
from navarch.core.model.conditions import ConditionType, Verdict
from navarch.core.model.findings import Finding, Severity
from navarch.core.model.parent import Parent
from navarch.core.model.reasons import Reason
from navarch.core.model.refs import Ref
from navarch.core.world.cluster import Environment, Namespace, WebhookEntry
from navarch.core.world.proxies import AskingPod, BarePod, ProxyPod, read_asking_pod, read_bare_pod
from rich.console import Console

from tests.unit.observations import NOW, a_mesh, a_webhook, assets

MESH = Subject("MeshControlPlane", "shop", "mesh")
FRESH = Lease("navarch-1", "2026-10-01T11:59:55.123456Z", 15)
INJECTOR = "rev.namespace.sidecar-injector.istio.io"


def a_cluster(**changes: Any) -> ObservedCluster:
    """A cluster in which all is well."""
    tagged = {"matchExpressions": [{"key": "istio.io/rev", "operator": "In", "values": ["prod"]}]}
    observed = ObservedCluster(
        environment=Environment((1, 35), "navarch-system", "navarch-probe"),
        assets=assets(),
        now=NOW,
        navarch=Navarch({"meshcontrolplanes.mesh.navarch.io": ""}, (), FRESH),
        meshes=(a_mesh("shop"),),
        revisions={"shop-mesh-inplace": "1.31.1-new"},
        namespaces={n: Namespace(n, {}) for n in ("navarch-probe", "shop")},
        webhooks=(a_webhook("tag", tag="prod", revision="prod-inplace", entries={INJECTOR: tagged}),),
        owned={},
        proxies=(),
    )
    return replace(observed, **changes)


def with_namespace(**labels: str) -> ObservedCluster:
    """A cluster with a namespace `apps` of these labels."""
    named = {key.replace("istio_io_rev", "istio.io/rev").replace("_", "-"): v for key, v in labels.items()}
    observed = a_cluster()
    return replace(observed, namespaces={**(observed.namespaces or {}), "apps": Namespace("apps", named)})


def with_navarch(**changes: Any) -> ObservedCluster:
    observed = a_cluster()
    return replace(observed, navarch=replace(observed.navarch, **changes))


LEFT = ProxyPod("apps", "web-1", "shop-mesh-inplace", "1.31.1-x")
GONE = ProxyPod("apps", "web-1", "old", "1.30.0-x")
OTHERS = Installation(
    Installer.HELM, "istio-system", "Deployment istiod", "", "1.30.3", "release istiod, deployed"
)
TAGGED = Tagged("virtualservices.networking.istio.io", Subject("VirtualService", "apps", "web"), "shop-mesh")
OWNED = {Parent(MESH.kind, "shop", "past", ""): (Ref("v1", "ConfigMap", "shop", "left"),)}

CASES: dict[Sign | Reason, tuple[ObservedCluster, str]] = {
    Sign.NAVARCH_NOT_INSTALLED: (a_cluster(navarch=Navarch({})), "mesh.navarch.io"),
    Sign.POLICY_MISSING: (with_navarch(missing_policies=("ValidatingAdmissionPolicy p",)), "Policy p"),
    Sign.OPERATOR_NOT_RUNNING: (with_navarch(lease=replace(FRESH, holder="")), "no holder"),
    Sign.PROBE_NAMESPACE_MISSING: (a_cluster(namespaces={}), "navarch-probe"),
    Sign.KUBERNETES_UNSUPPORTED: (
        a_cluster(environment=Environment((1, 28), "navarch-system", "navarch-probe")),
        "1.28",
    ),
    Sign.ORPHANED_OBJECTS: (a_cluster(owned=OWNED), "ConfigMap shop/left"),
    Sign.REVISION_NOT_FOUND: (with_namespace(istio_io_rev="prd"), "istio.io/rev=prd"),
    Reason.LABELS_CONTRADICT: (
        with_namespace(istio_injection="disabled", istio_io_rev="prod"),
        "istio.io/rev=prod",
    ),
    Sign.OBJECTS_LEFT_OUT: (a_cluster(left_out={"ConfigMap": ("shop/a",), "Pod": ()}), "shop/a"),
    Sign.PROXIES_ABANDONED: (a_cluster(proxies=(GONE,)), "web-1"),
    Reason.LABEL_WITHOUT_EFFECT: (with_namespace(istio_injection="true"), "only enabled and disabled"),
    Sign.CONFIGURATION_NOT_READ: (
        a_cluster(tagged=(TAGGED, replace(TAGGED, revision="shop-mesh-inplace"))),
        "kubectl label virtualservices.networking.istio.io web -n apps istio.io/rev- removes the label, "
        "istio.io/rev=shop-mesh-inplace is the revision",
    ),
    Sign.PROXIES_OUTSIDE: (a_cluster(proxies=(LEFT,)), "kubectl -n apps rollout restart deployment"),
    Sign.PODS_NOT_INJECTED: (
        replace(with_namespace(istio_io_rev="shop-mesh"), bare=(BarePod("apps", "web-1"),)),
        "web-1",
    ),
    Sign.PODS_ASK_FOR_INJECTION: (
        replace(with_namespace(), asking=(AskingPod("apps", "web-1", inject="true"),)),
        "kubectl label namespace apps istio.io/rev=shop-mesh, then kubectl -n apps rollout restart",
    ),
    Sign.ANOTHER_ISTIO: (a_cluster(installations=(OTHERS,)), "by Helm (release istiod, deployed)"),
    Reason.ANOTHER_ISTIO_SHARES: (
        a_cluster(installations=(replace(OTHERS, shares=("it is near",)),)),
        "it is near",
    ),
}


def test_a_cluster_in_which_all_is_well_gives_nothing() -> None:
    assert list(run_rules(a_cluster())) == []


@pytest.mark.parametrize("sign", CASES, ids=str)
def test_what_is_not_well_is_said_once_with_its_own_id(sign: Sign | Reason) -> None:
    observed, text = CASES[sign]
    (diagnosis,) = run_rules(observed)
    advice = OF_SIGNS[sign] if isinstance(sign, Sign) else OF_REASONS[sign]
    assert (diagnosis.id, diagnosis.severity) == (sign.value, advice.severity)
    assert text in diagnosis.message
    assert diagnosis.remedy


@pytest.mark.parametrize(
    ("labels", "hint"),
    [
        ({"istio_io_rev": "shopmesh"}, "did you mean istio.io/rev=shop-mesh?"),
        ({"istio_io_rev": "zzz"}, "tags of meshes are shop-mesh"),
        ({"istio_io_rev": "shopmesh"}, "kubectl label namespace apps istio.io/rev=shop-mesh --overwrite"),
        (
            {"istio_injection": "enabled"},
            "no mesh has spec.defaultTag, which istio-injection=enabled",
        ),
        (
            {"istio_injection": "enabled"},
            "kubectl label namespace apps istio-injection- istio.io/rev=shop-mesh",
        ),
    ],
)
def test_a_label_that_no_webhook_answers_is_told_with_the_label_that_was_meant(
    labels: dict[str, str], hint: str
) -> None:
    (diagnosis,) = run_rules(with_namespace(**labels))
    assert diagnosis.id == Sign.REVISION_NOT_FOUND
    assert hint in diagnosis.message


def test_the_column_that_a_remedy_names_is_one_that_kubectl_shows_by_default() -> None:
    assert "column TAG of `kubectl get meshcp -A`" in OF_SIGNS[Sign.REVISION_NOT_FOUND].remedy
    (tag,) = (column for column in RESOURCE.columns if column.name == "Tag")
    assert not tag.wide


@pytest.mark.parametrize(
    ("labels", "hint"),
    [
        ({"maistra.io/member-of": "shop"}, "OpenShift Service Mesh 2"),
        ({"istio.io/dataplane-mode": "ambient"}, "ambient"),
        ({"istio.io/rev": "shop-mesh-inplace"}, "istio.io/rev=shop-mesh"),
    ],
)
def test_labels_of_other_products_and_of_revisions_are_told(labels: dict[str, str], hint: str) -> None:
    observed = a_cluster()
    namespaces = {**(observed.namespaces or {}), "apps": Namespace("apps", labels)}
    (diagnosis,) = run_rules(replace(observed, namespaces=namespaces))
    assert diagnosis.id == Reason.LABEL_WITHOUT_EFFECT
    assert hint in diagnosis.message


def test_pods_that_refuse_injection_and_pods_of_unlabelled_namespaces_are_not_missed() -> None:
    bare = (BarePod("apps", "web-1"),)
    assert list(run_rules(a_cluster(bare=bare))) == []
    refusing = {
        "metadata": {"name": "p", "namespace": "apps", "labels": {"sidecar.istio.io/inject": "false"}}
    }
    on_the_node = {"metadata": {"name": "p", "namespace": "apps"}, "spec": {"hostNetwork": True}}
    plain = {"metadata": {"name": "p", "namespace": "apps"}, "spec": {}}
    assert [read_bare_pod(p) is not None for p in (refusing, on_the_node, plain)] == [False, False, True]


def build_pod(
    labels: dict[str, str] | None = None, annotations: dict[str, str] | None = None, **spec: Any
) -> dict[str, Any]:
    metadata = {"name": "p", "namespace": "apps", "labels": labels, "annotations": annotations}
    return {"metadata": metadata, "spec": spec}


INJECT = "sidecar.istio.io/inject"


@pytest.mark.parametrize(
    ("pod", "bare", "wish"),
    [
        (build_pod(), True, ""),
        (build_pod({INJECT: "true"}), True, f"label {INJECT}=true"),
        (build_pod({}, {INJECT: "true"}), True, f"annotation {INJECT}=true"),
        (build_pod({INJECT: "false"}, {INJECT: "true"}), False, ""),
        (build_pod({INJECT: "true"}, {INJECT: "false"}), True, f"label {INJECT}=true"),
        (build_pod({}, {INJECT: "false"}), False, ""),
        (build_pod({INJECT: "yes"}), True, ""),
        (build_pod({"istio.io/rev": "x"}), False, "label istio.io/rev=x"),
        (build_pod({"istio.io/rev": "x", INJECT: "true"}), False, "label istio.io/rev=x"),
        (build_pod({"istio.io/rev": "x", INJECT: "false"}), False, ""),
        (build_pod({"istio.io/rev": "x"}, {INJECT: "false"}), False, ""),
        (build_pod({INJECT: "true"}, hostNetwork=True), False, ""),
        (build_pod({INJECT: "true"}, {"istio.io/rev": "injected"}), False, ""),
    ],
)
def test_a_pod_asks_or_refuses_by_its_label_before_its_annotation_as_istio_reads_them(
    pod: dict[str, Any], bare: bool, wish: str
) -> None:
    """pkg/kube/inject/inject.go, injectRequired: the label, where there is one, replaces the annotation."""
    asking = read_asking_pod(pod)
    assert (read_bare_pod(pod) is not None, asking.wish if asking else "") == (bare, wish)


UNLABELLED = [{"key": key, "operator": "DoesNotExist"} for key in ("istio-injection", "istio.io/rev")]
STOCK = WebhookEntry(
    "object.sidecar-injector.istio.io",
    "",
    "Fail",
    {"matchExpressions": UNLABELLED},
    {"matchExpressions": [{"key": INJECT, "operator": "In", "values": ["true"]}]},
)
THEIRS = replace(a_webhook("istio-sidecar-injector", revision="default"), entries=(STOCK,))
OUR_OWN = replace(
    a_webhook("ours", parent=Parent("MeshControlPlane", "shop", "mesh")),
    entries=(replace(STOCK, conditions=(NameCondition("shop").build()["expression"],)),),
)
ASKS = AskingPod("apps", "web-1", inject="true")


@pytest.mark.parametrize(
    ("observed", "text"),
    [
        (
            with_namespace(istio_injection="disabled"),
            "kubectl label namespace apps istio-injection- istio.io",
        ),
        (a_cluster(), "label them istio.io/rev=shop-mesh in their templates"),
        (replace(with_namespace(), webhooks=(THEIRS,)), "istio-sidecar-injector, which is not Navarch's"),
        (replace(with_namespace(), webhooks=(OUR_OWN,)), "started before mesh shop/mesh injected pods"),
        (
            replace(with_namespace(), meshes=(a_mesh("shop"), a_mesh("b"))),
            "istio.io/rev=TAG (tags of meshes are b-mesh, shop-mesh), then",
        ),
    ],
    ids=["switched off", "in the mesh's own", "of another Istio", "of ours", "several meshes"],
)
def test_pods_that_ask_by_themselves_are_told_what_helps(observed: ObservedCluster, text: str) -> None:
    where = "apps" if "apps" in (observed.namespaces or {}) else "shop"
    observed = replace(observed, asking=(replace(ASKS, namespace=where),))
    (diagnosis,) = run_rules(observed)
    assert diagnosis.id == Sign.PODS_ASK_FOR_INJECTION
    assert text in diagnosis.message
    assert diagnosis.message.endswith("Pods: web-1")


def test_in_a_namespace_that_is_the_clusters_no_label_is_advised() -> None:
    base = a_cluster(webhooks=(OUR_OWN,), asking=(replace(ASKS, namespace="kube-tools"),))
    namespaces = {**(base.namespaces or {}), "kube-tools": Namespace("kube-tools", {})}
    (diagnosis,) = run_rules(replace(base, namespaces=namespaces))
    assert "never get one here" in diagnosis.message
    assert "kubectl" not in diagnosis.message


def test_pods_that_ask_alike_are_told_together_and_with_the_mesh_that_they_name() -> None:
    named = AskingPod("apps", "a", "shop-mesh")
    asking = (named, replace(named, name="b"), replace(named, revision="shop-mesh-inplace"), ASKS)
    found = list(find_asking_pods(replace(with_namespace(), asking=asking)))
    assert [mesh.name if mesh else None for mesh, _ in found] == ["mesh", "mesh", None]
    assert found[0][1].message.startswith(
        "2 pods without a sidecar ask for one by label istio.io/rev=shop-mesh"
    )


def test_where_the_namespace_itself_asks_or_no_mesh_is_there_pods_are_not_told_again() -> None:
    labelled = replace(with_namespace(istio_io_rev="prod"), asking=(ASKS,))
    assert list(run_rules(labelled)) == []
    assert list(run_rules(replace(with_namespace(), asking=(ASKS,), meshes=()))) == []


def test_of_one_namespace_everything_is_said_that_its_owner_can_mend_and_nothing_else() -> None:
    apps = with_namespace(istio_io_rev="shop-mesh")
    old = replace(LEFT, proxy="1.31.0-old")
    new = replace(LEFT, name="web-2", proxy="1.31.1-new")
    bare = (BarePod("apps", "web-3"), BarePod("others", "web-4"))
    observed = replace(apps, proxies=(old, new, GONE), bare=bare, tagged=(TAGGED,))
    told = {d.id: d.message for d in run_rules_of_namespace(observed, "apps")}
    assert told.keys() == {"ProxiesOutdated", "PodsNotInjected", "ProxiesAbandoned", "ConfigurationNotRead"}
    assert told["ProxiesOutdated"].startswith("1 pod runs an older proxy of mesh shop/mesh: web-1; ")
    assert list(run_rules_of_namespace(observed, "navarch-probe")) == []
    mistyped = with_namespace(istio_io_rev="shopmesh")
    assert [d.id for d in run_rules_of_namespace(mistyped, "apps")] == [Sign.REVISION_NOT_FOUND]


def test_crds_of_an_older_release_are_told_as_the_meshes_conditions_tell_them() -> None:
    (diagnosis,) = run_rules(with_navarch(crds={"a.mesh.navarch.io": "field v1beta1.spec.x"}))
    assert (diagnosis.id, diagnosis.severity) == ("NavarchCRDsOutdated", Severity.ERROR)
    assert "spec.x" in diagnosis.message


@pytest.mark.parametrize(
    ("homes", "deployed", "told"),
    [
        ({"navarch-system"}, {"navarch-system"}, ""),
        ({"navarch-system"}, set(), ""),
        (set(), set(), ""),
        ({"other"}, {"other"}, "installed in navarch-system and other; ClusterRoleBinding navarch gives"),
        ({"other"}, {"navarch-system"}, "its rights to other"),
        ({"navarch-system", "other"}, set(), "its rights to navarch-system, other"),
        ({"navarch-system"}, {"navarch-system", "other"}, "its rights to navarch-system"),
    ],
)
def test_two_installations_are_told(homes: set[str], deployed: set[str], told: str) -> None:
    found = [*run_rules(with_navarch(homes=frozenset(homes), deployed=frozenset(deployed)))]
    assert [d.id for d in found] == (["AnotherInstallation"] if told else [])
    assert all(told in d.message for d in found)


def test_a_look_into_the_wrong_namespace_is_told_where_navarch_is() -> None:
    (diagnosis,) = run_rules(with_navarch(homes=frozenset({"other"}), lease=False))
    assert diagnosis.id == Sign.OPERATOR_NOT_RUNNING
    assert "Navarch's rights are given to namespace other" in diagnosis.message


def test_meshes_whose_deletion_waits_for_an_operator_are_named_where_none_runs() -> None:
    gone = with_navarch(lease=replace(FRESH, holder=""))
    (diagnosis,) = run_rules(replace(gone, leaving=("shop/mesh", "shop/ingress")))
    assert diagnosis.message.endswith("; deleted, and there until it comes: shop/mesh, shop/ingress")
    assert list(run_rules(a_cluster(leaving=("shop/mesh",)))) == [], "an operator runs, and ends it"


def test_every_sign_of_a_rule_has_a_case() -> None:
    of_upgrades = {sign for sign in Sign if sign.doc.startswith("Before an upgrade: ")}
    said_elsewhere = {Sign.NAMESPACE_MISSING, Sign.TOLD_BY_OPERATOR, Sign.NOT_LOOKED_AT}
    elsewhere = {*said_elsewhere, *OF_ROUTES, *of_upgrades}
    assert {sign for sign in CASES if isinstance(sign, Sign)} == set(Sign) - elsewhere


@pytest.mark.parametrize(
    "unseen",
    [
        a_cluster(namespaces=None, owned=OWNED, meshes=None),
        with_navarch(lease=None, missing_policies=None),
        replace(with_namespace(istio_io_rev="prd"), webhooks=None),
        a_cluster(proxies=(GONE,), webhooks=None),
    ],
)
def test_of_what_was_not_looked_at_nothing_is_claimed(unseen: ObservedCluster) -> None:
    assert list(run_rules(unseen)) == []


@pytest.mark.parametrize(
    ("lease", "text"),
    [
        (False, "no operator has ever run"),
        (Lease("navarch-1", "2026-10-01T11:58:00.000000Z", 15), "has not renewed its Lease since"),
        (Lease("navarch-1", "", 15), "has not renewed its Lease since"),
    ],
)
def test_an_operator_that_does_not_lead_is_told_with_what_is_known_of_it(lease: Any, text: str) -> None:
    (diagnosis,) = run_rules(with_navarch(lease=lease))
    assert diagnosis.id == Sign.OPERATOR_NOT_RUNNING
    assert text in diagnosis.message


@pytest.mark.parametrize(
    "observed",
    [
        with_namespace(istio_io_rev="prod"),
        with_namespace(istio_io_rev="shop-mesh"),  # a mesh that is being set up: its own conditions tell
        with_namespace(istio_injection="disabled"),
        with_namespace(istio_io_rev=""),
        with_namespace(),
    ],
)
def test_a_namespace_that_is_answered_or_asks_for_nothing_is_left_alone(observed: ObservedCluster) -> None:
    assert list(run_rules(observed)) == []


def test_injection_by_the_bare_label_needs_a_webhook_that_asks_for_it() -> None:
    asks = {"matchExpressions": [{"key": "istio-injection", "operator": "In", "values": ["enabled"]}]}
    everything: dict[str, Any] = {}
    observed = with_namespace(istio_injection="enabled")
    for selector, expected in ((asks, []), (everything, ["RevisionNotFound"])):
        webhook = a_webhook("any", revision="x", entries={INJECTOR: selector})
        assert [d.id for d in run_rules(replace(observed, webhooks=(webhook,)))] == expected


# --- ids ---------------------------------------------------------------------------------------------------


def test_every_reason_is_either_good_news_or_advised_about() -> None:
    assert set(OF_REASONS) | WELL == set(Reason)
    assert not set(OF_REASONS) & WELL
    assert set(OF_SIGNS) == set(Sign)


def test_no_sign_is_called_like_a_reason() -> None:
    assert not {s.value for s in Sign} & {r.value for r in Reason}


@pytest.mark.parametrize("check", ["error", "warning"])
def test_severities_of_reasons_are_those_of_their_findings(check: str) -> None:
    from tests.unit.test_checks import BAD_INPUT, NOTICES

    if check == "error":
        assert {OF_REASONS[reason].severity for reason in BAD_INPUT} == {Severity.ERROR}
    else:
        assert {r: OF_REASONS[r].severity for r in NOTICES} == {r: s for r, (s, _) in NOTICES.items()}


# --- conditions --------------------------------------------------------------------------------------------


def test_conditions_that_are_well_say_nothing_and_the_others_say_their_own_words() -> None:
    verdicts = {
        ConditionType.READY: Verdict("False", Reason.ROLLOUT_STUCK, "stuck"),
        ConditionType.AVAILABLE: Verdict("True", Reason.AS_EXPECTED),
        ConditionType.PROGRESSING: Verdict("True", Reason.ROLLOUT_STUCK, "stuck"),
        ConditionType.UP_TO_DATE: Verdict("False", Reason.ROLLOUT_STUCK, "stuck"),
        ConditionType.PAUSED: Verdict("False", Reason.NOT_PAUSED),
        ConditionType.DEPENDENCIES_READY: Verdict("True", Reason.CRDS_FOREIGN, "theirs"),
        ConditionType.INJECTION_READY: Verdict("Unknown", Reason.NOT_YET_DETERMINED),
    }
    found = {d.id: d for d in judge_verdicts(MESH, verdicts)}
    assert set(found) == {"RolloutStuck", "CRDsForeign", "NotYetDetermined"}
    assert found["RolloutStuck"].conditions == ("Progressing", "UpToDate")
    assert found["RolloutStuck"].message == "stuck"
    assert found["NotYetDetermined"].message == Reason.NOT_YET_DETERMINED.doc


def test_what_a_mesh_repeats_of_its_revision_is_said_once() -> None:
    verdicts = {ConditionType.AVAILABLE: Verdict("False", Reason.NO_REPLICA_AVAILABLE, "none")}
    mesh = list(judge_verdicts(MESH, verdicts))
    revision = Subject("MeshRevision", "shop", "shop-mesh-inplace")
    more = verdicts | {ConditionType.RECONCILED: Verdict("False", Reason.APPLY_FAILED, "no")}
    assert [d.id for d in without_echoes(mesh, judge_verdicts(revision, more))] == ["ApplyFailed"]


def test_of_a_refused_spec_with_nothing_installed_no_remedy_is_to_wait() -> None:
    refused = told(Reason.UNKNOWN_VERSION, ConditionType.SPEC_ACCEPTED)
    follows = [
        told(Reason.NOT_INSTALLED, ConditionType.AVAILABLE),
        told(Reason.WEBHOOK_MISSING, ConditionType.INJECTION_READY),
        told(Reason.INVALID_SPEC, ConditionType.UP_TO_DATE),
    ]
    denied = told(Reason.ADMISSION_DENIED, ConditionType.RECONCILED)
    assert list(without_consequences([refused, *follows, denied])) == [refused, denied]
    assert list(without_consequences(follows)) == follows
    installed = [refused, told(Reason.NOT_YET_DETERMINED, ConditionType.INJECTION_READY)]
    assert list(without_consequences(installed)) == installed


def test_a_condition_that_says_several_things_names_the_id_of_each() -> None:
    first = Finding(Reason.UNKNOWN_VERSION, "spec.version", "9", "is unknown", "choose another")
    second = replace(first, reason=Reason.TAG_CONFLICT, field="spec.tag")
    notice = replace(first, reason=Reason.UNKNOWN_FIELD, severity=Severity.WARNING)
    verdict = determine_accepted([notice, first, second])
    assert (verdict.status, verdict.reason) == ("False", Reason.UNKNOWN_VERSION)
    assert verdict.message == f"{first}; TagConflict: {second}; UnknownField: {notice}"
    assert determine_accepted([notice]) == Verdict("True", Reason.UNKNOWN_FIELD, str(notice))


# --- the report --------------------------------------------------------------------------------------------


def a_diagnosis(id: str, severity: Severity) -> Diagnosis:
    return Diagnosis(id, severity, CLUSTER, "message", "remedy")


def test_the_worst_comes_first_and_nothing_is_said_twice() -> None:
    some = [
        a_diagnosis(s.value, s) for s in (Severity.INFO, Severity.ERROR, Severity.WARNING, Severity.ERROR)
    ]
    assert [d.severity for d in order_diagnoses(some)] == [Severity.ERROR, Severity.WARNING, Severity.INFO]


@pytest.mark.parametrize("worst", Severity)
def test_the_exit_code_is_the_worst_severitys(worst: Severity) -> None:
    from navarch.cli.check import determine_exit

    diagnoses = tuple(
        a_diagnosis(s.value, s) for s in Severity if list(Severity).index(s) >= list(Severity).index(worst)
    )
    report = Report("1", (1, 35), (), diagnoses)
    assert (report.worst, int(determine_exit(report))) == (
        worst,
        {"error": 2, "warning": 1, "info": 0}[worst],
    )


def test_a_report_without_a_finding_is_well() -> None:
    from navarch.cli.check import determine_exit

    report = Report("1", (1, 35), (MESH,), ())
    assert determine_exit(report) == 0
    assert report.to_json() == {
        "schema": 1,
        "navarch": "1",
        "kubernetes": "1.35",
        "worst": "info",
        "counts": {"error": 0, "warning": 0, "info": 0},
        "meshes": [{"kind": "MeshControlPlane", "namespace": "shop", "name": "mesh"}],
        "installations": [],
        "findings": [],
    }


@pytest.mark.parametrize(("environment", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_severities_are_coloured_on_terminals_that_want_it(
    environment: dict[str, str], coloured: bool
) -> None:
    from navarch.cli.check import print_text

    out = StringIO()
    console = Console(file=out, force_terminal=True, _environ={"TERM": "xterm", **environment})
    print_text(Report("1", (1, 35), (), (a_diagnosis("Word", Severity.ERROR),)), console)
    assert ("\x1b[1;31m" in out.getvalue()) is coloured
    assert "Word" in out.getvalue()


def test_every_id_has_a_heading_in_the_reference() -> None:
    from scripts.reference_checks import build_checks_page

    page = build_checks_page()
    for word in (*OF_REASONS, *OF_SIGNS):
        assert f"\n### {word.value}\n" in page


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("kube-tools", "namespaces whose name begins with kube- are the cluster's"),
        ("openshift-x", "namespaces whose name begins with openshift- are the cluster's"),
        ("navarch-system", "the operator runs in it"),
        ("navarch-probe", "it is kept for the operator's dry-run pods"),
        ("ops", "it holds mesh ops/mesh"),
    ],
)
@pytest.mark.parametrize(
    "label", ["istio.io/rev=shop-mesh", "istio.io/rev=shop-mesh-inplace", "istio-injection=enabled"]
)
def test_a_label_that_can_never_count_is_named_with_mesh_reason_and_remedy(
    name: str, why: str, label: str
) -> None:
    key, _, value = label.partition("=")
    observed = a_cluster(meshes=(a_mesh("shop", default_tag=True), a_mesh("ops")))
    labelled = {**(observed.namespaces or {}), name: Namespace(name, {key: value})}
    bare = (BarePod(name, "web-1"),)
    (diagnosis,) = run_rules(replace(observed, namespaces=labelled, bare=bare))
    assert diagnosis.id == Reason.LABEL_WITHOUT_EFFECT
    assert diagnosis.subject == Subject("Namespace", "", name)
    for said in (label, "mesh shop/mesh", why, f"kubectl label namespace {name} {key}-"):
        assert said in diagnosis.message


def test_a_label_that_counts_is_no_lost_label() -> None:
    observed = a_cluster(meshes=(a_mesh("shop"), a_mesh("ops")))
    for name, value in (("shop", "shop-mesh"), ("ops", "ops-mesh"), ("kubernetes", "shop-mesh")):
        labelled = {**(observed.namespaces or {}), name: Namespace(name, {"istio.io/rev": value})}
        assert list(find_lost_labels(replace(observed, namespaces=labelled))) == []


@pytest.mark.parametrize("revision", ["shop-mesh-inplace", "canary", "default"])
def test_configuration_that_names_a_revision_or_nothing_of_ours_is_in_order(revision: str) -> None:
    assert list(run_rules(a_cluster(tagged=(replace(TAGGED, revision=revision),)))) == []


def test_configuration_that_names_the_default_tag_of_a_mesh_is_told() -> None:
    observed = a_cluster(
        meshes=(a_mesh("shop", default_tag=True),), tagged=(replace(TAGGED, revision="default"),)
    )
    (diagnosis,) = run_rules(observed)
    assert diagnosis.id == Sign.CONFIGURATION_NOT_READ
    assert "istio.io/rev=default is a tag of mesh shop/mesh" in diagnosis.message


def paused_mesh(paused: bool = True) -> dict[str, Any]:
    return {"spec": {"version": "1.31", "paused": paused}}


def told(reason: Reason, *conditions: ConditionType) -> Diagnosis:
    advice = OF_REASONS[reason]
    said = tuple(kind.value for kind in conditions)
    return Diagnosis(reason.value, advice.severity, MESH, "it is so", advice.remedy, said)


@pytest.mark.parametrize("reason", sorted(OF_REASONS))
def test_no_remedy_of_a_paused_mesh_waits_for_navarch(reason: Reason) -> None:
    (heeded,) = heed_pause(paused_mesh(), [told(reason, ConditionType.RECONCILED)])
    (as_ever,) = heed_pause(paused_mesh(False), [told(reason, ConditionType.RECONCILED)])
    assert as_ever.remedy == OF_REASONS[reason].remedy
    if reason in BY_NAVARCH:
        assert heeded.remedy == RESUME
    elif reason in (Reason.PAUSED, Reason.PROXIES_MISPLACED, Reason.PROXIES_OUTDATED, Reason.ROLLING_OUT):
        assert heeded.remedy == as_ever.remedy
    else:
        assert heeded.remedy == f"{RESUME} Then: {as_ever.remedy}"


def test_what_is_wrong_in_the_spec_of_a_paused_mesh_is_corrected_there_as_ever() -> None:
    wrong = told(Reason.UNKNOWN_FIELD, ConditionType.SPEC_ACCEPTED)
    assert list(heed_pause(paused_mesh(), [wrong])) == [wrong]


@pytest.mark.parametrize("reason", sorted({*OF_REASONS} - WELL))
def test_a_warning_in_spec_accepted_is_quoted_although_that_is_true(reason: Reason) -> None:
    """Who may read only the mesh is told what its conditions say."""
    verdicts = {ConditionType.SPEC_ACCEPTED: Verdict("True", reason, "a warning")}
    assert [d.id for d in judge_verdicts(MESH, verdicts)] == [reason.value]
