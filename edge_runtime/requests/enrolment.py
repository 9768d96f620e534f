"""Requests that enrol a person, from photos or in front of a camera."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from PIL import Image

from edge_runtime.control.protocol import Answer
from edge_runtime.enrolment.photo import EnrolmentResult
from edge_runtime.enrolment.poses import ANY, POSES
from edge_runtime.errors import ImageError, UsageError
from edge_runtime.gallery.names import clean_name
from edge_runtime.pictures.reader import decode_image
from edge_runtime.requests.access import Access, Holdings
from edge_runtime.schema.table import key
from edge_runtime.types import Pixels


@dataclass(frozen=True)
class EnrollPhoto:
    """Enrol one photo: an ``EnrolmentResult``'s fields.

    The photo's file comes as payload; or its fingerprint alone, if ``enroll.look`` has seen it.
    """

    name: str = key(help="the person's")
    source: str = key(help="where the photo came from, for people to read")
    force: bool = key(False, "take a photo that is poor or looks like somebody else")
    face: int = key(0, "number of the face that is meant, from the left; 0: the only one, or the one that fits")
    photo: str = key("", "fingerprint that enroll.look gave; empty: the photo's file comes with the request")


@dataclass(frozen=True)
class LookAtPhoto:
    """Look at a photo's file that is enrolled soon: an ``EnrolmentResult``'s fields and ``photo``, its fingerprint."""

    name: str = key(help="the person's")
    source: str = key(help="where the photo came from, for people to read")
    face: int = key(0, "number of the face that is meant, from the left; 0: the only one, or the one that fits")


@dataclass(frozen=True)
class LookForPose:
    """Look through a camera: ``guidance``, ``box``, ``seq``, ``picture`` of the view that is wanted, a PNG in base64,
    or "", and ``objection``: whom else that view looks like, or "". Nothing is enrolled.
    """

    camera: str = key(help="its name in the configuration")
    want: str = key(help="the pose that is wanted", choices=(*POSES, ANY))
    box: tuple[float, ...] = key((), "the face's box of the look before; empty: no look before")
    name: str = key("", "whose view it is to be; empty: it is compared with nobody")


@dataclass(frozen=True)
class EnrollViews:
    """Enrol several photos at once: ``results``: the fields of ``EnrolmentResult``; after an error nobody is enrolled.

    Their files come as payload, one behind the other.
    """

    name: str = key(help="the person's")
    source: str = key(help="where the photos came from, for people to read")
    sizes: tuple[int, ...] = key(help="bytes of each file")


def enroll_photo(access: Access, request: EnrollPhoto, payload: bytes) -> Answer:
    held = access.holdings
    if request.photo and payload:
        raise UsageError("enroll: expected a photo's file or its fingerprint, received both")
    if request.photo:
        return (
            held.enroller().photo(request.name, None, _digest(request.photo), request.source, request.force).as_json()
        )
    return _enrol(held, request, *_look(held, request, payload, request.face), request.force).as_json()


def look_at_photo(access: Access, request: LookAtPhoto, payload: bytes) -> Answer:
    digest, result = _look(access.holdings, request, payload, request.face)
    return result.as_json() | {"photo": digest.hex()}


def look_for_pose(access: Access, request: LookForPose, payload: bytes) -> Answer:
    held = access.holdings
    if held.latest is None:
        raise UsageError("expected cameras to look through")
    if request.name:
        held.gallery_with(request.name).check_enrollable(clean_name(request.name))
    frame = held.latest(request.camera)
    view = held.enroller().pose(frame.pixels, request.want, request.box[:4])
    picture = "" if view.picture is None else base64.b64encode(_png(view.picture)).decode()
    objection = (
        held.enroller().objection(request.name, view.picture) if request.name and view.picture is not None else None
    )
    return {
        "guidance": view.guidance,
        "box": list(view.box),
        "seq": frame.seq,
        "picture": picture,
        "objection": objection or "",
    }


def enroll_views(access: Access, request: EnrollViews, payload: bytes) -> Answer:
    held, ends = access.holdings, list(accumulate(request.sizes, initial=0))
    if ends[-1] != len(payload) or min(request.sizes, default=0) <= 0:
        raise UsageError(f"enroll.views: expected sizes that add up to {len(payload)} bytes, received {ends[1:]}")
    looks = [_look(held, request, payload[start:end]) for start, end in pairwise(ends)]
    results: list[EnrolmentResult] = []
    try:
        for digest, seen in looks:
            results.append(_enrol(held, request, digest, seen))
    except BaseException:
        _undo(held, request.name, [one.template_id for one in results if one.template_id and not one.known])
        raise
    return {"results": [one.as_json() for one in results]}


def _look(
    held: Holdings, request: EnrollPhoto | LookAtPhoto | EnrollViews, photo: bytes, face: int = 0
) -> tuple[bytes, EnrolmentResult]:
    """A photo's digest, and what is seen in it; one enrolled before is not decoded."""
    enroller, digest = held.enroller(), hashlib.sha256(photo).digest()
    known = enroller.known(request.name, digest)
    if known is not None:
        return digest, known
    try:
        pixels = decode_image(photo, request.source, held.max_megapixels)
    except ImageError as error:
        return digest, EnrolmentResult(False, str(error).removeprefix(f"{request.source}: "))
    return digest, enroller.look(request.name, pixels, digest, face)


def _enrol(
    held: Holdings, request: EnrollPhoto | EnrollViews, digest: bytes, seen: EnrolmentResult, force: bool = False
) -> EnrolmentResult:
    """Enrol a photo that was looked at, unless the look said everything."""
    if seen.known or not held.enroller().looked_at(request.name, digest):
        return seen
    return held.enroller().photo(request.name, None, digest, request.source, force)


def _undo(held: Holdings, name: str, template_ids: Sequence[int]) -> None:
    """Take back what was enrolled a moment ago."""
    if held.gallery is None or not template_ids:
        return
    if held.gallery.person(name).templates == len(template_ids):
        held.gallery.forget(name)
        return
    for template_id in template_ids:
        held.gallery.drop(name, template_id)


def _digest(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise UsageError(f"enroll photo: expected the fingerprint that enroll.look gave, received {text!r}") from error


def _png(pixels: Pixels) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", compress_level=1)
    return stream.getvalue()
