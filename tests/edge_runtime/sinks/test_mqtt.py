"""Events and states at a real broker: stopped, killed, slow, hostile; with TLS, certificates, users and rights."""

from __future__ import annotations

import json
import platform
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.errors import ConfigError, SinkRefusedError
from edge_runtime.events.log import EventLog
from edge_runtime.gallery.directory import Directory
from edge_runtime.protocols import ServedSink, Sink
from edge_runtime.sinks import open_sink, read_sink
from edge_runtime.sinks.mqtt.topics import slug
from tests.builders import ROOT, make_event
from tests.certificates import Authority
from tests.mosquitto import Broker, Reader, free_port, needs_mosquitto, retained
from tests.waiting import wait_for

pytest.importorskip("paho.mqtt", reason="paho-mqtt is missing: pip install 'familiar-edge[mqtt]'")
pytestmark = needs_mosquitto

Opener = Callable[..., Sink]
NODE = slug(f"familiar-{platform.node()}")


@pytest.fixture
def opened() -> Iterator[Opener]:
    """Opens sinks to a port, and closes them."""
    sinks: list[Sink] = []

    def make(port: int, **table: Any) -> Sink:
        sinks.append(open_sink(read_sink({"type": "mqtt", "host": "127.0.0.1", "port": port, **table}, "here")))
        return sinks[-1]

    yield make
    for sink in sinks:
        sink.close()


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[..., Broker]]:
    """Starts brokers, and ends them."""
    brokers: list[Broker] = []

    def make(**given: Any) -> Broker:
        brokers.append(Broker(tmp_path / f"broker{len(brokers)}", **given))
        return brokers[-1]

    yield make
    for broker in brokers:
        broker.freeze(False) if broker.running else None
        broker.kill()


class StandinHost:
    """A daemon as a sink sees it."""

    def __init__(self, **people: str) -> None:
        self.names = people
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.cameras: dict[str, dict[str, Any]] = {
            "front": {"state": "running", "people": [], "unknowns": 0, "in_view": [], "frames": 1}
        }

    def people(self) -> dict[str, str]:
        return dict(self.names)

    def answer(self, command: str, arguments: dict[str, Any], payload: bytes) -> dict[str, Any]:
        if command != "status":
            self.asked.append((command, arguments))
            return {}
        gallery = {"people": len(self.names), "target_per_1000": 1.0, "expected_per_1000": 0.9}
        return {
            "state": "ok", "troubles": [], "temperature_c": 48.3, "uptime_s": 1.0, "gallery": gallery,
            "bundle": {"name": "b", "hash": "h"}, "accelerators": {}, "cameras": self.cameras,
        }  # fmt: skip


def serve(sink: Sink, host: StandinHost) -> None:
    assert isinstance(sink, ServedSink)
    sink.serve(host)


def refused(sink: Sink, patience_s: float = 20.0) -> str:
    """What a sink says that is not let in."""
    until_s = time.monotonic() + patience_s
    while True:
        try:
            sink.emit(make_event())
        except SinkRefusedError as error:
            return str(error)
        except OSError:
            assert time.monotonic() < until_s, "never refused"
            time.sleep(0.05)
        else:
            raise AssertionError("it was taken")


# Events.


def test_an_event_and_what_readers_of_frigate_know(started: Callable[..., Broker], opened: Opener) -> None:
    broker = started()
    reader = Reader(broker.port)
    sink = opened(broker.port)
    seen = {"track_id": "front-1", "confidence": 0.95, "event_id": 7, "camera": "front"}
    sink.emit(make_event(1, kind="identified", person="Zoë", **seen))
    sink.emit(make_event(2, kind="left", person="Zoë", **seen))
    sink.emit(make_event(3, kind="degraded", camera=""))
    wait_for(lambda: len(reader.payloads("familiar/events")) == 3)
    reader.settled()
    assert reader.payloads("familiar/events")[0]["event_id"] == 7
    first, last = reader.payloads("familiar/tracked_object_update")
    assert first == {
        "type": "face", "id": "front-1", "name": "Zoë", "score": 0.95, "camera": "front",
        "timestamp": 1_700_000_001.0, "event_id": 7,
    }  # fmt: skip
    assert last["type"] == "left"
    reader.close()


