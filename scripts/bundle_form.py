"""Rules for the form of a bundle: what operator-framework's validators refuse, found by `make lint`, which
has no Go.

Owns one function for each rule; each is named after what must be, and yields what is not so. Must never
repair anything. Invariant: of the broken bundles that the tests know, those that the validators refuse are
found here or in bundle_rules.py.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from scripts.bundle_reading import Bundle

CAPABILITIES = ("Basic Install", "Seamless Upgrades", "Full Lifecycle", "Deep Insights", "Auto Pilot")
CATEGORIES = frozenset(
    {
        *("AI/Machine Learning", "Application Runtime", "Big Data", "Cloud Provider", "Database"),
        *("Developer Tools", "Integration & Delivery", "Logging & Tracing", "Modernization & Migration"),
        *("Monitoring", "Networking", "Observability", "OpenShift Optional", "Security", "Storage"),
        "Streaming & Messaging",
    }
)
"""What OperatorHub sorts by."""
NOTES = frozenset(
    {
        *("alm-examples", "capabilities", "categories", "certified", "containerImage", "createdAt"),
        *("description", "repository", "support"),
    }
)
"""Annotations of a ClusterServiceVersion that have no domain before their name."""
PREFIX = "operators.operatorframework.io.bundle"
_WHERE = {"mediatype": "registry+v1", "manifests": "manifests/", "metadata": "metadata/"}
_SEMVER = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?")
_CHANNEL = re.compile(r"(preview|candidate|fast|stable)(-v\d+(\.\d+)*)?")
_SERVED = {
    "CustomResourceDefinition": "apiextensions.k8s.io/v1",
    "PodDisruptionBudget": "policy/v1",
    "ClusterRole": "rbac.authorization.k8s.io/v1",
    "ClusterRoleBinding": "rbac.authorization.k8s.io/v1",
    "Role": "rbac.authorization.k8s.io/v1",
    "RoleBinding": "rbac.authorization.k8s.io/v1",
    "PriorityClass": "scheduling.k8s.io/v1",
}
"""The version of an API that every supported Kubernetes serves, where another one was removed."""


def the_version_is_semantic(bundle: Bundle) -> Iterator[str]:
    """OLM compares versions."""
    version = bundle.csv["spec"].get("version", "")
    if not _SEMVER.fullmatch(str(version)):
        yield f"spec.version {version!r} is no semantic version"


def it_replaces_another_release(bundle: Bundle) -> Iterator[str]:
    """A release that replaces itself is a circle."""
    spec, name = bundle.csv["spec"], bundle.csv["metadata"]["name"]
    if name in (spec.get("replaces"), *(spec.get("skips") or ())):
        yield f"{name} replaces itself"


def people_know_what_it_is_and_whose(bundle: Bundle) -> Iterator[str]:
    """Name, text, provider, maintainers and links are what a console shows."""
    spec = bundle.csv["spec"]
    for field in ("displayName", "description", "keywords", "maturity", "links", "maintainers"):
        if not spec.get(field):
            yield f"spec.{field} is empty"
    if not (spec.get("provider") or {}).get("name"):
        yield "spec.provider has no name"
    for each in spec.get("maintainers") or ():
        if not each.get("name") or not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", each.get("email", "")):
            yield f"maintainer {dict(each)} has no name or no address"
    for each in spec.get("links") or ():
        if not each.get("name") or urlsplit(each.get("url", "")).scheme not in ("https", "http"):
            yield f"link {dict(each)} has no name or no address"


def there_is_something_to_run(bundle: Bundle) -> Iterator[str]:
    """OLM knows one strategy; without a Deployment it has nothing to wait for."""
    if (strategy := (bundle.csv["spec"].get("install") or {}).get("strategy")) != "deployment":
        yield f"spec.install.strategy is {strategy!r}"
    names = Counter(each["name"] for each in bundle.deployments)
    if not names:
        yield "spec.install has no Deployment"
    yield from (f"Deployment {name} is there {count} times" for name, count in names.items() if count > 1)


def modes_are_said_once(bundle: Bundle) -> Iterator[str]:
    """Of two that differ, OLM takes one."""
    modes = Counter(each["type"] for each in bundle.csv["spec"].get("installModes") or ())
    yield from (f"install mode {mode} is there {count} times" for mode, count in modes.items() if count > 1)


def words_are_those_of_operatorhub(bundle: Bundle) -> Iterator[str]:
    """Level and categories are of fixed lists."""
    if (level := bundle.notes.get("capabilities", "")) not in CAPABILITIES:
        yield f"capabilities {level!r} is none of {', '.join(CAPABILITIES)}"
    said = {each.strip() for each in bundle.notes.get("categories", "").split(",")}
    for category in sorted(said - CATEGORIES):
        yield f"category {category!r} is not known to OperatorHub"


def annotations_are_spelled_right(bundle: Bundle) -> Iterator[str]:
    """A misspelled annotation is one that is missing."""
    for name in sorted(bundle.notes):
        if "/" not in name and name not in NOTES:
            yield f"annotation {name} is not known"
    for name in ("containerImage", "description", "repository", "support"):
        if not bundle.notes.get(name):
            yield f"annotation {name} is missing"


def the_metadata_says_where_things_are(bundle: Bundle) -> Iterator[str]:
    """opm reads these before anything else."""
    for name, wanted in _WHERE.items():
        if (said := bundle.annotations.get(f"{PREFIX}.{name}.v1")) != wanted:
            yield f"{PREFIX}.{name}.v1 is {said!r} and not {wanted}"
    if not bundle.annotations.get(f"{PREFIX}.package.v1"):
        yield "the package has no name"


def channels_have_usual_names(bundle: Bundle) -> Iterator[str]:
    """candidate, fast, stable or preview, with a version after it or not."""
    for name in bundle.annotations.get(f"{PREFIX}.channels.v1", "").split(","):
        if not _CHANNEL.fullmatch(name):
            yield f"channel {name!r} has no usual name"


def kinds_are_whole(bundle: Bundle) -> Iterator[str]:
    """A kind's name is that of its plural and group, one version is stored, and each is said once."""
    for name, crd in bundle.crds.items():
        spec = crd["spec"]
        if name != f"{spec['names']['plural']}.{spec['group']}":
            yield f"{name} is the kind {spec['names']['plural']}.{spec['group']}"
        if (stored := sum(bool(version.get("storage")) for version in spec["versions"])) != 1:
            yield f"{name} stores {stored} versions"
        if spec["scope"] not in ("Namespaced", "Cluster"):
            yield f"{name} has the scope {spec['scope']!r}"
    counts = Counter((each["name"], each["version"]) for each in bundle.owned)
    yield from (f"{name} {version} is owned {n} times" for (name, version), n in counts.items() if n > 1)
    for each in bundle.owned:
        crd = bundle.crds.get(each["name"], {})
        versions = [version["name"] for version in crd.get("spec", {}).get("versions", ())]
        if crd and (each["version"] not in versions or each["kind"] != crd["spec"]["names"]["kind"]):
            yield f"{each['name']} has no {each['kind']} {each['version']}"


