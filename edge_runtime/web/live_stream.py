"""Enrolment of whoever stands before a camera, told step by step: one JSON object a line, while it goes on."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from typing import TYPE_CHECKING, Any

import anyio
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from edge_runtime.errors import FamiliarError
from edge_runtime.requests.live_enrolment import enroll_views, gather_views
from edge_runtime.web.event_stream import SEND_S, until_gone

if TYPE_CHECKING:
    from edge_runtime.requests.access import PeopleAccess

MEDIA_TYPE = "application/x-ndjson"
_ALIVE_S = 5.0


class _GoneError(Exception):
    """Nobody reads any more."""


class LiveStream(Response):
    """The answer to who asked for it; whoever goes away before the end has enrolled nobody."""

    media_type = MEDIA_TYPE

    def __init__(
        self, people: PeopleAccess, limiter: anyio.CapacityLimiter, name: str, camera: str, views: int
    ) -> None:
        """Enrol through ``people``.

        Args:
            people: the daemon; asked from a thread.
            limiter: of threads that do this.
            name: whom.
            camera: before which they stand.
            views: how many to gather.
        """
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._people, self._limiter = people, limiter
        self._name, self._camera, self._views = name, camera, views
        self._gone = threading.Event()
        self._lines: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI 3."""
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        loop = asyncio.get_running_loop()
        work = asyncio.create_task(anyio.to_thread.run_sync(self._enrol, loop, limiter=self._limiter))
        leaving = asyncio.create_task(until_gone(receive))
        leaving.add_done_callback(lambda done: self._gone.set())
        try:
            with contextlib.suppress(TimeoutError):
                await self._send_all(send)
        finally:
            self._gone.set()
            leaving.cancel()
            await work

    async def _send_all(self, send: Send) -> None:
        line: dict[str, Any] | None = {}
        while line is not None:
            try:
                line = await asyncio.wait_for(self._lines.get(), _ALIVE_S)
            except TimeoutError:
                line = {}
            body = b"" if line is None else (json.dumps(line) if line else "").encode() + b"\n"
            async with asyncio.timeout(SEND_S):
                await send({"type": "http.response.body", "body": body, "more_body": line is not None})

    def _enrol(self, loop: asyncio.AbstractEventLoop) -> None:
        """In a thread: gather the views, then enrol them."""
        told: tuple[str, int] | None = None

        def put(line: dict[str, Any] | None) -> None:
            loop.call_soon_threadsafe(self._lines.put_nowait, line)

        def say(guidance: str, views: int) -> None:
            nonlocal told
            if (guidance, views) != told:
                told = guidance, views
                put({"guidance": guidance, "views": views, "of": self._views})

        def sleep(seconds: float) -> None:
            if self._gone.wait(seconds):
                raise _GoneError

        try:
            views = gather_views(self._people, self._name, self._camera, self._views, say, sleep=sleep)
            if not self._gone.is_set():
                results = enroll_views(self._people, self._name, f"camera {self._camera}", views)
                put({"results": results})
        except _GoneError:
            pass
        except FamiliarError as error:
            put({"error": str(error)})
        finally:
            put(None)
