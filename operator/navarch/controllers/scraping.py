"""What serves the metrics: the port, who may read them, and which certificate.

Owns how these three meet. Must never end, nor be asked by a probe.
"""

from __future__ import annotations

from navarch.api.install import METRICS_SERVICE
from navarch.core.model.reasons import Reason
from navarch.kube.access import Access
from navarch.kube.client import Client
from navarch.kube.events import Recorder
from navarch.kube.own_pod import OwnPod
from navarch.settings import Settings
from navarch.telemetry import metrics
from navarch.telemetry.certificates import Certificates
from navarch.telemetry.exposition import PATH, MetricsServer


async def serve_metrics(settings: Settings, reader: Client, recorder: Recorder) -> None:
    """Serve the metrics until cancelled. `recorder` tells of a certificate that is wrong."""
    own_pod = OwnPod(reader, recorder)

    async def tell(problem: str) -> None:
        await own_pod.warn(Reason.METRICS_CERTIFICATE_INVALID, problem, action="ServeMetrics")

    host = f"{METRICS_SERVICE}.{settings.namespace}.svc"
    is_plain = settings.metrics_plain
    server = MetricsServer(
        metrics.render,
        judge=None if is_plain else Access(reader, path=PATH).judge,
        certificates=None
        if is_plain
        else Certificates(settings.metrics_certificate, names=(host, f"{host}.cluster.local", "localhost")),
        metrics_seconds=settings.metrics_seconds,
    )
    await server.run(settings.listen_host, settings.metrics_port, tell=tell)
