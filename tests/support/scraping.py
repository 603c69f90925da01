"""Reading the metrics as a Prometheus does: over HTTPS, with the token of an account."""

from __future__ import annotations

import http.client
import ssl

from lab.cluster import Cluster
from tests.support.api import Api, Object
from tests.support.operator import Operator

READER = "navarch-metrics-reader"


def request_token(cluster: Cluster, namespace: str, account: str = "default", *, audience: str = "") -> str:
    """A new token of a ServiceAccount."""
    more = [f"--audience={audience}"] if audience else []
    return cluster.run("create", "token", account, "-n", namespace, *more).strip()


def bind_reader(api: Api, namespace: str, account: str = "default") -> Object:
    """Gives an account the documented role."""
    group = "rbac.authorization.k8s.io"
    binding = {
        "apiVersion": f"{group}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": f"{READER}-{namespace}"},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": READER},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace}],
    }
    return api.apply(binding)


def scrape(
    operator: Operator, token: str = "", *, context: ssl.SSLContext | None = None, path: str = "/metrics"
) -> tuple[int, str]:
    """Status and text; status 0 where there is no answer, or the certificate is not what `context` trusts.
    Without `context` any certificate will do."""
    if context is None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = http.client.HTTPSConnection("localhost", operator.metrics_port, context=context, timeout=30)
    try:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except OSError:
        return 0, ""
    finally:
        connection.close()
