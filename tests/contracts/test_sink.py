"""One suite over every sink: what ``protocols.Sink`` promises to whoever hands it events."""

from __future__ import annotations

import json
import math
import os
import pwd
import resource
import signal
import ssl
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.errors import ConfigError
from edge_runtime.events.log import EventLog
from edge_runtime.gallery.directory import Directory
from edge_runtime.protocols import Sink
from edge_runtime.schema.backends import backend_names
from edge_runtime.sinks import open_sink, read_sink
from tests.builders import make_event
from tests.certificates import Authority
from tests.http_receiver import HttpReceiver
from tests.mail_server import MailServer
from tests.mosquitto import Broker, Reader, needs_mosquitto
from tests.waiting import wait_for


@dataclass
class Receiver:
    """The other end of a lasting sink.

    Attributes:
        table: configures a sink to it.
        read: everything it has got so far.
        leave, come_back: it is away, so that nothing arrives, and there again.
        end: it is no longer needed.
    """

    table: dict[str, Any]
    read: Callable[[], list[dict[str, Any]]]
    leave: Callable[[], None]
    come_back: Callable[[], None]
    end: Callable[[], None] = lambda: None


def opened(table: dict[str, Any]) -> Sink:
    return open_sink(read_sink(table, "here"))


def jsonlines(path: str | Path) -> Sink:
    return opened({"type": "jsonlines", "path": str(path)})


def _jsonlines(folder: Path) -> Receiver:
    place = folder / "events"
    path, earlier = place / "log.jsonl", folder / "earlier.jsonl"

    def read() -> list[dict[str, Any]]:
        files = [file for file in (earlier, path) if file.is_file()]
        return [json.loads(line) for file in files for line in file.read_text().splitlines()]

    def leave() -> None:
        path.rename(earlier)
        place.rmdir()
        place.write_text("no folder")

    return Receiver({"type": "jsonlines", "path": str(path)}, read, leave, place.unlink)


def _mqtt(folder: Path) -> Receiver:
    broker = Broker(folder / "broker")
    reader = Reader(broker.port, "familiar/events")

    def read() -> list[dict[str, Any]]:
        reader.settled()
        return [json.loads(payload) for _, payload, _ in reader.messages]

    def end() -> None:
        reader.close()
        broker.kill()

    table = {"type": "mqtt", "host": "127.0.0.1", "port": broker.port, "timeout_s": 5.0}
    # A broker that is told to end writes down what it has acknowledged; the tests of this sink kill it.
    return Receiver(table, read, lambda: broker.kill(signal.SIGTERM), broker.start, end)


def _webhook(folder: Path) -> Receiver:
    server = HttpReceiver()

    def read() -> list[dict[str, Any]]:
        return [json.loads(got.body) for got in server.requests]

    return Receiver({"type": "webhook", "url": server.url}, read, server.leave, server.come_back, server.leave)


def _exec(folder: Path) -> Receiver:
    got, away = folder / "got", folder / "away"
    program = [sys.executable, "-S", "-c", f"""
import pathlib, sys
if pathlib.Path({str(away)!r}).exists():
    sys.exit(75)
with open({str(got)!r}, "a") as stream:
    stream.write(sys.stdin.read())
"""]  # fmt: skip

    def read() -> list[dict[str, Any]]:
        return [json.loads(line) for line in got.read_text().splitlines()] if got.exists() else []

    me = pwd.getpwuid(os.geteuid()).pw_name
    return Receiver({"type": "exec", "command": program, "user": me}, read, away.touch, away.unlink)


def _mail(folder: Path) -> Receiver:
    authority = Authority(folder / "authority")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*authority.issue("server", 30))
    server = MailServer(tls)

    def read() -> list[dict[str, Any]]:
        found = [part for mail in server.mails for part in mail.iter_attachments()]
        return [json.loads(part.get_content()) for part in found if part.get_content_type() == "application/json"]

    table = {
        "type": "mail", "host": "127.0.0.1", "port": server.port, "sender": "a@example.org", "to": ["b@example.org"],
        "ca_certs": str(authority.certificate),
    }  # fmt: skip
    return Receiver(table, read, server.leave, server.come_back, server.leave)


BACKENDS = {"exec": _exec, "jsonlines": _jsonlines, "mail": _mail, "mqtt": _mqtt, "webhook": _webhook}


