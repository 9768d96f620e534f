"""From a photo to a template: exactly one face, that person's, good enough to stand for them for years."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from edge_runtime.decision.negatives import LEAD
from edge_runtime.enrolment.gate import Enrolled, Finding, Strangers, check, collision, inconsistency
from edge_runtime.enrolment.group import choose, from_left, meant
from edge_runtime.enrolment.posing import View, judge
from edge_runtime.faces.chain import FaceChain
from edge_runtime.faces.crops import face_crop
from edge_runtime.faces.occlusion import covered
from edge_runtime.faces.quality import QualityLimits, explanation, measure, weight
from edge_runtime.gallery.names import clean_name, folded
from edge_runtime.gallery.store import Gallery
from edge_runtime.types import NOWHERE, Detections, Floats, Pixels

_KEPT_MARGIN, _KEPT_PX = 0.5, 256
"""Of a kept crop: room enough for another detector to find the face again."""
_MOST_LOOKS = 512
"""Photos looked at ahead that are kept in mind."""
NOT_LOOKED_AT = "was not looked at; send the photo again"
"""The reason where only a photo's digest came, and what was seen in it is forgotten."""


@dataclass(frozen=True, slots=True)
class EnrolmentResult:
    """What became of one photo.

    Attributes:
        accepted: whether the gallery holds a template of it now.
        reason: why not; None if accepted.
        template_id: of the template, or None.
        quality: the face's measures by name; empty where no single face was found.
        known: it was enrolled before, and nothing changed.
        forced: what spoke against it, where somebody insisted; or None.
        xyxy: the face's box, px; None where no single face was found.
        face: which face was taken of several, numbered from the left; None: there was no choice, or none was made.
        boxes: of all faces, px, numbered from the left, where several may be meant.
    """

    accepted: bool
    reason: str | None = None
    template_id: int | None = None
    quality: dict[str, float] = field(default_factory=dict)
    known: bool = False
    forced: str | None = None
    xyxy: tuple[float, ...] | None = None
    face: int | None = None
    boxes: tuple[tuple[float, ...], ...] = ()

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class _Look:
    """What one photo holds: a face that could be enrolled, or the reason why not.

    Attributes:
        faces: looks at each of several faces that may be meant, numbered from the left; empty: there is no choice.
        wanted: the number that somebody named; 0: nobody did.
    """

    result: EnrolmentResult
    embedding: Floats | None = None
    weight: float = 1.0
    crop: bytes | None = None
    faces: tuple[_Look, ...] = ()
    wanted: int = 0


