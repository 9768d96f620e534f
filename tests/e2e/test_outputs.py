"""A daemon that is heard outside: a real broker sees people come, be renamed and forgotten, and asks for things."""

from __future__ import annotations

import base64
import dataclasses
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_runtime.config import Config
from edge_runtime.daemon.service import Service
from edge_runtime.errors import ConfigError
from edge_runtime.sinks import read_sinks
from tests.builders import draw_face, make_bundle
from tests.edge_runtime.sinks.home_assistant import check
from tests.http_receiver import HttpReceiver
from tests.mosquitto import Broker, Reader, needs_mosquitto, retained
from tests.running_service import LIVE, make_config, until

pytest.importorskip("paho.mqtt", reason="paho-mqtt is missing: pip install 'familiar-edge[mqtt]'")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundles") / "tiny").path


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    found = Broker(tmp_path / "broker")
    yield found
    found.kill()


def with_sinks(config: Config, *tables: dict[str, Any], **more: Any) -> Config:
    return dataclasses.replace(config, sink=read_sinks([*tables], "test"), **more)


class Running:
    """A service on a thread."""

    def __init__(self, config: Config) -> None:
        self.service = Service(config)
        self._thread = threading.Thread(target=self.service.run)

    def __enter__(self) -> Service:
        self._thread.start()
        until(lambda: any(c.state == "running" for c in self.service.cameras.values()), "it runs")
        return self.service

    def __exit__(self, *error: object) -> None:
        self.service.stop()
        self._thread.join(20)
        self.service.close()


def photo(person: int) -> bytes:
    done, data = cv2.imencode(".png", np.ascontiguousarray(draw_face(person, 160, background=3)[:, :, ::-1]))
    assert done
    return data.tobytes()


@needs_mosquitto
def test_people_come_are_renamed_and_forgotten_at_a_real_broker(bundle: Path, tmp_path: Path, broker: Broker) -> None:
    table = {"type": "mqtt", "host": "127.0.0.1", "port": broker.port, "client_id": "familiar-test", "commands": True}
    config = with_sinks(make_config(tmp_path, bundle, door=LIVE), table)
    reader = Reader(broker.port)
    with Running(config) as service:
        service.answer("enroll", {"name": "Ada", "source": "a.png"}, photo(0))
        until(lambda: "familiar/people/ada/home" in retained(broker.port), "Ada is there")
        until(lambda: reader.payloads("familiar/events") != [], "an event")
        announced = {t: json.loads(p) for t, p in retained(broker.port, "homeassistant/#").items()}
        assert len(announced) == 3
        for topic, message in announced.items():
            check(topic, message)
        service.answer("people.rename", {"old": "Ada", "new": "Adelaide"}, b"")
        until(lambda: "familiar/people/adelaide/home" in retained(broker.port), "renamed")
        assert "familiar/people/ada/home" not in retained(broker.port)
        reader.publish("familiar/target_fpir/set", "5")
        until(lambda: service.status()["gallery"]["target_per_1000"] == 5, "another target")
        reader.publish("familiar/door/enabled/set", "OFF")
        until(lambda: reader.last("familiar/door/status") == b"disabled", "off")
        reader.publish("familiar/door/enabled/set", "ON")
        until(lambda: reader.last("familiar/door/status") == b"online", "on")
        service.answer("enroll", {"name": "Bo", "source": "b.png", "force": True}, photo(6))
        until(lambda: "familiar/people/bo/home" in retained(broker.port), "somebody else is there")
        service.answer("people.merge", {"name": "Bo", "into": "Adelaide"}, b"")
        until(lambda: not [topic for topic in retained(broker.port) if "/people/bo/" in topic], "who is the same")
        assert "familiar/people/adelaide/home" in retained(broker.port)
        service.answer("people.unmerge", {"name": "Bo"}, b"")
        until(lambda: "familiar/people/bo/home" in retained(broker.port), "and is not")
        service.answer("people.merge", {"name": "Bo", "into": "Adelaide"}, b"")
        service.answer("people.forget", {"name": "Adelaide"}, b"")
        until(lambda: not [t for t in retained(broker.port) if "people" in t or "person_" in t], "forgotten")
        assert "Adelaide" not in str(retained(broker.port))
    until(lambda: reader.last("familiar/available") == b"stopped", "it says so")
    reader.close()


@needs_mosquitto
def test_a_daemon_starts_and_is_well_without_its_broker_and_catches_up(
    bundle: Path, tmp_path: Path, broker: Broker
) -> None:
    table = {"type": "mqtt", "host": "127.0.0.1", "port": broker.port, "timeout_s": 1.0}
    out = tmp_path / "out.jsonl"
    config = with_sinks(make_config(tmp_path, bundle, door=LIVE), table, {"type": "jsonlines", "path": str(out)})
    reader = Reader(broker.port, "familiar/events")
    broker.kill(15)
    with Running(config) as service:
        until(lambda: out.exists() and len(out.read_text().splitlines()) >= 3, "others get events")
        (name,) = (name for name in service.status()["events"]["sinks"] if name.startswith("mqtt"))
        until(lambda: f"sink {name}" in [one["part"] for one in service.status()["troubles"]], "it says so")
        broker.start()
        until(lambda: not service.status()["troubles"], "all is well again")
    broker_has = {event["event_id"] for event in reader.payloads("familiar/events")}
    file_has = [json.loads(line)["event_id"] for line in out.read_text().splitlines()]
    assert set(file_has[:3]) <= broker_has
    reader.close()


def test_a_kept_picture_goes_with_the_event_where_it_is_wanted(bundle: Path, tmp_path: Path) -> None:
    wants, does_not = HttpReceiver(), HttpReceiver()
    tables = [
        {"type": "webhook", "url": wants.url, "picture": "crop", "kinds": ["unknown"]},
        {"type": "webhook", "url": does_not.url, "kinds": ["unknown"]},
    ]
    config = make_config(tmp_path, bundle, door=LIVE)
    config = with_sinks(config, *tables, events=dataclasses.replace(config.events, keep="crops", path="-"))
    with Running(config):
        until(lambda: bool(wants.requests and does_not.requests), "both have one")
    jpeg = base64.b64decode(json.loads(wants.requests[0].body)["picture"])
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None and max(picture.shape) <= 160
    assert "picture" not in json.loads(does_not.requests[0].body)
    wants.leave()
    does_not.leave()


def test_a_filter_that_names_no_camera_of_ours_is_refused_at_the_start(bundle: Path, tmp_path: Path) -> None:
    table = {"type": "jsonlines", "path": str(tmp_path / "out"), "cameras": ["dor"]}
    with pytest.raises(ConfigError, match="cameras: expected one of door, found 'dor'"):
        Service(with_sinks(make_config(tmp_path, bundle, door=LIVE), table))
