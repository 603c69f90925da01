"""How we prove to the API server who we are.

Owns configuration, authentication and transport, all three by `kubernetes.aio`. Must never log a credential.
Invariants: a service-account token is read again before it expires, and a refused credential is renewed once;
a credential goes where the configuration says, and no answer sends it elsewhere.
"""

from __future__ import annotations

import os
from asyncio.sslproto import SSLProtocol
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import yaml
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.client.rest import RESTClientObject
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config
from kubernetes.aio.config.incluster_config import SERVICE_HOST_ENV_NAME

from navarch.kube.guard import build_trace

TLS_BUFFER = 32 * 1024
"""Bytes that asyncio keeps for each TLS connection to read into: two records of TLS. Its own default is eight
times as much, and an operator with thirty watches and as many requests has sixty connections."""


class NoCredentials(Exception):
    """There is nothing to connect with; the message says what is missing. The library's own exception would
    have to be imported by whoever catches it, and with it, before this package, all of the library."""


_STUMBLES = (yaml.YAMLError, OSError, ValueError, TypeError, AttributeError, LookupError, RecursionError)
"""What the loader raises over a file that is no kubeconfig."""


class Credentials:
    """A configuration that renews itself, and the transport made from it."""

    def __init__(self, configuration: Configuration, renew: Callable[[], Awaitable[None]]) -> None:
        self.configuration = configuration
        self._renew = renew
        self._transport: RESTClientObject | None = None
        self._retired: list[RESTClientObject] = []

    @property
    def host(self) -> str:
        """The API server's URL, without a slash at the end."""
        return str(self.configuration.host).rstrip("/")

    async def authorization(self) -> str:
        """The value of the Authorization header; empty where a client certificate speaks for us."""
        return str(
            await self.configuration.get_api_key_with_prefix("BearerToken", alias="authorization") or ""
        )

    def transport(self) -> RESTClientObject:
        """The connection pool; made on first use, because it belongs to the running event loop."""
        if self._transport is None:
            SSLProtocol.max_size = TLS_BUFFER
            self._transport = RESTClientObject(self.configuration)
        return self._transport

    async def renew(self) -> None:
        """Read the credentials again from where they came from, after the server refused them."""
        certificate = (self.configuration.cert_file, self.configuration.key_file)
        await self._renew()
        if certificate != (self.configuration.cert_file, self.configuration.key_file) and self._transport:
            # Streams that still run on the old connections keep them until close().
            self._retired.append(self._transport)
            self._transport = None

    async def close(self) -> None:
        """Close all connections."""
        transports = [*self._retired, *([self._transport] if self._transport else [])]
        self._transport, self._retired = None, []
        for transport in transports:
            await transport.close()


def _build_refusal() -> aiohttp.TraceConfig:
    """Makes a session follow no redirect. The API server sends none of its own, and hands on those of a pod
    that it is a proxy to: such a pod would have us send another request, in our name, to any path of the API
    server."""
    trace = aiohttp.TraceConfig()
    trace.on_request_redirect.append(_refuse_redirect)
    return trace


async def _refuse_redirect(
    session: aiohttp.ClientSession, context: SimpleNamespace, params: aiohttp.TraceRequestRedirectParams
) -> None:
    params.response.close()
    raise aiohttp.ClientError("it answers with a redirect, and none is followed")


def is_in_cluster() -> bool:
    """Whether this process runs in a pod with a service account."""
    return bool(os.environ.get(SERVICE_HOST_ENV_NAME))


def _proxy_for(url: str) -> str | None:
    where = urlsplit(url)
    if not where.hostname or proxy_bypass(where.hostname):
        return None
    return getproxies().get(where.scheme)


def _find_missing(kubeconfig: Path | None) -> str:
    """The kubeconfig that would be read, where no file of it exists; empty where one does."""
    usual = os.environ.get("KUBECONFIG") or "~/.kube/config"
    paths = [kubeconfig] if kubeconfig else [Path(each) for each in usual.split(os.pathsep) if each]
    is_there = any(path.expanduser().exists() for path in paths)
    return "" if is_there else str(kubeconfig or usual)


async def load_credentials(kubeconfig: Path | None = None, *, context: str | None = None) -> Credentials:
    """Credentials from `kubeconfig`, else the pod's service account, else the user's usual file.

    Raises NoCredentials when there are none, also where the loader stumbles over what is in a file.
    """
    configuration = Configuration()
    # Our own semaphore limits requests; the pool must not make one wait for a watch.
    configuration.connection_pool_maxsize = 0
    # The loaders have no annotations.
    load_pod: Any = load_incluster_config
    load_file: Any = load_kube_config
    if kubeconfig is None and is_in_cluster():

        async def renew() -> None:
            try:
                load_pod(client_configuration=configuration)
            except ConfigException as error:
                raise NoCredentials(str(error)) from error
    else:
        where: dict[str, Any] = {"config_file": str(kubeconfig)} if kubeconfig else {}

        async def renew() -> None:
            if missing := _find_missing(kubeconfig):
                raise NoCredentials(
                    f"{missing}: no such file; name a kubeconfig by --kubeconfig or $KUBECONFIG"
                )
            try:
                await load_file(
                    **where, context=context, client_configuration=configuration, persist_config=False
                )
            except ConfigException as error:
                raise NoCredentials(str(error)) from error
            except _STUMBLES as error:
                which = kubeconfig or "the usual kubeconfig"
                text = f"{which}: not a kubeconfig: {type(error).__name__}: {error}"
                raise NoCredentials(text) from error

    await renew()
    # aiohttp would look for proxies and a netrc file before each request, which doubles a request's CPU.
    configuration.client_session_kwargs = {"trust_env": False}
    configuration.trace_configs = [build_trace(), _build_refusal()]
    if configuration.proxy is None:
        configuration.proxy = _proxy_for(str(configuration.host))
    return Credentials(configuration, renew)
