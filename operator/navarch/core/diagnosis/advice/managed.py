"""Advice on managed certificate authorities.

Owns severity, remedy and example of these reasons. Must never hold a rule.
"""

from __future__ import annotations

from collections.abc import Mapping

from navarch.core.diagnosis.advice.form import Advice
from navarch.core.model.findings import Severity
from navarch.core.model.reasons import Reason

OF_MANAGED_AUTHORITIES: Mapping[Reason, Advice] = {
    Reason.AUTHORITY_NOT_MANAGED: Advice(
        Severity.INFO,
        "Nothing; set spec.certificateAuthority.type to Managed to have Navarch keep the authority.",
        "istiod makes its own root, or takes the one in a Secret cacerts beside it",
    ),
    Reason.AUTHORITY_NOT_SEEN: Advice(
        Severity.WARNING,
        "Wait a minute; where it stays, see that the ClusterRoles navarch and navarch-roots are of this "
        "release, and that RoleBinding navarch-roots is in the operator's namespace: the operator makes it.",
        "the Secrets of the certificate authority: Navarch may not look at them: secrets is forbidden",
    ),
    Reason.AUTHORITY_PENDING: Advice(
        Severity.WARNING,
        "Wait; where it stays, the condition Reconciled says what keeps the Secret from being written.",
        "an intermediate is being issued: there is no Secret cacerts",
    ),
    Reason.ROOT_ROTATING: Advice(
        Severity.INFO,
        "Nothing; where it waits for a pod for long, restart its workload: docs/how-to/rotate-the-root.md.",
        "root 2 takes the place of root 1: pod shop/cart-7d4f still has a certificate under root 1",
    ),
    Reason.ROOT_UNKNOWN: Advice(
        Severity.WARNING,
        "Write the number of the root, one more than status.certificateAuthority.root.generation for a new "
        "one; or remove the annotation.",
        "metadata.annotations[mesh.navarch.io/root-generation]: 'new': no root has this number",
    ),
    Reason.AUTHORITY_FIXED: Advice(
        Severity.ERROR,
        "Put Managed back; for another authority make another mesh.",
        "spec.certificateAuthority.type: 'SelfSigned': the mesh has a certificate authority of type Managed",
    ),
    Reason.FOREIGN_AUTHORITY: Advice(
        Severity.ERROR,
        "Leave the type unset to keep that Secret; where no proxy trusts its root, you may remove it.",
        "Secret shop/cacerts is not Navarch's, and was left untouched",
    ),
    Reason.ROOT_MISSING: Advice(
        Severity.ERROR,
        "Restore the Secret from a backup (docs/how-to/back-up-and-restore.md).",
        "the Secret with the root of shop is gone from the operator's namespace",
    ),
    Reason.ROOT_UNUSABLE: Advice(
        Severity.ERROR,
        "Remove the broken Secret and restore it from a backup; a root that ended has to be replaced.",
        "Secret shop-root-1 of the operator's namespace cannot sign: it holds no root with its key",
    ),
    Reason.ANOTHER_ROOT_IN_USE: Advice(
        Severity.ERROR,
        "Find out where the root in ConfigMap istio-ca-root-cert comes from, and who wrote cacerts last.",
        "proxies trust another root than that of Secret shop-root-1 in the operator's namespace",
    ),
}
