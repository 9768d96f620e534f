"""Events as they happen, as server-sent events (HTML standard, 9.2), for any number of listeners with one look a time.

A listener that does not read is let go; a browser then comes back by itself and says which event it saw last.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from edge_runtime.errors import FamiliarError
from edge_runtime.web.tokens import Token

Ask = Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]]

MOST_LISTENERS = 16
_EVERY_S = 0.5
_ALIVE_S = 15.0
SEND_S = 10.0
"""A listener that takes longer to read is let go."""
_BATCH = 200
_MOST_WAITING = 1000


class Newsroom:
    """Looks for new events while anybody listens; used from one thread."""

    def __init__(self, ask: Ask) -> None:
        """Ask the daemon with ``ask``."""
        self._ask = ask
        self._listeners: set[asyncio.Queue[dict[str, Any] | None]] = set()
        self._looked = asyncio.Event()
        """It is known from which event on listeners are told, or that nobody says."""
        self._task: asyncio.Task[None] | None = None

    @property
    def full(self) -> bool:
        """Whether so many listen that nobody else may."""
        return len(self._listeners) >= MOST_LISTENERS

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[asyncio.Queue[dict[str, Any] | None]]:
        """A queue of what happens from now on; None: this listener is too slow, or the server ends."""
        queue: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue(_MOST_WAITING)
        self._listeners.add(queue)
        if self._task is None or self._task.done():
            self._looked.clear()
            self._task = asyncio.create_task(self._watch())
        try:
            # Who asks for what is past before that would miss what happens in between.
            await self._looked.wait()
            yield queue
        finally:
            self._listeners.discard(queue)

    def close(self) -> None:
        """Let every listener go."""
        for queue in list(self._listeners):
            self._let_go(queue)

    async def _watch(self) -> None:
        last, away = -1, False
        while self._listeners:
            try:
                if last < 0:
                    last = (await self._ask("events.list", {"limit": 1}))["newest"]
                    self._looked.set()
                answer = await self._ask("events.list", {"after": last, "limit": _BATCH})
            except FamiliarError:
                if not away:
                    self._tell({"state": "away"})
                away = True
                self._looked.set()
            else:
                if away:
                    self._tell({"state": "back"})
                away = False
                if answer["newest"] < last:  # another log has been begun
                    last = -1
                for event in answer["events"]:
                    last = max(last, event["event_id"])
                    self._tell({"event": event})
            await asyncio.sleep(_EVERY_S)

    def _tell(self, message: dict[str, Any]) -> None:
        for queue in list(self._listeners):
            try:
                queue.put_nowait(message)
            except asyncio.QueueFull:
                self._let_go(queue)

    def _let_go(self, queue: asyncio.Queue[dict[str, Any] | None]) -> None:
        self._listeners.discard(queue)
        while not queue.empty():
            queue.get_nowait()
        queue.put_nowait(None)


class EventStream(Response):
    """The answer to one listener, which ends when the listener does not read, or is let go."""

    media_type = "text/event-stream"

    def __init__(
        self, newsroom: Newsroom, ask: Ask, token: Token, still: Callable[[Token], bool], last_seen: int | None
    ) -> None:
        """Send what ``token`` may see while it is ``still`` good, from behind the event ``last_seen`` on."""
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._newsroom, self._ask, self._token, self._still = newsroom, ask, token, still
        self._last_seen = last_seen

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI 3."""
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        gone = asyncio.create_task(until_gone(receive))
        try:
            with contextlib.suppress(TimeoutError):
                await self._send_all(send, gone)
        finally:
            gone.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SEND_S):
                await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_all(self, send: Send, gone: asyncio.Task[None]) -> None:
        seen = -1
        async with self._newsroom.listening() as queue:
            await self._put(send, "retry: 2000\n\n")
            if self._last_seen is not None:
                missed = await self._ask("events.list", {"after": self._last_seen, "limit": 1000})
                for event in missed["events"]:
                    seen = event["event_id"]
                    await self._put(send, self._text({"event": event}))
            while not gone.done():
                waiting = asyncio.create_task(queue.get())
                done, _ = await asyncio.wait({waiting, gone}, timeout=_ALIVE_S, return_when=asyncio.FIRST_COMPLETED)
                if not self._still(self._token):
                    waiting.cancel()
                    return
                if waiting not in done:
                    waiting.cancel()
                    await self._put(send, ": \n\n")
                    continue
                message = waiting.result()
                if message is None:
                    return
                if "event" not in message or message["event"]["event_id"] > seen:
                    await self._put(send, self._text(message))

    def _text(self, message: dict[str, Any]) -> str:
        event = message.get("event")
        if event is None:
            return f"event: state\ndata: {json.dumps(message)}\n\n"
        if not self._token.sees(event["camera"]):
            return ""
        return f"id: {event['event_id']}\ndata: {json.dumps(event)}\n\n"

    async def _put(self, send: Send, text: str) -> None:
        if text:
            async with asyncio.timeout(SEND_S):
                await send({"type": "http.response.body", "body": text.encode(), "more_body": True})


async def until_gone(receive: Receive) -> None:
    """Return when whoever asked is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
