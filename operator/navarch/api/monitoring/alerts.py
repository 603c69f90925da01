"""Every alert of Navarch: the situations that need a person.

Owns the table from which the rules, the index of runbooks and the guide are made; docs/runbooks/<id>.md is
the page of each. Must never fire for what mends itself in its time, nor for what nobody can act on.
Invariants: an expression keeps the labels that its texts name and drops those of the replica, unless it
speaks of one; ids never change once released.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from navarch.api.olm.listing import SITE

RUNBOOKS = f"{SITE}/docs/runbooks"


class Severity(StrEnum):
    """Whether somebody has to come now."""

    CRITICAL = "critical"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Alert:
    """`id` names the runbook; `expr` is true while it is so, and `lasts` for how long before it is told;
    `summary` and `description` are templates of Prometheus."""

    id: str
    expr: str
    lasts: str
    severity: Severity
    summary: str
    description: str

    @property
    def name(self) -> str:
        """The alert's name: the id in CamelCase."""
        return "Navarch" + "".join(word.capitalize() for word in self.id.split("-"))

    @property
    def runbook(self) -> str:
        """The address of its page."""
        return f"{RUNBOOKS}/{self.id}"


def _of_objects(selector: str, *, value: int) -> str:
    return f"max by (kind, namespace, name) (navarch_condition{{{selector}}}) == {value}"


def _in_phase(what: str, phase: str) -> str:
    return f'max by (namespace, mesh) (navarch_{what}_phase{{phase="{phase}"}}) == 1'


def _returns(metric: str, window: int) -> str:
    """Grew in each of the last three windows of so many minutes: once is not again and again."""
    by = "sum by (kind, namespace, name)"
    offsets = ("", f" offset {window}m", f" offset {2 * window}m")
    return " and ".join(f"({by} (increase({metric}[{window}m]{offset})) > 0)" for offset in offsets)


def _count_requests(selector: str = "") -> str:
    return f"sum by (instance) (increase(navarch_rest_client_requests_total{selector}[5m]))"


_NOT_READY = 'type="Ready",status="True"'


def _of_meshes(condition: str, *, value: int = 1) -> str:
    return _of_objects(f'kind="MeshControlPlane",type="{condition}",status="True"', value=value)


_UNREADY = f"{_of_meshes('Ready', value=0)} unless {_of_meshes('Deleting')}"
_SERVES = f"({_of_meshes('Available')} and {_of_meshes('InjectionReady')})"
"""That an istiod is available, and pods are injected, is proved: then nobody has to come at night."""
_UPGRADES = (
    'label_replace(max by (namespace, mesh) (navarch_upgrade_phase) == 1, "name", "$1", "mesh", "(.+)")'
)
"""Meshes on their way to another revision, by the label that conditions have: `upgrade-held` is theirs."""
_UNANSWERED = '{code=~"0|5.."}'
_ENDS, _BEGINS = (f"navarch_metrics_certificate_not_{when}_timestamp_seconds" for when in ("after", "before"))
_IDLE = (
    "(navarch_workqueue_depth > 0 and on (instance) navarch_leader_election_master_status == 1) unless on "
    "(instance) sum by (instance) (increase(navarch_reconcile_total[10m])) > 0"
)

_GATEWAY_ENDS = "navarch_gateway_certificate_not_after_timestamp_seconds"
_TOLD = 'navarch_condition{kind="MeshGateway",type="CertificatesValid",status="False"} == 1'
"""A certificate that is made for a few days is not told in its first half (core/world/certificates.py)."""

