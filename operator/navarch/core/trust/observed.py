"""What is seen of a certificate authority: the Secrets that hold it, without their keys.

Owns these records. Must never hold a private key. Invariant: equal Secrets give equal records.
"""

from __future__ import annotations

from dataclasses import dataclass

from navarch.core.trust.authority import Authority, Certificate

ROOT_PART, CACERTS_PART = "root", "intermediate"
"""The values of the label of a managed authority's Secrets."""
MADE, ADOPTED = "Made", "Adopted"
"""Where a root comes from."""


@dataclass(frozen=True, slots=True)
class SeenRoot:
    """A Secret of the operator's namespace with a root, its `generation`, and whether it was istiod's own
    before."""

    name: str
    generation: int
    authority: Authority
    adopted: bool = False

    @property
    def certificate(self) -> Certificate | None:
        """The root; None where the Secret holds none that its key belongs to."""
        signer, key = self.authority.signer, self.authority.key
        whole = signer is not None and key is not None and key.public == signer.public_key
        return signer if whole and len(self.authority.roots) == 1 else None


@dataclass(frozen=True, slots=True)
class SeenCacerts:
    """The Secret `cacerts` beside an istiod; `version` is its resourceVersion, and `ours` says that it
    carries Navarch's labels."""

    version: str
    authority: Authority
    ours: bool = False


@dataclass(frozen=True, slots=True)
class SeenAuthority:
    """What there is of the authority of `home`, a control plane's namespace: the `roots` by generation, and
    the Secret from which its istiods sign. `gap` says why nothing is known of them."""

    home: str
    roots: tuple[SeenRoot, ...] = ()
    cacerts: SeenCacerts | None = None
    gap: str = ""

    def find(self, generation: int) -> SeenRoot | None:
        """The root of a generation; of two that say so the last."""
        return next((root for root in reversed(self.roots) if root.generation == generation), None)

    @property
    def certificates(self) -> dict[int, Certificate]:
        """The roots that can be read, by generation."""
        found = ((root.generation, root.certificate) for root in self.roots if root.generation > 0)
        return {generation: certificate for generation, certificate in found if certificate is not None}

    @property
    def newest(self) -> int:
        """The highest generation of all; 0 where no root is there."""
        return max((root.generation for root in self.roots), default=0)
