"""What a person reads in OperatorHub before pressing Install.

Owns the words and the icon, and which of OpenShift's features the operator has. Must never promise what no
test shows. Invariant: plain data.
"""

from __future__ import annotations

import base64

DISPLAY_NAME = "Navarch"
SUMMARY = "Installs, checks and upgrades Istio service meshes: one object for each mesh."
SITE = "https://navarch.io"
"""On the domain of our API group."""
PROVIDER = {"name": "The Navarch authors", "url": SITE}
MAINTAINERS = [{"name": "The Navarch authors", "email": "maintainers@navarch.io"}]
LINKS = [
    {"name": "Documentation", "url": f"{SITE}/docs"},
    {"name": "Your first mesh", "url": f"{SITE}/docs/tutorial/first-mesh"},
    {"name": "Changelog", "url": f"{SITE}/changelog"},
]
KEYWORDS = ["istio", "service mesh", "mTLS", "envoy", "sidecar", "traffic management", "zero trust"]
CATEGORIES = "Networking, Security"
CAPABILITIES = "Seamless Upgrades"
"""Tests upgrade the operator through OLM (tests/olm) and meshes in place; none shows the next level whole."""
FEATURES = (
    *("cnf", "cni", "csi", "disconnected", "fips-compliant", "proxy-aware", "tls-profiles"),
    *("token-auth-aws", "token-auth-azure", "token-auth-gcp"),
)
"""OpenShift's names of features; the operator has none of them."""

DESCRIPTION = """\
Navarch owns the whole life of Istio service meshes. You describe a mesh in one object, a `MeshControlPlane`;
Navarch installs istiod for it, keeps it as described, and removes it cleanly.

## What you get

- **A mesh from one object.** Istio 1.31 or 1.30, one mesh in a namespace, several in a cluster, also of
  different versions. Namespaces join by one label, `istio.io/rev=<tag>`, which stays the same across
  upgrades.
- **Conditions you can wait for.** `Ready` is right immediately after an edit. Injection is proved by a
  dry-run pod before `InjectionReady` is True.
- **Upgrades in place**, one minor at a time, with a surge; `status.proxies` counts which pods still need a
  restart.
- **Drift is repaired**, field by field. Objects that are not Navarch's are reported and left alone.
- **Bounded rights.** Who may edit a mesh does not gain istiod's rights by it. The operator's role has no `*`.

## Before you install

- Kubernetes 1.32 or newer.
- Install it for all namespaces: meshes may be in any of them.
- Navarch's pods have the priority `system-cluster-critical`. Where your cluster restricts that priority, the
  namespace needs a ResourceQuota that admits it.
- One installation in a cluster. An Istio that is not Navarch's is reported, and never taken over.

## After you installed

Make a namespace and a mesh in it:

    kubectl create namespace mesh
    kubectl apply -n mesh -f - <<EOF
    apiVersion: mesh.navarch.io/v1beta1
    kind: MeshControlPlane
    metadata:
      name: demo
    spec:
      version: "1.31"
    EOF
    kubectl wait -n mesh meshcp/demo --for=condition=Ready

## When you remove it

Delete your meshes first and wait until they are gone. Meshes whose operator was removed keep serving, and an
operator that is installed again takes them up.
"""

_ICON = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 120 120" role="img" aria-label="Navarch">
<rect width="120" height="120" rx="24" fill="#12324a"/>
<path d="M60 18v58" stroke="#f4efe2" stroke-width="5" stroke-linecap="round"/>
<path d="M66 26c18 10 26 24 26 42H66z" fill="#f4efe2"/>
<path d="M54 34c-12 9-19 20-20 34h20z" fill="#7fc4c9"/>
<path d="M22 78h76c-3 12-11 20-24 20H46c-13 0-21-8-24-20z" fill="#e08a3c"/>
<g fill="#12324a">
<circle cx="42" cy="87" r="4"/><circle cx="60" cy="87" r="4"/><circle cx="78" cy="87" r="4"/>
</g>
<path d="M42 87h36" stroke="#12324a" stroke-width="2"/>
</svg>
"""


def build_icon() -> dict[str, str]:
    """The icon as OLM's formats hold it."""
    return {"base64data": base64.b64encode(_ICON.encode()).decode(), "mediatype": "image/svg+xml"}