ALERTS: tuple[Alert, ...] = (
    Alert(
        "mesh-not-ready",
        f"{_UNREADY} unless {_SERVES}",
        "15m",
        Severity.CRITICAL,
        "Mesh {{ $labels.namespace }}/{{ $labels.name }} is not Ready, and may not serve.",
        "For 15 minutes the condition Ready of MeshControlPlane {{ $labels.name }} in "
        "{{ $labels.namespace }} has not been True, and it is not proved that an istiod is available and "
        "that pods are injected; its message says why.",
    ),
    Alert(
        "mesh-not-as-asked",
        f"{_UNREADY} and {_SERVES} unless on (namespace, name) {_UPGRADES}",
        "15m",
        Severity.WARNING,
        "Mesh {{ $labels.namespace }}/{{ $labels.name }} serves, and is not as its spec asks.",
        "For 15 minutes an istiod of MeshControlPlane {{ $labels.name }} in {{ $labels.namespace }} has been "
        "available and pods have been injected, and what the spec asks for is refused, taken back, not "
        "written or not Ready; the message of the condition Ready says which.",
    ),
    Alert(
        "gateway-not-ready",
        _of_objects(f'kind="MeshGateway",{_NOT_READY}', value=0),
        "15m",
        Severity.CRITICAL,
        "Gateway {{ $labels.namespace }}/{{ $labels.name }} is not Ready.",
        "The condition Ready of MeshGateway {{ $labels.name }} in {{ $labels.namespace }} has not been True "
        "for 15 minutes; its message says why.",
    ),
    Alert(
        "gateway-certificate-expires",
        f"(min by (namespace, name, secret) ({_GATEWAY_ENDS}) - time() < 604800) "
        f"and on (namespace, name) {_TOLD}",
        "1h",
        Severity.WARNING,
        "Certificate {{ $labels.secret }} of gateway {{ $labels.namespace }}/{{ $labels.name }} expires.",
        "The certificate in Secret {{ $labels.secret }}, with which listeners of MeshGateway "
        "{{ $labels.name }} in {{ $labels.namespace }} end TLS, is valid for less than 7 days more, or no "
        "longer; the condition CertificatesValid says until when.",
    ),
    Alert(
        "certificate-authority-unhealthy",
        _of_objects('kind="MeshControlPlane",type="CertificateAuthorityHealthy",status="False"', value=1),
        "15m",
        Severity.WARNING,
        "The certificate authority of mesh {{ $labels.namespace }}/{{ $labels.name }} needs a person.",
        "For 15 minutes the condition CertificateAuthorityHealthy of MeshControlPlane {{ $labels.name }} in "
        "{{ $labels.namespace }} has been False: its root or intermediate ends soon, is missing, or is not "
        "Navarch's; its message says which.",
    ),
    Alert(
        "proxies-outdated",
        'max by (namespace, mesh) (navarch_proxies{state="outdated"}) > 0',
        "1d",
        Severity.WARNING,
        "{{ $value }} proxies of mesh {{ $labels.namespace }}/{{ $labels.mesh }} are outdated.",
        "For a day, pods of mesh {{ $labels.mesh }} in {{ $labels.namespace }} have run proxies of another "
        "version or configuration than the mesh has. They get the new one when they are restarted.",
    ),
    Alert(
        "rollout-halted",
        _in_phase("rollout", "Halted"),
        "5m",
        Severity.WARNING,
        "The restarts of workloads of mesh {{ $labels.namespace }}/{{ $labels.mesh }} are halted.",
        "For 5 minutes Navarch has restarted no workload of mesh {{ $labels.mesh }} in "
        "{{ $labels.namespace }}, because one does not come up after its restart, or a gate failed; "
        "status.dataPlane names it.",
    ),
    Alert(
        "upgrade-held",
        _in_phase("upgrade", "Held"),
        "5m",
        Severity.WARNING,
        "The upgrade of mesh {{ $labels.namespace }}/{{ $labels.mesh }} is held.",
        "The new revision of mesh {{ $labels.mesh }} in {{ $labels.namespace }} was not proved in its time, "
        "and the older one serves on; status.upgrade says what is missing.",
    ),
    Alert(
        "approval-waits",
        "max by (namespace, mesh, change) (navarch_approval_pending) == 1",
        "1d",
        Severity.WARNING,
        "A change of mesh {{ $labels.namespace }}/{{ $labels.mesh }} waits for an approval.",
        "For a day a change ({{ $labels.change }}) of mesh {{ $labels.mesh }} in {{ $labels.namespace }} has "
        "waited for an approval, as spec.upgrade.approval asks, and nothing else of its spec that istiod or "
        "proxies run with has an effect; status.plan has its hash.",
    ),
    Alert(
        "root-rotation-waits",
        "max by (namespace, mesh, phase) (navarch_root_rotation_phase) == 1",
        "3d",
        Severity.WARNING,
        "The rotation of the root of mesh {{ $labels.namespace }}/{{ $labels.mesh }} does not go on.",
        "For three days mesh {{ $labels.mesh }} in {{ $labels.namespace }} has been in one phase "
        "({{ $labels.phase }}) of the way to another root; it serves, and "
        "status.certificateAuthority.rotation says what it waits for.",
    ),
    Alert(
        "drift-returns",
        _returns("navarch_drift_repaired_total", 20),
        "5m",
        Severity.WARNING,
        "Objects of {{ $labels.kind }} {{ $labels.namespace }}/{{ $labels.name }} are changed again and "
        "again.",
        "Another client has changed objects of {{ $labels.kind }} {{ $labels.name }} in "
        "{{ $labels.namespace }} in each of the last three times 20 minutes, and Navarch put them back.",
    ),
    Alert(
        "write-fails",
        'sum by (kind, namespace, name) (increase(navarch_apply_total{outcome=~"failed|foreign"}[20m])) > 0',
        "20m",
        Severity.WARNING,
        "Objects of {{ $labels.kind }} {{ $labels.namespace }}/{{ $labels.name }} cannot be written.",
        "For 20 minutes writes of objects of {{ $labels.kind }} {{ $labels.name }} in "
        "{{ $labels.namespace }} have failed, or an object that is not Navarch's has their name.",
    ),
    Alert(
        "deletion-does-not-end",
        _of_objects('kind!="MeshRevision",type="Deleting",status="True"', value=1),
        "1h",
        Severity.WARNING,
        "{{ $labels.kind }} {{ $labels.namespace }}/{{ $labels.name }} is still being deleted.",
        "{{ $labels.kind }} {{ $labels.name }} in {{ $labels.namespace }} was deleted an hour ago and is "
        "still there; its condition Deleting says what is waited for.",
    ),
    Alert(
        "no-leader",
        "(max(navarch_leader_election_master_status) or vector(0)) == 0",
        "5m",
        Severity.CRITICAL,
        "No replica of Navarch leads.",
        "For 5 minutes no replica has said that it leads, or none was scraped. Meshes serve; changes of "
        "meshes have no effect.",
    ),
    Alert(
        "queue-stuck",
        f"navarch_workqueue_longest_running_processor_seconds > 300 or ({_IDLE})",
        "10m",
        Severity.CRITICAL,
        "The queue of Navarch's leader {{ $labels.instance }} stands still.",
        "A reconcile of {{ $labels.instance }} has run for more than 5 minutes, or keys wait and none was "
        "worked on for 10.",
    ),
    Alert(
        "api-server-unreachable",
        f"{_count_requests(_UNANSWERED)} > 0.5 * {_count_requests()}",
        "5m",
        Severity.CRITICAL,
        "Navarch's replica {{ $labels.instance }} does not reach the API server.",
        "For 5 minutes more than half of the requests of {{ $labels.instance }} to the API server had no "
        "answer or a 5xx.",
    ),
    Alert(
        "policies-missing",
        "max(navarch_installation_missing_objects) > 0",
        "10m",
        Severity.WARNING,
        "{{ $value }} objects of Navarch's installation are missing.",
        "For 10 minutes admission policies, the probe's namespace or its binding have been missing or wrong, "
        "and the operator could not put them right.",
    ),
    Alert(
        "metrics-certificate-expires",
        f"({_ENDS} > 0) - time() < 0.1 * ({_ENDS} - {_BEGINS})",
        "1h",
        Severity.WARNING,
        "The metrics certificate of Navarch's replica {{ $labels.instance }} is about to expire.",
        "Less than a tenth of its validity is left to the certificate that {{ $labels.instance }} serves its "
        "metrics with, or it has expired, and no newer one has been mounted.",
    ),
    Alert(
        "operator-not-live",
        "changes(navarch_process_start_time_seconds[1h]) > 2",
        "0s",
        Severity.WARNING,
        "Navarch's replica {{ $labels.instance }} restarts again and again.",
        "The operator of {{ $labels.instance }} was started more than twice within an hour.",
    ),
)
