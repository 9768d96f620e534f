"""The gallery behind a running daemon, and the matcher made of it: looked after while others change, move or break it.

A gallery that breaks under a running daemon costs it the names, not its life: it goes on with strangers only, says
why, and takes the gallery up again as soon as it is sound. One that another program merely holds costs nothing.
"""

from __future__ import annotations

import dataclasses
import functools
import threading
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from edge_runtime.config import Config, events_path, gallery_path
from edge_runtime.daemon.health import Health
from edge_runtime.decision.forecast import check_enrolled, forecast, strangers_per_week
from edge_runtime.decision.leave_one_out import leave_one_out
from edge_runtime.decision.matcher import Matcher, make_matcher
from edge_runtime.decision.refusal import PROMISE
from edge_runtime.enrolment.photo import Enroller
from edge_runtime.errors import BundleError, BusyError, GalleryError
from edge_runtime.faces.chain import FaceChain, open_chain
from edge_runtime.gallery.faults import SAVE
from edge_runtime.gallery.opening import open_gallery
from edge_runtime.gallery.store import Gallery, Templates
from edge_runtime.interpreters import on_cpu
from edge_runtime.recognizer import FaceNamer
from edge_runtime.requests.access import Holdings
from edge_runtime.system.closing import Closing
from edge_runtime.types import Floats, Frame
from edge_runtime.unknowns.book import UnknownsBook

PART = "gallery"
_MORE_AT_DOOR = 25
"""With so many strangers more, thresholds are derived anew."""


