"""The other meshes of the cluster, as one mesh sees them.

Owns the record of a neighbour. Must never decide who wins a conflict: the checks do. Invariant: the records
of the same meshes are equal, and sort by age.
"""

from __future__ import annotations

from dataclasses import dataclass

from navarch.core.model.naming import hosted_namespace, revision_name


@dataclass(frozen=True, slots=True, order=True)
class MeshSummary:
    """A mesh as its neighbours see it: by what it was accepted for and still holds, not by what it asks for.

    `waiting` is False for a mesh that has a MeshRevision, which sorts first: it holds its namespace and tags
    against every other mesh. `created` is metadata.creationTimestamp. `tag` is the effective one;
    `default_tag` says whether the mesh holds the tag `default`, or asks for it and was not refused;
    `member_of` is the value of the label mesh.navarch.io/member-of that its MeshMembers give, empty for a
    mesh that takes namespaces by its tag. `cluster` says that it takes every namespace, or asks for them and
    was not refused, and `holds_cluster` that it has them; `holds_any` that it has any, beside one that takes
    them all. `refused` is True for a mesh that holds nothing and whose present spec was refused: it claims
    nothing. `hosted` says that its control plane is in a namespace of Navarch's, `asks_default` that its spec
    asks for the tag `default`, refused or not. `in_place` is False for a mesh that a revision for one version
    serves: `revisions` are those that it holds, `active` is the one to which its tag points, by its status.
    `put_out` are the namespaces that its spec keeps out of it.
    """

    waiting: bool
    created: str
    uid: str
    namespace: str
    name: str
    tag: str
    default_tag: bool = False
    refused: bool = False
    member_of: str = ""
    hosted: bool = False
    cluster: bool = False
    holds_cluster: bool = False
    holds_any: bool = False
    asks_default: bool = False
    in_place: bool = True
    revisions: tuple[str, ...] = ()
    active: str = ""
    put_out: tuple[str, ...] = ()

    @property
    def home(self) -> str:
        """The namespace of its control plane."""
        return hosted_namespace(self.namespace, self.name) if self.hosted else self.namespace

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its revisions."""
        own = (revision_name(self.tag),) if self.in_place else ()
        return tuple(sorted({*own, *self.revisions}))

    @property
    def serving(self) -> str:
        """The revision that serves; empty while none does."""
        return revision_name(self.tag) if self.in_place else self.active
