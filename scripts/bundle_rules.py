"""Rules for a bundle that operator-framework's own validators do not check, or only warn of.

Owns one function for each rule; each is named after what must be, and yields what is not so. Must never
repair anything. Invariant: a bundle that OLM or a catalog's pull-request checks would refuse is found here,
without a cluster.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from scripts.bundle_form import FORM, PREFIX
from scripts.bundle_reading import Bundle, Object, load_bundle

SUPPORTED = frozenset(
    {
        *("ClusterServiceVersion", "CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding", "Role"),
        *("RoleBinding", "ServiceAccount", "Service", "ConfigMap", "Secret", "PodDisruptionBudget"),
        *("PriorityClass", "VerticalPodAutoscaler", "ServiceMonitor", "PodMonitor", "PrometheusRule"),
    }
)
"""Kinds that OLM installs from a bundle. It would take a NetworkPolicy, too, which catalogs refuse."""
CSV_FIELDS = frozenset(
    {
        *("displayName", "description", "version", "maturity", "minKubeVersion", "provider", "maintainers"),
        *("links", "keywords", "icon", "installModes", "customresourcedefinitions", "install"),
        *("relatedImages", "cleanup", "replaces", "skips", "apiservicedefinitions", "webhookdefinitions"),
        *("nativeAPIs", "labels", "selector", "annotations"),
    }
)
"""Fields of a ClusterServiceVersion's spec."""
OPENSHIFT_MINORS = {f"1.{minor}.0": f"v4.{minor - 13}" for minor in range(25, 40)}
"""The OpenShift that each Kubernetes came in."""
_LIMIT = 1 << 20
"""Bytes that a ConfigMap, which a bundle is unpacked into, holds."""


def owned_kinds_are_the_crds(bundle: Bundle) -> Iterator[str]:
    """OLM waits for ever for an owned kind whose definition has another name."""
    owned = {each["name"] for each in bundle.owned}
    for name in sorted(owned ^ bundle.crds.keys()):
        yield f"{name} is {'owned and not defined' if name in owned else 'defined and not owned'}"


def crds_have_schemas(bundle: Bundle) -> Iterator[str]:
    """Each version describes its fields."""
    for name, crd in bundle.crds.items():
        for version in crd["spec"]["versions"]:
            schema = (version.get("schema") or {}).get("openAPIV3Schema") or {}
            if not schema.get("properties", {}).get("spec", {}).get("properties"):
                yield f"{name} {version['name']} has no schema of spec"


def csv_fields_are_known(bundle: Bundle) -> Iterator[str]:
    """A misspelled field is dropped by the API server without a word."""
    for field in sorted(bundle.csv["spec"].keys() - CSV_FIELDS):
        yield f"spec.{field} is no field of a ClusterServiceVersion"


def rights_are_spelled_out(bundle: Bundle) -> Iterator[str]:
    """No wildcard, nothing that lifts the holder above its rights, `bind` by name only."""
    for where, rule in _list_rules(bundle):
        verbs = set(rule["verbs"])
        words = {*verbs, *rule.get("apiGroups", ()), *rule.get("resources", ())}
        if "*" in words or verbs & {"escalate", "impersonate"}:
            yield f"{where}: {dict(rule)} grants more than it names"
        if "bind" in verbs and not rule.get("resourceNames"):
            yield f"{where}: bind without names"


def _list_rules(bundle: Bundle) -> Iterator[tuple[str, Object]]:
    for field in ("clusterPermissions", "permissions"):
        for granted in bundle.strategy.get(field, ()):
            yield from ((field, rule) for rule in granted["rules"])
    for each in bundle.objects:
        if each["kind"] in ("ClusterRole", "Role"):
            yield from ((each["metadata"]["name"], rule) for rule in each["rules"])


def the_day_is_a_date(bundle: Bundle) -> Iterator[str]:
    """createdAt, by which consoles sort."""
    created = bundle.notes.get("createdAt", "")
    try:
        datetime.fromisoformat(created)
    except (TypeError, ValueError):
        yield f"createdAt {created!r} is no date of RFC 3339"


def the_default_channel_exists(bundle: Bundle) -> Iterator[str]:
    """The default channel is one of the channels, and said."""
    channels = bundle.annotations.get(f"{PREFIX}.channels.v1", "").split(",")
    default = bundle.annotations.get(f"{PREFIX}.channel.default.v1", "")
    if not default or default not in channels:
        yield f"the default channel {default!r} is none of {channels}"


