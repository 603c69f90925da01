"""Advice on what a mesh has in common with others: other meshes, other Istios, labels of namespaces.

Owns severity, remedy and example of these reasons. Must never hold a rule.
"""

from __future__ import annotations

from collections.abc import Mapping

from navarch.core.diagnosis.advice.form import Advice
from navarch.core.model.findings import Severity
from navarch.core.model.reasons import Reason

OF_NEIGHBOURHOOD: Mapping[Reason, Advice] = {
    Reason.LABELS_CONTRADICT: Advice(
        Severity.WARNING,
        "Take one of the two labels away.",
        "carries istio-injection=enabled and istio.io/rev=prod; istio.io/rev counts for nothing here",
    ),
    Reason.LABEL_WITHOUT_EFFECT: Advice(
        Severity.WARNING,
        "Replace the label, or remove it, as the message says.",
        "istio-injection=true: only enabled and disabled mean anything",
    ),
    Reason.TAG_CONTESTED: Advice(
        Severity.INFO,
        "Nothing here: the other mesh needs another tag, or none of its own of `default`.",
        "spec.tag: 'prod': is also asked for by mesh team/mesh, which waits",
    ),
    Reason.ANOTHER_ISTIO_SHARES: Advice(
        Severity.WARNING,
        "Separate the two: by discoverySelectors of that Istio, by other labels, or by removing it.",
        "Istio 1.30.3, without a revision, in namespace istio-system, by Helm (release istiod, deployed):"
        " its istiod has no discoverySelectors and writes its root certificate into the namespaces of "
        "mesh shop/mesh",
    ),
    Reason.WEBHOOK_CUT_OFF: Advice(
        Severity.WARNING,
        "Set spec.networkPolicies.webhookSources of the mesh to the addresses from which the API server "
        "calls webhooks, or serve the webhook in a namespace outside of the mesh.",
        "ValidatingWebhookConfiguration quotas is served in this namespace, which mesh shop/mesh isolates",
    ),
}