@pytest.fixture(params=[pytest.param("mqtt", marks=needs_mosquitto), *sorted({*BACKENDS} - {"mqtt"})])
def receiver(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Receiver]:
    if request.param == "mqtt":
        pytest.importorskip("paho.mqtt", reason="paho-mqtt is missing: pip install 'familiar-edge[mqtt]'")
    found = BACKENDS[request.param](tmp_path)
    yield found
    found.end()


def test_every_sink_is_in_this_suite() -> None:
    assert set(BACKENDS) == set(backend_names("edge_runtime.sinks"))


def test_an_unknown_key_of_a_table_is_refused(receiver: Receiver) -> None:
    with pytest.raises(ConfigError, match="here: unknown key 'smoke_signals'"):
        read_sink({**receiver.table, "smoke_signals": 1}, "here")


def test_a_sink_without_a_name_gets_one_that_tells_it_from_others(receiver: Receiver) -> None:
    kind = receiver.table["type"]
    assert read_sink(receiver.table, "here").name.startswith(f"{kind}:")
    assert read_sink({**receiver.table, "name": "mine"}, "here").name == "mine"


def test_the_table_of_a_sink_makes_it_again(receiver: Receiver) -> None:
    sink = read_sink(receiver.table, "here")
    assert read_sink(sink.as_table(), "here") == sink


def test_events_arrive_whole_and_in_order(receiver: Receiver) -> None:
    sink = opened(receiver.table)
    sink.flush()
    assert receiver.read() == []
    for number in range(3):
        sink.emit(make_event(number, person="Zoë", margin=math.inf, event_id=number, crop=b"a face"))
    sink.flush()
    found = receiver.read()
    assert [(event["captured_s"], event["event_id"]) for event in found] == [(0, 0), (1, 1), (2, 2)]
    assert (found[0]["person"], found[0]["margin"]) == ("Zoë", None)
    assert "crop" not in found[0]
    sink.close()


def test_a_later_sink_writes_behind_the_earlier(receiver: Receiver) -> None:
    for number in range(2):
        sink = opened(receiver.table)
        sink.emit(make_event(number))
        sink.flush()
        sink.close()
    assert len(receiver.read()) == 2


def test_closing_may_be_repeated_and_ends_emitting(receiver: Receiver) -> None:
    sink = opened(receiver.table)
    sink.close()
    sink.close()
    with pytest.raises(ValueError, match="closed"):
        sink.emit(make_event())


def test_a_receiver_that_was_away_gets_everything_in_order(receiver: Receiver, tmp_path: Path) -> None:
    troubles: list[str] = []
    with EventLog(tmp_path / "events.db", Directory(), 30, 100, print, print) as log:
        sink = opened(receiver.table)
        assert sink.lasting
        delivery = log.attach("receiver", sink, lambda _, error: troubles.append(str(error)), (0.01, 0.05))
        for number in range(20):
            log.append(make_event(number))
        wait_for(lambda: delivery.position == 20)
        receiver.leave()
        for number in range(20, 40):
            log.append(make_event(number))
        wait_for(lambda: bool(troubles))
        receiver.come_back()
        wait_for(lambda: delivery.position == 40)
    found = [event["captured_s"] for event in receiver.read()]
    # What comes at least once may come again, from a broker too; what is new comes in order.
    assert list(dict.fromkeys(found)) == list(range(40))
    assert len(troubles) == 2 and troubles[1] == "None"


def test_a_log_that_is_opened_again_goes_on_where_the_receiver_was(receiver: Receiver, tmp_path: Path) -> None:
    for number in range(3):
        with EventLog(tmp_path / "events.db", Directory(), 30, 100, print, print) as log:
            delivery = log.attach("receiver", opened(receiver.table), lambda *_: None, (0.01, 0.05))
            wait_for(lambda at=delivery: at.position is not None)
            for each in range(5):
                log.append(make_event(5 * number + each))
            wait_for(lambda at=delivery, last=5 * number + 5: at.position == last)
    assert [event["event_id"] for event in receiver.read()] == list(range(1, 16))


