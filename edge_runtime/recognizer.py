"""Faces of photos and their names, for programs: open a bundle, enrol people, ask who is on a photo."""

from __future__ import annotations

import dataclasses
import hashlib
import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.config import Config, DecideConfig
from edge_runtime.decision.matcher import Matcher, make_matcher
from edge_runtime.enrolment.photo import Enroller, EnrolmentResult
from edge_runtime.faces.chain import NOT_A_FACE, FaceChain, open_chain
from edge_runtime.faces.quality import QualityLimits, measure, rejection
from edge_runtime.gallery.opening import open_gallery
from edge_runtime.gallery.store import Gallery
from edge_runtime.pictures.reader import decode_image, read_photo
from edge_runtime.storage.keys import KEY_BYTES, KeySource
from edge_runtime.system.closing import Closing
from edge_runtime.types import Match, Pixels


@dataclass(frozen=True)
class NamedFace:
    """One face of a photo.

    Attributes:
        xyxy: its box, px.
        quality: its measures by name.
        rejected: why it was not judged (``small``, ``blurred``, …); None: it was.
        match: what the gallery says about it; None if rejected.
    """

    xyxy: tuple[float, float, float, float]
    quality: dict[str, float]
    rejected: str | None
    match: Match | None

    @property
    def person(self) -> str | None:
        """The name; None: unknown, or rejected."""
        return None if self.match is None else self.match.person


class FaceNamer:
    """Names the faces of pictures by a gallery as it is at that moment; may be called from several threads."""

    def __init__(self, chain: FaceChain, gallery: Gallery, config: Callable[[], Config]) -> None:
        """Use ``chain``, whose ``turn`` is held meanwhile, and what ``config`` gives at that moment."""
        self._chain, self._gallery, self._config = chain, gallery, config
        self._made: tuple[tuple[tuple[int, int, int], DecideConfig], Matcher] | None = None

    @property
    def matcher(self) -> Matcher:
        """Decides for the gallery as it is now."""
        now = self._gallery.version, self._config().decide
        if self._made is None or self._made[0] != now:
            self._made = now, make_matcher(self._gallery.templates(), self._chain.bundle, now[1])
        return self._made[1]

    def name(self, pixels: Pixels) -> list[NamedFace]:
        """The faces of a picture, surest detection first.

        Args:
            pixels: uint8 (H, W, 3) RGB, upright.

        Raises:
            GalleryError: the gallery cannot be read.
        """
        limits = QualityLimits(face_px=self._config().quality.min_face_px)
        with self._chain.turn:
            return list(named_faces(self._chain, self.matcher, limits, pixels))


class Recognizer(Closing):
    """A bundle and a gallery: enrols people from photos, and names the faces of a photo; for one thread.

    Attributes:
        gallery: open until :meth:`close`.
    """

    def __init__(
        self,
        bundle: str | Path | None = None,
        gallery: str | Path | None = None,
        key_file: str | Path | None = None,
        config: Config | None = None,
    ) -> None:
        """Open bundle and gallery.

        Args:
            bundle: its folder; None: the configured or installed one, else the released one of a checkout.
            gallery: its file, made where there is none; None: one for as long as this object is open, whose key never
                leaves memory.
            key_file: of the device key, outside the gallery's folder; None: where every command takes it from.
            config: for everything else; None: the defaults.

        Raises:
            FamiliarError: bundle, detector, interpreter, gallery or key cannot be used.
        """
        config = config or Config()
        with ExitStack() as stack:
            key = None
            if gallery is None:
                gallery = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="familiar-"))) / "gallery.db"
                key = KeySource("the memory of this process", text=secrets.token_hex(KEY_BYTES))
            self._config = dataclasses.replace(
                config,
                bundle=dataclasses.replace(config.bundle, path=str(bundle or config.bundle.path)),
                gallery=dataclasses.replace(
                    config.gallery, path=str(gallery), key_file=str(key_file or config.gallery.key_file)
                ),
            )
            self._chain = stack.enter_context(open_chain(self._config))
            self.gallery = stack.enter_context(open_gallery(self._config, self._chain, key=key))
            self._enroller = Enroller(self._chain, self.gallery, keep_crops=config.gallery.keep_crops)
            self._namer = FaceNamer(self._chain, self.gallery, lambda: self._config)
            self._stack = stack.pop_all()

    def enroll(self, name: str, *photos: str | Path) -> list[EnrolmentResult]:
        """Enrol a person; what became of each photo, in order.

        All photos are looked at first, so that one of somebody else is found among them.

        Args:
            name: the person's.
            photos: picture files with one face each, from the front; three to five in different light serve best.

        Raises:
            InputError: an unusable name.
            ImageError: a photo cannot be read.
            GalleryError: a template cannot be kept.
        """
        digests = []
        for photo in photos:
            data = read_photo(photo)
            digests.append(hashlib.sha256(data).digest())
            self._enroller.look(name, self._decoded(data, photo), digests[-1])
        return [
            self._enroller.photo(name, None, digest, str(photo)) for photo, digest in zip(photos, digests, strict=True)
        ]

    def recognize(self, photo: str | Path | Pixels) -> list[NamedFace]:
        """The faces of a photo with their names, surest detection first.

        Args:
            photo: picture file, or uint8 (H, W, 3) RGB, upright.

        Raises:
            ImageError: the photo cannot be read.
            GalleryError: the gallery cannot be read.
        """
        return self._namer.name(self._decoded(read_photo(photo), photo) if isinstance(photo, str | Path) else photo)

    @property
    def matcher(self) -> Matcher:
        """Decides for the gallery as it is now."""
        return self._namer.matcher

    def close(self) -> None:
        """Close models and gallery; may be called again."""
        self._stack.close()

    def _decoded(self, data: bytes, photo: str | Path) -> Pixels:
        return decode_image(data, str(photo), self._config.images.max_megapixels)


def named_faces(chain: FaceChain, matcher: Matcher, limits: QualityLimits, pixels: Pixels) -> Iterator[NamedFace]:
    """The faces of a picture with what a gallery says about each, surest detection first.

    Args:
        chain: finds and encodes.
        matcher: decides.
        limits: the least a face must have to be judged.
        pixels: uint8 (H, W, 3) RGB.
    """
    detections = chain.detector.detect(pixels)
    for index in range(len(detections)):
        landmarks = detections.landmarks[index : index + 1]
        quality = measure(pixels, landmarks[0], float(detections.width[index]))
        rejected, match = rejection(quality, limits), None
        if rejected is None:
            embeddings, norms = chain.encode(pixels, landmarks)
            if norms[0] == 0:
                rejected = NOT_A_FACE
            else:
                match = matcher.match(embeddings)[0]
        left, top, right, bottom = detections.xyxy[index].tolist()
        yield NamedFace((left, top, right, bottom), quality, rejected, match)
