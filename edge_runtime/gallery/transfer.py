"""People out of a gallery into one file, and from such a file into a gallery."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge_runtime.errors import InputError
from edge_runtime.gallery.exchange import MovedPerson, Package, fingerprint, pack
from edge_runtime.gallery.store import Gallery


@dataclass(frozen=True)
class Exported:
    """A file of people.

    Attributes:
        data: the whole of it; see ``gallery.exchange``.
        people: how many.
        signer: fingerprint of this device.
    """

    data: bytes
    people: int
    signer: str


def exported(gallery: Gallery, names: Sequence[str], passphrase: str) -> Exported:
    """People as a file, and an audit line for each.

    Args:
        gallery: whose.
        names: of those who go; empty: everybody.
        passphrase: at least 8 characters.

    Raises:
        InputError: nobody is enrolled or called so, or a passphrase that is too short.
    """
    chosen = [gallery.person(name).name for name in names] or [person.name for person in gallery.people()]
    if not chosen:
        raise InputError("nobody is enrolled, so there is nobody to export: familiar enroll NAME PHOTO...")
    people, key = gallery.moved(chosen), gallery.device_key
    data = pack(gallery.bound | {"bundle_name": gallery.bundle_name}, people, key, passphrase)
    gallery.note_export(people)
    return Exported(data, _count(people), fingerprint(key))


def imported(gallery: Gallery, package: Package, merge: bool, forgotten: bool) -> dict[str, int | str]:
    """Take people of a file: ``people``, photos ``added`` and ``known`` already, and the ``signer``, JSON-ready.

    Args:
        gallery: theirs from now on.
        package: what the file holds.
        merge: add to people of the same name; else such a name is refused.
        forgotten: also people who were forgotten here.

    Raises:
        InputError: embeddings of another encoder, or see ``Gallery.take_moved``.
    """
    what = next((name for name, value in gallery.bound.items() if value != package.bound[name]), None)
    if what is not None:
        raise InputError(
            f"expected people of the bundle in use, {gallery.bundle_name!r}, found those of "
            f"{package.bound['bundle_name']!r} ({what} differs); export from a device with the same bundle"
        )
    added, known = gallery.take_moved(package.people, merge, forgotten)
    return {"people": _count(package.people), "added": added, "known": known, "signer": package.signer}


def _count(people: Sequence[MovedPerson]) -> int:
    """How many people there are; those who were merged are no people of their own."""
    return sum(person.into is None for person in people)
