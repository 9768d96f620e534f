"""What a request is answered with: the gallery and what goes with it, and the daemon where one runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

from edge_runtime.config import ImagesConfig
from edge_runtime.control.protocol import Answer
from edge_runtime.errors import MissingError, UsageError

if TYPE_CHECKING:
    from edge_runtime.enrolment.photo import Enroller
    from edge_runtime.events.reader import EventReader
    from edge_runtime.gallery.directory import Directory
    from edge_runtime.gallery.store import Gallery
    from edge_runtime.recognizer import NamedFace
    from edge_runtime.types import Frame, Pixels
    from edge_runtime.unknowns.book import UnknownsBook

_LARGEST = ImagesConfig().max_megapixels


def no_recognizer(pixels: Pixels) -> Sequence[NamedFace]:
    """Where no models are open.

    Raises:
        UsageError: always.
    """
    raise UsageError("expected a gallery opened for recognising; familiar identify does it without a daemon")


class Holdings:
    """A gallery, if there is one, and what goes with it; safe to use from several threads.

    Attributes:
        gallery: None: there is no gallery yet, so nobody is enrolled.
        max_megapixels: the largest photo taken.
        margin: the usual margin of a name.
        latest: a camera's latest frame by its name; None: there are no cameras.
        on_forget: called when somebody was forgotten; whether nothing is left of them elsewhere; None: nothing else is
            to do.
        unknowns: gives the unknowns who are remembered; None: nobody ever was.
        events: file of the log of events; None: there is none to read.
        recognize: names the faces of a picture, uint8 (H, W, 3) RGB, upright.
    """

    def __init__(
        self,
        gallery: Gallery | None,
        enroller: Callable[[], Enroller] | None = None,
        max_megapixels: float = _LARGEST,
        margin: float = 0.0,
        latest: Callable[[str], Frame] | None = None,
        on_forget: Callable[[], bool] | None = None,
        unknowns: Callable[[], UnknownsBook | None] = lambda: None,
        events: Path | None = None,
        recognize: Callable[[Pixels], Sequence[NamedFace]] = no_recognizer,
    ) -> None:
        """Hold what the attributes say.

        Args:
            enroller: called at the first request that enrols, so that listing people loads no model; None: no
                enrolling.
        """
        self.gallery, self.max_megapixels, self.margin = gallery, max_megapixels, margin
        self.latest, self.on_forget, self.unknowns = latest, on_forget, unknowns
        self.events, self.recognize = events, recognize
        self._make_enroller = enroller
        self._enroller: Enroller | None = None
        self._opening = threading.Lock()

    def enroller(self) -> Enroller:
        """The one enroller of this gallery.

        Raises:
            UsageError: the gallery was not opened for enrolling.
            FamiliarError: bundle, detector or interpreter cannot be used.
        """
        if self._make_enroller is None:
            raise UsageError("expected a gallery opened for enrolling")
        with self._opening:
            if self._enroller is None:
                self._enroller = self._make_enroller()
            return self._enroller

    def log(self) -> EventReader:
        """The log of events, open for reading; the caller closes it.

        Raises:
            UsageError: nobody said where it is.
            EventLogError: there is none, or it cannot be read.
        """
        from edge_runtime.events.reader import EventReader

        if self.events is None:
            raise UsageError("expected a log of events to read from")
        return EventReader(self.events)

    def directory(self) -> Directory:
        """Who is who; nobody where there is no gallery."""
        from edge_runtime.gallery.directory import Directory

        return Directory() if self.gallery is None else self.gallery.directory()

    def gallery_with(self, name: str) -> Gallery:
        """The gallery, for a request about one person.

        Raises:
            MissingError: there is no gallery yet.
        """
        if self.gallery is None:
            raise MissingError(f"{name!r}: nobody is enrolled yet; familiar enroll NAME PHOTO")
        return self.gallery


class Controls(Protocol):
    """What can be changed in a running daemon; a restart takes it back to the configuration."""

    def set_target(self, per_1000: float) -> None:
        """Another target FPIR, in thousandths."""
        ...

    def switch(self, camera: str, on: bool) -> None:
        """A camera off or on; ``InputError`` if there is no such camera."""
        ...

    def recheck(self, camera: str) -> list[str]:
        """Look again whose the faces in view of a camera are, of all cameras if it is empty; their names."""
        ...


class Daemon(Protocol):
    """What a running daemon says about itself."""

    @property
    def controls(self) -> Controls:
        """What can be changed in it."""
        ...

    def status(self) -> Answer:
        """What is going on."""
        ...

    def reload(self) -> list[str]:
        """Read the configuration again; the keys that wait for the next start."""
        ...

    def forecast(self) -> Answer:
        """What the target FPIR costs, and what others would; ``MissingError`` if nobody is enrolled."""
        ...

    def doctor(self) -> Answer:
        """The table of ``familiar doctor``."""
        ...

    def bundle(self) -> Answer:
        """The bundle in use, with its model card."""
        ...

    def figures(self) -> Answer:
        """Figures for Prometheus; ``MissingError`` if they are off."""
        ...

    def live(self, camera: str) -> Answer:
        """What a camera shows, for people."""
        ...


class Access(Protocol):
    """What the table of requests is answered with."""

    @property
    def holdings(self) -> Holdings:
        """The gallery and what goes with it.

        Raises:
            GalleryError: it cannot be read at the moment.
        """
        ...

    @property
    def daemon(self) -> Daemon:
        """The running daemon.

        Raises:
            ControlError: no daemon runs.
        """
        ...


class PeopleAccess(Protocol):
    """The requests, and a context manager around them: on the files, or through the daemon that owns them."""

    def call(self, command: str, arguments: Mapping[str, Any], payload: bytes = b"") -> Answer:
        """Answer one request of ``table.TABLE``, JSON-ready.

        Raises:
            UsageError: an unknown request, or fields other than its own.
            InputError: an unusable name, or nobody of that name.
            GalleryError: the gallery cannot be read or written.
            ControlError: the daemon cannot be reached or refuses, or no daemon runs and the request needs one.
        """
        ...

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
