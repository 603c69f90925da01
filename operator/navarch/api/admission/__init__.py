"""ValidatingAdmissionPolicies: rules on our kinds that need the requester, the namespace or free-form fields.

Owns what is refused before it is stored and cannot be said in the schema, a module for each subject. Must
never refuse a write that leaves the spec as it is: finalizers and status can be written
whatever an old object contains.
"""

from __future__ import annotations

from collections.abc import Iterable

from navarch.api.admission.gateways import build_gateway_power_policy, build_gateways_policy
from navarch.api.admission.host import build_host_policy
from navarch.api.admission.hosting import build_hosting_policies
from navarch.api.admission.kinds import build_kinds_policy
from navarch.api.admission.lifecycle import (
    build_deletion_policy,
    build_placement_policy,
    build_version_policy,
)
from navarch.api.admission.membership import build_membership_policies
from navarch.api.admission.ownership import build_ownership_policies
from navarch.api.admission.refused import build_refusal_policy
from navarch.api.admission.revisions import build_revision_policy
from navarch.api.admission.rolls import build_roll_policies
from navarch.api.export import RESOURCES
from navarch.api.meta import GROUP, JSONObject


def build_policies(*, operator: str, reserved: Iterable[str], probe: str) -> list[JSONObject]:
    """All policies with their bindings: for the operator's user name and its own namespaces, of which `probe`
    is that of the dry-run pods."""
    return [
        *build_host_policy(),
        *build_gateways_policy(),
        *build_gateway_power_policy(operator),
        *build_refusal_policy(),
        *build_version_policy(),
        *build_placement_policy(reserved),
        *build_deletion_policy(),
        *build_revision_policy(operator),
        *build_ownership_policies(operator),
        *build_membership_policies(operator, probe=probe),
        *build_roll_policies(operator),
        *build_hosting_policies(operator, probe=probe),
        *build_kinds_policy(f"{resource.plural}.{GROUP}" for resource in RESOURCES),
    ]