def there_is_an_icon(bundle: Bundle) -> Iterator[str]:
    """One picture, of a type that consoles draw."""
    icons = bundle.csv["spec"].get("icon") or []
    if len(icons) != 1 or icons[0].get("mediatype") not in ("image/svg+xml", "image/png"):
        yield "spec.icon holds not exactly one picture (image/svg+xml or image/png)"
        return
    try:
        if not base64.b64decode(icons[0].get("base64data", ""), validate=True):
            yield "spec.icon is empty"
    except binascii.Error:
        yield "spec.icon is not base64"


def each_kind_has_an_example(bundle: Bundle) -> Iterator[str]:
    """What the console's form begins with; examples of other kinds break it."""
    try:
        examples = json.loads(bundle.notes.get("alm-examples", "[]"))
        shown = {(each["apiVersion"].rpartition("/")[2], each["kind"]) for each in examples}
    except (ValueError, TypeError, KeyError) as error:
        yield f"alm-examples is no list of objects in JSON: {error!r}"
        return
    owned = {(each["version"], each["kind"]) for each in bundle.owned}
    for version, kind in sorted(shown ^ owned):
        yield f"{kind} {version} {'is not owned' if (version, kind) in shown else 'has no example'}"


def openshift_and_kubernetes_agree(bundle: Bundle) -> Iterator[str]:
    """minKubeVersion, and the OpenShift that it came in."""
    minimum = bundle.csv["spec"].get("minKubeVersion", "")
    said = bundle.annotations.get("com.redhat.openshift.versions", "")
    if not minimum or OPENSHIFT_MINORS.get(minimum) != said:
        yield f"minKubeVersion {minimum!r} and com.redhat.openshift.versions {said!r} do not belong together"


def kinds_are_supported(bundle: Bundle) -> Iterator[str]:
    """OLM refuses a bundle with an object that it does not install; catalogs refuse NetworkPolicies."""
    for each in bundle.objects:
        if each["kind"] not in SUPPORTED:
            yield f"{each['kind']} {each['metadata']['name']} cannot be in a bundle"


def nothing_is_armed_before_its_server_answers(bundle: Bundle) -> Iterator[str]:
    """OLM applies webhooks and conversions before the operator's pods run: until they do, and whenever they
    do not, every request that these cover fails."""
    for each in bundle.csv["spec"].get("webhookdefinitions") or ():
        yield f"webhook {each.get('generateName')} is armed before the operator runs"
    for name, crd in bundle.crds.items():
        if (crd["spec"].get("conversion") or {}).get("strategy", "None") != "None":
            yield f"{name} is converted by a webhook"


def the_account_is_olms(bundle: Bundle) -> Iterator[str]:
    """OLM makes the accounts that permissions name; one in the bundle would take its place."""
    fields = ("clusterPermissions", "permissions")
    named = {each["serviceAccountName"] for field in fields for each in bundle.strategy.get(field, ())}
    for each in bundle.objects:
        if each["kind"] == "ServiceAccount" and each["metadata"]["name"] in named:
            yield f"ServiceAccount {each['metadata']['name']} is made by OLM"


def objects_have_no_namespace(bundle: Bundle) -> Iterator[str]:
    """OLM puts them where the operator is installed."""
    for each in bundle.objects:
        if "namespace" in each["metadata"]:
            yield f"{each['kind']} {each['metadata']['name']} names a namespace"


def objects_are_unique(bundle: Bundle) -> Iterator[str]:
    """One object of a kind and name."""
    counts = Counter((each["kind"], each["metadata"]["name"]) for each in bundle.objects)
    for (kind, name), count in counts.items():
        if count > 1:
            yield f"{kind} {name} is there {count} times"


def all_namespaces_is_the_only_mode(bundle: Bundle) -> Iterator[str]:
    """Meshes may be in any namespace."""
    modes = {each["type"] for each in bundle.csv["spec"].get("installModes", ()) if each["supported"]}
    if modes != {"AllNamespaces"}:
        yield f"supported install modes are {sorted(modes)}"


def the_name_holds_package_and_version(bundle: Bundle) -> Iterator[str]:
    """Catalogs find a release by it."""
    package = bundle.annotations.get(f"{PREFIX}.package.v1", "")
    wanted = f"{package}.v{bundle.csv['spec'].get('version')}"
    if bundle.csv["metadata"]["name"] != wanted:
        yield f"{bundle.csv['metadata']['name']} should be {wanted}"


def images_are_related(bundle: Bundle) -> Iterator[str]:
    """A mirror copies relatedImages and nothing else; none is a moving tag."""
    related = bundle.csv["spec"].get("relatedImages") or []
    listed = [each["image"] for each in related]
    named = bundle.notes.get("containerImage", "")
    for image in sorted({*(container["image"] for container in bundle.containers), named} - set(listed)):
        yield f"image {image!r} is not in relatedImages"
    for name, count in Counter(each["name"] for each in related).items():
        if count > 1:
            yield f"relatedImages has {count} images of the name {name}"
    for image in listed:
        if image.endswith(":latest") or not re.search(r"[:@][^/]+$", image):
            yield f"image {image!r} may be another one tomorrow"