def test_available_says_online_stopped_and_by_the_last_will_offline(
    started: Callable[..., Broker], opened: Opener, tmp_path: Path
) -> None:
    broker = started()
    reader = Reader(broker.port, "familiar/available")
    sink = opened(broker.port)
    sink.emit(make_event())
    sink.close()
    wait_for(lambda: [payload for _, payload, _ in reader.messages] == [b"online", b"stopped"])
    program = (
        "import os, time\nfrom edge_runtime.sinks import open_sink, read_sink\nfrom tests.builders import make_event\n"
        f"s = open_sink(read_sink({{'type': 'mqtt', 'host': '127.0.0.1', 'port': {broker.port}}}, 'x'))\n"
        "s.emit(make_event())\nos.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT)
    wait_for(lambda: reader.last("familiar/available") == b"offline")
    assert retained(broker.port)["familiar/available"] == b"offline"
    reader.close()


def numbers_received(broker: Broker) -> list[int]:
    """Which events a broker has received, by the lengths that its log states."""
    found = re.findall(
        r"Received PUBLISH from familiar-\S+ \(.*'familiar/events', \.\.\. \((\d+) bytes\)\)", broker.said
    )
    return [int(size) for size in found]


def test_a_broker_killed_twice_in_the_middle_costs_no_event_and_no_order(
    started: Callable[..., Broker], opened: Opener, tmp_path: Path
) -> None:
    count, broker = 400, started()
    events = [make_event(number, kind="degraded", camera="", reason="x" * number) for number in range(count)]
    with EventLog(tmp_path / "events.db", Directory(), 30, 100, print, print) as log:
        delivery = log.attach("mqtt", opened(broker.port, timeout_s=2.0), lambda *_: None, (0.01, 0.1))
        wait_for(lambda: delivery.position is not None)
        for number, event in enumerate(events, 1):
            log.append(event)
            if number in (count // 4, count // 2):
                wait_for(lambda at=number // 2: (delivery.position or 0) >= at)
                broker.kill(signal.SIGKILL)
                time.sleep(0.3)
                broker.start()
        wait_for(lambda: delivery.position == count)
        assert delivery.skipped == 0
    got = numbers_received(broker)
    first = got[0]
    order = [size - first for size in got]
    lengths = [
        len(json.dumps(dict(event.as_json(), event_id=n), ensure_ascii=False)) for n, event in enumerate(events, 1)
    ]
    expected = [length - lengths[0] for length in lengths]
    assert sorted(set(order)) == expected, "every event, and nothing else"
    assert order == sorted(order), "in order"
    assert len(order) - count <= 2 * 2, "hardly an event came twice"


def test_after_an_outage_what_is_true_now_is_retained_again(started: Callable[..., Broker], opened: Opener) -> None:
    broker = started(lines=["persistence false"])
    sink, host = opened(broker.port), StandinHost(a1="Ada")
    serve(sink, host)
    wait_for(lambda: "familiar/front/status" in retained(broker.port))
    broker.kill()
    host.cameras["front"]["state"] = "lost"
    broker.start()
    wait_for(lambda: retained(broker.port).get("familiar/front/status") == b"offline")
    assert retained(broker.port)["familiar/available"] == b"online"


def test_a_broker_that_stops_answering_stalls_nobody_and_gets_everything_later(
    started: Callable[..., Broker], opened: Opener, tmp_path: Path
) -> None:
    broker = started()
    reader = Reader(broker.port, "familiar/events")
    with EventLog(tmp_path / "events.db", Directory(), 30, 100, print, print) as log:
        delivery = log.attach("mqtt", opened(broker.port, timeout_s=0.5), lambda *_: None, (0.01, 0.1))
        log.append(make_event(0))
        wait_for(lambda: delivery.position == 1)
        broker.freeze()
        for number in range(1, 20):
            log.append(make_event(number))
        wait_for(lambda: delivery.error is not None)
        assert "no acknowledgement in time" in str(delivery.error)
        broker.freeze(False)
        wait_for(lambda: delivery.position == 20)
    reader.settled()
    found = [event["captured_s"] for event in reader.payloads("familiar/events")]
    assert sorted(set(found)) == list(range(20))
    reader.close()


# Who is let in.


def test_a_wrong_password_is_refused_and_the_right_one_is_not_shown(
    started: Callable[..., Broker], opened: Opener, tmp_path: Path
) -> None:
    broker = started(users={"familiar": "right-secret"})
    right, wrong = tmp_path / "right", tmp_path / "wrong"
    for path, text in ((right, "right-secret\n"), (wrong, "wrong-secret\n")):
        path.write_text(text)
        path.chmod(0o600)
    told = refused(opened(broker.port, user="familiar", password_file=str(wrong)))
    assert "Bad user name or password" in told or "Not authorized" in told
    assert "secret" not in told
    opened(broker.port, user="familiar", password_file=str(right)).emit(make_event())


def test_a_password_may_come_from_the_environment(
    started: Callable[..., Broker], opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = started(users={"familiar": "right-secret"})
    monkeypatch.setenv("OUR_PASSWORD", "right-secret")
    opened(broker.port, user="familiar", password_env="OUR_PASSWORD").emit(make_event())


@pytest.mark.parametrize(
    ("mode", "text", "message"),
    [(0o644, "secret", "chmod 640"), (0o600, "", "found nothing"), (0o600, "a\nb\n", "found several")],
)
def test_a_password_that_is_open_to_all_or_none_is_refused(
    opened: Opener, tmp_path: Path, mode: int, text: str, message: str
) -> None:
    path = tmp_path / "password"
    path.write_text(text)
    path.chmod(mode)
    with pytest.raises(ConfigError, match=message):
        opened(1, password_file=str(path))


def test_where_it_may_not_write_it_is_refused_and_says_where(started: Callable[..., Broker], opened: Opener) -> None:
    broker = started(acl="topic read #\ntopic write familiar/available\n")
    assert "does not take familiar/events: Not authorized" in refused(opened(broker.port))


def test_the_rights_on_the_page_are_enough(started: Callable[..., Broker], opened: Opener, tmp_path: Path) -> None:
    page = (ROOT / "docs/outputs.md").read_text()
    (rights,) = re.findall(r"```text\n\s*(user familiar\n.*?)```", page, re.S)
    acl = "\n".join(line.strip() for line in rights.splitlines()) + "\nuser reader\ntopic readwrite #\n"
    broker = started(users={"familiar": "a-secret", "reader": "b-secret"}, acl=acl)
    password = tmp_path / "password"
    password.write_text("a-secret")
    password.chmod(0o600)
    sink = opened(broker.port, user="familiar", password_file=str(password), commands=True)
    host = StandinHost(a1="Ada")
    serve(sink, host)
    sink.emit(make_event())
    reader = Reader(broker.port, user="reader", password="b-secret")
    wait_for(lambda: reader.last(f"homeassistant/device/{NODE}_camera_front/config"))
    wait_for(lambda: reader.last("familiar/people/ada/home"))
    reader.publish("familiar/recheck/set", "PRESS")
    wait_for(lambda: host.asked == [("camera.recheck", {})])
    assert "Denied" not in broker.said
    reader.close()


def test_an_older_broker_is_spoken_to_in_its_version(started: Callable[..., Broker], opened: Opener) -> None:
    broker = started()
    opened(broker.port, protocol="3.1.1").emit(make_event())
    assert "Received PUBLISH" in broker.said


# TLS.


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def tls_lines(authority: Authority, name: str = "server", days: int = 30, **more: str) -> list[str]:
    cert, key = authority.issue(name, days)
    given = {"cafile": authority.certificate, "certfile": cert, "keyfile": key, **more}
    return [f"{word} {value}" for word, value in given.items()]


def test_over_tls_with_a_certificate_of_ones_own(
    started: Callable[..., Broker], opened: Opener, authority: Authority
) -> None:
    broker = started(lines=tls_lines(authority, require_certificate="true"))
    cert, key = authority.issue("device", 30)
    tls = {"tls_ca_certs": str(authority.certificate)}
    opened(broker.port, **tls, tls_client_cert=str(cert), tls_client_key=str(key)).emit(make_event())
    with pytest.raises(OSError):
        sink = opened(broker.port, **tls, client_id="stranger")
        sink.emit(make_event())


@pytest.mark.parametrize(
    ("days", "name", "trusted", "message"),
    [(-1, "old", True, "expired"), (30, "server", False, "certificate"), (30, "other.example", True, "certificate")],
)
def test_a_broker_whose_certificate_is_expired_unknown_or_anothers_is_refused(
    started: Callable[..., Broker],
    opened: Opener,
    authority: Authority,
    tmp_path: Path,
    days: int,
    name: str,
    trusted: bool,
    message: str,
) -> None:
    broker = started(lines=tls_lines(authority, name, days))
    ours = authority if trusted else Authority(tmp_path / "another")
    told = refused(opened(broker.port, tls_ca_certs=str(ours.certificate)))
    assert "is not trusted" in told and message in told


def test_an_expired_certificate_of_the_device_is_said(
    started: Callable[..., Broker], opened: Opener, authority: Authority
) -> None:
    broker = started(lines=tls_lines(authority, require_certificate="true"))
    cert, key = authority.issue("device-old", -1)
    sink = opened(
        broker.port, tls_ca_certs=str(authority.certificate), tls_client_cert=str(cert), tls_client_key=str(key)
    )
    with pytest.raises(OSError, match=r"EXPIRED|expired|TLS failed|lost"):
        sink.emit(make_event())


def test_a_certificate_that_is_none_is_a_configuration_error(opened: Opener, tmp_path: Path) -> None:
    (tmp_path / "ca").write_text("no certificate")
    with pytest.raises(ConfigError, match="expected certificates"):
        opened(1, tls_ca_certs=str(tmp_path / "ca"))


# States.


def test_retained_states_follow_what_is_true(started: Callable[..., Broker], opened: Opener) -> None:
    broker, host = started(), StandinHost(a1="Ada", b2="Ben")
    serve(opened(broker.port, stats_interval=0.2), host)
    reader = Reader(broker.port)
    wait_for(lambda: reader.last("familiar/front/person") == b"nobody")
    host.cameras["front"] |= {"people": ["Ada", "Ben"], "unknowns": 2}
    wait_for(lambda: reader.last("familiar/front/person") == b"Ada, Ben, unknown")
    wait_for(lambda: (reader.payloads("familiar/people/ada/attributes") or [{}])[-1].get("camera") == "front")
    attributes = reader.payloads("familiar/front/attributes")[-1]
    assert (attributes["count"], attributes["last_face"] in ("Ada", "Ben")) == (4, True)
    wait_for(lambda: reader.last("familiar/people/ada/home") == b"home")
    host.cameras["front"] |= {"state": "disabled", "people": [], "unknowns": 0}
    wait_for(lambda: reader.last("familiar/front/status") == b"disabled")
    wait_for(lambda: reader.last("familiar/front/person") == b"nobody")
    wait_for(lambda: len(reader.payloads("familiar/stats")) > 1)
    assert "Ada" not in json.dumps(reader.payloads("familiar/stats"))
    kept = retained(broker.port)
    assert "familiar/stats" not in kept and "familiar/events" not in kept
    assert json.loads(kept["familiar/state"])["target_per_1000"] == 1.0
    reader.close()


def test_forgetting_clears_the_states_and_the_discovery_of_a_person(
    started: Callable[..., Broker], opened: Opener
) -> None:
    broker, host = started(), StandinHost(a1="Ada", b2="Ben")
    host.cameras["front"]["people"] = ["Ada"]
    serve(opened(broker.port), host)
    wait_for(lambda: "familiar/people/ada/home" in retained(broker.port))
    assert "Ada" in str(retained(broker.port))
    host.cameras["front"]["people"] = []
    del host.names["a1"]
    wait_for(lambda: "Ada" not in str(retained(broker.port)))
    kept = retained(broker.port)
    assert not [topic for topic in kept if "ada" in topic or "a1" in topic]
    assert "familiar/people/ben/home" in kept


def test_who_was_forgotten_or_renamed_while_it_did_not_run_is_cleared_later(
    started: Callable[..., Broker], opened: Opener
) -> None:
    broker, host = started(), StandinHost(a1="Ada", b2="Ben")
    host.cameras["front"]["people"] = ["Ada", "Ben"]
    first = opened(broker.port)
    serve(first, host)
    wait_for(lambda: "familiar/people/ben/home" in retained(broker.port))
    reader = Reader(broker.port)
    foreign = json.dumps({"node": "another", "id": "zz", "name": "Zoe"})
    reader.publish("familiar/people/zoe/attributes", foreign, retain=True)
    first.close()
    later = StandinHost(b2="Benjamin")
    serve(opened(broker.port), later)
    wait_for(lambda: "familiar/people/benjamin/home" in retained(broker.port))
    kept = retained(broker.port)
    assert not [topic for topic in kept if topic.split("/")[2:3] in (["ada"], ["ben"]) or "a1" in topic]
    assert "familiar/people/zoe/attributes" in kept, "another device's"
    told = json.loads(kept["familiar/people/benjamin/attributes"])
    assert (told["camera"], told["last_seen"] is None) == ("front", False), "what the broker knew is taken over"
    reader.close()


@pytest.mark.parametrize(
    "names",
    [
        {"a": "Zoë", "b": "Zoe"},
        {"a": "+/#", "b": "$SYS"},
        {"a": "王伟", "b": "李娜"},
        {"a": "x/../../homeassistant", "b": "a+b"},
        {"a": "{{ states('lock.door') }}", "b": '"},"cmps":{}'},
    ],
)
def test_no_name_makes_a_topic_of_another_or_a_template(
    started: Callable[..., Broker], opened: Opener, names: dict[str, str]
) -> None:
    broker, host = started(), StandinHost(**names)
    host.cameras["front"]["people"] = [*names.values()]
    serve(opened(broker.port), host)
    wait_for(lambda: len([t for t in retained(broker.port) if t.endswith("/home")]) == len(names))
    kept = retained(broker.port)
    for topic in kept:
        assert re.fullmatch(r"(familiar|homeassistant)/[A-Za-z0-9_/-]+", topic) and len(topic.split("/")) <= 4, topic
    for topic in [topic for topic in kept if topic.startswith("homeassistant/")]:
        for entity in json.loads(kept[topic])["cmps"].values():
            assert not any(name in str(entity) for name in names.values())


# Requests.


def test_requests_are_off_unless_asked_for(started: Callable[..., Broker], opened: Opener) -> None:
    broker, host = started(), StandinHost()
    serve(opened(broker.port), host)
    wait_for(lambda: "familiar/state" in retained(broker.port))
    reader = Reader(broker.port)
    reader.publish("familiar/front/enabled/set", "OFF")
    time.sleep(1.5)
    assert host.asked == []
    assert "cmd_t" not in str(retained(broker.port))
    reader.close()


def test_requests_go_through_the_table_and_kept_or_senseless_ones_do_not(
    started: Callable[..., Broker], opened: Opener
) -> None:
    broker, host = started(), StandinHost()
    reader = Reader(broker.port)
    reader.publish("familiar/recheck/set", "PRESS", retain=True)
    serve(opened(broker.port, commands=True, stats_interval=3600), host)
    wait_for(lambda: "familiar/state" in retained(broker.port))
    reader.publish("familiar/target_fpir/set", "2.5")
    reader.publish("familiar/front/enabled/set", "OFF")
    wait_for(lambda: len(host.asked) == 2)
    assert host.asked == [
        ("target", {"false_accepts_per_1000_strangers": 2.5}),
        ("camera.switch", {"camera": "front", "on": False}),
    ]
    for topic, payload in (
        ("target_fpir/set", "many"),
        ("front/enabled/set", "PERHAPS"),
        ("recheck/set", "x" * 10_000),
        ("front/enabled/set", b"\xff\xfe"),
    ):
        reader.publish(f"familiar/{topic}", payload)
    wait_for(lambda: any(s["last_error"] for s in reader.payloads("familiar/stats")))
    reader.publish("familiar/recheck/set", "PRESS")
    wait_for(lambda: len(host.asked) == 3)
    assert host.asked[2] == ("camera.recheck", {})
    reader.close()


# A hostile broker.


class HostileBroker:
    """Accepts a connection, answers CONNECT as it should if told to, and then sends what it likes."""

    def __init__(self, answer: bytes, drip_s: float = 0.0, endless: bool = False) -> None:
        self.port = free_port()
        self.connections = 0
        self._answer, self._drip_s, self._endless = answer, drip_s, endless
        self._socket = socket.create_server(("127.0.0.1", self.port))
        self._over = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                peer, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        try:
            peer.recv(4096)
            if not self._drip_s:
                peer.sendall(self._answer)
            for byte in self._answer if self._drip_s else b"":
                peer.sendall(bytes([byte]))
                time.sleep(self._drip_s)
            while self._endless and not self._over.is_set():
                peer.sendall(bytes(65536))
            self._over.wait(60)
        except OSError:
            pass
        finally:
            peer.close()

    def close(self) -> None:
        self._over.set()
        self._socket.close()


CONNACK = bytes([0x20, 3, 0, 0, 0])
HUGE = bytes([0x30, 0xFF, 0xFF, 0xFF, 0x7F])


def peak_mb() -> float:
    text = Path("/proc/self/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", text)[1]) / 1024


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"", "no answer"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n" * 50, "."),
        (bytes([0x20, 0]), "."),
        (bytes([0x20, 3, 0, 0xEE, 0]), "."),
        (CONNACK + bytes([0x30, 5, 0, 200, 1, 2, 3]), "."),
        (CONNACK + bytes([0x40, 1, 9]), "."),
        (CONNACK + bytes([0x30, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F]), "."),
        (CONNACK + bytes([0x30, 4, 0, 2, 0xFF, 0xFE]), "."),
        (CONNACK + bytes([0xF0, 0]), "."),
        (CONNACK + HUGE, "at most|not currently connected"),
    ],
    ids=range(10),
)
def test_what_no_broker_sends_ends_the_connection_and_nothing_else(opened: Opener, answer: bytes, message: str) -> None:
    hostile = HostileBroker(answer)
    sink = opened(hostile.port, timeout_s=1.0)
    for _ in range(3):
        with pytest.raises(OSError, match=message):
            sink.emit(make_event())
    hostile.close()
    sink.close()


def test_a_packet_without_end_takes_no_memory(opened: Opener) -> None:
    before_mb = peak_mb()
    hostile = HostileBroker(CONNACK + HUGE, endless=True)
    sink = opened(hostile.port, timeout_s=1.0)
    worst_mb, until_s = 0.0, time.monotonic() + 3
    while time.monotonic() < until_s:
        with pytest.raises(OSError):
            sink.emit(make_event())
        worst_mb = max(worst_mb, peak_mb())
    hostile.close()
    assert worst_mb - before_mb < 30
    assert hostile.connections < 20, "it waits before it tries again"


def test_a_broker_that_answers_byte_by_byte_is_given_up_in_time(opened: Opener) -> None:
    hostile = HostileBroker(CONNACK, drip_s=0.8)
    sink = opened(hostile.port, timeout_s=1.0)
    began_s = time.monotonic()
    with pytest.raises(OSError, match=r"in time|no answer"):
        sink.emit(make_event())
    assert time.monotonic() - began_s < 5
    hostile.close()


def test_a_name_that_leads_nowhere_and_a_closed_port_are_tried_again(opened: Opener) -> None:
    sink = opened(free_port(), timeout_s=1.0)
    with pytest.raises(OSError, match=r"127\.0\.0\.1:\d+"):
        sink.emit(make_event())


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({}, "expected the key 'host'"),
        ({"host": ""}, "host: expected a name"),
        ({"host": "a", "topic_prefix": "fam/#"}, "topic_prefix"),
        ({"host": "a", "topic_prefix": "$SYS"}, "topic_prefix"),
        ({"host": "a", "topic_prefix": ""}, "topic_prefix"),
        ({"host": "a", "protocol": "4"}, "expected 5 or 3.1.1"),
        ({"host": "a", "port": 70000}, "expected 0 to 65535"),
        ({"host": "a", "password": "hunter2"}, "unknown key 'password'; did you mean 'password_"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused(table: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_sink({"type": "mqtt", **table}, "here")


def test_tls_of_the_tests_is_what_it_says(authority: Authority) -> None:
    context = ssl.create_default_context(cafile=str(authority.certificate))
    assert context.verify_mode is ssl.CERT_REQUIRED and context.check_hostname
