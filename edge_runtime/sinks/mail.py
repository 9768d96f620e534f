"""A mail for each event, over an encrypted connection to the owner's mail server (RFC 5321, RFC 3207, RFC 8314)."""

from __future__ import annotations

import json
import smtplib
import socket
import ssl
import threading
from contextlib import suppress
from dataclasses import dataclass, replace
from email.message import EmailMessage
from email.utils import formatdate

from edge_runtime.errors import ConfigError, SinkRefusedError
from edge_runtime.schema.table import key
from edge_runtime.sinks import picture_key
from edge_runtime.sinks.webhook.messages import WORDS, attachments, check_text, text_of
from edge_runtime.storage.certificates import client_context
from edge_runtime.storage.secret import read_secret
from edge_runtime.types import Event

_WHERE = "sink mail"
_PORTS = {"starttls": 587, "tls": 465}
_LATER = range(400, 500)
_TOO_LARGE = 552
_OURS = "[127.0.0.1]"
"""What we call ourselves; without it smtplib looks this device's name up, which can take longer than the mail."""


@dataclass(frozen=True)
class Settings:
    """Keys of a ``[[sink]]`` table of this type."""

    host: str = key(help="name of the mail server that takes your mail")
    sender: str = key(help="address the mail comes from")
    to: tuple[str, ...] = key(help="addresses it goes to")
    port: int = key(0, "its port; 0: 587, with tls 465", 0, 65535)
    security: str = key("starttls", "starttls | tls; nothing is sent in the clear", choices=("starttls", "tls"))
    user: str = key("", "user at the server; empty: nobody")
    password_file: str = key("", "file with the password alone, not for everybody to read")
    password_env: str = key("", "variable of the environment with the password")
    text: str = key("", f"subject, with {', '.join(f'${word}' for word in WORDS)}; empty: the usual")
    picture: str = picture_key("attached", clips=True)
    ca_certs: str = key("", "file of certificate authorities instead of the system's")
    timeout_s: float = key(30.0, "seconds one mail may take in all", 0.1, 300)

    def __post_init__(self) -> None:
        check_text(self.text, _WHERE)
        for name, address in (("sender", self.sender), *(("to", each) for each in self.to or ("",))):
            if "@" not in address or not address.isprintable() or set(address) & set(' ,;<>"'):
                raise ConfigError(f"{_WHERE}, {name}: expected an address as you@example.org, found {address!r}")

    @property
    def target(self) -> str:
        """What distinguishes it from others of its kind."""
        return f"{self.host}/{','.join(self.to)}"

    @property
    def pictures(self) -> str:
        """See ``protocols.Sink``."""
        return self.picture


def open(settings: Settings) -> MailSink:
    """A sink to this server, which need not be there.

    Raises:
        ConfigError: the password or the file of authorities cannot be read.
    """
    return MailSink(settings)