class Enroller:
    """Puts photos of people into a gallery; may be called from several threads, one photo at a time."""

    def __init__(
        self, chain: FaceChain, gallery: Gallery, limits: QualityLimits | None = None, keep_crops: bool = False
    ) -> None:
        """Use ``chain``, whose ``turn`` is held meanwhile.

        Args:
            chain: the bundle that ``gallery`` was opened for.
            gallery: where templates go.
            limits: the least a face must have; None: ``QualityLimits.for_enrolment()``.
            keep_crops: keep a small picture of every face, so that another encoder needs no photos again.
        """
        self.gallery = gallery
        self._chain = chain
        self._limits = limits or QualityLimits.for_enrolment()
        self._keep_crops = keep_crops
        self._lock = chain.turn
        manifest = chain.bundle.manifest
        self._strangers = Strangers(chain.bundle.strangers(), manifest.strangers, manifest.realism)
        self._looks: OrderedDict[tuple[str, bytes], _Look] = OrderedDict()
        """Photos looked at and not yet enrolled, by folded name and digest."""
        self._read: tuple[tuple[int, int, int], Enrolled] | None = None

    def known(self, name: str, digest: bytes) -> EnrolmentResult | None:
        """The result for a photo that was enrolled before, by the sha256 of its file; None for a new one."""
        template_id = self.gallery.has_photo(name, digest)
        return None if template_id is None else EnrolmentResult(True, template_id=template_id, known=True)

    def look(self, name: str, pixels: Pixels, digest: bytes, face: int = 0) -> EnrolmentResult:
        """Look at a photo that is to be enrolled soon, so that those before it are judged by it too.

        Where somebody's photos do not fit each other, the majority is right; one at a time, the first would be.

        Args:
            name: the person's.
            pixels: uint8 (H, W, 3) RGB, upright.
            digest: sha256 of the photo's file.
            face: number of the face that is meant, from the left; 0: the only one, or the one that looks like the
                person's other photos.

        Returns:
            Whether its face is good enough; nothing is enrolled. Of several faces that may be meant, the boxes:
            :meth:`photo` chooses, when the other photos have been looked at.

        Raises:
            InputError: an unusable name.
        """
        place = folded(clean_name(name)), digest
        with self._lock:
            if place not in self._looks or self._looks[place].wanted != face:
                self._looks[place] = self._see(pixels, face)
                while len(self._looks) > _MOST_LOOKS:
                    self._looks.popitem(last=False)
            return self._looks[place].result

    def offer(self, name: str, embedding: Floats, weight: float, digest: bytes, crop: bytes | None = None) -> None:
        """Take an embedding made elsewhere, as of a stranger's track, as if looked at here; :meth:`photo` enrols it.

        Args:
            name: the person's.
            embedding: float32 (D,) of unit length.
            weight: what it is to count, > 0.
            digest: by which it is recognised.
            crop: JPEG of the face, kept where crops are.

        Raises:
            InputError: an unusable name.
        """
        look = _Look(EnrolmentResult(True), embedding, weight, crop if self._keep_crops else None)
        with self._lock:
            self._looks[folded(clean_name(name)), digest] = look

    def photo(
        self,
        name: str,
        pixels: Pixels | None,
        digest: bytes | None,
        source: str,
        force: bool = False,
        face: int = 0,
    ) -> EnrolmentResult:
        """Enrol one photo; when this returns with ``accepted``, the template is on disk for good.

        Args:
            name: the person's; see ``names.clean_name``.
            pixels: uint8 (H, W, 3) RGB, upright; None: of a photo that :meth:`looked_at` knows.
            digest: sha256 of the photo's file, by which it is recognised; None: never recognised.
            source: where it came from, for people to read.
            force: take a photo that is poor, or looks like somebody else; the gallery keeps what spoke against it.
            face: as for :meth:`look`; of a photo that it knows, what was said there counts.

        Raises:
            InputError: an unusable name.
            GalleryError: the template cannot be kept.
        """
        name = clean_name(name)
        with self._lock:
            known = None if digest is None else self.known(name, digest)
            if known is not None:
                return known
            look = None if digest is None else self._looks.get((folded(name), digest))
            if look is None:
                if pixels is None:
                    return EnrolmentResult(False, NOT_LOOKED_AT)
                look = self._see(pixels, face)
            result = self._decide(name, look, digest, source, force)
            if digest is not None:
                self._looks.pop((folded(name), digest), None)
            return result

    def correct(
        self, name: str, embedding: Floats, source: str, digest: bytes, was: str = "", force: bool = False
    ) -> dict[str, Any]:
        """Keep a view that got a person's name and is not theirs, and enrol it for who it was.

        Args:
            name: whose name it got.
            embedding: float32 (D,) of unit length that was decided on.
            source: which view, for people to read.
            digest: by which it is recognised.
            was: who it was; "": a stranger, or nobody knows.
            force: enrol it although it looks like somebody else.

        Returns:
            ``score`` of the view against the person, ``nearest`` of the person's photos to it, ``photos`` of theirs
            of which ``lost`` would get the name no more, and ``enrolled``, an ``EnrolmentResult``'s fields, or None.

        Raises:
            InputError: nobody is called so.
        """
        with self._lock:
            self.gallery.not_this(name, embedding, source, digest)
            templates = self._enrolled().templates
            number = self._enrolled().number(name)
            assert number is not None
            rows = templates.person_index == number
            rest, own = templates.rest()[rows], templates.embeddings[rows]
            average = templates.person_embeddings()[number]
        scores = (rest * own).sum(1) if len(own) > 1 else np.ones(len(own), np.float32)
        effect: dict[str, Any] = {
            "score": round(float(average @ embedding), 4),
            "nearest": round(float((own @ embedding).max()), 4),
            "photos": len(own),
            "lost": int(np.count_nonzero(scores - own @ embedding < LEAD)),
            "lead": LEAD,
            "enrolled": None,
        }
        if was:
            self.offer(was, embedding, 1.0, digest)
            effect["enrolled"] = self.photo(was, None, digest, source, force).as_json()
        return effect

    def pose(self, pixels: Pixels, want: str, last_box: tuple[float, ...]) -> View:
        """Look at a live picture and say what the person should do; see ``posing.judge``."""
        with self._lock:
            return judge(pixels, self._chain.detector.detect(pixels, windows=NOWHERE), want, last_box, self._limits)

    def objection(self, name: str, pixels: Pixels) -> str | None:
        """Whom else the one face of a view looks like, in a line for people; None: nobody, or it is poor.

        Args:
            name: who it is said to be.
            pixels: uint8 (H, W, 3) RGB.
        """
        with self._lock:
            seen = self._see(pixels, 0)
            return None if seen.embedding is None else collision(self._enrolled(), clean_name(name), seen.embedding)

    def looked_at(self, name: str, digest: bytes) -> bool:
        """Whether :meth:`photo` may be called without the photo."""
        return (folded(clean_name(name)), digest) in self._looks

    def check(self, margin: float, name: str | None = None) -> list[Finding]:
        """Look over the whole gallery, or at one person in it; see ``gate.check``."""
        with self._lock:
            return check(self._enrolled(), margin, self.gallery.forced(), name)

    def _enrolled(self) -> Enrolled:
        """The gallery as it is now, read again only if it has changed."""
        version = self.gallery.version
        if self._read is None or self._read[0] != version:
            self._read = version, Enrolled(self.gallery.templates(), self._strangers)
        return self._read[1]

    def _see(self, pixels: Pixels, face: int) -> _Look:
        detections = self._chain.detector.detect(pixels)
        if not len(detections):
            return _Look(EnrolmentResult(False, "no face found; take one from the front, with the whole face in it"))
        if face:
            places = from_left(detections)
            if not 1 <= face <= len(places):
                reason = f"expected --face 1 to {len(places)}, as faces were found, received {face}"
                return _Look(EnrolmentResult(False, reason), wanted=face)
            look = self._face(pixels, detections, int(places[face - 1]))
            return replace(look, result=replace(look.result, face=face), wanted=face)
        several = meant(detections, (pixels.shape[1], pixels.shape[0]))
        looks = tuple(self._face(pixels, detections, int(place)) for place in several)
        if len(looks) == 1:
            return looks[0]
        boxes = tuple(look.result.xyxy or () for look in looks)
        return _Look(EnrolmentResult(False, f"{len(looks)} faces of which one is meant", boxes=boxes), faces=looks)

    def _face(self, pixels: Pixels, detections: Detections, chosen: int) -> _Look:
        landmarks = detections.landmarks[chosen : chosen + 1]
        quality = measure(pixels, landmarks[0], float(detections.width[chosen]))
        box = tuple(round(float(value), 1) for value in detections.xyxy[chosen])
        chips = self._chain.chips(pixels, landmarks)
        reason = explanation(quality, self._limits) or self._covered(chips)
        embeddings, norms = self._chain.embed(chips)
        if norms[0] == 0:
            nothing = "the encoder sees no face in this; take another photo"
            return _Look(EnrolmentResult(False, nothing, quality=quality, xyxy=box))
        result = EnrolmentResult(reason is None, reason, quality=quality, xyxy=box)
        crop = face_crop(pixels, detections.xyxy[chosen], _KEPT_MARGIN, _KEPT_PX) if self._keep_crops else None
        return _Look(result, embeddings[0], weight(quality, self._limits), crop)

    def _covered(self, chip: Pixels) -> str | None:
        manifest = self._chain.bundle.manifest
        return covered(self._chain.encoder, chip, manifest.preprocessing.template, manifest.reliance)

    def _chosen(self, name: str, look: _Look, digest: bytes | None) -> _Look:
        """Of several faces the one that looks like the person's other photos."""
        embeddings = [
            np.zeros(self.gallery.embedding_size, np.float32) if f.embedding is None else f.embedding
            for f in look.faces
        ]
        found = choose(np.array(embeddings, np.float32), *self._others(name, digest), self._strangers.embeddings)
        if isinstance(found, str):
            return replace(look, result=replace(look.result, reason=found))
        face = look.faces[found]
        return replace(face, result=replace(face.result, face=found + 1, boxes=look.result.boxes))

    def _decide(self, name: str, look: _Look, digest: bytes | None, source: str, force: bool) -> EnrolmentResult:
        if look.faces:
            look = self._chosen(name, look, digest)
        if look.embedding is None:
            return look.result
        reason = look.result.reason or self._foreign(name, look, digest)
        if reason is not None and not force:
            return replace(look.result, accepted=False, reason=reason)
        template_id = self._add(name, look, source, digest, reason)
        return replace(look.result, accepted=True, reason=None, template_id=template_id, forced=reason)

    def _add(self, name: str, look: _Look, source: str, digest: bytes | None, forced: str | None) -> int:
        """Add to the gallery, and to what was read of it, so that it need not be read whole for the next photo."""
        assert look.embedding is not None
        before = self.gallery.version
        template_id = self.gallery.add(name, look.embedding, look.weight, source, digest, forced, look.crop)
        if self._read is not None and self._read[0] == before and self.gallery.version == _after_one(before):
            enrolled = self._read[1]
            number = enrolled.number(name)
            kept = name if number is None else enrolled.templates.names[number]
            if template_id not in enrolled.templates.ids:
                more = enrolled.templates.plus(kept, look.embedding, look.weight, template_id)
                self._read = self.gallery.version, Enrolled(more, self._strangers)
        return template_id

    def _foreign(self, name: str, look: _Look, digest: bytes | None) -> str | None:
        """Why this is not a photo of ``name``, if so."""
        assert look.embedding is not None
        enrolled = self._enrolled()
        if (reason := collision(enrolled, name, look.embedding)) is not None:
            return reason
        embeddings, weights = self._others(name, digest)
        return inconsistency(
            np.vstack([embeddings, look.embedding]), np.append(weights, np.float32(look.weight)), self._strangers
        )

    def _others(self, name: str, digest: bytes | None) -> tuple[Floats, Floats]:
        """Embeddings (T, D) and weights (T,) of a person's other photos, enrolled or looked at."""
        enrolled = self._enrolled()
        templates = enrolled.templates
        rows = templates.person_index == enrolled.number(name)
        waiting = [
            other
            for (whose, which), other in self._looks.items()
            if whose == folded(name) and which != digest and other.result.accepted and other.embedding is not None
        ]
        embeddings = [other.embedding for other in waiting if other.embedding is not None]
        return (
            np.array([*templates.embeddings[rows], *embeddings], np.float32).reshape(-1, self.gallery.embedding_size),
            np.array([*templates.weights[rows], *(other.weight for other in waiting)], np.float32),
        )


def _after_one(version: tuple[int, int, int]) -> tuple[int, int, int]:
    """A gallery's version when nothing but one change of its own has happened."""
    return version[0], version[1] + 1, version[2]
