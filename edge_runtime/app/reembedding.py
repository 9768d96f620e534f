"""Embeddings of people made again after a change of encoder or detector, from kept crops or the photos shown again.

Embeddings of two encoders never compare, and none can be turned back into a face. A gallery keeps a small picture
of each face only where ``[gallery] keep_crops`` says so, but it knows every photo it took by a fingerprint that
only it can compute. So whoever still has the photos shows them again, as a folder in any order: those it knows are
encoded anew for the people they are of, and what then is missing is encoded from its crop, into a new gallery that
takes the old one's place when it is whole. The old one stays beside it.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from edge_runtime.config import Config, gallery_path, socket_path
from edge_runtime.errors import ControlError, ImageError, InputError
from edge_runtime.faces.chain import FaceChain, central_face, open_chain
from edge_runtime.faces.quality import QualityLimits, measure, weight
from edge_runtime.gallery.opening import key_source
from edge_runtime.gallery.store import Gallery
from edge_runtime.gallery.templates import TemplateRecord
from edge_runtime.pictures.reader import decode_image, read_photo
from edge_runtime.storage.database import replace_whole
from edge_runtime.storage.files import with_sides


@dataclass(frozen=True)
class Reembedding:
    """What became of everybody.

    Attributes:
        made: how many embeddings each person has now, by name.
        missing: for each person, where the embeddings came from that could not be made again.
        unusable: known photos and crops in which no face is found any more, or that cannot be read, with the reason.
        unknown: how many pictures the gallery had never taken.
        kept: where the old gallery is; empty as long as nothing was changed.
    """

    made: dict[str, int]
    missing: dict[str, list[str]]
    unusable: dict[str, str] = field(default_factory=dict)
    unknown: int = 0
    kept: str = ""

    @property
    def to_enrol_again(self) -> list[str]:
        """People without any embedding of the new kind."""
        return sorted(name for name, count in self.made.items() if not count)

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"to_enrol_again": self.to_enrol_again}


def reembed(
    config: Config, photos: Iterable[Path], may_lose: Callable[[Reembedding], bool], always: bool = False
) -> Reembedding | None:
    """Make the configured gallery's embeddings again with the configured bundle and detector.

    Args:
        config: says where gallery, key, socket and bundle are.
        photos: picture files, in any order; unknown ones are passed over.
        may_lose: asked whether to go on where somebody would have no embedding any more; nothing changes if not.
        always: also where the gallery's embeddings are of this bundle already.

    Returns:
        What became of everybody; None if the embeddings are of this bundle already.

    Raises:
        ControlError: a daemon has the gallery open.
        InputError: there is no gallery.
        FamiliarError: gallery, bundle, detector or interpreter cannot be used.
    """
    from edge_runtime.control.client import ControlClient

    path = gallery_path(config)
    if ControlClient.connect(socket_path(config)) is not None:
        raise ControlError(
            f"{path}: expected nobody to use the gallery, a daemon does; stop it first (systemctl stop familiar)"
        )
    if not path.is_file():
        raise InputError(f"{path}: expected a gallery, found none; make it with: familiar enroll NAME PHOTO")
    with Gallery.open_existing(path, key_source(config)) as old, open_chain(config) as chain:
        kinds = (chain.encoder_hash, chain.preprocessing_hash)
        if kinds == (old.encoder_hash, old.preprocessing_hash) and not always:
            return None
        draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        try:
            with Gallery.open(
                draft, key_source(config), *kinds, chain.encoder.embedding_size, chain.bundle.manifest.name
            ) as new:
                with old.apart():
                    result = transfer(old, new, chain, photos, config.images.max_megapixels)
                new.merge_again(old.merges())
            if result.to_enrol_again and not may_lose(result):
                return result
            kept = path.with_name(f"{path.name}.of-{old.encoder_hash[:8]}-{secrets.token_hex(4)}")
            old.close()
            replace_whole(path, draft, kept)
        finally:
            for file in with_sides(draft):
                file.unlink(missing_ok=True)
    return Reembedding(result.made, result.missing, result.unusable, result.unknown, str(kept))


def transfer(
    old: Gallery, new: Gallery, chain: FaceChain, photos: Iterable[Path], max_megapixels: float
) -> Reembedding:
    """Encode every photo that ``old`` knows for the people it is of, and the crops of others, into ``new``.

    Args:
        old: with the people, names and fingerprints.
        new: of the chain's own kind, without people.
        chain: the new detector and encoder.
        photos: picture files.
        max_megapixels: the largest photo taken.
    """
    people = {person.name: person for person in old.people()}
    records = {name: {record.template_id: record for record in old.records(name)} for name in people}
    made = dict.fromkeys(records, 0)
    unusable: dict[str, str] = {}
    unknown = 0
    for photo in photos:
        data = read_photo(photo)
        digest = hashlib.sha256(data).digest()
        owners = [(name, known) for name in records if (known := old.has_photo(name, digest)) is not None]
        unknown += not owners
        for name, template_id in owners:
            if template_id not in records[name]:
                continue  # the same photo a second time
            crop = old.crop(template_id)
            face = _Face(people[name].person_id, data, digest, crop and crop[1], records[name][template_id])
            reason = _encode(new, chain, name, face, max_megapixels)
            if reason is None:
                made[name] += 1
                del records[name][template_id]
            else:
                unusable[str(photo)] = reason
    for name, left in records.items():
        for template_id, record in list(left.items()):
            if (kept := old.crop(template_id)) is None:
                continue
            reason = _encode(
                new, chain, name, _Face(people[name].person_id, kept[1], kept[0], kept[1], record), max_megapixels
            )
            if reason is None:
                made[name] += 1
                del left[template_id]
            else:
                unusable[f"the picture kept of {name}, {record.source}"] = reason
    for name, person in people.items():
        if made[name] and (person.consent or person.expires is not None):
            new.note(name, person.consent, person.expires)
    missing = {name: [record.source for record in left.values()] for name, left in records.items() if left}
    return Reembedding(made, missing, unusable, unknown)


@dataclass(frozen=True)
class _Face:
    """What an embedding is made again from: whose, a photo's or crop's file, its digest, the crop to keep, its row."""

    person_id: str
    data: bytes
    digest: bytes | None
    crop: bytes | None
    record: TemplateRecord


def _encode(new: Gallery, chain: FaceChain, name: str, face: _Face, max_megapixels: float) -> str | None:
    """Put one face into the new gallery, of the same person for the log of events; why not, if it cannot be.

    It was judged when it was enrolled, by the person who gave it: only what cannot be encoded is left out.
    """
    try:
        pixels = decode_image(face.data, face.record.source, max_megapixels)
    except ImageError as error:
        return str(error)
    detections = chain.detector.detect(pixels)
    if not len(detections):
        return "no face found"
    chosen = central_face(detections, (pixels.shape[1], pixels.shape[0]))
    landmarks = detections.landmarks[chosen : chosen + 1]
    embeddings, norms = chain.encode(pixels, landmarks)
    if norms[0] == 0:
        return "the encoder sees nothing in this face"
    quality = measure(pixels, landmarks[0], float(detections.width[chosen]))
    weighed, record = weight(quality, QualityLimits.for_enrolment()), face.record
    new.add(name, embeddings[0], weighed, record.source, face.digest, record.forced, face.crop, face.person_id)
    return None
