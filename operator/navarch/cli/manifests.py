"""`navarch manifests`: what installs Navarch, by which way.

Owns what each option prints, and which values cannot be installed. Must never read a cluster. Invariant: what
is printed is accepted by an API server, as far as names go.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from navarch.api.export import build_crds
from navarch.api.install import PROBE_NAMESPACE, build_install
from navarch.api.monitoring.rules import build_monitoring
from navarch.api.olm.bundle import build_manifests
from navarch.api.olm.installer import build_installer
from navarch.api.olm.release import Release
from navarch.api.openshift import build_openshift
from navarch.assets import load_assets
from navarch.cli.inputs import InputError
from navarch.core.grants import build_grants, list_roles
from navarch.settings import NAMESPACE_FORM

_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]*")


def build(
    *, image: str, namespace: str, olm_v1_installer: bool, monitoring: bool, openshift: bool
) -> Iterable[Mapping[str, Any]]:
    """The objects. Raises InputError and MissingAssets."""
    parts = {
        "--olm-v1-installer": olm_v1_installer,
        "--monitoring": monitoring,
        "--openshift": openshift,
    }
    _check(image, namespace, [option for option, given in parts.items() if given])
    if monitoring:
        return build_monitoring(namespace)
    if openshift:
        return build_openshift()
    assets = load_assets()
    grants, roles = build_grants(assets), list_roles(assets)
    if olm_v1_installer:
        # A bundle names no namespace: OLM does.
        install = build_install(grants=grants, roles=roles, image=image)
        bundle = build_manifests(Release(image=image), install, ())
        return build_installer(bundle.values(), namespace=namespace)
    install = build_install(grants=grants, roles=roles, image=image, namespace=namespace)
    return [*build_crds(), *install]


def _check(image: str, namespace: str, parts: Sequence[str]) -> None:
    if len(parts) > 1:
        raise InputError(f"{' and '.join(parts)} print different things: give one of them")
    if not re.fullmatch(NAMESPACE_FORM, namespace):
        raise InputError(
            f"--namespace {namespace!r}: write at most 63 of a-z, 0-9 and -, with a letter or a digit at "
            "both ends"
        )
    if namespace == PROBE_NAMESPACE:
        raise InputError(
            f"--namespace {namespace}: is the namespace of the probe; the operator needs another"
        )
    if not _IMAGE.fullmatch(image):
        raise InputError(f"--image {image!r}: is no image, such as registry.example.com/navarch:0.1.0")
