"""What NetworkPolicies a mesh has made for its control plane and for its members.

Owns the vocabulary of spec.networkPolicies. Must never hold a setting of a gateway's own policy
(api/gateway.py). Invariant: where nothing is said, no policy is made.
"""

from __future__ import annotations

from pydantic import ConfigDict, Field

from navarch.api.meta import CIDR, JSONObject, LabelValue, Model, Name, build_rule

_CIDR_RULE = build_rule(
    "!has(self.webhookSources) || self.webhookSources.all(source, isCIDR(source))",
    field=".webhookSources",
    message="this is no range of addresses; write it as address/length, such as 10.0.0.0/28",
    shown="self.webhookSources.filter(source, !isCIDR(source))[0]",
)


class NetworkPolicies(Model):
    """NetworkPolicies of a mesh. The cluster's network has to enforce them: the API does not tell whether it
    does."""

    model_config = ConfigDict(json_schema_extra={"x-kubernetes-validations": [_CIDR_RULE]})

    manage: bool | None = Field(
        None,
        description="Whether a NetworkPolicy lets into istiod's pods only what a mesh needs: configuration "
        "(15012) from the mesh's namespaces, webhook calls (15017) from webhookSources, metrics (15014) from "
        "the monitoring namespaces and webhookSources. It takes the place of controlPlane.networkPolicy. "
        "Default: false.",
    )
    isolate_members: bool | None = Field(
        None,
        description="Whether each namespace with a MeshMember of the mesh has a NetworkPolicy that lets in "
        "traffic from the mesh's namespaces, the monitoring namespaces and webhookSources, and refuses all "
        "other; pods of gateways are spared. Needs manage. Default: false.",
    )
    monitoring_namespaces: list[Name] | None = Field(
        None,
        max_length=32,
        json_schema_extra={"x-kubernetes-list-type": "set"},
        description="Namespaces from which metrics are collected. Default: none.",
    )
    monitoring_labels: dict[str, LabelValue] | None = Field(
        None,
        max_length=8,
        description="Labels of further namespaces from which metrics are collected: those that have all of "
        "them. Default: none.",
    )
    webhook_sources: list[CIDR] | None = Field(
        None,
        max_length=32,
        json_schema_extra={"x-kubernetes-list-type": "set"},
        description="Addresses, as address/length, from which the API server calls webhooks, and asks for "
        "metrics where restarts have gates: to istiod, and to every pod of a member. Default: istiod's "
        "webhook port takes calls from everywhere, and members take none from outside the mesh.",
    )
    plaintext_discovery: bool | None = Field(
        None,
        description="Whether the mesh's namespaces reach istiod's port without TLS (15010), which pods with "
        "the injection template grpc-simple use. Default: false.",
    )


MANAGE_RULE: JSONObject = build_rule(
    "!has(self.networkPolicies) || !has(self.networkPolicies.isolateMembers) || "
    "!self.networkPolicies.isolateMembers || "
    "(has(self.networkPolicies.manage) && self.networkPolicies.manage)",
    field=".networkPolicies.isolateMembers",
    message="members are isolated only beside a control plane with a policy of its own; set manage: true as "
    "well",
    shown="self.networkPolicies.isolateMembers",
)
"""For a mesh's spec. What profiles add up to is not judged: without manage nothing is made."""
