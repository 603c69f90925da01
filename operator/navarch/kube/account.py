"""The operator's own account: as whom this process speaks, and how one outside the cluster gets it.

Owns the tokens that a person's credentials get for it (TokenRequest). What runs from a checkout has so the
rights and the name of the one that is installed: policies that name the operator's user hold.
Must never write a token anywhere. Invariant: a token that is refused is replaced by a new one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kubernetes.aio.client.configuration import Configuration

from navarch.kube.client import Client
from navarch.kube.credentials import Credentials
from navarch.kube.guard import build_trace

_POD = "authentication.kubernetes.io/pod-"


async def borrow_account(credentials: Credentials, *, namespace: str, name: str) -> Credentials:
    """Credentials of a ServiceAccount, by tokens that `credentials` may ask for. Raises KubeError."""
    theirs = credentials.configuration
    configuration = Configuration()
    configuration.host, configuration.proxy = theirs.host, theirs.proxy
    configuration.ssl_ca_cert, configuration.verify_ssl = theirs.ssl_ca_cert, theirs.verify_ssl
    configuration.connection_pool_maxsize = 0
    configuration.client_session_kwargs = {"trust_env": False}
    configuration.trace_configs = [build_trace()]

    async def renew() -> None:
        async with Client(Credentials(theirs, credentials.renew), user_agent="navarch-cli") as client:
            token = await client.request_token(namespace, name)
        configuration.api_key["authorization"] = f"Bearer {token}"

    await renew()
    return Credentials(configuration, renew)


async def find_self(client: Client) -> dict[str, Any] | None:
    """The pod that this process runs in, else its ServiceAccount, as what an Event may be about; None for
    other users. Raises KubeError."""
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview", "metadata": {}}
    return _read_self((await client.create(review))["status"]["userInfo"])


def _read_self(user: Mapping[str, Any]) -> dict[str, Any] | None:
    prefix, _, account = str(user.get("username", "")).rpartition("system:serviceaccount:")
    namespace, _, name = account.partition(":")
    if prefix or not name:
        return None
    kind, uid, extra = "ServiceAccount", user.get("uid", ""), user.get("extra") or {}
    if pods := extra.get(f"{_POD}name"):
        kind, name, uid = "Pod", pods[0], (extra.get(f"{_POD}uid") or ("",))[0]
    return {"apiVersion": "v1", "kind": kind, "metadata": {"namespace": namespace, "name": name, "uid": uid}}
