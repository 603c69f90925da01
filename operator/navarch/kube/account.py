"""The operator's own account, for a process outside the cluster.

Owns the tokens that a person's credentials get for it (TokenRequest). What runs from a checkout has so the
rights and the name of the one that is installed: policies that name the operator's user hold.
Must never write a token anywhere. Invariant: a token that is refused is replaced by a new one.
"""

from __future__ import annotations

from kubernetes.aio.client.configuration import Configuration

from navarch.kube.client import Client
from navarch.kube.credentials import Credentials
from navarch.kube.guard import build_trace


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
