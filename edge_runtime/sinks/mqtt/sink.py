"""The sink: events as they come, acknowledged one by one; states as they change; requests as they are made."""

from __future__ import annotations

import json
import math
import threading
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

from edge_runtime.errors import FamiliarError
from edge_runtime.protocols import Host
from edge_runtime.sinks.mqtt.connection import Connection, UnfitError
from edge_runtime.sinks.mqtt.settings import Settings
from edge_runtime.sinks.mqtt.states import Retained, States
from edge_runtime.sinks.mqtt.topics import is_id
from edge_runtime.text.version import program_version
from edge_runtime.types import Event

_LOOK_S = 0.5
"""Between two looks at what is true now."""
_RECALL_S = 1.5
"""How long the broker has, after a new connection, to tell what it still knows."""
_MOST_REQUESTS = 8
_LONGEST_REQUEST = 64
_MOST_RECALLED = 2000
_UPDATES = {"identified": "face", "unknown": "face", "left": "left"}


class MqttSink:
    """See ``protocols.ServedSink``; one message is on its way at a time, so that events arrive in order."""

    lasting = True

    def __init__(self, settings: Settings) -> None:
        """Start connecting.

        Raises:
            ConfigError: a secret or a certificate cannot be read.
        """
        self.refused = 0
        self.pictures = settings.image
        self._settings, self._topics = settings, settings.topics
        self._closed = threading.Event()
        self._requests: deque[tuple[str, str]] = deque(maxlen=_MOST_REQUESTS)
        self._recalled: deque[tuple[str, bytes]] = deque(maxlen=_MOST_RECALLED)
        self._spotted: deque[Event] = deque(maxlen=1000)
        self._states = States(settings, program_version())
        self._published: Retained = {}
        self._session = 0
        self._session_s = self._stats_s = -math.inf
        self._error: str | None = None
        self._thread: threading.Thread | None = None
        self._connection = Connection(settings, self._topics.available, self._take)

    def emit(self, event: Event) -> None:
        """Publish an event, and what Frigate's readers know of it.

        Raises:
            ValueError: closed.
            SinkRefusedError: the broker does not let us in, or not write there.
            OSError: it has not acknowledged it.
        """
        if self._closed.is_set():
            raise ValueError("sink: closed; open it again")
        try:
            self._connection.publish(self._topics.events, _json(event.as_json()))
            if event.kind in _UPDATES:
                self._connection.publish(self._topics.updates, _json(_update(event)))
        except UnfitError:
            self.refused += 1
        if event.crop is not None:
            self._connection.send(self._topics.camera(event.camera, "image"), event.crop, qos=0)
        self._spotted.append(event)

    def flush(self) -> None:
        """Nothing: what was emitted is acknowledged."""

    def serve(self, host: Host) -> None:
        """Tell how the daemon does from now on, and pass on what it is asked for."""
        self._thread = threading.Thread(target=self._run, args=(host,), name="mqtt states", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Say ``stopped``, and go; may be called again."""
        self._closed.set()
        self._connection.close()

    # On the connection's thread.

    def _take(self, topic: str, payload: bytes, retained: bool) -> None:
        if topic.endswith("/attributes"):
            if retained:
                self._recalled.append((topic, payload))
        elif not retained and len(payload) <= _LONGEST_REQUEST:
            # A request that was kept by the broker would be made again with each connection.
            self._requests.append((topic, payload.decode("utf-8", "replace").strip()))

    # On the thread of the states.

    def _run(self, host: Host) -> None:
        while not self._closed.wait(_LOOK_S):
            try:
                self._look(host)
            except Exception as error:  # a look that fails, as at a gallery out of use, must not be the last
                self._error = f"{type(error).__name__}: {error}"

    def _look(self, host: Host) -> None:
        while self._requests:
            self._pass_on(host, *self._requests.popleft())
        if not self._connection.connected:
            return
        now_s = time.monotonic()
        if self._session != self._connection.session:
            self._session, self._session_s, self._published = self._connection.session, now_s, {}
            self._connection.subscribe(*self._known_topics, *self._request_topics)
        if self._session_s and now_s - self._session_s < _RECALL_S:
            return
        status, people = host.answer("status", {}, b""), host.people()
        if self._session_s:
            self._session_s = 0.0
            self._connection.unsubscribe(*self._known_topics)
            self._clear_stale(status, people)
        ids = {name: person_id for person_id, name in people.items()}
        while self._spotted:
            event = self._spotted.popleft()
            if event.person in ids:
                self._states.note(ids[event.person], event.camera, event.wall_time)
        told = self._states.retained(status, people, time.time())
        told |= {topic: b"" for topic in self._published if topic not in told}
        self._publish(told)
        if self._settings.stats_interval and now_s - self._stats_s >= self._settings.stats_interval:
            self._stats_s = now_s
            self._connection.send(self._topics.stats, _json(self._stats(status)), qos=0)

    @property
    def _known_topics(self) -> tuple[str, ...]:
        """What is left of earlier runs: people who may be forgotten by now, cameras that are gone."""
        return self._topics.camera("+", "attributes"), self._topics.person("+", "attributes")

    @property
    def _request_topics(self) -> tuple[str, ...]:
        prefix = self._topics.prefix
        wanted = (f"{prefix}/target_fpir/set", f"{prefix}/recheck/set", f"{prefix}/+/enabled/set")
        return wanted if self._settings.commands else ()

    def _publish(self, told: Retained) -> None:
        for topic, payload in told.items():
            if self._published.get(topic) == payload:
                continue
            if not self._connection.send(topic, payload, retain=True):
                return  # the broker is slow: what is true by then follows
            if payload:
                self._published[topic] = payload
            else:
                self._published.pop(topic, None)

    def _clear_stale(self, status: dict[str, Any], people: Mapping[str, str]) -> None:
        """Take back what an earlier run published of people forgotten, of former names, of cameras gone."""
        told = self._states.retained(status, people, time.time())
        recalled = list(self._recalled)
        self._recalled.clear()
        for topic, payload in recalled:
            try:
                found = json.loads(payload)
            except (ValueError, RecursionError):
                continue
            if not isinstance(found, dict) or found.get("node") != self._topics.node:
                continue  # another device's
            who = found.get("id")
            if who is not None and is_id(who):
                if who in people:
                    self._states.recall(who, found.get("camera"), found.get("last_seen"), status["cameras"])
                elif self._settings.discovery:
                    self._connection.send(self._topics.config("person", who), b"", retain=True)
            if topic not in told:
                above = topic.removesuffix("attributes")
                for leaf in ("attributes", *(("home",) if who is not None else ("status", "person"))):
                    self._connection.send(above + leaf, b"", retain=True)

    def _stats(self, status: dict[str, Any]) -> dict[str, Any]:
        """The status without names and without what is published beside it."""
        cameras = {
            name: {key: value for key, value in camera.items() if key not in ("in_view", "people", "source", "error")}
            for name, camera in status["cameras"].items()
        }
        kept = ("state", "uptime_s", "bundle", "accelerators", "temperature_c")
        return {**{key: status[key] for key in kept}, "cameras": cameras, "last_error": self._error}

    def _pass_on(self, host: Host, topic: str, text: str) -> None:
        """A request from the broker, through the one table of them."""
        levels = topic.removeprefix(f"{self._topics.prefix}/").split("/")
        try:
            if levels == ["recheck", "set"]:
                host.answer("camera.recheck", {}, b"")
            elif levels == ["target_fpir", "set"]:
                host.answer("target", {"false_accepts_per_1000_strangers": float(text)}, b"")
            elif levels[1:] == ["enabled", "set"] and text in ("ON", "OFF"):
                host.answer("camera.switch", {"camera": levels[0], "on": text == "ON"}, b"")
            else:
                raise ValueError(f"expected a request, received {text!a} for {levels[-2]!a}")
        except (FamiliarError, ValueError) as error:
            self._error = str(error)
            self._stats_s = -math.inf  # told at once
        else:
            self._error = None


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False).encode()


def _update(event: Event) -> dict[str, Any]:
    """The shape that Frigate's readers parse; ``score`` is a probability."""
    return {
        "type": _UPDATES[event.kind],
        "id": event.track_id,
        "name": event.person,
        "score": None if event.confidence is None else round(event.confidence, 3),
        "camera": event.camera,
        "timestamp": event.wall_time,
        "event_id": event.event_id,
    }
