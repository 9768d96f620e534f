"""The people of this device, reached in one of two ways with the same answers: the files, or the daemon that owns them.

Answers are JSON-ready mappings, so that the daemon can send what :class:`LocalPeople` gives:

- ``people.list`` {} -> ``people``: [{``person_id``, ``name``, ``templates``, ``added``}]
- ``people.show`` {name} -> the person's mapping with
  ``records``: [{``template_id``, ``source``, ``weight``, ``added``, ``forced``, ``crop``}]
- ``people.rename`` {old, new} -> the person's mapping
- ``people.forget`` {name} -> the person's mapping, as it was
- ``people.drop`` {name, template_id} -> the person's mapping, without that photo
- ``people.note`` {name, consent, expires} -> the person's mapping; "" leaves either as it is, a consent of "-" is none,
  an expiry of "never" is none, else it is seconds since the Unix epoch
- ``people.check`` {} -> ``findings``: [{``kind``, ``name``, ``template_id``, ``text``, ``other``}]
- ``enroll.look`` {name, source} and the photo file's bytes -> an ``EnrolmentResult``'s fields; nothing is enrolled
- ``enroll.pose`` {camera, want, box} -> ``guidance``, ``box``, ``seq``, and ``picture`` (a PNG in base64, or "") of the
  view that is wanted; nothing is enrolled. ``box`` is that of the look before, as numbers with commas, or ""
- ``enroll.views`` {name, source, sizes} and the bytes of several photo files, whose sizes are numbers with commas ->
  ``results``: an ``EnrolmentResult``'s fields each; all that are accepted are enrolled, or after an error none
- ``enroll`` {name, source, force?} and the photo file's bytes -> an ``EnrolmentResult``'s fields; ``force`` is "yes"
- ``strangers.list`` {} -> ``strangers``: [{``stranger``, ``visits``, ``first_seen``, ``last_seen``, ``cameras``,
  ``ignored``, ``views``}]
- ``strangers.show`` {stranger} -> the stranger's mapping with
  ``records``: [{``at``, ``camera``, ``weight``, ``crop``}], ``crop`` being a JPEG in base64, or ""
- ``strangers.name`` {stranger, name, force?} -> ``name``, and ``results``: an ``EnrolmentResult``'s fields each
- ``strangers.ignore``, ``strangers.unignore``, ``strangers.forget`` {stranger} -> the stranger's mapping
- ``strangers.clear`` {} -> ``forgotten``: how many
"""

from __future__ import annotations

import base64
import hashlib
import io
import math
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from itertools import accumulate, pairwise
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from PIL import Image

from edge_runtime.control.protocol import Answer
from edge_runtime.enrolment.photo import Enroller, EnrolmentResult
from edge_runtime.enrolment.posing import ANY, POSES
from edge_runtime.errors import ImageError, InputError, UsageError
from edge_runtime.gallery.store import Gallery, Person
from edge_runtime.pictures.reader import MAX_MEGAPIXELS, decode_image
from edge_runtime.requests import unknowns as desk
from edge_runtime.system.closing import Closing
from edge_runtime.types import Frame, Pixels
from edge_runtime.unknowns.book import UnknownsBook

T = TypeVar("T", int, float)

COMMANDS: dict[str, tuple[str, ...]] = {
    "people.list": (),
    "people.show": ("name",),
    "people.rename": ("old", "new"),
    "people.forget": ("name",),
    "people.drop": ("name", "template_id"),
    "people.note": ("name", "consent", "expires"),
    "people.check": (),
    "enroll.look": ("name", "source"),
    "enroll.pose": ("camera", "want", "box"),
    "enroll.views": ("name", "source", "sizes"),
    "enroll": ("name", "source"),
    **desk.COMMANDS,
}
"""Every command with its arguments, all of them text."""

OPTIONAL: dict[str, tuple[str, ...]] = {"enroll": ("force",), "strangers.name": ("force",)}
"""Arguments that may be left out."""


MAX_PHOTO_BYTES = 64 << 20
"""The largest photo file taken for enrolling."""


