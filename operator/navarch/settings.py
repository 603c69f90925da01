"""The operator's own settings, from the environment (`NAVARCH_*`) or a file of `KEY=value` lines.

Owns how the process runs, never how a mesh looks. Invariant: frozen after start; a variable that is empty
counts as not set.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

NAMESPACE_FORM = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
_LONGEST = 86_400
"""Seconds of a Lease at the most: the API server takes whole numbers of 32 bits."""


class Settings(BaseSettings):
    """Every setting has a default that suits a production cluster."""

    model_config = SettingsConfigDict(
        env_prefix="NAVARCH_",
        env_file=None,
        env_ignore_empty=True,
        frozen=True,
        extra="ignore",
        allow_inf_nan=False,
    )

    namespace: str = Field(
        "navarch-system",
        pattern=NAMESPACE_FORM,
        description="Namespace the operator runs in; user profiles live there.",
    )
    probe_namespace: str = Field(
        "navarch-probe",
        pattern=NAMESPACE_FORM,
        description="Namespace of the dry-run pods that prove injection.",
    )
    identity: str = Field(
        "", description="Holder's name in the Lease. Default: host name and a random suffix."
    )
    kubeconfig: Path | None = Field(
        None, description="Kubeconfig to use; default: the pod's own service account, else the usual file."
    )
    context: str = Field("", description="Context of the kubeconfig; default: the current one.")
    borrow_account: bool = Field(
        False,
        description="Act as the ServiceAccount `navarch` of the operator's namespace, by tokens that the "
        "kubeconfig's user asks for: for a process outside the cluster.",
    )
    workers: int = Field(8, ge=1, le=64, description="Reconciles that run side by side.")
    requests: int = Field(32, ge=1, le=256, description="API requests in flight at the most.")
    resync_seconds: float = Field(
        600, ge=10, description="Seconds between two full passes over all meshes, ±10 %."
    )
    orphan_seconds: float = Field(
        300,
        ge=0,
        description="Seconds for which the objects of a mesh are kept after its finalizer was removed by "
        "hand, so that the mesh can be restored.",
    )
    certificate_seconds: float = Field(
        0,
        ge=0,
        description="Seconds between two looks at the certificates of gateways; 0 for none. Secrets are read "
        "where the ClusterRole navarch-certificates is bound to the operator's account. 600 is a good value.",
    )
    volume_seconds: float = Field(
        180,
        ge=1,
        description="Seconds after which every pod has the present text of a ConfigMap that it mounts: twice "
        "the kubelets' syncFrequency and more. A rotation of roots waits for so long after each change.",
    )
    cache_mib: int = Field(
        160,
        ge=16,
        le=1_048_576,
        description="MiB for what the watches keep. What does not fit is left out and told "
        "(navarch_watch_left_out_objects). Raise the Deployment's memory limit by as much as this.",
    )
    listen_host: str = Field(
        "", description="Address of /livez, /readyz and /metrics; default: all, IPv4 and IPv6."
    )
    listen_port: int = Field(
        8080, ge=0, le=65535, description="Port of /livez and /readyz, in plain HTTP; 0 picks a free one."
    )
    metrics_port: int = Field(8443, ge=0, le=65535, description="Port of /metrics; 0 picks a free one.")
    metrics_plain: bool = Field(
        False,
        description="Serve /metrics in plain HTTP to everybody who reaches the port, in place of HTTPS to "
        "bearers of a token whose account may get the URL /metrics.",
    )
    metrics_certificate: Path | None = Field(
        None,
        description="Folder with tls.crt and tls.key for /metrics, read again when they change. Default: the "
        "first of /tmp/k8s-metrics-server/metrics-certs, /tmp/k8s-webhook-server/serving-certs and "
        "/apiserver.local.config/certificates (apiserver.crt, apiserver.key) that holds one, else a "
        "certificate made in memory.",
    )
    metrics_seconds: float = Field(
        1, ge=0, description="Seconds for which /metrics may serve the same text again."
    )
    lease_seconds: float = Field(15, ge=1, le=_LONGEST, description="Validity of the leader's Lease.")
    lease_renew_seconds: float = Field(
        10, ge=0.5, description="Time within which the leader must renew, else it stops writing."
    )
    lease_retry_seconds: float = Field(2, ge=0.1, description="Seconds between two attempts at the Lease.")
    silence_seconds: float = Field(
        180,
        ge=2,
        description="Seconds without a word on one watch, or from kopf, while other watches are heard, after "
        "which /livez fails. After half of it a watch is started anew; the API server is asked to end each "
        "sooner, so that a kind whose objects do not change is heard of, too.",
    )
    stuck_seconds: float = Field(
        600, ge=2, description="Seconds for which a key may wait for a worker before /livez fails."
    )
    only_related_images: bool = Field(
        False,
        description="Refuse meshes that would run an image which no variable RELATED_IMAGE_… of the operator "
        "names: for a cluster that reaches no registry but its mirror.",
    )
    gateway_api_install: Literal["Never", "IfAbsent", "Managed"] = Field(
        "Never",
        description="Whether to install the CRDs of Gateway API: into a cluster that has none (IfAbsent), or "
        "to bring them up to date and put back what is changed as well (Managed). Newer ones are left alone, "
        "and none is ever removed.",
    )
    gateway_api_channel: Literal["standard", "experimental"] = Field(
        "standard", description="Which channel of them."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Lowest level that is logged."
    )
    log_format: Literal["json", "console"] = Field("json", description="Form of a log line.")

    @model_validator(mode="after")
    def _check_together(self) -> Settings:
        if self.metrics_port == self.listen_port != 0:
            raise ValueError(f"LISTEN_PORT and METRICS_PORT are both {self.listen_port}")
        if not self.lease_retry_seconds < self.lease_renew_seconds < self.lease_seconds:
            raise ValueError(
                f"LEASE_RETRY_SECONDS {self.lease_retry_seconds:g} < LEASE_RENEW_SECONDS "
                f"{self.lease_renew_seconds:g} < LEASE_SECONDS {self.lease_seconds:g} does not hold"
            )
        return self