class GalleryMonitor(Closing):
    """Safe to use from several threads.

    Attributes:
        config: in force; assign it before :meth:`refresh` with ``always``.
        matcher: for the gallery as it is now; without names while it cannot be read.
        strangers: those remembered, once they are open.
    """

    strangers: UnknownsBook | None = None

    def __init__(
        self, config: Config, chain: FaceChain, health: Health, latest: Callable[[str], Frame] | None = None
    ) -> None:
        """Open the gallery, which is made if it is missing.

        Args:
            config: says where gallery and key are, and how matches are decided.
            chain: of the bundle in use.
            health: gets to know of a gallery that breaks.
            latest: a camera's latest frame, for enrolling from it.

        Raises:
            GalleryError: it cannot be used; at the start somebody is there to read this.
        """
        self.config = config
        self._chain, self._health, self._latest = chain, health, latest
        self._strangers = chain.bundle.strangers()
        self._lock = threading.RLock()
        """Held while a matcher is made, so that an older gallery never replaces a newer one."""
        self._closed = False
        self._at_door = 0
        """So many strangers were remembered when the matcher was made."""
        self._enrolling: FaceChain | None = None
        self._enrolling_lock = threading.Lock()
        self._gallery: Gallery | None = open_gallery(config, chain)
        self._holdings: Holdings | None = self._hold(self._gallery)
        try:
            self._stamp, self._version = self._now()
            self.matcher = self._make(self._gallery.templates())
            self._damage = self._gallery.damage()
            self._tell_damage()
        except BaseException:
            self.close()
            raise

    @property
    def gallery(self) -> Gallery:
        """The open gallery.

        Raises:
            GalleryError: it cannot be read at the moment.
        """
        return self._sound()[0]

    @property
    def sound(self) -> bool:
        """Whether the gallery can be read, and knows whom it should."""
        return self._gallery is not None

    @property
    def holdings(self) -> Holdings:
        """What requests about people are answered with.

        Raises:
            GalleryError: the gallery cannot be read at the moment.
        """
        return self._sound()[1]

    def refresh(self, always: bool = False) -> Matcher | None:
        """Look after the gallery; a new matcher if there is another one now.

        May wait for another program that holds the gallery: not for the frame loop.

        Args:
            always: make a new matcher although nothing has changed.
        """
        with self._lock:
            if self._closed:
                return None
            try:
                matcher = self._look(always)
            except GalleryError as error:
                if self._closed:
                    return None
                if isinstance(error, BusyError):
                    self._health.report(PART, f"{error}; until then everybody known is recognised as before")
                    return None
                self._health.report(PART, f"{error}; until then everybody is a stranger")
                matcher = self._let_go()
            else:
                self._tell_damage()
            self.matcher = matcher or self.matcher
            return matcher

    def forecast(self, status: Mapping[str, Any]) -> dict[str, Any]:
        """What the target FPIR in force costs, and what others would, JSON-ready; see ``decision.forecast``.

        Args:
            status: the daemon's, which says how many strangers came.

        Raises:
            MissingError: nobody is enrolled.
        """
        matcher, bundle, door = self.matcher, self._chain.bundle, self._door()
        check_enrolled(matcher.templates)

        def matching(value: float) -> Matcher:
            decide = dataclasses.replace(self.config.decide, false_accepts_per_1000_strangers=value)
            raised = matcher.calibration.raised
            return make_matcher(matcher.templates, bundle, decide, self._strangers, True, door, raised)

        return forecast(matcher, matching, leave_one_out(matcher.templates), strangers_per_week(status))

    def enrolling_chain(self) -> FaceChain:
        """A chain of its own for enrolling, opened when first asked for: a large photo then stalls no camera.

        Raises:
            BundleError: the bundle on disk is another one than at the start.
        """
        with self._enrolling_lock:
            if self._enrolling is None:
                chain = open_chain(self.config, interpreter=on_cpu(self.config.runtime.interpreter))
                if chain.bundle.hash != self._chain.bundle.hash:
                    chain.close()
                    raise BundleError(
                        f"{chain.bundle.path}: expected the bundle this daemon was started with, found another one; "
                        "restart the daemon"
                    )
                self._enrolling = chain
            return self._enrolling

    def close(self) -> None:
        """Close gallery and chain; may be called again."""
        self._closed = True
        if self._gallery is not None:
            self._gallery.close()
        with self._enrolling_lock:
            if self._enrolling is not None:
                self._enrolling.close()

    def _sound(self) -> tuple[Gallery, Holdings]:
        gallery, holdings = self._gallery, self._holdings
        if gallery is None or holdings is None:
            told = next((one.reason for one in self._health.troubles if one.part == PART), "it cannot be read")
            raise GalleryError(f"the gallery is out of use: {told}")
        return gallery, holdings

    def _look(self, always: bool) -> Matcher | None:
        gallery = self._gallery
        if gallery is None:
            self._gallery = gallery = open_gallery(self.config, self._chain, create=False)
            self._holdings = self._hold(gallery)
            always = True
        stamp, version = self._now()
        if stamp != self._stamp:
            # Whatever touched the file: is it still one that would open? Our own connection might not notice.
            open_gallery(self.config, self._chain, create=False).close()
            if stamp[:2] != self._stamp[:2]:
                gallery.close()
                self._gallery = gallery = open_gallery(self.config, self._chain, create=False)
                self._holdings = self._hold(gallery)
                always = True
        more = self.strangers is not None and len(self.strangers.strangers()) >= self._at_door + _MORE_AT_DOOR
        if version == self._version and not always and not (more and self.config.strangers.remember):
            self._stamp = stamp
            return None
        # Of the same gallery a rise stays: whoever stands before the door must not be able to undo it.
        matcher = self._make(gallery.templates(), self.matcher.calibration.raised if version == self._version else 0.0)
        self._damage = gallery.damage()
        # Templates forget whose time is up, which changes the version once more.
        self._stamp, self._version = self._now()
        return matcher

    def _tell_damage(self) -> None:
        """Say what of a gallery that can be read is damaged."""
        found = f"{self._damage} are damaged and not used; {SAVE}"
        self._health.update(PART, found if self._damage else None)

    def _let_go(self) -> Matcher | None:
        """Close what is broken; a matcher that knows nobody, if there was one that did."""
        if self._gallery is not None:
            self._gallery.close()
        was, self._gallery, self._holdings = self._gallery, None, None
        if was is None and not self.matcher.templates.names:
            return None
        size = self._chain.encoder.embedding_size
        nobody = np.zeros(0, np.int64)
        return self._make(Templates((), nobody, np.zeros((0, size), np.float32), np.zeros(0, np.float32), nobody))

    def _now(self) -> tuple[tuple[int, ...], tuple[int, int, int]]:
        """What the file is, device and inode first, and what it holds."""
        path = gallery_path(self.config)
        try:
            found = path.stat()
        except OSError as error:
            raise GalleryError(
                f"{path}: expected the gallery, it is gone ({error.strerror}); put a backup in its place, "
                "or restart the daemon for a new one: systemctl restart familiar"
            ) from error
        assert self._gallery is not None
        stamp = (found.st_dev, found.st_ino, found.st_mode, found.st_size, found.st_mtime_ns)
        return stamp, self._gallery.version

    def _make(self, templates: Templates, raised: float = 0.0) -> Matcher:
        bundle, decide, door = self._chain.bundle, self.config.decide, self._door()
        self._at_door = 0 if door is None else len(door)
        matcher = make_matcher(templates, bundle, decide, self._strangers, True, door, raised)
        self._health.update(PROMISE, matcher.calibration.refused)
        return matcher

    def _door(self) -> Floats | None:
        """One embedding a stranger remembered, who came here and was never named; None: nobody is to be remembered."""
        if self.strangers is None or not self.config.strangers.remember:
            return None
        known = self.strangers.strangers()
        return np.array([one.average() for one in known], np.float32).reshape(-1, self._chain.encoder.embedding_size)

    def _hold(self, gallery: Gallery) -> Holdings:
        namer = functools.cache(lambda: FaceNamer(self.enrolling_chain(), gallery, lambda: self.config))
        return Holdings(
            gallery,
            lambda: Enroller(self.enrolling_chain(), gallery, keep_crops=self.config.gallery.keep_crops),
            self.config.images.max_megapixels,
            self.config.decide.margin,
            self._latest,
            unknowns=lambda: self.strangers,
            events=events_path(self.config),
            recognize=lambda pixels: namer().name(pixels),
        )
