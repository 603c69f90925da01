"""kopf's login, from the same credentials as everything else.

Owns the translation into kopf's values and nothing else. Must never keep a credential longer than kopf does.
Invariant: kopf can log in with all that kubernetes.aio can log in with.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import kopf

from navarch.kube.credentials import Credentials
from navarch.kube.frames import build_session

LIFETIME = timedelta(minutes=5)
"""How long kopf may use what it got; bound service-account tokens live for an hour and are rotated before."""


async def build_connection_info(credentials: Credentials, *, now: datetime) -> kopf.ConnectionInfo:
    """What kopf connects with; `now` is aware, in UTC. kopf asks again when it has expired or was refused."""
    if now.tzinfo != UTC:
        raise ValueError("now must be in UTC")
    configuration = credentials.configuration
    scheme, _, token = (await credentials.authorization()).partition(" ")
    return kopf.ConnectionInfo(
        server=credentials.host,
        ca_path=configuration.ssl_ca_cert,
        insecure=not configuration.verify_ssl,
        scheme=scheme.capitalize() or None,
        token=token.strip() or None,
        certificate_path=configuration.cert_file,
        private_key_path=configuration.key_file,
        expiration=now + LIFETIME,
    )


def connect(info: kopf.ConnectionInfo, on_large: Callable[[], None]) -> kopf.AiohttpSession:
    """kopf's session, of the running event loop, on which objects have no bodies (kube.frames); kopf closes
    it."""
    session = build_session(info.as_http_headers(), info.as_ssl_context(), on_large)
    return kopf.AiohttpSession(server=info.server, aiohttp_session=session, expiration=info.expiration)