def pods_are_restricted(bundle: Bundle) -> Iterator[str]:
    """The pod is admitted where PodSecurity enforces the level `restricted`, and asks for what it needs."""
    for container in bundle.containers:
        security = container.get("securityContext") or {}
        if security.get("allowPrivilegeEscalation") is not False or "ALL" not in (
            (security.get("capabilities") or {}).get("drop") or ()
        ):
            yield f"container {container['name']} is not of the level restricted"
        if not {"cpu", "memory"} <= ((container.get("resources") or {}).get("requests") or {}).keys():
            yield f"container {container['name']} requests no cpu or memory"
    for deployment in bundle.deployments:
        security = deployment["spec"]["template"]["spec"].get("securityContext") or {}
        if security.get("runAsNonRoot") is not True or not security.get("seccompProfile"):
            yield f"the pods of {deployment['name']} are not of the level restricted"


def descriptors_name_fields(bundle: Bundle) -> Iterator[str]:
    """The console shows nothing, and no error, for a path that is not in the schema."""
    for each in bundle.owned:
        versions = bundle.crds[each["name"]]["spec"]["versions"] if each["name"] in bundle.crds else ()
        found: list[Object] = [version for version in versions if version["name"] == each["version"]]
        schema = (found[0].get("schema") or {}).get("openAPIV3Schema") or {} if found else {}
        for part in ("spec", "status"):
            fields = schema.get("properties", {}).get(part, {})
            for descriptor in each.get(f"{part}Descriptors") or ():
                if not _has_field(fields, descriptor["path"]):
                    yield f"{each['kind']}: {part}Descriptors name {descriptor['path']}, which does not exist"


def _has_field(schema: Mapping[str, Any], path: str) -> bool:
    for name in path.replace("[0]", ".[0]").split("."):
        schema = schema.get("items", {}) if name == "[0]" else schema.get("properties", {}).get(name, {})
    return bool(schema)


def features_are_true_or_false(bundle: Bundle) -> Iterator[str]:
    """OpenShift's filters read these annotations as booleans, and want all of them."""
    wanted = {
        *("cnf", "cni", "csi", "disconnected", "fips-compliant", "proxy-aware", "tls-profiles"),
        *("token-auth-aws", "token-auth-azure", "token-auth-gcp"),
    }
    for name in sorted(wanted):
        said = bundle.notes.get(f"features.operators.openshift.io/{name}")
        if said not in ("true", "false"):
            yield f"feature {name} is {said!r}"


def files_are_manifests(bundle: Bundle) -> Iterator[str]:
    """No folder and no hidden file: both make the bundle unreadable."""
    for name in bundle.files:
        if name.startswith(".") or not name.endswith(".yaml"):
            yield f"manifests/{name} is no manifest"


def it_fits_into_an_install_plan(bundle: Bundle) -> Iterator[str]:
    """A ConfigMap holds the bundle while it is unpacked."""
    if (size := sum(len(json.dumps(each)) for each in bundle.objects)) > _LIMIT:
        yield f"the objects have {size} bytes, of {_LIMIT} that fit"


RULES: tuple[Callable[[Bundle], Iterator[str]], ...] = (
    owned_kinds_are_the_crds,
    crds_have_schemas,
    csv_fields_are_known,
    rights_are_spelled_out,
    the_day_is_a_date,
    the_default_channel_exists,
    there_is_an_icon,
    each_kind_has_an_example,
    openshift_and_kubernetes_agree,
    kinds_are_supported,
    nothing_is_armed_before_its_server_answers,
    the_account_is_olms,
    objects_have_no_namespace,
    objects_are_unique,
    all_namespaces_is_the_only_mode,
    the_name_holds_package_and_version,
    images_are_related,
    pods_are_restricted,
    descriptors_name_fields,
    features_are_true_or_false,
    files_are_manifests,
    it_fits_into_an_install_plan,
    *FORM,
)


def check_bundle(bundle: Bundle) -> list[str]:
    """Every finding of every rule, the rule's name before it."""
    return [f"{rule.__name__}: {found}" for rule in RULES for found in rule(bundle)]


def check_folder(folder: Path) -> list[str]:
    """The findings on a bundle in its folder, or why it cannot be read as one."""
    try:
        return check_bundle(load_bundle(folder))
    except ValueError as error:
        return [str(error)]
