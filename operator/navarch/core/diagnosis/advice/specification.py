"""Advice on what checks of a mesh's specification find: the condition SpecAccepted.

Owns severity, remedy and example of these reasons. Must never hold a rule.
"""

from __future__ import annotations

from collections.abc import Mapping

from navarch.core.diagnosis.advice.form import Advice
from navarch.core.model.findings import Severity
from navarch.core.model.reasons import Reason

OF_SPECIFICATION: Mapping[Reason, Advice] = {
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
        "another release of Navarch wrote it, and this one cannot read spec.strategy: 'Canary': must be one "
        "of 'InPlace'",
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
    Reason.TOO_MANY_REVISIONS: Advice(
        Severity.ERROR,
        "Restart the workloads that still use the older revisions; status.revisions counts their pods.",
        "spec.version: '1.31.4': would make one revision more than 4: shop-mesh-1-30-1, …",
    ),
    Reason.NOTHING_TO_GO_BACK_TO: Advice(
        Severity.WARNING,
        "Remove the field, and write the earlier version and configuration into the spec.",
        "spec.upgrade.rollback: true: no version and configuration that was proved before the present one "
        "is known; the mesh follows the rest of its spec",
    ),
    Reason.TIME_ZONE_UNKNOWN: Advice(
        Severity.ERROR,
        "Write a name of the IANA database, such as Europe/Berlin or UTC.",
        "spec.upgrade.dataPlane.windows[0].timeZone: 'CEST': no time zone has this name",
    ),
    Reason.WINDOWS_NEVER_OPEN: Advice(
        Severity.WARNING,
        "Name a time that is in both, or ask whoever owns the mesh for another window.",
        "spec.restartWindows: '': never open together with spec.upgrade.dataPlane.windows of the mesh: "
        "nothing is restarted",
    ),
    Reason.CANARY_NOT_A_MEMBER: Advice(
        Severity.WARNING,
        "Have the namespace join the mesh, or name another.",
        "spec.upgrade.dataPlane.canaryNamespaces: 'early': early is not in the mesh, so that no canary is "
        "restarted there",
    ),
    Reason.REVISION_NAMED: Advice(
        Severity.ERROR,
        "Label the namespaces with the mesh's tag; running pods keep their sidecar and nothing is restarted.",
        "spec.upgrade.strategy: 'RevisionBased': 1 namespace names revision shop-mesh-inplace in "
        "istio.io/rev, which the next version would leave behind: apps",
    ),
    Reason.REVISION_IN_USE: Advice(
        Severity.ERROR,
        "Restart the workloads that still use it, or go on from revision to revision.",
        "spec.version: '1.31': shop-mesh-inplace, which would be updated to it, runs Istio 1.30.7 for 3 pods",
    ),
    Reason.CANARY_IN_PLACE: Advice(
        Severity.ERROR,
        "Go from revision to revision, or make changes of the configuration where the revision stands.",
        "spec.upgrade.canaryConfig: 'true': the mesh is updated in place, where no second istiod comes up",
    ),
    Reason.STRATEGY_PENDING: Advice(
        Severity.INFO,
        "Nothing is to be done: the next version comes up beside what serves, as the strategy has it.",
        "spec.upgrade.strategy: 'RevisionBased': shop-mesh-inplace, which was made to be updated in place, "
        "serves on as it is",
    ),
    Reason.PROXIES_TOO_OLD: Advice(
        Severity.WARNING,
        "Restart the workloads that the message names; before the upgrade, if it is not made yet.",
        "spec.version: '1.31': 3 pods run proxies that are more than one minor older: 1.29 (shop; web)",
    ),
    Reason.VERSION_OUTSIDE_SKEW: Advice(
        Severity.ERROR,
        "Set spec.version of the gateway to one that the message names, or remove it; until then its pods "
        "stay as they are.",
        "spec.version: '1.29': means 1.29.6, which is more than one minor older than 1.31.4, the version of "
        "the mesh",
    ),
    Reason.VERSION_LEAVES_SKEW: Advice(
        Severity.WARNING,
        "Raise or remove spec.version of the gateways that the message names before the mesh goes to its "
        "next minor.",
        "spec.version: '1.30': the mesh runs 1.31.4, and its next minor does not support proxies of this one",
    ),
    Reason.VERSION_WITHOUT_IMAGE: Advice(
        Severity.ERROR,
        "Remove spec.version of the gateway, or the mesh's own tag, digest or image of proxies: the catalog "
        "has an image for each version, and a ConfigMap adds digests to it.",
        "spec.version: '1.30': the mesh names the image of its proxies by spec.images.tag, which is that of "
        "one version",
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
    Reason.NAMESPACE_EXCLUDED: Advice(
        Severity.ERROR,
        "Ask the mesh's administrator, who may take the name off spec.excludedNamespaces of the mesh; or "
        "delete the MeshMember, or take the name out of the MeshMemberRoll.",
        "metadata.namespace: 'shop': spec.excludedNamespaces of mesh mesh/demo names this namespace, so it "
        "is no member",
    ),
    Reason.MESH_NOT_FOUND: Advice(
        Severity.ERROR,
        "Create the mesh, or make the gateway or MeshMember for another one and remove this one.",
        "spec.controlPlaneRef: 'shop/mesh': there is no such MeshControlPlane; what the gateway runs keeps "
        "serving",
    ),
    Reason.NAMESPACE_NOT_FOUND: Advice(
        Severity.WARNING,
        "Correct the name in spec.members, or create the namespace: it joins then.",
        "1 of 3 namespaces are no members yet: shpo (NamespaceNotFound); status.pending says why",
    ),
    Reason.NAMESPACE_REPLACED: Advice(
        Severity.WARNING,
        "Take the entry out of spec.members. If the namespace that has the name now is to be a member, write "
        "its uid (`kubectl get namespace NAME -o jsonpath={.metadata.uid}`), which takes the right to update "
        "pods there, or have its team make a MeshMember in it.",
        "spec.members: 'shop@5b0c2f7e-6f0e-4b57-9d3b-0c8b1a8f4a11': the namespace of this uid is gone; the "
        "one that has the name shop now does not join by it",
    ),
    Reason.MEMBER_OF_ANOTHER: Advice(
        Severity.ERROR,
        "Take the namespace out of one of the two rolls, or delete the MeshMember that is there.",
        "MeshMemberRoll old/default has made a MeshMember for mesh old/demo; what came first stays, and the "
        "namespace joins once that one is deleted",
    ),
    Reason.NO_NAMESPACE_SELECTED: Advice(
        Severity.WARNING,
        "Correct the selector, or label the namespaces.",
        "spec.memberSelectors[0]: '': no namespace has these labels; one joins as soon as it has them",
    ),
    Reason.NAMESPACES_PENDING: Advice(
        Severity.WARNING,
        "See why of each: `kubectl get meshmr default -n NAMESPACE -o yaml`, status.pending.",
        "1 of 3 namespaces are no members yet: shpo (NamespaceNotFound); status.pending says why",
    ),
    Reason.NAMESPACE_SHARED: Advice(
        Severity.ERROR,
        "Remove the label that the message names, or delete the MeshMember.",
        "metadata.namespace: 'front': belongs to mesh shop/mesh as well, by its label istio.io/rev=shop-mesh",
    ),
    Reason.LABEL_CONFLICT: Advice(
        Severity.ERROR,
        "Remove the label that the message names from the namespace, or have what wrote it do so.",
        "Namespace shop: .metadata.labels.istio.io/rev: conflict with 'kubectl-label'; it was left as it is: "
        "remove that label, or have what wrote it do so",
    ),
    Reason.NOT_A_MEMBER: Advice(
        Severity.ERROR,
        "Label the namespace with the mesh's tag, as the message shows.",
        "metadata.namespace: 'front': the gateway's namespace does not belong to the mesh shop/mesh",
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
    Reason.SCOPE_CONFLICT: Advice(
        Severity.ERROR,
        "Delete one of the meshes, or give the other one another spec.scope and then edit this one.",
        "spec.scope: 'unset': every namespace belongs to mesh shop/main, and no other mesh can be beside it",
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
        "spec.profiles[0]: 'ours': profile ours cannot be used: replica: there is no such field",
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
        "Watch the mesh closely, or choose a minor that was tested with this Kubernetes.",
        "spec.version: '1.31': Istio 1.31 was tested on Kubernetes up to 1.36, and the cluster is 1.37",
    ),
    Reason.FOREIGN_GATEWAY_DEFAULTS: Advice(
        Severity.WARNING,
        "Remove the label or the ConfigMap, and use spec.values.gatewayClasses.",
        "metadata.namespace: 'shop': holds ConfigMap theirs with the label "
        "gateway.istio.io/defaults-for-class=istio, which Navarch did not make: istiod may deploy every "
        "Gateway of that class with what it says",
    ),
    Reason.GATEWAY_API_UNREAD: Advice(
        Severity.WARNING,
        "Install the version of Gateway API that the message names with what installed the CRDs, or choose a "
        "minor that reads the cluster's.",
        "spec.version: '1.31': its istiod ignores tlsroutes.gateway.networking.k8s.io of v1.4.1 since it "
        "reads v1.5.0 and newer",
    ),
    Reason.GATEWAY_NAMES_CLASH: Advice(
        Severity.WARNING,
        "Give one of the gateways that the message names another name, or have istiod keep to a Gateway's "
        "own namespace: PILOT_SCOPE_GATEWAY_TO_NAMESPACE=true in spec.controlPlane.environment.",
        "MeshGateways have one name in several namespaces: ingress in back; front: their pods have one label "
        "(istio=ingress), so that what selects it in any namespace of the mesh is served by all of them",
    ),
    Reason.GATEWAY_API_AWAITED: Advice(
        Severity.WARNING,
        "Remove PILOT_ENABLE_ALPHA_GATEWAY_API from spec.controlPlane.environment, or from the profile that "
        "sets it.",
        "spec.controlPlane.environment: 'PILOT_ENABLE_ALPHA_GATEWAY_API=true': its istiod waits for v1alpha2 "
        "of udproutes.gateway.networking.k8s.io, which v1.6.0 of the standard channel does not serve",
    ),
    Reason.POLICY_OVERRULED: Advice(
        Severity.WARNING,
        "Delete the PeerAuthentication that the message names, give it a selector, or remove spec.mtls.mode.",
        "spec.mtls.mode: 'Strict': is not in force: PeerAuthentication shop/older, mode DISABLE, holds for "
        "the whole mesh, too, and is older, and Istio takes the oldest; kubectl delete peerauthentication "
        "older -n shop; or give it a selector, or remove spec.mtls.mode",
    ),
}
