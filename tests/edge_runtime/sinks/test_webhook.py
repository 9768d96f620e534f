"""Events at a real HTTP server: signed, in order after an outage, bounded in time and size, never redirected."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import hmac
import json
import ssl
import time
from collections.abc import Iterator
from contextlib import suppress
from email.parser import BytesParser
from email.policy import HTTP
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from edge_runtime.config import parse_config
from edge_runtime.errors import ConfigError, SinkRefusedError
from edge_runtime.sinks import open_sink, read_sink
from edge_runtime.sinks.webhook import WebhookSink
from edge_runtime.sinks.webhook.messages import text_of
from tests.builders import make_event
from tests.certificates import Authority
from tests.http_receiver import HttpReceiver


@pytest.fixture
def server() -> Iterator[HttpReceiver]:
    found = HttpReceiver()
    yield found
    found.leave()


def opened(**table: Any) -> WebhookSink:
    sink = open_sink(read_sink({"type": "webhook", **table}, "here"))
    assert isinstance(sink, WebhookSink)
    return sink


def secret_file(folder: Path, text: str = "a secret") -> str:
    path = folder / "secret"
    path.write_text(text)
    path.chmod(0o600)
    return str(path)


def form_of(headers: dict[str, str], body: bytes) -> dict[str, bytes]:
    """The fields of a form, as a server parses them."""
    message = BytesParser(policy=HTTP).parsebytes(f"Content-Type: {headers['Content-Type']}\r\n\r\n".encode() + body)
    return {
        part.get_param("name", header="content-disposition"): part.get_payload(decode=True)
        for part in message.iter_parts()
    }


def test_a_request_is_signed_over_its_time_and_body(server: HttpReceiver, tmp_path: Path) -> None:
    opened(url=server.url, secret_file=secret_file(tmp_path)).emit(make_event(1, event_id=5, person="Zoë"))
    (got,) = server.requests
    stamp = got.headers["X-Familiar-Timestamp"]
    expected = hmac.new(b"a secret", stamp.encode() + b"." + got.body, hashlib.sha256).hexdigest()
    assert got.headers["X-Familiar-Signature"] == f"sha256={expected}"
    assert abs(time.time() - int(stamp)) < 60
    assert (got.headers["X-Familiar-Event"], got.path) == ("5", "/hook")
    assert json.loads(got.body)["person"] == "Zoë"


def test_without_a_secret_nothing_is_signed_and_a_token_is_sent(server: HttpReceiver, tmp_path: Path) -> None:
    opened(url=server.url, token_file=secret_file(tmp_path, "tk_1")).emit(make_event())
    (got,) = server.requests
    assert "X-Familiar-Signature" not in got.headers and got.headers["Authorization"] == "Bearer tk_1"


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_what_passes_is_tried_again(server: HttpReceiver, status: int) -> None:
    sink = opened(url=server.url)
    server.answers = [status]
    with pytest.raises(OSError, match=str(status)) as caught:
        sink.emit(make_event(1))
    assert not isinstance(caught.value, SinkRefusedError)
    sink.emit(make_event(1))
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [400, 413, 422])
def test_what_is_never_taken_is_passed_over_and_counted(server: HttpReceiver, status: int) -> None:
    sink = opened(url=server.url)
    server.answers = [status]
    sink.emit(make_event(1))
    sink.emit(make_event(2))
    assert (sink.refused, len(server.requests)) == (1, 1)


@pytest.mark.parametrize("status", [301, 302, 307, 308, 401, 403, 404, 410])
def test_a_redirect_or_a_refusal_is_not_followed_and_sets_it_aside(server: HttpReceiver, status: int) -> None:
    other = HttpReceiver()
    server.answers, server.location = [status], other.url
    with pytest.raises(SinkRefusedError, match=str(status)):
        opened(url=server.url).emit(make_event())
    assert other.requests == []
    other.leave()


@pytest.mark.parametrize(
    ("answer", "drip_s"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n", 0.0),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200, 0.2),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000, 0.0),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000, 0.0),
        (b"\x00\xff nonsense", 0.0),
        (b"", 0.0),
    ],
    ids=["endless", "drip", "headers", "line", "nonsense", "nothing"],
)
def test_an_answer_is_bounded_in_time_and_size(server: HttpReceiver, answer: bytes, drip_s: float) -> None:
    sink = opened(url=server.url, timeout_s=1.0)
    server.answers, server.drip_s = [answer], drip_s
    began_s = time.monotonic()
    with suppress(OSError):
        sink.emit(make_event())
    assert time.monotonic() - began_s < 4
    server.drip_s = 0.0
    sink.emit(make_event(7))
    assert json.loads(server.requests[-1].body)["captured_s"] == 7


def test_an_endless_body_after_a_good_status_is_taken_as_taken(server: HttpReceiver) -> None:
    sink = opened(url=server.url, timeout_s=1.0)
    server.answers = [b"HTTP/1.1 200 OK\r\n\r\n" + bytes(10_000_000)]
    sink.emit(make_event())
    assert len(server.requests) == 1


def test_a_certificate_is_checked_always(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    for name, days, trusted in (
        ("server", 30, True),
        ("server", 30, False),
        ("old", -1, True),
        ("a.example", 30, True),
    ):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*authority.issue(name, days))
        server = HttpReceiver(context)
        sink = opened(url=server.url, **({"ca_certs": str(authority.certificate)} if trusted else {}))
        if (name, trusted) == ("server", True):
            sink.emit(make_event())
            assert len(server.requests) == 1
        else:
            with pytest.raises(SinkRefusedError, match="certificate is not trusted"):
                sink.emit(make_event())
            assert server.requests == []
        server.leave()


JPEG = b"\xff\xd8 a face \xff\xd9\r\n--"
EVENT = make_event(1, kind="identified", person="<@everyone> & *Zoë*", camera="front", track_id="t", confidence=0.9)


def sent(server: HttpReceiver, picture: str = "none", **table: Any) -> Any:
    sink = opened(url=server.url, **table, picture=picture)
    sink.emit(dataclasses.replace(EVENT, crop=None if picture == "none" else JPEG))
    return server.requests[-1]


def test_ntfy_gets_text_and_picture(server: HttpReceiver) -> None:
    got = sent(server, format="ntfy")
    assert got.body.decode() == "<@everyone> & *Zoë* at front"
    assert parse_qs(urlsplit(got.path).query) == {"title": ["Familiar"]}
    got = sent(server, picture="crop", format="ntfy")
    assert got.body == JPEG and got.headers["Content-Type"] == "image/jpeg"
    assert parse_qs(urlsplit(got.path).query)["message"] == ["<@everyone> & *Zoë* at front"]


def test_slack_and_discord_take_a_name_as_text(server: HttpReceiver) -> None:
    assert json.loads(sent(server, format="slack").body) == {"text": "&lt;@everyone&gt; &amp; *Zoë* at front"}
    told = json.loads(sent(server, format="discord").body)
    assert told["allowed_mentions"] == {"parse": []}
    got = sent(server, picture="crop", format="discord")
    form = form_of(got.headers, got.body)
    assert json.loads(form["payload_json"])["allowed_mentions"] == {"parse": []}
    assert form["files[0]"] == JPEG


def test_telegram_gets_a_message_or_a_photo(server: HttpReceiver) -> None:
    got = sent(server, format="telegram", chat_id="42")
    assert (got.path, json.loads(got.body)["chat_id"]) == ("/hook/sendMessage", "42")
    got = sent(server, picture="crop", format="telegram", chat_id="42")
    form = form_of(got.headers, got.body)
    assert (got.path, form["chat_id"], form["photo"]) == ("/hook/sendPhoto", b"42", JPEG)


def test_json_has_the_picture_only_where_it_is_wanted(server: HttpReceiver) -> None:
    assert "picture" not in json.loads(sent(server).body)
    assert base64.b64decode(json.loads(sent(server, picture="crop").body)["picture"]) == JPEG


FILM = b"RIFF a film"


def with_film(server: HttpReceiver, **table: Any) -> Any:
    opened(url=server.url, picture="clip", **table).emit(dataclasses.replace(EVENT, crop=JPEG, clip=FILM, event_id=7))
    return server.requests[-1]


def test_a_film_goes_to_each_service_as_it_takes_one(server: HttpReceiver) -> None:
    told = json.loads(with_film(server).body)
    assert [base64.b64decode(told[name]) for name in ("picture", "clip")] == [JPEG, FILM]
    got = with_film(server, format="ntfy")
    assert got.body == FILM and parse_qs(urlsplit(got.path).query)["filename"] == ["film.avi"]
    got = with_film(server, format="discord")
    form = form_of(got.headers, got.body)
    assert (form["files[0]"], form["files[1]"]) == (JPEG, FILM)
    got = with_film(server, format="telegram", chat_id="42")
    form = form_of(got.headers, got.body)
    assert (got.path, form["document"]) == ("/hook/sendDocument", FILM) and b"at front" in form["caption"]


def test_a_film_that_is_too_large_costs_the_film_and_not_the_message(server: HttpReceiver) -> None:
    server.answers[:] = [413]
    told = json.loads(with_film(server).body)
    assert base64.b64decode(told["picture"]) == JPEG and "clip" not in told


def test_a_line_too_slow_for_a_film_gets_the_message_at_the_next_try(server: HttpReceiver) -> None:
    sink = opened(url=server.url, picture="clip", timeout_s=0.5)
    event = dataclasses.replace(EVENT, crop=JPEG, clip=FILM, event_id=7)
    server.answers[:], server.drip_s = [b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"], 1.0
    with pytest.raises(TimeoutError):
        sink.emit(event)
    assert "clip" in json.loads(server.requests[-1].body)
    sink.emit(event)
    assert "clip" not in json.loads(server.requests[-1].body)
    sink.emit(dataclasses.replace(event, event_id=8))
    assert "clip" in json.loads(server.requests[-1].body)


def test_a_text_of_ones_own() -> None:
    assert (
        text_of(make_event(0, kind="camera_lost", reason="gone\r\nX-Evil: 1")) == "Camera door is lost: gone X-Evil: 1"
    )
    assert text_of(EVENT, "$person ($confidence)") == "<@everyone> & *Zoë* (90%)"
    told = {0.999: "over 99%", 0.996: "over 99%", 0.99: "99%", 0.5: "50%", 0.01: "1%", 0.001: "under 1%"}
    for confidence, text in told.items():
        assert text_of(dataclasses.replace(EVENT, confidence=confidence), "$confidence") == text
    assert text_of(make_event(0, person="$camera"), "$person") == "$camera"


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({}, "one of url, url_file, url_env"),
        ({"url": "ftp://a"}, "expected http"),
        ({"url": "http://"}, "expected http"),
        ({"url": "http://a/ b"}, "expected http"),
        ({"url": "http://a\r\nX: y"}, "expected http"),
        ({"url": "http://a", "url_env": "B"}, "found none or several"),
        ({"url": "http://a", "format": "telegram"}, "chat_id"),
        ({"url": "http://a", "format": "slack", "picture": "crop"}, "no pictures"),
        ({"url": "http://a", "text": "$password"}, "expected words of person"),
        ({"url": "http://a", "text": "100 $"}, "expected words of person"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused(table: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_sink({"type": "webhook", **table}, "here")


def test_pictures_need_to_be_kept() -> None:
    table = {"type": "webhook", "url": "http://a", "picture": "crop"}
    with pytest.raises(ConfigError, match='keep = "crops"'):
        parse_config({"sink": [table]})
    parse_config({"sink": [table], "events": {"keep": "crops"}})


def test_an_address_that_is_a_secret_is_not_shown(server: HttpReceiver, tmp_path: Path) -> None:
    config = read_sink({"type": "webhook", "url": "https://hooks.example/T0/B0/s3cret"}, "here")
    assert "s3cret" not in config.name and "s3cret" not in str(config.as_table(show_secrets=False))
    sink = opened(url_file=secret_file(tmp_path, server.url + "/s3cret"))
    sink.emit(make_event())
    assert server.requests[0].path == "/hook/s3cret"
    server.leave()
    with pytest.raises(OSError) as caught:
        sink.emit(make_event())
    assert "s3cret" not in str(caught.value)
