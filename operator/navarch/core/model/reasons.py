"""Every reason a condition or an Event can carry, with one sentence of documentation.

Owns the vocabulary of status. A reason written as a string anywhere else is a bug;
docs/reference/conditions.md is generated from here. Invariant: values are CamelCase words and never change
once released.
"""

from __future__ import annotations

from navarch.core.model.documented import Documented


class Reason(Documented):
    """A reason of a condition or an Event."""

    @classmethod
    def read(cls, value: str) -> Reason:
        """A reason that stands in a status: one that another release of Navarch wrote, and this one does not
        know, counts as not determined."""
        try:
            return cls(value)
        except ValueError:
            return cls.NOT_YET_DETERMINED

    # --- in order -------------------------------------------------------------------------------------------
    AS_EXPECTED = "AsExpected", "Everything this condition speaks of is as it should be."
    PROGRESSING = "Progressing", "A change is being carried out; the message says what is waited for."
    SETTLED = "Settled", "Nothing is being changed."
    NOT_PAUSED = "NotPaused", "spec.paused is not set."
    NOT_DELETING = "NotDeleting", "The object is not being deleted."
    INTERNAL_ERROR = (
        "InternalError",
        "Navarch met an error that it does not know, a bug of its own: what runs is left as it is.",
    )
    NOT_YET_DETERMINED = "NotYetDetermined", "Could not be determined yet; the message says what is missing."
    PAUSED = "Paused", "spec.paused is true: nothing but status and Events is written."

    # --- certificate authority ------------------------------------------------------------------------------
    AUTHORITY_NOT_MANAGED = (
        "AuthorityNotManaged",
        "The certificate authority is istiod's own, or the user's: Navarch does not look into it.",
    )
    AUTHORITY_NOT_SEEN = (
        "AuthorityNotSeen",
        "Navarch may not look at the Secrets of the certificate authority, or does not know them yet.",
    )
    AUTHORITY_PENDING = (
        "AuthorityPending",
        "The Secret with which istiod signs is not there as it should be, and is being made.",
    )
    ROOT_ROTATING = (
        "RootRotating",
        "One root takes the place of another; the message says what is waited for.",
    )
    ROOT_UNKNOWN = "RootUnknown", "What asks for another root names none, and has no effect."
    AUTHORITY_FIXED = (
        "AuthorityFixed",
        "A mesh with a managed certificate authority asks for another type: its proxies would lose trust in "
        "each other.",
    )
    FOREIGN_AUTHORITY = (
        "ForeignAuthority",
        "A Secret cacerts that is not Navarch's stands where a managed authority's would be written.",
    )
    ROOT_MISSING = (
        "RootMissing",
        "The Secret with the root's key is gone: what istiod has is left as it is, and cannot be renewed.",
    )
    ROOT_UNUSABLE = "RootUnusable", "The Secret with the root holds no root that can sign."
    ANOTHER_ROOT_IN_USE = (
        "AnotherRootInUse",
        "Proxies trust another root than the managed one, and would refuse what that issues.",
    )

    # --- specification --------------------------------------------------------------------------------------
    INVALID_SPEC = (
        "InvalidSpec",
        "A field does not have the form the schema asks for, or contradicts another.",
    )
    UNKNOWN_VERSION = "UnknownVersion", "spec.version is not in this release's catalog."
    REVISION_UNREADABLE = (
        "RevisionUnreadable",
        "Another release of Navarch wrote this MeshRevision, and this one cannot read it; it is written anew "
        "when its mesh's spec is accepted and not paused.",
    )
    KUBERNETES_TOO_OLD = "KubernetesTooOld", "The cluster is older than the Istio version's hard minimum."
    DOWNGRADE = (
        "Downgrade",
        "spec.version is of an older minor than what runs; a control plane does not go back.",
    )
    PATCH_REVERTED = "PatchReverted", "spec.version is an older patch of the minor that runs: a way back."
    SKIPPED_MINOR = (
        "SkippedMinor",
        "In place, a control plane goes one minor at a time; from revision to revision at most two.",
    )
    TOO_MANY_REVISIONS = (
        "TooManyRevisions",
        "A mesh has as many revisions as it may have, and spec.version asks for another one.",
    )
    REVISION_NAMED = (
        "RevisionNamed",
        "spec.upgrade.strategy would leave a revision behind that labels of namespaces name.",
    )
    REVISION_IN_USE = (
        "RevisionInUse",
        "spec.version asks for an update of a revision that pods still use, and to which the tag does not "
        "point.",
    )
    CANARY_IN_PLACE = (
        "CanaryInPlace",
        "spec.upgrade.canaryConfig is true in a mesh that is updated in place.",
    )
    STRATEGY_PENDING = (
        "StrategyPending",
        "spec.upgrade.strategy is another than the one that made what serves, and shows at the next version.",
    )
    PROXIES_TOO_OLD = "ProxiesTooOld", "Proxies are more than one minor older than the control plane."
    VERSION_OUTSIDE_SKEW = (
        "VersionOutsideSkew",
        "The version of a gateway is newer than its mesh's, or more than one minor older.",
    )
    VERSION_LEAVES_SKEW = (
        "VersionLeavesSkew",
        "The version to which gateways are pinned is the oldest minor that their mesh supports, and the next "
        "one, or the one that the mesh asks for, does not support it.",
    )
    VERSION_WITHOUT_IMAGE = (
        "VersionWithoutImage",
        "A gateway names a version, and its mesh names the image of proxies itself, for one version.",
    )
    TOO_LARGE = "TooLarge", "The specification is larger than Navarch takes; the largest part is named."
    NOT_THE_OLDEST = "NotTheOldest", "A namespace holds one mesh, and another one in it is older."
    NAMESPACE_REFUSED = (
        "NamespaceRefused",
        "The namespace is the operator's or the cluster's own and can neither hold a mesh nor belong to one, "
        "or it holds a mesh itself.",
    )
    NAMESPACE_EXCLUDED = "NamespaceExcluded", "The mesh's spec.excludedNamespaces keeps the namespace out."
    MESH_NOT_FOUND = "MeshNotFound", "The MeshControlPlane that is named does not exist."
    NAMESPACE_NOT_FOUND = "NamespaceNotFound", "A namespace that a MeshMemberRoll names does not exist."
    NAMESPACE_REPLACED = (
        "NamespaceReplaced",
        "An entry NAME@UID of a MeshMemberRoll names a namespace that is gone, or was made anew since.",
    )
    MEMBER_OF_ANOTHER = (
        "MemberOfAnother",
        "A namespace of a MeshMemberRoll has a MeshMember for another mesh; what came first stays.",
    )
    NO_NAMESPACE_SELECTED = (
        "NoNamespaceSelected",
        "A selector of a MeshMemberRoll chooses no namespace.",
    )
    NAMESPACES_PENDING = (
        "NamespacesPending",
        "Namespaces of a MeshMemberRoll are no members yet; status.pending says why of each.",
    )
    NAMESPACE_SHARED = (
        "NamespaceShared",
        "A namespace belongs to two meshes by its labels: one by a MeshMember, one by a tag. It leaves the "
        "former, since two control planes would overwrite each other's root certificate in it.",
    )
    LABELS_CONTRADICT = (
        "LabelsContradict",
        "A namespace carries istio-injection and istio.io/rev: only the former counts.",
    )
    LABEL_WITHOUT_EFFECT = (
        "LabelWithoutEffect",
        "A namespace carries a label that no mesh of Navarch reads, that can never count there, or that it "
        "should not carry.",
    )
    LABEL_CONFLICT = (
        "LabelConflict",
        "Another client holds a label by which a namespace joins a mesh; it was left as it is.",
    )
    WEBHOOK_CUT_OFF = (
        "WebhookCutOff",
        "Pods of a namespace that its mesh isolates serve a webhook, and the mesh says from where the API "
        "server calls it nowhere.",
    )
    NOT_A_MEMBER = "NotAMember", "The namespace does not belong to the mesh."
    TAG_CONFLICT = "TagConflict", "The tag equals a revision, or is another mesh's tag."
    DEFAULT_TAG_CONFLICT = "DefaultTagConflict", "Another mesh owns the tag `default`."
    SCOPE_CONFLICT = (
        "ScopeConflict",
        "A mesh takes every namespace of the cluster, and another mesh is beside it: nothing was applied for "
        "the one that came later.",
    )
    TAG_CONTESTED = (
        "TagContested",
        "Another mesh asks for the tag, or the tag `default`, that this one has, and waits.",
    )
    NAME_TOO_LONG = "NameTooLong", "The name of an object derived from the mesh's would be too long."
    PROFILE_NOT_FOUND = (
        "ProfileNotFound",
        "A profile is neither built in nor a ConfigMap of the operator's namespace.",
    )
    PROFILE_CYCLE = "ProfileCycle", "Profiles include each other in a circle."
    PROFILE_INVALID = "ProfileInvalid", "A profile's content is not a valid specification."
    OVERLAY_UNMATCHED = "OverlayUnmatched", "An overlay names an object that is not rendered."
    OVERLAY_REFUSED = (
        "OverlayRefused",
        "An overlay touches a cluster-scoped kind or a field that is Navarch's own.",
    )
    FIELD_REFUSED = (
        "FieldRefused",
        "A key of meshConfig, values or environment would move namespaces or widen power.",
    )
    MESH_CONFIG_INVALID = (
        "MeshConfigInvalid",
        "meshConfig does not have the types of Istio's MeshConfig, or has a value that istiod refuses.",
    )
    VALUES_INVALID = (
        "ValuesInvalid",
        "values does not have the types that istiod and injection templates read.",
    )
    UNKNOWN_FIELD = "UnknownField", "Istio does not know a field, and ignores it."
    FIELD_WITHOUT_EFFECT = (
        "FieldWithoutEffect",
        "A field of the specification has no effect, or takes one away, because of another field.",
    )
    VALUE_UNREAD = "ValueUnread", "A value is one of Istio's, but nothing that Navarch renders reads it."
    FOREIGN_ISTIO = (
        "ForeignIstio",
        "An Istio that Navarch did not install owns the same revision, tag or webhook, or is the default.",
    )
    ANOTHER_ISTIO_SHARES = (
        "AnotherIstioShares",
        "An Istio that Navarch did not install has something in common with a mesh: it is in the mesh's "
        "namespace, takes pods of its members, or writes its root certificate there.",
    )
    FOREIGN_GATEWAY_DEFAULTS = (
        "ForeignGatewayDefaults",
        "A ConfigMap beside istiod that Navarch did not make decides what Gateways of a class run.",
    )
    GATEWAY_API_UNREAD = (
        "GatewayAPIUnread",
        "The mesh's istiod ignores a CRD of Gateway API, because of its version.",
    )
    GATEWAY_NAMES_CLASH = (
        "GatewayNamesClash",
        "Gateways of a mesh have one name in two namespaces: what selects one of them is served by both.",
    )
    GATEWAY_API_AWAITED = (
        "GatewayAPIAwaited",
        "Under PILOT_ENABLE_ALPHA_GATEWAY_API the mesh's istiod waits for a version of a CRD of Gateway API "
        "that the cluster does not serve, and does not become ready.",
    )
    POLICY_OVERRULED = (
        "PolicyOverruled",
        "Another mesh-wide PeerAuthentication is older than the mesh's own, and Istio takes the oldest: "
        "spec.mtls.mode is not in force.",
    )
    VERSION_NOTICE = "VersionNotice", "The version is past its end of life."
    VERSION_PREVIEW = (
        "VersionPreview",
        "The minor is offered before it was compared with Istio's own installer and run; the message says "
        "what was seen of it.",
    )
    PATCH_UNTESTED = (
        "PatchUntested",
        "The patch is newer than any that this release of Navarch knows of its minor; it is installed as the "
        "minor is.",
    )
    CATALOG_INVALID = (
        "CatalogInvalid",
        "A ConfigMap that extends the catalog of Istio, or a variable RELATED_IMAGE_… of the operator, says "
        "something that cannot be taken; that part of it is ignored.",
    )
    IMAGE_NOT_AT_HAND = (
        "ImageNotAtHand",
        "A mesh or gateway would run an image that no variable RELATED_IMAGE_… of the operator names, and "
        "the operator was told to run no other.",
    )
    UNTESTED_KUBERNETES = (
        "UntestedKubernetes",
        "The cluster is newer than any that the Istio version was tested on.",
    )

    # --- reconciling ----------------------------------------------------------------------------------------
    RECONCILED = "Reconciled", "All objects are as planned."
    FOREIGN_OBJECT = "ForeignObject", "An object of that name exists and is not ours; it was left untouched."
    OBJECT_CONTESTED = (
        "ObjectContested",
        "Another client changes or removes an object of the mesh again and again; it is put back at growing "
        "intervals.",
    )
    APPLY_FAILED = "ApplyFailed", "The API server refused an object; the message quotes it."
    ADMISSION_DENIED = "AdmissionDenied", "A quota, PodSecurity, policy or webhook denied an object; retried."
    MISSING_PERMISSION = "MissingPermission", "The operator lacks a permission; the message names the verb."
    IMMUTABLE_FIELD = "ImmutableField", "An object would have to be recreated for the change."
    API_UNAVAILABLE = "APIUnavailable", "The API server did not answer; retried."
    NAMESPACE_TERMINATING = "NamespaceTerminating", "The namespace is being deleted."

    # --- control plane --------------------------------------------------------------------------------------
    NO_REPLICA_AVAILABLE = "NoReplicaAvailable", "No pod of the workload is available."
    NOT_INSTALLED = "NotInstalled", "The workload has not been installed yet."
    ROLLING_OUT = "RollingOut", "The workload is being rolled to its new specification."
    UPGRADING = (
        "Upgrading",
        "A new revision is made and proved beside the one that serves; the tag moves when it is proved.",
    )
    UPGRADE_HELD = (
        "UpgradeHeld",
        "A change was not proved in upgrade.progressDeadlineSeconds. A new revision is waited for, while the "
        "one before it serves on; one that is changed where it stands goes back to what was proved last.",
    )
    ROLLED_BACK = (
        "RolledBack",
        "The mesh runs with what was proved last and not with what its spec asks for, which was not proved "
        "in time or, with upgrade.rollback, is not wanted; the message says why, and how to try again.",
    )
    NOTHING_TO_GO_BACK_TO = (
        "NothingToGoBackTo",
        "spec.upgrade.rollback is true, and nothing that was proved before is known.",
    )
    ROLLOUT_STUCK = (
        "RolloutStuck",
        "New pods of the workload do not become ready; the message quotes their own status.",
    )
    ADDRESS_PENDING = "AddressPending", "A Service of type LoadBalancer has no address yet."
    ADDRESS_MISSING = "AddressMissing", "A Service of type LoadBalancer got no address in time."
    ROUTES_NOT_SERVED = (
        "RoutesNotServed",
        "A gateway asks for Routes of OpenShift, and the cluster does not have their API.",
    )
    ROUTE_PENDING = "RoutePending", "No router has said yet whether it takes a Route of the gateway."
    ROUTE_REFUSED = "RouteRefused", "A router has refused a Route of the gateway; the message quotes why."
    OTHER_AUTOSCALER = (
        "OtherAutoscaler",
        "An autoscaler that is not the gateway's own scales the gateway's pods as well.",
    )
    GATEWAY_NOT_INJECTED = (
        "GatewayNotInjected",
        "Pods of a gateway were made without a proxy; they are made anew, at growing intervals.",
    )
    CERTIFICATE_MISSING = (
        "CertificateMissing",
        "A listener names a Secret that does not exist, or that holds no certificate and key.",
    )
    CERTIFICATE_BROKEN = (
        "CertificateBroken",
        "The Secret of a listener cannot be read, its key is another certificate's, or its chain is broken.",
    )
    CERTIFICATE_OTHER_NAMES = (
        "CertificateOtherNames",
        "The certificate of a listener has no name for one of the listener's hosts.",
    )
    CERTIFICATE_EXPIRES = (
        "CertificateExpires",
        "The certificate of a listener ends within 30, 14 or 7 days, or within a day.",
    )
    CERTIFICATE_EXPIRED = "CertificateExpired", "The certificate of a listener is not valid now."
    CERTIFICATES_NOT_CHECKED = (
        "CertificatesNotChecked",
        "The operator does not look at certificates of gateways, since no setting asks for it.",
    )
    CERTIFICATES_UNREADABLE = (
        "CertificatesUnreadable",
        "The operator may not read the Secrets of a gateway's listeners; the message has the command.",
    )
    PROXIES_OUTDATED = "ProxiesOutdated", "Pods must be restarted to run the proxy of the active revision."
    PROXIES_ROLLING = (
        "ProxiesRolling",
        "Navarch restarts the workloads with older proxies, wave by wave.",
    )
    RESTARTS_WAITING = (
        "RestartsWaiting",
        "Workloads with older proxies are to be restarted by Navarch, and something has to come first: a "
        "window, the end of a pause, the control plane, a workload's own rollout, a PodDisruptionBudget, or "
        "a gate that does not know.",
    )
    RESTARTS_HALTED = (
        "RestartsHalted",
        "A workload that Navarch restarted does not come up, or a gate has failed; no other is restarted "
        "meanwhile.",
    )
    RESTARTS_NOT_PERMITTED = (
        "RestartsNotPermitted",
        "A mesh asks for restarts of workloads, and the operator was not given the right; the message has "
        "the command.",
    )
    TIME_ZONE_UNKNOWN = (
        "TimeZoneUnknown",
        "A window of restarts names no time zone of the IANA database.",
    )
    WINDOWS_NEVER_OPEN = (
        "WindowsNeverOpen",
        "The restart windows of a MeshMember are never open together with those of its mesh.",
    )
    CANARY_NOT_A_MEMBER = (
        "CanaryNotAMember",
        "A namespace of spec.upgrade.dataPlane.canaryNamespaces does not belong to the mesh.",
    )
    PROXIES_MISPLACED = (
        "ProxiesMisplaced",
        "Pods in the mesh's namespaces run the proxy of another control plane.",
    )
    GATEWAYS_NOT_READY = (
        "GatewaysNotReady",
        "Gateways of the mesh are not ready; the message names them, and each says why in its own status.",
    )
    MEMBERS_NOT_READY = (
        "MembersNotReady",
        "Members of the mesh are not ready; the message names them, and each says why in its own status.",
    )
    APPROVAL_PENDING = (
        "ApprovalPending",
        "A change waits for an approval, as spec.upgrade.approval asks; the message has its hash.",
    )
    VERSION_PENDING = "VersionPending", "The control plane does not yet run the desired version."

    # --- certificate authorities ----------------------------------------------------------------------------
    AUTHORITY_INCOMPLETE = (
        "AuthorityIncomplete",
        "A key of the Secret with a certificate authority that istiod needs is missing or empty.",
    )
    AUTHORITY_FORMS_MIXED = (
        "AuthorityFormsMixed",
        "The Secret has istiod's own keys and those of kubernetes.io/tls; istiod reads the latter only.",
    )
    AUTHORITY_TOO_LARGE = (
        "AuthorityTooLarge",
        "The Secret is larger than the API server takes, or has too many certificates.",
    )
    AUTHORITY_UNREADABLE = (
        "AuthorityUnreadable",
        "A key of the Secret holds something else than PEM, a broken block, or a block of another kind.",
    )
    AUTHORITY_STRAY_TEXT = "AuthorityStrayText", "A key of the Secret holds text beside its PEM blocks."
    AUTHORITY_KEYS_UNREAD = "AuthorityKeysUnread", "The Secret has keys that istiod does not read."
    AUTHORITY_KEY_EXPOSED = (
        "AuthorityKeyExposed",
        "A private key stands where certificates belong, which istiod hands out.",
    )
    AUTHORITY_KEY_UNREADABLE = (
        "AuthorityKeyUnreadable",
        "istiod cannot read the private key: it is encrypted, broken, or labelled as one of another form.",
    )
    AUTHORITY_KEY_MISMATCH = (
        "AuthorityKeyMismatch",
        "The private key is not that of the certificate with which istiod is to sign.",
    )
    AUTHORITY_CHAIN_BROKEN = (
        "AuthorityChainBroken",
        "Certificates between the one that signs and a root are missing, or did not sign each other.",
    )
    AUTHORITY_CHAIN_ORDER = (
        "AuthorityChainOrder",
        "The chain does not begin with the certificate that signs, followed by who signed each.",
    )
    AUTHORITY_DUPLICATE = (
        "AuthorityDuplicate",
        "A certificate is in a key of the Secret twice, or in the chain and of no use there.",
    )
    AUTHORITY_CANNOT_SIGN = (
        "AuthorityCannotSign",
        "A certificate is no CA, or its key usage does not allow what a CA of a mesh does.",
    )
    AUTHORITY_PATH_TOO_LONG = (
        "AuthorityPathTooLong",
        "More CAs are below a certificate than its path length allows.",
    )
    AUTHORITY_EXPIRED = "AuthorityExpired", "A certificate of the authority is not valid now."
    AUTHORITY_ENDS_SOON = (
        "AuthorityEndsSoon",
        "A certificate of the authority ends within 90, 60, 30 or 7 days, or before it could be replaced.",
    )
    AUTHORITY_OUTLIVES_ISSUER = (
        "AuthorityOutlivesIssuer",
        "A certificate is valid for longer than the one that signed it.",
    )
    AUTHORITY_WEAK = (
        "AuthorityWeak",
        "A key of the authority is too short, or a signature is made with a broken hash.",
    )
    AUTHORITY_ALGORITHM = (
        "AuthorityAlgorithm",
        "A key of the authority is of an algorithm that not every client of a mesh can use.",
    )
    AUTHORITY_EXTENSION_UNKNOWN = (
        "AuthorityExtensionUnknown",
        "A certificate has a critical extension that istiod and proxies do not know.",
    )
    AUTHORITY_NAMES_EXCLUDED = (
        "AuthorityNamesExcluded",
        "Name constraints of a certificate exclude the mesh's identities, or the names of its istiod.",
    )
    AUTHORITY_SEVERAL_ROOTS = "AuthoritySeveralRoots", "The mesh would trust more than one root."
    AUTHORITY_NOT_A_ROOT = (
        "AuthorityNotARoot",
        "A certificate that is to be trusted as a root was signed by another one.",
    )
    AUTHORITY_ROOT_LOOKALIKE = (
        "AuthorityRootLookalike",
        "A root has the subject of another one, beside it or of today, and cannot be told from it.",
    )
    AUTHORITY_CRL_BROKEN = (
        "AuthorityCRLBroken",
        "ca-crl.pem cannot be read, lacks the list of a certificate of the chain, or revokes one of them.",
    )
    AUTHORITY_CRL_EXPIRED = "AuthorityCRLExpired", "A revocation list was to be renewed before now."
    AUTHORITY_CRL_IGNORED = (
        "AuthorityCRLIgnored",
        "ca-crl.pem is in a Secret of the form kubernetes.io/tls, where istiod does not read it.",
    )

    # --- injection ------------------------------------------------------------------------------------------
    INJECTION_PROVED = "InjectionProved", "A dry-run pod came back with a sidecar of the expected revision."
    WEBHOOK_MISSING = "WebhookMissing", "An injection webhook does not exist yet."
    CA_BUNDLE_MISSING = "CABundleMissing", "istiod has not written its root into a webhook yet."
    CA_BUNDLE_MISMATCH = "CABundleMismatch", "A webhook trusts another root than the mesh's."
    INJECTION_FAILED = "InjectionFailed", "Injection denied the dry-run pod, made it invalid, or hung."
    NOT_INJECTED = "NotInjected", "The dry-run pod came back without a sidecar."
    WRONG_REVISION = "WrongRevision", "The dry-run pod was injected by another revision."
    PROBE_DENIED = "ProbeDenied", "The dry-run pod was denied by something that is not the mesh's webhook."

    # --- dependencies ---------------------------------------------------------------------------------------
    DEPENDENCIES_MET = "DependenciesMet", "Everything the mesh needs of the cluster is there."
    CRDS_PENDING = "CRDsPending", "Istio's CRDs are not established yet."
    CRDS_OUTDATED = "CRDsOutdated", "CRDs that are not Navarch's lack something that this version needs."
    CRDS_FOREIGN = "CRDsForeign", "Istio's CRDs are not Navarch's, and have all that is needed."

    NAVARCH_CRDS_OUTDATED = (
        "NavarchCRDsOutdated",
        "Navarch's own CRDs are of an older release than the operator: what they have no field for is left "
        "out of status.",
    )
    ROLES_MISSING = (
        "RolesMissing",
        "A ClusterRole of the installation that istiod has to be bound to does not exist or lacks rules; the "
        "istiod that runs keeps its rights.",
    )

    # --- deletion -------------------------------------------------------------------------------------------
    REMOVING = "Removing", "Objects of the mesh are being removed; the message says which are left."
    KIND_DELETED = (
        "KindDeleted",
        "The kind's CustomResourceDefinition is being deleted; what the object made is left in place.",
    )
    PODS_LEFT_BEHIND = "PodsLeftBehind", "Pods still carry a proxy of a mesh that is going away."

    # --- events ---------------------------------------------------------------------------------------------
    ANOTHER_INSTALLATION = (
        "AnotherInstallation",
        "Navarch is installed in two namespaces: one installation serves a cluster, the other does nothing.",
    )
    METRICS_CERTIFICATE_INVALID = (
        "MetricsCertificateInvalid",
        "The certificate that is mounted for the operator's metrics cannot be read, does not fit its key, or "
        "has expired.",
    )
    GATEWAY_API_NOT_INSTALLED = (
        "GatewayAPINotInstalled",
        "The CRDs of Gateway API are not as NAVARCH_GATEWAY_API_INSTALL asks for; the message says which "
        "keeps Navarch from it, or who refused.",
    )
    UPGRADED = "Upgraded", "The control plane serves another version; the message names both."
    DRIFT_REPAIRED = (
        "DriftRepaired",
        "Another client changed or removed an object of the mesh, and it was put back.",
    )
    OBJECT_REMOVED = "ObjectRemoved", "Navarch removed objects that are no part of the mesh any more."
