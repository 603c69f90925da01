"""`navarch convert-maistra`: objects of OpenShift Service Mesh 2 as objects of Navarch's.

Owns reading and the report. Must never decide what becomes of a field: core/conversion does.
"""

from __future__ import annotations

from collections.abc import Iterator

from navarch.api.controlplane import KIND
from navarch.cli.images import find_release
from navarch.cli.inputs import InputError, parse_documents, unpack
from navarch.core.conversion.maistra import KINDS, Conversion, convert
from navarch.core.conversion.rules import Outcome
from navarch.core.istio.catalog import Catalog

_ORDER = (Outcome.BY_HAND, Outcome.CHANGED, Outcome.DROPPED, Outcome.CONVERTED)


def convert_text(text: str, catalog: Catalog, *, version: str = "") -> Conversion:
    """What a YAML stream becomes; `version` is the Istio of new meshes, the newest that is supported unless
    said. Raises InputError."""
    if version:
        find_release(catalog, version)
    documents = [each for each in unpack(parse_documents(text)) if isinstance(each, dict)]
    conversion = convert(documents, version=version or _find_newest(catalog))
    if not conversion.notes:
        found = ", ".join(sorted({str(each.get("kind")) for each in documents})) or "nothing"
        raise InputError(f"there is none of {', '.join(KINDS)} in it, but {found}")
    return conversion


def _find_newest(catalog: Catalog) -> str:
    return [minor.name for minor in catalog.minors if not minor.preview][-1]


def tell_notes(conversion: Conversion) -> Iterator[str]:
    """The report, a line each: what has to be done first, and at the end the sum."""
    for what, notes in conversion.notes.items():
        yield what
        for note in sorted(notes, key=lambda note: _ORDER.index(note.outcome)):
            yield f"  {note}"
    told = [note.outcome for notes in conversion.notes.values() for note in notes]
    counts = ", ".join(f"{told.count(outcome)} {outcome.value}" for outcome in _ORDER)
    meshes = sum(each["kind"] == KIND for each in conversion.objects)
    yield f"{len(conversion.objects)} objects, {meshes} of them {KIND}; fields: {counts}"
