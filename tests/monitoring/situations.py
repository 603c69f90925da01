"""For each alert, series as they are when its situation begins and ends, a sample a minute.

Owns what promtool is given. A situation begins at minute BEGIN. `values` are in promtool's form: `1x9` is ten
samples of 1, `0+1x9` counts up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

BEGIN = 10


@dataclass(frozen=True)
class Situation:
    """`quiet`, `fires` and `over` are minutes at which the alert is not told yet, is told with these `labels`
    and this `value`, and is told no longer."""

    series: Mapping[str, str]
    quiet: tuple[int, ...]
    fires: tuple[int, ...] = ()
    over: tuple[int, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    value: str = ""


MESH = {"kind": "MeshControlPlane", "namespace": "shop", "name": "mesh"}
GATEWAY = {"kind": "MeshGateway", "namespace": "shop", "name": "ingress"}
OF_MESH = {"namespace": "shop", "mesh": "mesh"}
REPLICA = {"instance": "10.0.0.1:8443"}


def write(metric: str, *labels: Mapping[str, str], **more: str) -> str:
    """A series in the notation of Prometheus."""
    every = {key: value for each in (*labels, more) for key, value in each.items()}
    return metric + "{" + ",".join(f'{key}="{value}"' for key, value in every.items()) + "}"


def condition(of: Mapping[str, str], kind: str, status: str = "True", instance: str = "a") -> str:
    return write("navarch_condition", of, type=kind, status=status, instance=instance)


def in_phase(what: str, phase: str) -> str:
    return write(f"navarch_{what}_phase", OF_MESH, phase=phase)


def serving(
    of: Mapping[str, str], ready: str, *, available: str = "1x90", injected: str = "1x90"
) -> dict[str, str]:
    """A mesh whose istiod is available, and whose pods are injected."""
    series = {"Ready": ready, "Available": available, "InjectionReady": injected, "Deleting": "0x90"}
    return {condition(of, kind): values for kind, values in series.items()}


LEADS, DRIFT = "navarch_leader_election_master_status", "navarch_drift_repaired_total"
REQUESTS, RECONCILES = "navarch_rest_client_requests_total", "navarch_reconcile_total"
DEPTH = "navarch_workqueue_depth"
BEGINS, ENDS = (f"navarch_metrics_certificate_not_{when}_timestamp_seconds" for when in ("before", "after"))
CERTIFICATE = write(
    "navarch_gateway_certificate_not_after_timestamp_seconds",
    {"namespace": "shop", "name": "ingress", "secret": "shop/cert"},
)

SITUATIONS: Mapping[str, tuple[Situation, ...]] = {
    "mesh-not-ready": (
        Situation({condition(MESH, "Ready"): "1x9 0x29 1x20"}, (9, 24), (25, 39), (40, 50), MESH),
        # Another replica leads after ten minutes, and tells the same: it counts as one situation.
        Situation(
            {
                condition(MESH, "Ready"): "1x9 0x9 _x40",
                condition(MESH, "Ready", instance="b"): "_x20 0x19 1x20",
            },
            (24,),
            (25, 39),
            (41,),
            MESH,
        ),
        Situation({condition(MESH, "Ready"): "1x9 0x13 1x1 0x13 1x20"}, (23, 30, 39)),
        Situation({condition(GATEWAY, "Ready"): "0x60", condition(MESH, "Ready"): "1x60"}, (60,)),
        # A change that is refused, held or taken back while all serves; then istiod is gone.
        Situation(serving(MESH, "0x60", available="1x29 0x31"), (29, 44), (45, 60), (), MESH),
        Situation(serving(MESH, "0x60", injected="1x29 0x31"), (29, 44), (45, 60), (), MESH),
        Situation({condition(MESH, "Ready"): "0x60", condition(MESH, "Deleting"): "1x60"}, (60,)),
    ),
    "mesh-not-as-asked": (
        Situation(serving(MESH, "1x9 0x29 1x20"), (9, 24), (25, 39), (40, 50), MESH),
        # It stops serving, which is another alert's, and serves again.
        Situation(serving(MESH, "0x60", available="1x29 0x9 1x21"), (14,), (16, 29), (31, 39, 45), MESH),
        # Upgrades that are under way, and held, are told by another alert; then one is given up.
        Situation(
            {
                **serving(MESH, "0x90"),
                in_phase("upgrade", "Proving"): "1x9 0x30 _x50",
                in_phase("upgrade", "Held"): "0x9 1x30 _x50",
            },
            (30, 39, 55),
            (60, 89),
            (),
            MESH,
        ),
        Situation(serving(MESH, "0x60") | {condition(MESH, "Deleting"): "1x60"}, (60,)),
        Situation(serving(MESH, "0x60", injected="0x60"), (60,)),
    ),
    "gateway-not-ready": (
        Situation({condition(GATEWAY, "Ready"): "1x9 0x29 1x20"}, (9, 24), (25, 39), (40, 50), GATEWAY),
        Situation({condition(GATEWAY, "Ready"): "1x9 0x29 _x20"}, (24,), (25, 39), (50,), GATEWAY),
    ),
    "gateway-certificate-expires": (
        # It ends seven days and ten minutes after the first sample, and is renewed after 99 minutes.
        Situation(
            {
                CERTIFICATE: f"{7 * 86400 + 600}x99 {90 * 86400}x60",
                condition(GATEWAY, "CertificatesValid", "False"): "1x99 0x60",
            },
            (9, 65),
            (75, 95),
            (105,),
            {"namespace": "shop", "name": "ingress", "secret": "shop/cert"},
        ),
        # One that is made for two days, in the first half of its time.
        Situation(
            {CERTIFICATE: f"{2 * 86400}x150", condition(GATEWAY, "CertificatesValid", "False"): "0x150"},
            (149,),
        ),
    ),
    "proxies-outdated": (
        Situation(
            {write("navarch_proxies", namespace="shop", mesh="mesh", state="outdated"): "0x9 3x1450 0x10"},
            (9, 1440),
            (1450, 1460),
            (1465,),
            {"namespace": "shop", "mesh": "mesh"},
            "3",
        ),
    ),
    "rollout-halted": (
        Situation({in_phase("rollout", "Halted"): "0x9 1x29 0x20"}, (9, 14), (15, 39), (41,), OF_MESH),
        # One that comes up late, and one that is followed by another.
        Situation({in_phase("rollout", "Halted"): "0x9 1x4 0x9 1x4 0x20"}, (14, 20, 29, 45)),
        Situation({in_phase("rollout", "Rolling"): "1x60", in_phase("rollout", "Halted"): "0x60"}, (60,)),
    ),
    "certificate-authority-unhealthy": (
        # The root's Secret is gone for a while, and restored.
        Situation(
            {condition(MESH, "CertificateAuthorityHealthy", "False"): "0x9 1x30 0x20"},
            (9, 24),
            (26, 39),
            (42,),
            MESH,
        ),
        # A mesh is made, and has no authority yet; another has one that is not Navarch's.
        Situation({condition(MESH, "CertificateAuthorityHealthy", "False"): "1x5 0x40"}, (4, 30)),
        Situation({condition(MESH, "CertificateAuthorityHealthy", "Unknown"): "1x60"}, (30, 60)),
    ),
    "upgrade-held": (
        # The upgrade goes on; or another version is asked for, and the series end.
        Situation(
            {
                in_phase("upgrade", "Held"): "_x5 0x3 1x29 _x20",
                in_phase("upgrade", "Proving"): "_x5 1x3 0x29 _x20",
            },
            (9, 13),
            (15, 38),
            (50,),
            OF_MESH,
        ),
        Situation({in_phase("upgrade", "Proving"): "1x60", in_phase("upgrade", "Held"): "0x60"}, (60,)),
    ),
    "root-rotation-waits": (
        Situation(
            {in_phase("root_rotation", "CrossSigned"): "_x9 1x4330 _x20"},
            (9, 4328),
            (4331, 4338),
            (4350,),
            {**OF_MESH, "phase": "CrossSigned"},
        ),
        # It goes on within the three days.
        Situation(
            {
                in_phase("root_rotation", "CrossSigned"): "1x3000 0x3000",
                in_phase("root_rotation", "TrustingNew"): "0x3000 1x3000",
            },
            (4400, 5900),
        ),
    ),
    "approval-waits": (
        Situation(
            {write("navarch_approval_pending", OF_MESH, change="minor"): "_x9 1x1450 _x20"},
            (9, 1448),
            (1451, 1458),
            (1470,),
            {**OF_MESH, "change": "minor"},
        ),
        # Approved within the day, and another one after it.
        Situation(
            {
                write("navarch_approval_pending", OF_MESH, change="patch"): "1x1000 _x1000",
                write("navarch_approval_pending", OF_MESH, change="config"): "_x1000 1x1000",
            },
            (1441, 2000),
        ),
    ),
    "drift-returns": (
        Situation({write(DRIFT, MESH): "0x9 0+1x79 80x60"}, (9, 45), (70, 89), (115,), MESH),
        # A GitOps tool that comes by every five minutes.
        Situation(
            {write(DRIFT, GATEWAY): "0x9 " + " ".join(f"{n}x4" for n in range(1, 17)) + " 16x60"},
            (45,),
            (75, 85),
            (115,),
            GATEWAY,
        ),
        # A person who changes thirty objects once.
        Situation({write(DRIFT, MESH): "0x9 30x120"}, (15, 35, 60, 75, 120)),
    ),
    "write-fails": (
        Situation(
            {write("navarch_apply_total", MESH, outcome="failed"): "0x9 0+1x59 60x60"},
            (9, 25),
            (40, 65),
            (95,),
            MESH,
        ),
        Situation(
            {write("navarch_apply_total", GATEWAY, outcome="foreign"): "0x9 0+1x59 60x60"},
            (25,),
            (40, 65),
            (95,),
            GATEWAY,
        ),
        Situation({write("navarch_apply_total", MESH, outcome="configured"): "0+1x120"}, (60, 120)),
        Situation({write("navarch_apply_total", MESH, outcome="failed"): "0x9 0+1x3 3x90"}, (15, 35, 60)),
    ),
    "deletion-does-not-end": (
        Situation({condition(MESH, "Deleting"): "0x9 1x89 _x20"}, (9, 69), (70, 99), (110,), MESH),
        Situation({condition({**MESH, "kind": "MeshRevision"}, "Deleting"): "1x120"}, (120,)),
    ),
    "no-leader": (
        Situation(
            {write(LEADS, instance="a"): "1x9 0x19 0x30", write(LEADS, instance="b"): "0x29 1x30"},
            (9, 14),
            (15, 29),
            (30,),
        ),
        Situation({}, (4,), (5, 60)),
        Situation({write(LEADS, instance="a"): "1x9 _x50"}, (9, 14), (20, 50)),
        Situation(
            {write(LEADS, instance="a"): "1x9 0x50", write(LEADS, instance="b"): "0x9 0x3 1x50"}, (13, 40)
        ),
    ),
    "queue-stuck": (
        Situation(
            {write("navarch_workqueue_longest_running_processor_seconds", REPLICA): "0x9 400x29 0x20"},
            (9, 19),
            (20, 39),
            (41,),
            REPLICA,
        ),
        Situation(
            {
                write(DEPTH, REPLICA): "5x59 0x20",
                write(LEADS, REPLICA): "1x80",
                write(RECONCILES, REPLICA, controller="c", result="success"): "0+1x9 9x49 9+1x20",
            },
            (9, 19, 25),
            (31, 58),
            (61,),
            REPLICA,
        ),
        # A replica that stands by keeps what it is told of.
        Situation({write(DEPTH, REPLICA): "5x60", write(LEADS, REPLICA): "0x60"}, (60,)),
        # A queue that is long and worked on.
        Situation(
            {
                write(DEPTH, REPLICA): "500x60",
                write(LEADS, REPLICA): "1x60",
                write(RECONCILES, REPLICA, controller="c", result="success"): "0+1x60",
            },
            (60,),
        ),
    ),
    "api-server-unreachable": (
        Situation(
            {
                write(REQUESTS, REPLICA, method="GET", resource="pods", code="0"): "0x9 0+10x29 300x30",
                write(REQUESTS, REPLICA, method="GET", resource="pods", code="200"): "0+10x9 90x29 90+10x30",
            },
            (9, 15),
            (25, 38),
            (50,),
            REPLICA,
        ),
        # Requests that are refused, and a few that fail.
        Situation(
            {
                write(REQUESTS, REPLICA, method="PATCH", resource="services", code="403"): "0+50x60",
                write(REQUESTS, REPLICA, method="GET", resource="pods", code="503"): "0+1x60",
            },
            (60,),
        ),
    ),
    "policies-missing": (
        Situation(
            {write("navarch_installation_missing_objects", REPLICA): "0x9 2x29 0x20"},
            (9, 19),
            (20, 39),
            (40,),
            value="2",
        ),
    ),
    "metrics-certificate-expires": (
        # Valid for 2,000 minutes, and replaced late.
        Situation(
            {write(BEGINS, REPLICA): "0x2100 120000x60", write(ENDS, REPLICA): "120000x2100 300000x60"},
            (1799, 1859),
            (1861, 1999, 2100),
            (2102,),
            REPLICA,
        ),
        # Plain HTTP, and a certificate that is replaced at half of its life.
        Situation({write(BEGINS, REPLICA): "0x120", write(ENDS, REPLICA): "0x120"}, (1, 120)),
        Situation(
            {write(BEGINS, REPLICA): "0x100 6000x100", write(ENDS, REPLICA): "12000x100 18000x100"},
            (99, 101, 200),
        ),
    ),
    "operator-not-live": (
        Situation(
            {write("navarch_process_start_time_seconds", REPLICA): "100x9 200x9 300x9 400x60"},
            (9, 10, 29),
            (30, 60),
            (75,),
            REPLICA,
        ),
        # Both replicas are replaced, as in an upgrade.
        Situation({write("navarch_process_start_time_seconds", REPLICA): "100x9 200x60"}, (10, 30, 60)),
    ),
}
"""By the id of the alert."""