def test_a_receiver_that_is_away_stalls_nobody(receiver: Receiver, tmp_path: Path) -> None:
    other = tmp_path / "other.jsonl"
    with EventLog(tmp_path / "events.db", Directory(), 30, 100, print, print) as log:
        away = log.attach("away", opened(receiver.table), lambda *_: None, (0.01, 0.05))
        well = log.attach("well", jsonlines(other), lambda *_: None)
        log.append(make_event(0))
        wait_for(lambda: (away.position, well.position) == (1, 1))
        receiver.leave()
        took_s = []
        for number in range(1, 50):
            began_s = time.perf_counter()
            log.append(make_event(number))
            took_s.append(time.perf_counter() - began_s)
        wait_for(lambda: well.position == 50)
        assert max(took_s) < 0.25, "the frame loop waited"
        began_s = time.monotonic()
        log.drain(0.6)
        assert time.monotonic() - began_s < 2
    assert len(other.read_text().splitlines()) == 50


def test_a_sink_gets_only_what_its_table_asks_for(receiver: Receiver, tmp_path: Path) -> None:
    config = read_sink({**receiver.table, "kinds": ["identified"], "cameras": ["door"]}, "here")
    with EventLog(tmp_path / "events.db", Directory(), 30, 100, print, print) as log:
        delivery = log.attach("receiver", open_sink(config), lambda *_: None, (0.01, 0.05), config.common)
        wait_for(lambda: delivery.position is not None)
        log.append(make_event(0))
        log.append(make_event(1, kind="identified", camera="gate"))
        log.append(make_event(2, kind="identified"))
        wait_for(lambda: delivery.position == 3)
    assert [event["captured_s"] for event in receiver.read()] == [2]


def test_a_closed_sink_leaves_no_thread(receiver: Receiver) -> None:
    before = {thread.ident for thread in threading.enumerate()}
    sink = opened(receiver.table)
    sink.emit(make_event())
    sink.close()
    ours = [t for t in threading.enumerate() if t.ident not in before and "process_request" not in t.name]
    wait_for(lambda: not any(thread.is_alive() for thread in ours))


# What is the jsonlines sink's own.


def test_half_a_line_is_never_left_behind(tmp_path: Path) -> None:
    path = tmp_path / "log"
    sink = jsonlines(path)
    sink.emit(make_event(0))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 50, before[1]))
    try:
        for _ in range(2):
            with pytest.raises(OSError):
                sink.emit(make_event(1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    sink.emit(make_event(1))
    sink.close()
    assert [json.loads(line)["captured_s"] for line in path.read_text().splitlines()] == [0, 1]


def test_a_line_that_a_power_cut_has_halved_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b'{"kind": "unkn')
    sink = jsonlines(path)
    sink.emit(make_event(1))
    sink.close()
    assert json.loads(path.read_text().splitlines()[1])["captured_s"] == 1


def test_a_file_that_was_rotated_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "log"
    sink = jsonlines(path)
    sink.emit(make_event(0))
    path.rename(tmp_path / "log.1")
    sink.emit(make_event(1))
    sink.close()
    assert [json.loads(file.read_text())["captured_s"] for file in (tmp_path / "log.1", path)] == [0, 1]


def test_a_new_event_file_is_its_owners_alone(tmp_path: Path) -> None:
    jsonlines(tmp_path / "log").close()
    assert stat.S_IMODE((tmp_path / "log").stat().st_mode) == 0o600


def test_standard_output_gets_lines_and_stays_open(capfd: pytest.CaptureFixture[str]) -> None:
    sink = jsonlines("-")
    assert not sink.lasting
    sink.emit(make_event())
    sink.flush()
    sink.close()
    print("still there", flush=True)
    first, second = capfd.readouterr().out.splitlines()
    assert json.loads(first)["kind"] == "unknown"
    assert second == "still there"


def test_a_pipe_belongs_to_this_run_and_says_when_its_reader_is_gone() -> None:
    read, write = os.pipe()
    sink = jsonlines(f"/proc/self/fd/{write}")
    os.close(write)
    assert not sink.lasting
    sink.emit(make_event())
    os.close(read)
    with pytest.raises(BrokenPipeError):
        sink.emit(make_event())
    sink.close()


@pytest.mark.parametrize("path", ["/", "/proc/none/log", ""])
def test_a_file_that_cannot_be_written_is_a_configuration_error(path: str) -> None:
    with pytest.raises(ConfigError, match="jsonlines, path"):
        jsonlines(path)
