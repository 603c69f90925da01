"""Advice on what runs: objects, istiod, injection, dependencies, deletion.

Owns severity, remedy and example of these reasons. Must never hold a rule.
"""

from __future__ import annotations

from collections.abc import Mapping

from navarch.core.diagnosis.advice.form import Advice
from navarch.core.model.findings import Severity
from navarch.core.model.reasons import Reason

OF_WHAT_RUNS: Mapping[Reason, Advice] = {
    # reconciling
    Reason.FOREIGN_OBJECT: Advice(
        Severity.ERROR,
        "Remove or rename that object; it is never overwritten.",
        "ConfigMap shop/istio-shop-mesh-inplace exists and is managed by Helm; it was left untouched",
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
        "Look at the pods of the workload; while no istiod serves, new pods of its mesh are refused.",
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
    Reason.ADDRESS_PENDING: Advice(
        Severity.WARNING,
        "Look at the Service's Events, which `navarch describe MESH` shows; where the cluster has no load "
        "balancer, set spec.service.type: NodePort.",
        "Service front/ingress of type LoadBalancer has no address yet",
    ),
    Reason.ADDRESS_MISSING: Advice(
        Severity.ERROR,
        "Install a load balancer, correct spec.service.loadBalancerClass, or set spec.service.type: "
        "NodePort; the message says whether a cloud's controller has taken the Service, and `navarch "
        "describe MESH` shows what it said in Events.",
        "Service front/ingress of type LoadBalancer got no address in time, until 2026-10-01T12:05:00Z: "
        "no cloud's controller has taken it",
    ),
    Reason.ROUTES_NOT_SERVED: Advice(
        Severity.ERROR,
        "Remove spec.openshift.routes and let clients in by spec.service, or install the API of Routes.",
        "spec.openshift.routes: 'web': the cluster does not have the API route.openshift.io/v1, which "
        "OpenShift serves; …",
    ),
    Reason.ROUTE_PENDING: Advice(
        Severity.WARNING,
        "Look whether a router of the cluster takes Routes of this namespace with these labels: oc get "
        "ingresscontroller -n openshift-ingress-operator -o yaml.",
        "Route front/ingress-web (shop.example.com): no router has said whether it takes it",
    ),
    Reason.ROUTE_REFUSED: Advice(
        Severity.ERROR,
        "Correct what the router names: most often another Route has the host already.",
        "Route front/ingress-web (shop.example.com): router default refused it (HostAlreadyClaimed): …",
    ),
    Reason.UPGRADING: Advice(
        Severity.INFO,
        "Wait; `status.upgrade` says for what, and what serves goes on serving.",
        "Istio 1.31.1 (shop-mesh-1-31-1) is not proved yet, and shop-mesh-1-30-3 serves: MeshRevision "
        "shop/shop-mesh-1-31-1 is not ready: …",
    ),
    Reason.UPGRADE_HELD: Advice(
        Severity.ERROR,
        "Remove what the message names, or put the spec back to what serves.",
        "Istio 1.31.1 (shop-mesh-1-31-1) was not proved in 600 s, and shop-mesh-1-30-3 serves on: "
        "MeshRevision shop/shop-mesh-1-31-1 is not ready: pod istiod-…-x2x: ErrImagePull: not found",
    ),
    Reason.ROLLOUT_STUCK: Advice(
        Severity.ERROR,
        "Fix the problem that the message quotes from the pod's status.",
        "pod istiod-…-x2x: ErrImagePull: not found",
    ),
    Reason.OTHER_AUTOSCALER: Advice(
        Severity.WARNING,
        "Decide which of the two scales the gateway, and remove the other.",
        "spec.replicas: '2': HorizontalPodAutoscaler shop/keda-hpa-ingress scales the gateway's pods, so "
        "that their number is left to it; remove spec.replicas, or that autoscaler",
    ),
    Reason.GATEWAY_NOT_INJECTED: Advice(
        Severity.ERROR,
        "Wait; if pods come without a proxy again, look for labels and webhooks that keep pods of the "
        "namespace from being injected.",
        "1 pod has no proxy (image: auto), made while nothing injected them: ingress-5d9-x2x; pods are made "
        "anew now",
    ),
    Reason.CERTIFICATE_MISSING: Advice(
        Severity.ERROR,
        "Create the Secret, of type kubernetes.io/tls, in the namespace that the message names; one that is "
        "there needs the keys tls.crt and tls.key.",
        "listener https: Secret front/shop-cert does not exist: the listener serves nothing",
    ),
    Reason.CERTIFICATE_BROKEN: Advice(
        Severity.ERROR,
        "Replace the Secret's content: certificate, then what signed it, each by the next, and its own key.",
        "listener https: Secret front/shop-cert: tls.key is not the key of the certificate in tls.crt",
    ),
    Reason.CERTIFICATE_OTHER_NAMES: Advice(
        Severity.WARNING,
        "Get a certificate with these names, or take the hosts out of the listener.",
        "listener https: Secret front/shop-cert has www.example.com, and not shop.example.com: clients "
        "refuse it there",
    ),
    Reason.CERTIFICATE_EXPIRES: Advice(
        Severity.WARNING,
        "Renew it: the Secret can be replaced while the gateway serves.",
        "listener https: Secret front/shop-cert is valid until 2026-12-06 10:00 UTC: it ends within 7 days",
    ),
    Reason.CERTIFICATE_EXPIRED: Advice(
        Severity.ERROR,
        "Renew it: the Secret can be replaced while the gateway serves.",
        "listener https: Secret front/shop-cert was valid until 2026-11-01 10:00 UTC",
    ),
    Reason.CERTIFICATES_NOT_CHECKED: Advice(
        Severity.INFO,
        "Nothing, or set NAVARCH_CERTIFICATE_SECONDS of the operator and let it read Secrets.",
        "the operator does not look at certificates; NAVARCH_CERTIFICATE_SECONDS has it do so",
    ),
    Reason.CERTIFICATES_UNREADABLE: Advice(
        Severity.WARNING,
        "Bind the ClusterRole navarch-certificates in the namespace, as the message says.",
        "the operator may not read Secrets in namespace front (shop-cert): kubectl create rolebinding "
        "navarch-certificates -n front --clusterrole=navarch-certificates "
        "--serviceaccount=navarch-system:navarch",
    ),
    Reason.PROXIES_OUTDATED: Advice(
        Severity.WARNING,
        "Restart the workloads; `navarch describe` lists them.",
        "2 pods run an older proxy; restart the workloads to update them",
    ),
    Reason.PROXIES_ROLLING: Advice(
        Severity.INFO,
        "Wait; `status.dataPlane` says how far it is. `spec.upgrade.dataPlane.pause: true` stops it.",
        "wave 2 of 5: 7 of 12 workloads updated, 1 being restarted",
    ),
    Reason.RESTARTS_WAITING: Advice(
        Severity.INFO,
        "Wait for what the message names, or restart the workloads yourself; `navarch describe` lists them.",
        "wave 2 of 5: 7 of 12 workloads updated; the next window opens on Mon 2026-11-30 22:00 Europe/Berlin",
    ),
    Reason.RESTARTS_HALTED: Advice(
        Severity.ERROR,
        "Find out why the workload's new pods do not come up, and repair or roll it back; or leave it out by "
        "the annotation mesh.navarch.io/rollout=Never. The others go on by themselves.",
        "wave 2 of 5: 7 of 12 workloads updated; Deployment shop/web: ProgressDeadlineExceeded: …",
    ),
    Reason.RESTARTS_NOT_PERMITTED: Advice(
        Severity.ERROR,
        "Give the right with the command that the message has, or set spec.upgrade.dataPlane.mode to Manual.",
        "Navarch may not restart workloads: kubectl create clusterrolebinding navarch-rollouts "
        "--clusterrole=navarch-rollouts --serviceaccount=navarch-system:navarch",
    ),
    Reason.PROXIES_MISPLACED: Advice(
        Severity.WARNING,
        "Restart the workloads that the message names: their pods get the proxy of the mesh that their "
        "namespace belongs to now.",
        "3 pods in the mesh's namespaces run the proxy of another control plane (a-mesh-inplace): apps/web-1",
    ),
    Reason.MEMBERS_NOT_READY: Advice(
        Severity.WARNING,
        "Look at the MeshMembers that are named: `kubectl get meshm -A`, and their messages.",
        "1 of 3 members are not ready: front (LabelConflict)",
    ),
    Reason.GATEWAYS_NOT_READY: Advice(
        Severity.WARNING,
        "Look at the gateway that the message names: `kubectl describe meshgw NAME -n NAMESPACE`.",
        "1 of 2 gateways are not ready: MeshGateway shop/ingress (AddressPending)",
    ),
    Reason.APPROVAL_PENDING: Advice(
        Severity.WARNING,
        "Look at the plan, and approve it with the command that the message has; or take the edit back.",
        "Istio 1.30.8 to 1.31.4 waits for approval; look at it with `navarch plan demo -n shop`, and approve "
        "it with `navarch approve demo 0a1b2c3d4e5f -n shop`, or by the annotation "
        "mesh.navarch.io/approved=0a1b2c3d4e5f",
    ),
    Reason.ROLLED_BACK: Advice(
        Severity.ERROR,
        "Correct what the message quotes and change the spec, or try the same again with the command that it "
        "has; put the spec back to stay where the mesh is. docs/how-to/roll-back.md.",
        "Istio 1.30.8 runs with what was proved last, and not with what the spec asks for, which was given "
        "up: Istio 1.31.4 was not available in 600 s: pod istiod-shop-mesh-inplace-7c5d: ErrImagePull: not "
        "found; the older istiod still serves; change the spec, or try the same again with `navarch rollback "
        "mesh -n shop --retry`, or by another value of the annotation mesh.navarch.io/retry",
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
        "Look at istiod's log and its Service, and at other webhooks and policies that change pods: pods of "
        "the mesh are refused.",
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
        "Let the policy that the message names admit pods of the probe namespace; on OpenShift apply "
        "`navarch manifests --openshift`.",
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
        "Upgrade Istio's CRDs with the tool that installed them, or hand them over to Navarch "
        "(docs/how-to/istio-crds.md).",
        "CustomResourceDefinition gateways.networking.istio.io lacks version v1",
    ),
    Reason.CRDS_FOREIGN: Advice(
        Severity.INFO,
        "Nothing; the tool that installed them has to keep them new enough.",
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
    Reason.METRICS_CERTIFICATE_INVALID: Advice(
        Severity.WARNING,
        "Put a chain and its key, in PEM, into the Secret that is mounted; the operator reads the files "
        "again every 10 s. Only readers of the metrics are concerned.",
        "/tmp/k8s-metrics-server/metrics-certs/tls.crt and tls.key: No such file or directory; a self-made "
        "certificate is served",
    ),
    Reason.GATEWAY_API_NOT_INSTALLED: Advice(
        Severity.WARNING,
        "Leave these CRDs to those who installed them and set NAVARCH_GATEWAY_API_INSTALL=Never, or take "
        "away what the message names. Meshes are not held up.",
        "Gateway API's CRDs of v1.5.1 are not installed: httproutes.gateway.networking.k8s.io is of v1.6.0, "
        "which is newer than v1.5.1",
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
