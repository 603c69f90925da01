"""What to do about each id, how grave it is, and an example of it: the text of docs/reference/checks.md.

Owns severity, remedy and example of every reason that can be reported; those of signs are in signs.py. Must
never hold a rule. Invariant: each reason but those that say that all is well is here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from navarch.core.model.findings import Severity
from navarch.core.model.reasons import Reason


@dataclass(frozen=True, slots=True)
class Advice:
    """How grave a diagnosis is, what to do about it, and a message as an example."""

    severity: Severity
    remedy: str
    example: str


WELL = frozenset(
    {
        Reason.AS_EXPECTED,
        Reason.SETTLED,
        Reason.NOT_PAUSED,
        Reason.NOT_DELETING,
        Reason.RECONCILED,
        Reason.INJECTION_PROVED,
        Reason.DEPENDENCIES_MET,
        Reason.UPGRADED,
    }
)
"""Reasons that say that all is well: nothing is ever reported under them."""

OF_REASONS: Mapping[Reason, Advice] = {
    # specification
    Reason.INVALID_SPEC: Advice(
        Severity.ERROR,
        "Correct the field that the message names; nothing is changed until then, and what was accepted "
        "last stays in force.",
        "spec.controlPlane.replicas: '3': with the profiles merged in, the autoscaler decides the number "
        "of istiods",
    ),
    Reason.TOO_LARGE: Advice(
        Severity.ERROR,
        "Make the field smaller: what is large belongs into objects of its own.",
        "spec.meshConfig: '900 KiB': is larger than Navarch takes",
    ),
    Reason.UNKNOWN_VERSION: Advice(
        Severity.ERROR,
        "Choose a version that the message lists, or upgrade Navarch.",
        "spec.version: '1.99': this release of Navarch does not know that version of Istio",
    ),
    Reason.KUBERNETES_TOO_OLD: Advice(
        Severity.ERROR,
        "Upgrade the cluster, or choose an older minor of Istio.",
        "spec.version: '1.31': Istio 1.31 needs Kubernetes 1.32 or newer; the cluster is 1.30",
    ),
    Reason.REVISION_UNREADABLE: Advice(
        Severity.ERROR,
        "Resume the mesh, or correct its spec: its revision is then written anew.",
        "another release of Navarch wrote it, and this one cannot read spec.strategy: Input should be "
        "'InPlace'",
    ),
    Reason.DOWNGRADE: Advice(
        Severity.ERROR,
        "Set spec.version to what runs, or higher.",
        "spec.version: '1.30.3': is lower than 1.31.1, which runs",
    ),
    Reason.PATCH_REVERTED: Advice(
        Severity.WARNING,
        "Go to a newer patch as soon as one mends what made you go back.",
        "spec.version: '1.31.0': is an older patch than 1.31.1, which runs",
    ),
    Reason.SKIPPED_MINOR: Advice(
        Severity.ERROR,
        "Go to the minor between first, restart the proxies, then go on.",
        "spec.version: '1.31': is more than one minor above 1.29.6, which runs",
    ),
    Reason.PROXIES_TOO_OLD: Advice(
        Severity.WARNING,
        "Restart the workloads that the message names; before the upgrade, if it is not made yet.",
        "spec.version: '1.31': 3 pods run proxies that are more than one minor older: 1.29 (shop; web)",
    ),
    Reason.NOT_THE_OLDEST: Advice(
        Severity.ERROR,
        "Move the mesh to a namespace of its own, or delete the older one and edit this one.",
        "metadata.namespace: 'shop': already holds the older mesh shop/first",
    ),
    Reason.NAMESPACE_REFUSED: Advice(
        Severity.ERROR,
        "Create the mesh in a namespace of its own.",
        "metadata.namespace: 'kube-system': cannot hold a mesh",
    ),
    Reason.TAG_CONFLICT: Advice(
        Severity.ERROR,
        "Delete the mesh and create it with another spec.tag; a tag never changes.",
        "spec.tag: 'prod': is also the tag of mesh shop/main, which is older",
    ),
    Reason.DEFAULT_TAG_CONFLICT: Advice(
        Severity.ERROR,
        "Remove spec.defaultTag here, or from its present owner and then edit this mesh.",
        "spec.defaultTag: 'true': mesh shop/main owns istio-injection=enabled",
    ),
    Reason.NAME_TOO_LONG: Advice(
        Severity.ERROR,
        "Delete the mesh and create it with a shorter name or tag.",
        "spec.tag: 'a-very-long-tag': makes Service istiod-revision-tag-…, which has 66 of at most 63 "
        "characters",
    ),
    Reason.PROFILE_NOT_FOUND: Advice(
        Severity.ERROR,
        "Correct the name, or create the ConfigMap in the operator's namespace.",
        "spec.profiles[0]: 'prodution': there is no profile prodution; did you mean production?",
    ),
    Reason.PROFILE_CYCLE: Advice(
        Severity.ERROR,
        "Remove one of the inclusions.",
        "spec.profiles[0]: 'a': profiles include each other: a -> b -> a",
    ),
    Reason.PROFILE_INVALID: Advice(
        Severity.ERROR,
        "Correct the profile's ConfigMap.",
        "spec.profiles[0]: 'ours': profile ours cannot be used: it has no field replica",
    ),
    Reason.OVERLAY_UNMATCHED: Advice(
        Severity.ERROR,
        "Correct the overlay's target; `navarch render` prints what there is.",
        "spec.overlays[0].target: 'Deployment istiod': no such object is rendered",
    ),
    Reason.OVERLAY_REFUSED: Advice(
        Severity.ERROR,
        "Take the refused part out of the patch.",
        "spec.overlays[0].patch: 'metadata.name': is Navarch's own",
    ),
    Reason.FIELD_REFUSED: Advice(
        Severity.ERROR,
        "Remove the key; docs/reference/refused.md says what to use instead.",
        "spec.meshConfig.rootNamespace: 'other': would move the root of configuration",
    ),
    Reason.MESH_CONFIG_INVALID: Advice(
        Severity.ERROR,
        "Correct the value by Istio's reference of MeshConfig.",
        "spec.meshConfig.enableTracing: 'yes': is no boolean",
    ),
    Reason.VALUES_INVALID: Advice(
        Severity.ERROR,
        "Correct the value's shape by Istio's reference of values.",
        "spec.values.global.proxy: '[]': must be a map",
    ),
    Reason.UNKNOWN_FIELD: Advice(
        Severity.WARNING,
        "Correct the name, or remove the field: istiod ignores it.",
        "spec.meshConfig.acessLogFile: '/dev/stdout': MeshConfig has no such field; did you mean "
        "accessLogFile?",
    ),
    Reason.FIELD_WITHOUT_EFFECT: Advice(
        Severity.WARNING,
        "Decide which of the two fields is meant, and remove the other.",
        "spec.proxy.accessLog.file: '/dev/stdout': has no effect: spec.meshConfig.accessLogFile says the "
        "same and wins; remove this, or spec.meshConfig.accessLogFile",
    ),
    Reason.VALUE_UNREAD: Advice(
        Severity.WARNING,
        "Use a field of the spec instead, or remove the value; a template of your own may read it.",
        "spec.values.pilot.replicaCount: '3': is Istio's, but not read by injection, and has no effect here",
    ),
    Reason.FOREIGN_ISTIO: Advice(
        Severity.ERROR,
        "Uninstall that Istio, or create the mesh with another tag.",
        "spec.tag: 'prod': is taken by a foreign Istio: MutatingWebhookConfiguration istio-revision-tag-"
        "prod carries istio.io/tag=prod",
    ),
    Reason.VERSION_NOTICE: Advice(
        Severity.WARNING,
        "Plan the upgrade to a newer minor.",
        "spec.version: '1.29': Istio 1.29 is past its end of life",
    ),
    Reason.VERSION_PREVIEW: Advice(
        Severity.WARNING,
        "Use it where it may fail, and the newest minor before it for all else.",
        "spec.version: '1.32': Istio 1.32 is a preview: its CRDs and MeshConfig are the release's; ...",
    ),
    Reason.PATCH_UNTESTED: Advice(
        Severity.WARNING,
        "Watch the mesh, and upgrade Navarch, or extend its catalog, when you can.",
        "spec.version: '1.31.9': is newer than 1.31.4, the newest patch of 1.31 known here",
    ),
    Reason.CATALOG_INVALID: Advice(
        Severity.WARNING,
        "Correct the ConfigMap in the operator's namespace, or the variable; until then that part of it is "
        "ignored.",
        "ConfigMap more, key catalog.yaml: 1.31.patches[0]: 1.31 is not a text; put it in quotes",
    ),
    Reason.IMAGE_NOT_AT_HAND: Advice(
        Severity.ERROR,
        "Mirror the image and name it in a variable RELATED_IMAGE_… of the operator, or choose a version "
        "that has one.",
        "spec.version: '1.31.9': the mesh would run registry.istio.io/release/pilot:1.31.9, which no "
        "variable RELATED_IMAGE_… of the operator names",
    ),
    Reason.UNTESTED_KUBERNETES: Advice(
        Severity.INFO,
        "Watch the mesh closely, or choose a newer minor.",
        "spec.version: '1.31': Istio 1.31 was tested on Kubernetes up to 1.36, and the cluster is 1.37",
    ),
    # reconciling
    Reason.FOREIGN_OBJECT: Advice(
        Severity.ERROR,
        "Remove or rename that object; it is never overwritten.",
        "ConfigMap shop/istio-shop-mesh-inplace exists and is managed by Helm; it was left untouched",
    ),
    Reason.FOREIGN_GATEWAY_DEFAULTS: Advice(
        Severity.WARNING,
        "Remove the label or the ConfigMap, and use spec.values.gatewayClasses.",
        "metadata.namespace: 'shop': holds ConfigMap theirs with the label "
        "gateway.istio.io/defaults-for-class=istio, which Navarch did not make: istiod may deploy every "
        "Gateway of that class with what it says",
    ),
    Reason.OBJECT_CONTESTED: Advice(
        Severity.ERROR,
        "Stop the client that the message names, or have it leave the object alone; annotations that a "
        "platform adds to webhooks are never touched.",
        "MutatingWebhookConfiguration istio-revision-tag-shop-mesh: webhooks[0].namespaceSelector is changed "
        "again and again by field manager enforcer; it is put back at intervals of up to 60 s: stop that "
        "client, or have it leave this object alone",
    ),
    Reason.OBJECT_REMOVED: Advice(
        Severity.INFO,
        "Nothing; it was no part of the mesh any more.",
        "Service shop/istiod-revision-tag-shop-old was removed",
    ),
    Reason.APPLY_FAILED: Advice(
        Severity.ERROR,
        "Read what the API server answered, and correct it; it is tried again.",
        "Service shop/istiod-shop-mesh-inplace: spec.ports: Required value",
    ),
    Reason.ADMISSION_DENIED: Advice(
        Severity.ERROR,
        "Give the namespace what the policy, quota or webhook asks for; it is tried again.",
        "Deployment shop/istiod-shop-mesh-inplace: exceeded quota: small",
    ),
    Reason.MISSING_PERMISSION: Advice(
        Severity.ERROR,
        "Apply `navarch manifests` of the operator's own release again.",
        "Role shop/istiod-shop-mesh-inplace: cannot create resource roles",
    ),
    Reason.IMMUTABLE_FIELD: Advice(
        Severity.ERROR,
        "Delete the object that the message names; it is made again.",
        "Deployment shop/istiod-shop-mesh-inplace: spec.selector: field is immutable",
    ),
    Reason.API_UNAVAILABLE: Advice(
        Severity.ERROR,
        "Look at the API server; it is tried again.",
        "PeerAuthentication shop/default: no answer: TimeoutError",
    ),
    Reason.NAMESPACE_TERMINATING: Advice(
        Severity.WARNING,
        "Wait until the namespace is gone.",
        "the namespace is being deleted; 12 objects left",
    ),
    Reason.PROGRESSING: Advice(
        Severity.INFO,
        "Wait; what is waited for is in the message.",
        "MeshRevision shop/shop-mesh-inplace is being applied",
    ),
    Reason.INTERNAL_ERROR: Advice(
        Severity.ERROR,
        "Undo the object's last edit if there was one, and report this with the traceback.",
        "an error that Navarch does not know, at navarch/core/mesh/plan.py:99: KeyError: 'spec'",
    ),
    Reason.NOT_YET_DETERMINED: Advice(
        Severity.WARNING,
        "Wait a moment; if it stays, look at the operator's log.",
        "ConfigMap shop/istio-ca-root-cert does not exist yet",
    ),
    Reason.PAUSED: Advice(
        Severity.WARNING,
        "Remove spec.paused to resume.",
        "nothing but status and Events is written",
    ),
    # control plane
    Reason.NO_REPLICA_AVAILABLE: Advice(
        Severity.ERROR,
        "Look at istiod's pods; new pods of the mesh are refused until one serves.",
        "Deployment shop/istiod-shop-mesh-inplace: 1 of 1 pods updated, 0 available",
    ),
    Reason.NOT_INSTALLED: Advice(
        Severity.WARNING,
        "Wait for the installation, or see what keeps it from going on.",
        "the control plane has not been installed yet",
    ),
    Reason.ROLLING_OUT: Advice(
        Severity.INFO,
        "Wait for the rollout.",
        "Deployment shop/istiod-shop-mesh-inplace: 1 of 2 pods updated, 2 available",
    ),
    Reason.ROLLOUT_STUCK: Advice(
        Severity.ERROR,
        "Fix the problem shown in the pod events.",
        "pod istiod-…-x2x: ErrImagePull: not found",
    ),
    Reason.PROXIES_OUTDATED: Advice(
        Severity.WARNING,
        "Restart the workloads; `navarch describe` lists them.",
        "2 pods run an older proxy; restart their workloads to bring them up to date",
    ),
    Reason.PROXIES_MISPLACED: Advice(
        Severity.WARNING,
        "Restart the workloads that the message names: their pods get the proxy of the mesh that their "
        "namespace belongs to now.",
        "3 pods in the mesh's namespaces run the proxy of another control plane (a-mesh-inplace): apps/web-1",
    ),
    Reason.VERSION_PENDING: Advice(
        Severity.INFO,
        "Wait: what Progressing says has to come to its end first.",
        "MeshRevision shop/shop-mesh-inplace is not yet as the spec asks",
    ),
    # injection
    Reason.WEBHOOK_MISSING: Advice(
        Severity.WARNING,
        "Wait until istiod is available; the webhook is made after it.",
        "the tag's webhook does not exist yet",
    ),
    Reason.CA_BUNDLE_MISSING: Advice(
        Severity.WARNING,
        "Wait; if it stays, look at istiod's log.",
        "istiod has not written its root into MutatingWebhookConfiguration istio-revision-tag-shop-mesh yet",
    ),
    Reason.CA_BUNDLE_MISMATCH: Advice(
        Severity.ERROR,
        "Look at who else writes that webhook; istiod repairs it within moments.",
        "MutatingWebhookConfiguration istio-revision-tag-shop-mesh trusts another root than istio-ca-"
        "root-cert holds",
    ),
    Reason.INJECTION_FAILED: Advice(
        Severity.ERROR,
        "Look at istiod's log and its Service: pods of the mesh are refused.",
        "failed calling webhook rev.namespace.sidecar-injector.istio.io: connection refused",
    ),
    Reason.NOT_INJECTED: Advice(
        Severity.ERROR,
        "Look for webhooks or policies that take the pod away from the mesh's.",
        "the dry-run pod came back without a sidecar",
    ),
    Reason.WRONG_REVISION: Advice(
        Severity.ERROR,
        "Look for another injector that selects the same pods.",
        "the dry-run pod was injected by canary, not by shop-mesh-inplace",
    ),
    Reason.PROBE_DENIED: Advice(
        Severity.WARNING,
        "Let the policy that the message names admit pods of the probe namespace.",
        'admission webhook "policy.example" denied the request',
    ),
    # dependencies
    Reason.CRDS_PENDING: Advice(
        Severity.WARNING,
        "Wait until they are established.",
        "not established yet: gateways.networking.istio.io",
    ),
    Reason.CRDS_OUTDATED: Advice(
        Severity.ERROR,
        "Upgrade Istio's CRDs with whatever installed them, or hand them over to Navarch.",
        "CustomResourceDefinition gateways.networking.istio.io lacks version v1",
    ),
    Reason.CRDS_FOREIGN: Advice(
        Severity.INFO,
        "Nothing; whoever installed them has to keep them new enough.",
        "left untouched, and sufficient: gateways.networking.istio.io",
    ),
    Reason.NAVARCH_CRDS_OUTDATED: Advice(
        Severity.ERROR,
        "Apply the CRDs of the operator's release: `navarch manifests` prints them.",
        "meshcontrolplanes.mesh.navarch.io lacks field v1beta1.status.proxies.misplaced",
    ),
    Reason.ROLES_MISSING: Advice(
        Severity.ERROR,
        "Apply `navarch manifests` of the operator's own release again.",
        "ClusterRole navarch-istiod-1.31-0a1b2c3d does not exist; apply the manifests of this release of "
        "Navarch (`navarch manifests`)",
    ),
    Reason.ANOTHER_INSTALLATION: Advice(
        Severity.ERROR,
        "Keep one: docs/how-to/install.md says how an installation moves to another namespace.",
        "Navarch is installed in navarch-system and mesh-system; ClusterRoleBinding navarch gives its rights "
        "to mesh-system",
    ),
    Reason.DRIFT_REPAIRED: Advice(
        Severity.INFO,
        "Find out who changes it; it is put back each time.",
        "Service shop/istiod-shop-mesh-inplace was put back",
    ),
    # deletion
    Reason.REMOVING: Advice(
        Severity.INFO,
        "Wait.",
        "4 objects left: Deployment shop/istiod-shop-mesh-inplace",
    ),
    Reason.KIND_DELETED: Advice(
        Severity.WARNING,
        "Save the mesh and restore its kind, as docs/how-to/back-up-and-restore.md shows; nothing goes.",
        "the kind itself is being deleted, and this mesh only with it: everything is left in place",
    ),
    Reason.PODS_LEFT_BEHIND: Advice(
        Severity.WARNING,
        "Restart those pods: they keep a proxy without a control plane.",
        "pods that keep their proxy: shop/web-1",
    ),
}
