"""tmp"""

from __future__ import annotations

from navarch.core.trust.evidence import SeenTrust, Targets


class TrustReader:
    def __init__(self, client: object, *, clock: object = None) -> None: ...
    def read(self, uid: str, wanted: Targets | None) -> SeenTrust | None:
        return None

    def forget(self, uid: str) -> None: ...