class MailSink:
    """See ``protocols.Sink``; a mail is delivered when the server has taken it over."""

    lasting = True

    def __init__(self, settings: Settings) -> None:
        """See :func:`open`."""
        self.refused = 0
        self.pictures = settings.picture
        self._settings = settings
        self._port = settings.port or _PORTS[settings.security]
        self._password = read_secret(settings.password_file, settings.password_env, f"{_WHERE}, password")
        self._closed = self._overdue = False
        self._too_slow: int | None = -1
        self._tls = client_context(settings.ca_certs, f"{_WHERE}, ca_certs")

    def emit(self, event: Event) -> None:
        """Send one mail.

        Raises:
            ValueError: closed.
            SinkRefusedError: no encryption, no trusted certificate, a wrong password or address.
            OSError: the server is not there, too slow, or asks to come again.
        """
        if self._closed:
            raise ValueError("sink: closed; open it again")
        host = f"{self._settings.host}:{self._port}"
        try:
            self._offer(event)
        except ssl.SSLCertVerificationError as error:
            raise SinkRefusedError(f"{host}: its certificate is not trusted ({error.verify_message})") from error
        except smtplib.SMTPNotSupportedError as error:
            raise SinkRefusedError(f"{host}: it offers no encryption or no login ({error})") from error
        except smtplib.SMTPDataError as error:
            if error.smtp_code in _LATER:
                raise ConnectionError(f"{host}: answers {error.smtp_code}") from error
            self.refused += 1
        except smtplib.SMTPResponseException as error:
            kind = ConnectionError if error.smtp_code in _LATER or error.smtp_code < 0 else SinkRefusedError
            raise kind(f"{host}: answers {error.smtp_code}; check user, password and addresses") from error
        except smtplib.SMTPRecipientsRefused as error:
            codes = [code for code, _ in error.recipients.values()]
            kind = ConnectionError if all(code in _LATER for code in codes) else SinkRefusedError
            raise kind(f"{host}: takes no mail for {', '.join(error.recipients)} ({codes[0]})") from error

    def _offer(self, event: Event) -> None:
        """Send a mail; without the film where that is too large, or was too slow at the last try."""
        if event.event_id == self._too_slow:
            event = replace(event, clip=None)
        try:
            self._send(self._message(event))
        except (smtplib.SMTPDataError, smtplib.SMTPSenderRefused) as error:
            if error.smtp_code != _TOO_LARGE or event.clip is None:
                raise
            self._send(self._message(replace(event, clip=None)))
        except OSError:
            if self._overdue and event.clip is not None:
                self._too_slow = event.event_id
            raise

    def flush(self) -> None:
        """Nothing: what was emitted is taken over."""

    def close(self) -> None:
        """End; a mail under way is not waited for. May be called again."""
        self._closed = True

    def _message(self, event: Event) -> EmailMessage:
        settings = self._settings
        text = text_of(event, settings.text)
        message = EmailMessage()
        message["Subject"], message["From"], message["To"] = text, settings.sender, ", ".join(settings.to)
        message["Date"] = formatdate(event.wall_time, localtime=True)
        # The same each time, so that a repetition is known as one.
        message["Message-ID"] = f"<familiar.{event.event_id}.{int(event.wall_time)}.{settings.sender}>"
        message.set_content(text + "\n")
        message.add_attachment(
            json.dumps(event.as_json(), ensure_ascii=False, allow_nan=False).encode(),
            maintype="application", subtype="json", filename="event.json",
        )  # fmt: skip
        for name, kind, data in attachments(event):
            maintype, _, subtype = kind.partition("/")
            message.add_attachment(data, maintype=maintype, subtype=subtype, filename=name)
        return message

    def _send(self, message: EmailMessage) -> None:
        settings = self._settings
        at_once = settings.security == "tls"
        server: smtplib.SMTP
        if at_once:
            server = smtplib.SMTP_SSL(local_hostname=_OURS, timeout=settings.timeout_s, context=self._tls)
        else:
            server = smtplib.SMTP(local_hostname=_OURS, timeout=settings.timeout_s)
        server._host = settings.host  # type: ignore[attr-defined]  # the certificate is checked against it
        # A socket's own timeout starts anew with each byte, and an answer may have lines without end.
        self._overdue = False
        clock = threading.Timer(settings.timeout_s, self._give_up, (server,))
        clock.daemon = True
        clock.start()
        try:
            code, _ = server.connect(settings.host, self._port)
            if code != 220:
                raise smtplib.SMTPConnectError(code, b"")
            if not at_once:
                server.starttls(context=self._tls)
            if settings.user:
                server.login(settings.user, self._password or "")
            server.send_message(message, settings.sender, settings.to)
            with suppress(smtplib.SMTPException, OSError):
                server.quit()
        finally:
            clock.cancel()
            server.close()

    def _give_up(self, server: smtplib.SMTP) -> None:
        """End a connection under the hands of another thread, which then sees the end of it."""
        self._overdue = True
        if server.sock is not None:
            with suppress(OSError):
                socket.socket.shutdown(server.sock, socket.SHUT_RDWR)