def apis_are_still_served(bundle: Bundle) -> Iterator[str]:
    """An object of a version that Kubernetes removed stops the whole installation."""
    for each in bundle.objects:
        wanted = _SERVED.get(each["kind"], each["apiVersion"])
        if each["apiVersion"] != wanted:
            yield f"{each['kind']} {each['metadata']['name']} is of {each['apiVersion']} and not {wanted}"


def nothing_stops_a_node_s_drain(bundle: Bundle) -> Iterator[str]:
    """OLM refuses a budget that no eviction is within, and a priority for all pods."""
    for each in bundle.objects:
        spec = each.get("spec") or {}
        never = spec.get("maxUnavailable") in (0, "0%") or spec.get("minAvailable") == "100%"
        if each["kind"] == "PodDisruptionBudget" and never:
            yield f"PodDisruptionBudget {each['metadata']['name']} admits no eviction"
        if each["kind"] == "PriorityClass" and each.get("globalDefault"):
            yield f"PriorityClass {each['metadata']['name']} is every pod's"


FORM: tuple[Callable[[Bundle], Iterator[str]], ...] = (
    the_version_is_semantic,
    it_replaces_another_release,
    people_know_what_it_is_and_whose,
    there_is_something_to_run,
    modes_are_said_once,
    words_are_those_of_operatorhub,
    annotations_are_spelled_right,
    the_metadata_says_where_things_are,
    channels_have_usual_names,
    kinds_are_whole,
    apis_are_still_served,
    nothing_stops_a_node_s_drain,
)
