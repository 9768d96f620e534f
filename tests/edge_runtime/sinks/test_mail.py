"""Events by mail, over an encrypted connection or not at all."""

from __future__ import annotations

import dataclasses
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.errors import ConfigError, SinkRefusedError
from edge_runtime.sinks import open_sink, read_sink
from edge_runtime.sinks.mail import MailSink
from tests.builders import make_event
from tests.certificates import Authority
from tests.mail_server import MailServer

EVENT = make_event(3, kind="identified", person="Zoë", camera="front", track_id="t", event_id=3)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def context(authority: Authority, name: str = "server", days: int = 30) -> ssl.SSLContext:
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    found.load_cert_chain(*authority.issue(name, days))
    return found


@pytest.fixture
def served(authority: Authority) -> Iterator[Callable[..., MailServer]]:
    servers: list[MailServer] = []

    def make(tls: ssl.SSLContext | None = None, **given: Any) -> MailServer:
        servers.append(MailServer(tls or context(authority), **given))
        return servers[-1]

    yield make
    for server in servers:
        server.leave()


def opened(server: MailServer, authority: Authority, **table: Any) -> MailSink:
    usual = {"host": "127.0.0.1", "port": server.port, "sender": "pi@example.org", "to": ["me@example.org"]}
    given = {"type": "mail", **usual, "ca_certs": str(authority.certificate), **table}
    sink = open_sink(read_sink(given, "here"))
    assert isinstance(sink, MailSink)
    return sink


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_mail_says_it_in_its_subject_and_has_the_event_and_the_picture(
    served: Callable[..., MailServer], authority: Authority, tmp_path: Path, security: str
) -> None:
    password = tmp_path / "password"
    password.write_text("secret")
    password.chmod(0o600)
    server = served(at_once=security == "tls", users={"pi": "secret"})
    sink = opened(server, authority, security=security, user="pi", password_file=str(password), picture="crop")
    sink.emit(dataclasses.replace(EVENT, crop=b"a face"))
    sink.emit(EVENT)
    first, second = server.mails
    assert (first["Subject"], first["To"], first["From"]) == ("Zoë at front", "me@example.org", "pi@example.org")
    kinds = [part.get_content_type() for part in first.iter_attachments()]
    assert kinds == ["application/json", "image/jpeg"]
    assert first["Message-ID"] == second["Message-ID"], "a repetition is known as one"
    assert not any(line.upper().startswith((b"AUTH", b"MAIL")) for line in server.clear)


def test_nothing_is_said_in_the_clear_if_encryption_is_not_offered(
    served: Callable[..., MailServer], authority: Authority
) -> None:
    server = served()
    server.answers["EHLO"] = "250 here"
    with pytest.raises(SinkRefusedError, match="no encryption"):
        opened(server, authority).emit(EVENT)
    assert {line.split()[0].upper() for line in server.clear} <= {b"EHLO", b"QUIT"}


@pytest.mark.parametrize(("name", "days", "ours"), [("old", -1, True), ("a.example", 30, True), ("server", 30, False)])
def test_a_certificate_is_always_checked(
    served: Callable[..., MailServer], authority: Authority, tmp_path: Path, name: str, days: int, ours: bool
) -> None:
    for at_once, security in ((False, "starttls"), (True, "tls")):
        server = served(context(authority, name, days), at_once=at_once)
        other = authority if ours else Authority(tmp_path / f"other-{security}")
        with pytest.raises(SinkRefusedError, match="certificate is not trusted"):
            opened(server, other, security=security).emit(EVENT)
        assert server.mails == []


@pytest.mark.parametrize(
    ("verb", "answer", "refused"),
    [
        ("GREETING", "421 busy", False),
        ("RCPT", "451 later", False),
        ("RCPT", "550 nobody", True),
        ("MAIL", "553 not you", True),
        ("TAKE", "452 full", False),
        ("GREETING", "554 no", True),
    ],
)
def test_what_the_server_answers_decides(
    served: Callable[..., MailServer], authority: Authority, verb: str, answer: str, refused: bool
) -> None:
    server = served()
    server.answers[verb] = answer
    sink = opened(server, authority)
    with pytest.raises(OSError if not refused else SinkRefusedError, match=answer[:3]) as caught:
        sink.emit(EVENT)
    assert isinstance(caught.value, SinkRefusedError) is refused
    server.answers.clear()
    sink.emit(EVENT)
    assert len(server.mails) == 1


def test_a_wrong_password_is_refused(
    served: Callable[..., MailServer], authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAIL_PASSWORD", "wr0ng")
    server = served(users={"pi": "secret"})
    with pytest.raises(SinkRefusedError, match="535") as caught:
        opened(server, authority, user="pi", password_env="MAIL_PASSWORD").emit(EVENT)
    assert "wr0ng" not in str(caught.value)


def test_a_mail_that_is_never_taken_is_passed_over(served: Callable[..., MailServer], authority: Authority) -> None:
    server = served()
    server.answers["TAKE"] = "554 spam"
    sink = opened(server, authority)
    sink.emit(EVENT)
    assert sink.refused == 1


WITH_FILM = dataclasses.replace(EVENT, crop=b"a face", clip=b"RIFF a film")


def files_of(server: MailServer) -> list[list[str | None]]:
    return [[part.get_filename() for part in mail.iter_attachments()] for mail in server.mails]


@pytest.mark.parametrize("says_largest", [True, False])
def test_a_film_that_is_too_large_costs_the_film_and_not_the_mail(
    served: Callable[..., MailServer], authority: Authority, says_largest: bool
) -> None:
    server = served()
    server.largest, server.says_largest = 4000, says_largest
    sink = opened(server, authority, picture="clip")
    sink.emit(dataclasses.replace(WITH_FILM, clip=bytes(8000)))
    sink.emit(WITH_FILM)
    assert files_of(server) == [["event.json", "face.jpg"], ["event.json", "face.jpg", "film.avi"]]
    assert sink.refused == 0


def test_a_line_too_slow_for_a_film_gets_the_mail_at_the_next_try(
    served: Callable[..., MailServer], authority: Authority
) -> None:
    server = served()
    server.drip_s = 0.3
    sink = opened(server, authority, picture="clip", timeout_s=1.0)
    with pytest.raises(OSError):
        sink.emit(WITH_FILM)
    server.drip_s = 0.0
    sink.emit(WITH_FILM)
    assert files_of(server)[-1] == ["event.json", "face.jpg"]


def test_a_server_without_end_is_given_up_in_time(served: Callable[..., MailServer], authority: Authority) -> None:
    server = served()
    server.drip_s, server.answers["EHLO"] = 0.3, "\r\n".join(["250-more"] * 10_000)
    server.answers["GREETING"] = "\r\n".join(["220-more"] * 100)
    began_s = time.monotonic()
    with pytest.raises(OSError):
        opened(server, authority, timeout_s=1.0).emit(EVENT)
    assert time.monotonic() - began_s < 5


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({}, "expected the key 'host'"),
        ({"host": "h", "sender": "a@b", "to": []}, "to: expected an address"),
        ({"host": "h", "sender": "a@b\r\nBcc: c@d", "to": ["a@b"]}, "sender: expected an address"),
        ({"host": "h", "sender": "a@b", "to": ["a@b, c@d"]}, "to: expected an address"),
        ({"host": "h", "sender": "a@b", "to": ["a@b"], "security": "none"}, "expected starttls or tls"),
        ({"host": "h", "sender": "a@b", "to": ["a@b"], "text": "$password"}, "expected words of person"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused(table: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_sink({"type": "mail", **table}, "here")
