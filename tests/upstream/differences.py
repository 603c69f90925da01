"""What we render differently from upstream's installer on purpose: the one table, each row with its reason.

Owns the reasons; `make generate` writes docs/reference/differences.md from it. Must never hold a row that
hides more than its reason says: patterns are as narrow as the reason. Invariant (tests/upstream): every gap
between the two renderings has exactly one row, and every row has a gap.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.upstream.comparison import Gap

ANY = "*"
OBJECT = "(an object)"
"""Stands for an object as a whole, where a row is about its being there."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One row. `where` is kind and role of objects, `path` the field in them (empty: the whole object),
    `upstream` and `ours` what is there on either side: None for nothing, `*` for anything or nothing;
    within a longer text `*` stands for any text. `when` says in words in which meshes, where it is not in
    all, and `only` names the combinations of tests/upstream/combinations.py in which it may be found; empty
    for all. `minors` are those of Istio in which it is found; empty for all that are compared."""

    where: str
    path: str
    upstream: str | None
    ours: str | None
    reason: str
    when: str = ""
    only: tuple[str, ...] = ()
    minors: tuple[str, ...] = ()

    def explains(self, gap: Gap, wish: str, minor: str) -> bool:
        """Whether the row is about this gap, which was found with this wish and minor."""
        return (
            (not self.minors or minor in self.minors)
            and (not self.only or wish in self.only)
            and _fits(self.where, gap.where)
            and _fits(self.path, gap.path)
            and _fits(self.upstream, gap.upstream)
            and _fits(self.ours, gap.ours)
        )


def _fits(pattern: str | None, value: Any) -> bool:
    if pattern is None or value is None or pattern == ANY:
        return pattern == ANY or pattern is value
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), text, re.S) is not None


_LABELS = "*metadata.labels."
_DEFAULT_TAG = ("the default tag", "in istio-system", "many of these at once")
_REMOTE = "lets another cluster's control plane read this one; comes with meshes over several clusters"
_CHARTS = (
    "read by upstream's charts only, never by injection; here it would look as if setting it did something"
)
_SPELT_OUT = "what templates look into is there also when it is empty, so that none has to ask first"
_MEMBERS = (
    "one mesh of several: istiod looks at, validates and injects the namespaces that belong to it, and no "
    "others; upstream's selectors would also take pods and configuration of other meshes' namespaces"
)
_GROUPS = "no CRD of Istio is in this group any more; a right that nothing needs is not given"
_OPENSHIFT = "platform openshift"

DIFFERENCES: tuple[Difference, ...] = (
    Difference(
        "*",
        f"{_LABELS}app.kubernetes.io/managed-by",
        "Helm",
        "navarch",
        "says who would put a change back",
    ),
    Difference(
        "*",
        f"{_LABELS}app.kubernetes.io/instance",
        "istio",
        None,
        "the name of a Helm release; which mesh an object belongs to is in mesh.navarch.io/mesh-name",
    ),
    Difference("*", f"{_LABELS}release", "istio", None, "the name of a Helm release"),
    Difference("*", f"{_LABELS}helm.sh/chart", ANY, None, "there is no chart"),
    Difference(
        "*",
        f"{_LABELS}app.kubernetes.io/version",
        ANY,
        None,
        "the chart's version; one of our own on every object would rewrite all of them with each patch",
    ),
    Difference(
        "*",
        f"{_LABELS}app.kubernetes.io/name",
        ANY,
        None,
        "the chart's name; `app` says what an object is part of, where Istio's tools look for it",
    ),
    Difference(
        "CustomResourceDefinition *",
        f"{_LABELS}app.kubernetes.io/part-of",
        "istio",
        None,
        "CRDs belong to the cluster and carry the labels by which they are found, no more",
    ),
    Difference(
        "*",
        f"{_LABELS}install.operator.istio.io/owning-resource",
        "unknown",
        None,
        "the name of an IstioOperator, and there is none",
    ),
    Difference(
        "*",
        f"{_LABELS}operator.istio.io/component",
        "Pilot",
        None,
        "`istioctl uninstall` removes what carries it; these objects are not its own",
    ),
    Difference(
        "*", f"{_LABELS}mesh.navarch.io/*", None, ANY, "by these labels we know what is ours, and whose"
    ),
    Difference(
        "*",
        f"{_LABELS}istio.io/rev",
        None,
        ANY,
        "all objects of a revision can be listed by one label",
    ),
    Difference(
        "*",
        "metadata.labels.istio",
        None,
        "pilot",
        "all objects of a control plane can be listed by one label",
    ),
    Difference(
        "ConfigMap istio",
        "metadata.labels.app",
        None,
        "istiod",
        "all objects of an istiod can be listed by one label",
    ),
    Difference(
        "Service *",
        "spec.selector.mesh.navarch.io/mesh-name",
        None,
        "mesh",
        "a policy lets this label come on pods of istiod's ReplicaSet only, so that no other pod beside "
        "istiod is taken for one",
    ),
    Difference(
        "Service istiod-revision-tag-*",
        "metadata.labels.istio",
        "pilot",
        None,
        "a client that finds istiod's Services by this label, as Istio's own ServiceMonitor does, finds each "
        "istiod once",
    ),
    Difference(
        "CustomResourceDefinition *",
        "metadata.annotations.helm.sh/resource-policy",
        "keep",
        None,
        "for Helm; CRDs stay in any case when a mesh goes",
    ),
    Difference("ServiceAccount istio-reader-service-account", "", OBJECT, None, _REMOTE),
    Difference("ClusterRole* istio-reader-clusterrole", "", OBJECT, None, _REMOTE),
    *(
        Difference(
            "ClusterRole istiod",
            f"rules[admissionregistration.k8s.io/{kind}{where}*]",
            theirs,
            ours,
            "without the gateway controller istiod writes its own mesh's webhooks only, each by its name",
            when="without the gateway controller",
            only=("istiod's environment",),
        )
        for kind in ("mutatingwebhookconfigurations", "validatingwebhookconfigurations")
        for where, theirs, ours in (("(", None, ANY), (":", ANY, None))
    ),
    Difference("ClusterRole istiod", "rules[config.istio.io/*]", ANY, None, _GROUPS),
    Difference("ClusterRole istiod", "rules[authentication.istio.io/*]", ANY, None, _GROUPS),
    Difference("ClusterRole istiod", "rules[rbac.istio.io/*]", ANY, None, _GROUPS),
    Difference(
        "ClusterRole istiod",
        "rules[networking.k8s.io/ingresses/status:*]",
        ANY,
        None,
        "verbs are written out: get, patch, update are what a status can be asked for",
    ),
    Difference(
        "ConfigMap istio",
        "data.mesh.discoverySelectors[*",
        None,
        ANY,
        _MEMBERS,
    ),
    Difference(
        "MutatingWebhookConfiguration *",
        "webhooks[*].namespaceSelector[kubernetes.io/metadata.name *",
        None,
        ANY,
        _MEMBERS,
    ),
    Difference(
        "MutatingWebhookConfiguration *",
        "webhooks[*namespace.sidecar-injector.istio.io].matchConditions[not-reserved].*",
        None,
        ANY,
        "nothing is injected in namespaces named kube-* and openshift-*, with any labels: "
        "a label selector knows no prefixes, and a list of names would lag behind",
    ),
    Difference(
        "MutatingWebhookConfiguration istio-revision-tag-TAG",
        "metadata.name",
        "istio-revision-tag-blue-north",
        "istio-revision-tag-blue",
        "a tag is unique in the cluster and needs no namespace to be told from others",
        when="outside istio-system",
    ),
    Difference(
        "ValidatingWebhookConfiguration istio-validator",
        "webhooks[member-*",
        None,
        ANY,
        "configuration that names no revision is validated by the mesh whose namespace it is in; upstream "
        "leaves it to the one owner of the default tag",
    ),
    Difference(
        "ValidatingWebhookConfiguration *",
        "webhooks[*].failurePolicy",
        "Ignore",
        "Fail",
        "istiod writes Fail as soon as it serves; ours is applied only then, so nothing goes in unvalidated "
        "between",
    ),
    Difference(
        "ValidatingWebhookConfiguration istiod-default-validator",
        "webhooks[validation.istio.io].objectSelector[istio.io/rev DoesNotExist]",
        None,
        ANY,
        "configuration that names a revision is validated by that revision; istioctl's own default tag has "
        "this selector, too",
        when="with the default tag",
        only=_DEFAULT_TAG,
    ),
    Difference(
        "ValidatingWebhookConfiguration istiod-default-validator",
        "metadata.labels.istio.io/tag",
        None,
        "default",
        "as istioctl writes it with the default tag",
        when="with the default tag",
        only=_DEFAULT_TAG,
    ),
    Difference(
        "Deployment istiod",
        "spec.template.spec.containers[discovery].env[CA_TRUSTED_NODE_ACCOUNTS].*",
        ANY,
        None,
        "names the account of ztunnel, which may then obtain any identity; there is no ztunnel here, and "
        "no other account shall take its name",
    ),
    Difference(
        "Deployment istiod",
        "spec.template.spec.containers[discovery].env[PLATFORM].*",
        ANY,
        None,
        "an empty variable says the same as none",
        when="where no platform is named",
    ),
    Difference(
        "ConfigMap istio",
        "data.isolation*",
        None,
        ANY,
        "what keeps the mesh to its own namespaces and trust; istiod reads it from a file, over all else",
    ),
    Difference(
        "ConfigMap istio",
        "data.mesh.configSources*",
        None,
        ANY,
        "without it istiod ends when it starts: one that did not get its mesh configuration never serves",
    ),
    Difference(
        "Deployment istiod",
        "spec.template.spec.containers[discovery].args*",
        None,
        ANY,
        "name the file with the isolation, and a folder that does not exist, at which an istiod without its "
        "mesh configuration ends",
    ),
    Difference(
        "Deployment istiod",
        "spec.template.spec.containers[discovery].env[SHARED_MESH_CONFIG]*",
        None,
        ANY,
        "the mesh configuration is read from the ConfigMap besides the file",
    ),
    Difference(
        "Deployment istiod",
        "spec.template.spec.containers[discovery].volumeMounts[*]*",
        None,
        ANY,
        "the file with the isolation stays when the ConfigMap goes",
    ),
    Difference(
        "Deployment istiod",
        "spec.template.spec.volumes[mesh-isolation]*",
        None,
        ANY,
        "the file with the isolation stays when the ConfigMap goes; a pod without it does not start",
    ),
    Difference(
        "Deployment istiod",
        "spec.strategy.rollingUpdate.maxUnavailable",
        "25%",
        "0",
        "no istiod goes before its successor is available, however many there are",
    ),
    Difference(
        "Deployment istiod",
        "spec.template.metadata.annotations.mesh.navarch.io/restart",
        None,
        ANY,
        "rolls istiod when something changes that it reads only when it starts",
    ),
    Difference(
        "Deployment istiod",
        "spec.template.spec.containers[discovery].lifecycle.*",
        None,
        ANY,
        "istiod serves on for ten seconds while kube-proxy and open connections still lead to it: a roll of "
        "upstream's Deployment refuses pods for up to a second",
    ),
    Difference(
        "Deployment istiod",
        "spec.template.spec.containers[discovery].terminationMessagePolicy",
        "FallbackToLogsOnError",
        None,
        "part of upstream's profile of the platform; an overlay sets it",
        when=_OPENSHIFT,
        only=("a cluster domain, nftables and a platform",),
        minors=("1.31",),
    ),
    Difference(
        "MutatingWebhookConfiguration istio-revision-tag-default",
        "metadata.name",
        "istio-revision-tag-default-*",
        "istio-revision-tag-default",
        "istiod of this minor finds the default tag's owner by the name without the namespace "
        "(pkg/revisions/default_watcher.go), with any name that its chart writes",
        when="with the default tag, outside istio-system",
        only=("the default tag",),
        minors=("1.30",),
    ),
    Difference(
        "ConfigMap istio-sidecar-injector",
        "data.values.pilot.cni.*",
        ANY,
        ANY,
        "part of upstream's profile of the platform; means nothing without Istio's CNI",
        when=_OPENSHIFT,
        only=("a cluster domain, nftables and a platform",),
    ),
    Difference(
        "ConfigMap istio-sidecar-injector",
        "data.values.pilot.env*",
        ANY,
        ANY,
        "templates read one variable of it, which meshes do not have; to repeat istiod's variables here "
        "would make every proxy outdated with each of them",
        when="with variables of istiod",
        only=("istiod's environment", "native sidecars"),
    ),
    Difference(
        "ConfigMap istio-sidecar-injector",
        "data.config.injectedAnnotations.mesh.navarch.io/proxy",
        None,
        ANY,
        "by it a proxy that a restart would change is told from a current one",
    ),
    Difference(
        "ConfigMap istio-sidecar-injector",
        "data.config.template",
        ANY,
        None,
        "makes istiods before 1.9 refuse to inject; there are none",
    ),
    Difference("ConfigMap istio-sidecar-injector", "data.config.aliases", None, "{}", _SPELT_OUT),
    Difference(
        "ConfigMap istio-sidecar-injector",
        "data.values.sidecarInjectorWebhook.aliases",
        None,
        "{}",
        _SPELT_OUT,
    ),
    Difference(
        "ConfigMap istio-sidecar-injector",
        "data.values.sidecarInjectorWebhook.defaultTemplates",
        "[]",
        None,
        "the default, spelt out (next row)",
    ),
    Difference(
        "ConfigMap istio-sidecar-injector",
        "data.values.sidecarInjectorWebhook.defaultTemplates[0]",
        None,
        "sidecar",
        "the default, spelt out; the injector's configuration says the same on both sides",
    ),
    *(
        Difference("ConfigMap istio-sidecar-injector", f"data.values.global.{key}", value, None, _CHARTS)
        for key, value in {
            "certSigners": "[]",
            "configCluster": "false",
            "configValidation": "true",
            "defaultPodDisruptionBudget.enabled": ANY,
            "defaultResources.requests.cpu": ANY,
            "externalIstiod": "false",
            "istiod.enableAnalysis": "false",
            "networkPolicy.enabled": ANY,
            "omitSidecarInjectorConfigMap": "false",
            "operatorManageWebhooks": "false",
            "priorityClassName": ANY,
            "remotePilotAddress": "",
            "resourceScope": "all",
        }.items()
    ),
    *(
        Difference("ConfigMap istio-sidecar-injector", f"data.values.global.{key}", None, value, _SPELT_OUT)
        for key, value in {
            "agentgateway.image": "agentgateway",
            "platform": "",
            "proxy.capNetBindService": "false",
            "proxy.lifecycle": "{}",
            "trustBundleName": "",
        }.items()
    ),
    Difference(
        "ConfigMap istio-sidecar-injector",
        "data.values.global.proxy.holdApplicationUntilProxyStarts",
        None,
        ANY,
        "spec.proxy.holdApplicationUntilProxyStarts is said in both places that templates read",
    ),
    Difference(
        "ConfigMap values",
        "data.*",
        ANY,
        ANY,
        "for people to read: what the user set and what came of it, which are injection's values here and "
        "the whole chart's upstream",
    ),
    Difference(
        "ConfigMap values",
        "metadata.annotations.kubernetes.io/description",
        ANY,
        None,
        "speaks of Helm",
    ),
)