class PeopleAccess(Protocol):
    """The commands, and a context manager around them."""

    def call(self, command: str, arguments: Mapping[str, Any], payload: bytes = b"") -> Answer:
        """Run one command of ``COMMANDS``.

        Raises:
            UsageError: an unknown command, or arguments other than its own.
            InputError: an unusable name, or nobody of that name.
            GalleryError: the gallery cannot be read or written.
            ControlError: the daemon cannot be reached or refuses.
        """
        ...

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class LocalPeople(Closing):
    """The commands on an open gallery; safe to call from several threads."""

    def __init__(
        self,
        gallery: Gallery | None,
        enroller: Callable[[], Enroller] | None = None,
        max_megapixels: float = MAX_MEGAPIXELS,
        resources: ExitStack | None = None,
        margin: float = 0.0,
        latest: Callable[[str], Frame] | None = None,
        on_forget: Callable[[], None] | None = None,
        strangers: Callable[[], UnknownsBook | None] = lambda: None,
    ) -> None:
        """Serve ``gallery``.

        Args:
            gallery: None: there is none yet, and nobody in it.
            enroller: called at the first ``enroll``, so that listing people loads no model; None: no enrolling.
            max_megapixels: the largest photo taken.
            resources: what :meth:`close` closes; None: the caller closes its own.
            margin: the usual lead of a name, for ``people.check``.
            latest: a camera's latest frame, for ``enroll.pose``; None: there are no cameras.
            on_forget: called when somebody was forgotten.
            strangers: those remembered; None: nobody ever was.
        """
        self._strangers = strangers
        self._latest = latest
        self._margin = margin
        self._on_forget = on_forget
        self._gallery = gallery
        self._make_enroller = enroller
        self._enroller: Enroller | None = None
        self._opening = threading.Lock()
        self._max_megapixels = max_megapixels
        self._resources = resources or ExitStack()

    def call(self, command: str, arguments: Mapping[str, Any], payload: bytes = b"") -> Answer:
        """See :meth:`PeopleAccess.call`."""
        if command not in COMMANDS:
            raise UsageError(f"{command!r}: expected one of {', '.join(COMMANDS)}; client and daemon differ in version")
        expected = COMMANDS[command]
        known = {*expected, *OPTIONAL.get(command, ())}
        if not set(expected) <= set(arguments) <= known or not all(
            isinstance(value, str) for value in arguments.values()
        ):
            raise UsageError(f"{command}: expected {list(expected)} as text, received {dict(arguments)!r}")
        if command in desk.COMMANDS:
            return desk.answer(self._strangers(), command, arguments, self._opened)
        if command == "enroll":
            force = arguments.get("force") == "yes"
            return self._enroll(arguments["name"], arguments["source"], payload, force).as_json()
        if command == "enroll.pose":
            return self._pose(**arguments)
        if command == "enroll.views":
            return self._views(arguments["name"], arguments["source"], arguments["sizes"], payload)
        if command == "enroll.look":
            return self._look(arguments["name"], arguments["source"], payload).as_json()
        if command == "people.check":
            findings = self._opened().check(self._margin) if self._gallery and self._gallery.people() else []
            return {"findings": [asdict(finding) for finding in findings]}
        if command == "people.list":
            return {"people": [asdict(person) for person in self._gallery.people()] if self._gallery else []}
        if self._gallery is None:
            raise InputError(f"{arguments[expected[0]]!r}: nobody is enrolled yet; familiar enroll NAME PHOTO")
        if command == "people.show":
            person = asdict(self._gallery.person(arguments["name"]))
            return person | {"records": [asdict(record) for record in self._gallery.records(arguments["name"])]}
        if command == "people.rename":
            return asdict(self._gallery.rename(arguments["old"], arguments["new"]))
        if command == "people.drop":
            return asdict(self._gallery.drop(arguments["name"], _number(arguments["template_id"])))
        if command == "people.note":
            return asdict(self._note(self._gallery, **arguments))
        person = asdict(self._gallery.forget(arguments["name"]))
        if self._on_forget is not None:
            self._on_forget()
        return person

    def _opened(self) -> Enroller:
        if self._make_enroller is None:
            raise UsageError("expected a gallery opened for enrolling")
        with self._opening:
            if self._enroller is None:
                self._enroller = self._make_enroller()
            return self._enroller

    def _look(self, name: str, source: str, photo: bytes) -> EnrolmentResult:
        enroller, digest = self._opened(), hashlib.sha256(photo).digest()
        known = enroller.known(name, digest)
        if known is not None:
            return known
        pixels = self._decoded(photo, source)
        return pixels if isinstance(pixels, EnrolmentResult) else enroller.look(name, pixels, digest)

    def _enroll(self, name: str, source: str, photo: bytes, force: bool) -> EnrolmentResult:
        enroller, digest = self._opened(), hashlib.sha256(photo).digest()
        known = enroller.known(name, digest)
        if known is not None:
            return known
        if enroller.looked_at(name, digest):
            return enroller.photo(name, None, digest, source, force)
        pixels = self._decoded(photo, source)
        return pixels if isinstance(pixels, EnrolmentResult) else enroller.photo(name, pixels, digest, source, force)

    def _pose(self, camera: str, want: str, box: str) -> Answer:
        if self._latest is None:
            raise UsageError("expected cameras to look through")
        if want not in (*POSES, ANY):
            raise UsageError(f"enroll.pose: expected one of {', '.join((*POSES, ANY))}, received {want!r}")
        frame = self._latest(camera)
        view = self._opened().pose(frame.pixels, want, tuple(_numbers(box, float)[:4]))
        picture = "" if view.picture is None else base64.b64encode(_png(view.picture)).decode()
        return {"guidance": view.guidance, "box": list(view.box), "seq": frame.seq, "picture": picture}

    def _views(self, name: str, source: str, sizes: str, payload: bytes) -> Answer:
        lengths = _numbers(sizes, int)
        ends = list(accumulate(lengths, initial=0))
        if ends[-1] != len(payload) or min(lengths, default=0) <= 0:
            raise UsageError(f"enroll.views: expected sizes that add up to {len(payload)} bytes, received {ends[1:]}")
        photos = [payload[start:end] for start, end in pairwise(ends)]
        for photo in photos:
            self._look(name, source, photo)
        results: list[EnrolmentResult] = []
        try:
            for photo in photos:
                results.append(self._enroll(name, source, photo, force=False))
        except BaseException:
            self._undo(name, [one.template_id for one in results if one.template_id is not None and not one.known])
            raise
        return {"results": [one.as_json() for one in results]}

    def _undo(self, name: str, template_ids: list[int]) -> None:
        """Take back what was enrolled a moment ago."""
        if self._gallery is None or not template_ids:
            return
        if self._gallery.person(name).templates == len(template_ids):
            self._gallery.forget(name)
            return
        for template_id in template_ids:
            self._gallery.drop(name, template_id)

    def _decoded(self, photo: bytes, source: str) -> Pixels | EnrolmentResult:
        try:
            return decode_image(photo, source, self._max_megapixels)
        except ImageError as error:
            return EnrolmentResult(False, str(error).removeprefix(f"{source}: "))

    def _note(self, gallery: Gallery, name: str, consent: str, expires: str) -> Person:
        until = {"": None, "never": math.inf}.get(expires, 0.0)
        if until == 0.0:
            try:
                until = float(expires)
            except ValueError as error:
                raise UsageError(f"people.note: expected seconds, never or nothing, received {expires!r}") from error
        return gallery.note(name, {"": None, "-": ""}.get(consent, consent), until)

    def close(self) -> None:
        """Close the resources given; may be called again."""
        self._resources.close()


def _numbers(text: str, kind: type[T]) -> list[T]:
    """Numbers with commas between."""
    try:
        return [kind(part) for part in text.split(",") if part]
    except ValueError as error:
        raise UsageError(f"{text!r}: expected numbers with commas between") from error


def _png(pixels: Pixels) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise InputError(f"{text!r}: expected the number of a photo; familiar people show NAME lists them") from error
