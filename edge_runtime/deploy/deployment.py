"""From here to a running service on a device: look, build, send, install, test, switch, start.

Until the switch nothing that runs on the device is touched; after it, a failure puts everything back.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from edge_runtime.bundle.folder import Bundle
from edge_runtime.config import Config, load_config
from edge_runtime.decision.refusal import PROMISE, check_bundle
from edge_runtime.deploy.connection import Connection
from edge_runtime.deploy.facts import Facts
from edge_runtime.deploy.layout import Layout, package_text
from edge_runtime.deploy.payload import Payload, build_wheel, check_wheel, find_checkout, leave_out, make_payload
from edge_runtime.deploy.wheels import Target, cache_folder, collect
from edge_runtime.errors import DeployError, InputError
from edge_runtime.pictures.folder import list_images


@dataclass(frozen=True)
class Request:
    """What to deploy, and where to.

    Attributes:
        host: ``USER@HOST`` or an alias of ssh's configuration.
        bundle: folder of the bundle.
        wheel: of the runtime; None: built from the checkout this runs from.
        configuration: the device's new one; None: it keeps its own, or gets a first one.
        wheelhouse: folder with every wheel the device needs; None: those of the lock for it, or, where there is no
            lock for its platform, whatever the device's own package index has.
        layout: places on the device.
        port: other than ssh's own choice.
        identity: private key file.
        options: ``KEY=VALUE`` for ``ssh -o``.
        dry_run: look and print the plan, change nothing.
        forced: ``promise``: send a bundle although it would name nobody.
        watch_s: how long the service is watched before its release counts as sound, seconds.
        reembed: make the embeddings of people enrolled again, if the bundle has another encoder.
        photos: folders with the photos that they were enrolled with.
    """

    host: str
    bundle: Path
    wheel: Path | None = None
    configuration: Path | None = None
    wheelhouse: Path | None = None
    layout: Layout = field(default_factory=Layout)
    port: int | None = None
    identity: str | None = None
    options: Sequence[str] = ()
    dry_run: bool = False
    forced: Sequence[str] = ()
    watch_s: int = 20
    reembed: bool = False
    photos: Sequence[Path] = ()


def deploy(request: Request) -> None:
    """Deploy, with each step on standard output.

    Raises:
        UsageError: a host or place that cannot be one.
        ConfigError: a configuration with a mistake; nothing was sent.
        BundleError: a bundle that is not whole; nothing was sent.
        SelfTestError: a bundle that would name nobody; nothing was sent.
        InputError: not a wheel or wheelhouse; nothing was sent.
        DeployError: a step failed; what ran before still runs.
    """
    told = Steps()
    connection = Connection(request.host, request.port, request.identity, request.options)
    bundle = Bundle(request.bundle)
    photos = [photo for folder in request.photos for photo in list_images(folder, told.also)]
    config = load_config(request.configuration, environ={}, strict=True) if request.configuration else Config()
    if PROMISE not in request.forced:
        check_bundle(bundle, config.decide)
    checkout = find_checkout()
    if request.wheel:
        check_wheel(request.wheel)
    elif not checkout:
        raise DeployError("expected a wheel to send, this is no checkout to build one from; use --wheel FILE")
    if request.wheelhouse and not request.wheelhouse.is_dir():
        raise InputError(f"{request.wheelhouse}: expected a folder with wheels, found none; make one with pip download")
    with connection, tempfile.TemporaryDirectory(prefix="familiar-") as work:
        told.begin(f"looking at {request.host}")
        facts = Facts.parse(connection.script("look", request.layout.arguments()))
        elevation = facts.elevation(sys.stdin.isatty() and sys.stdout.isatty())
        told.step(facts.lines()[0])
        for line in facts.lines()[1:] + [f"warning: {text}" for text in facts.warnings()]:
            told.also(line)
        facts.check_room(0)
        if request.dry_run:
            _tell_plan(request, facts, bundle, elevation, told)
            return
        wheel = request.wheel
        if not wheel:
            assert checkout is not None
            told.begin("building the wheel")
            wheel = build_wheel(checkout, Path(work) / "wheel")
            told.step(f"built {wheel.name}")
        wheelhouse, lock = request.wheelhouse, None
        if wheelhouse is None and (lock := facts.target().lock()):
            wheelhouse = _collect(facts.target(), lock, Path(work) / "wheels", told)
        payload = make_payload(
            Path(work) / "release",
            wheel,
            bundle,
            request.layout,
            facts.groups,
            request.configuration,
            wheelhouse,
            lock,
            photos,
        )
        payload = leave_out(payload, facts.files)
        facts.check_room(payload.size >> 20)
        _install(connection, request, facts, payload, elevation, told)


def _collect(target: Target, lock: str, folder: Path, told: Steps) -> Path:
    """The wheels of the lock in a folder of their own."""
    told.begin(f"collecting the wheels for {target}")
    folder.mkdir()
    wheels = collect(target, lock, cache_folder())
    for wheel in wheels:
        (folder / wheel.name).symlink_to(wheel)
    told.step(f"{len(wheels)} wheels for {target}, as locked")
    return folder


def _install(
    connection: Connection, request: Request, facts: Facts, payload: Payload, elevation: list[str], told: Steps
) -> None:
    stage = _fact(connection.host, connection.script("stage", []), "stage")
    try:
        told.begin("sending")
        connection.upload(payload.folder, stage, payload.size)
        told.step(
            f"sent {payload.size / 1e6:.1f} MB: wheel, bundle, {'configuration, ' * bool(request.configuration)}unit"
        )
        release = payload.release_id(datetime.now(UTC))
        words = [*elevation, "sh", f"{stage}/install.sh", "install", *request.layout.arguments()]
        words += ["--stage", stage, "--id", release, "--sums", payload.sums]
        words += [word for name in request.forced for word in ("--force", name)]
        words += ["--watch", str(request.watch_s), *(["--reembed", "yes"] if request.reembed else [])]
        words += ["--python", facts.python().path, "--extras", facts.extras()]
        done = connection.command(words, told.line, terminal=elevation == ["sudo", "-H"])
    except BaseException:
        _clean(connection, stage)
        raise
    if not done:
        _clean(connection, stage)
        raise DeployError(f"{request.host}: {told.reason()}; {_what_remains(facts, told)}")
    _tell_end(request, release, told)


def roll_back(request: Request) -> None:
    """Switch back to the release before the present one, which is tested and watched as a new one is.

    Raises:
        UsageError: a host that cannot be one.
        DeployError: there is none, or it failed; what ran before still runs.
    """
    told = Steps()
    connection = Connection(request.host, request.port, request.identity, request.options)
    with connection:
        facts = Facts.parse(connection.script("look", request.layout.arguments()))
        elevation = facts.elevation(sys.stdin.isatty() and sys.stdout.isatty())
        stage = _fact(connection.host, connection.script("stage", []), "stage")
        try:
            connection.upload_text("install.sh", package_text("install.sh"), stage)
            words = [*elevation, "sh", f"{stage}/install.sh", "rollback", *request.layout.arguments()]
            words += ["--stage", stage, "--watch", str(request.watch_s)]
            done = connection.command(words, told.line, terminal=elevation == ["sudo", "-H"])
        finally:
            _clean(connection, stage)
        if not done:
            raise DeployError(f"{request.host}: {told.reason()}; {_what_remains(facts, told)}")


def look_up_status(request: Request) -> dict[str, str]:
    """What a device runs: ``current``, ``releases``, ``state`` and ``bundle``; changes nothing.

    Raises:
        DeployError: it cannot be reached.
    """
    with Connection(request.host, request.port, request.identity, request.options) as connection:
        pairs = connection.script("status", request.layout.arguments())
    last = dict(pairs)
    return {
        "current": last.get("current", ""),
        "releases": " ".join(value for name, value in pairs if name == "release"),
        "state": last.get("state", ""),
        "bundle": last.get("bundle", ""),
    }


def _fact(host: str, facts: Sequence[tuple[str, str]], name: str) -> str:
    """What a device says of itself by one name.

    Raises:
        DeployError: it does not say.
    """
    value = dict(facts).get(name, "")
    if not value:
        raise DeployError(
            f"{host}: expected the device to say {name!r}, it did not; "
            "look whether a start-up file of that user's shell ends the session"
        )
    return value


def _clean(connection: Connection, stage: str) -> None:
    """Take the upload away, if the installation has not done so itself."""
    try:
        connection.script("clean", ["--stage", stage])
    except DeployError:
        return  # Out of reach: the next deployment clears what is older than a day.


def _what_remains(facts: Facts, told: Steps) -> str:
    if len(told.failures) > 1:
        return told.failures[1]
    return f"release {facts.current} stays in use" if facts.current else "nothing is installed there, as before"


def _tell_plan(request: Request, facts: Facts, bundle: Bundle, elevation: list[str], told: Steps) -> None:
    layout = request.layout
    configuration = {"yes": "kept", "no": "made, with camera v4l2:0", "unknown": "kept, or made if it is missing"}
    told.step("the plan (dry run: nothing was changed)")
    wheel = request.wheel or "built from this checkout"
    target = facts.target()
    locked = f"the lock for {target}" if target.lock() else "the device's package index"
    source = f"wheels of {request.wheelhouse}" if request.wheelhouse else locked
    told.also(f"wheel: {wheel}, with [{facts.extras()}] from {source}")
    told.also(f"bundle: {bundle.path} ({bundle.manifest.name}, {bundle.hash[:12]})")
    told.also(f"configuration: {request.configuration or configuration[facts.configuration]}")
    told.also(f"place: {layout.releases_home}/releases, run as {layout.user}{', by sudo' * bool(elevation)}")
    told.also(f"service: {'familiar.service is installed and started' if facts.systemd else 'not started: no systemd'}")


def _tell_end(request: Request, release: str, told: Steps) -> None:
    layout = request.layout
    host = request.host
    if _fact(host, told.facts, "started") == "yes":
        told.step(f"{host} runs release {release}; next: ssh -t {host} sudo {layout.command} status")
        return
    account = f"sudo -u {layout.user} " if not layout.root else ""
    told.step(
        f"{host} has release {release}; start it there by hand: {account}{layout.releases_home}/current/familiar run"
    )


class Steps:
    """One line a step with the seconds since the start; on a terminal the running step shows too.

    Attributes:
        facts: names and values the device printed while it installed.
        failures: reasons it gave, the first one first.
    """

    def __init__(self) -> None:
        self.facts: list[tuple[str, str]] = []
        self.failures: list[str] = []
        self._start_s = time.monotonic()
        self._running = ""
        self._live = sys.stdout.isatty()
        # ssh with a terminal switches this one to raw, where a line's end does not go back to the left.
        self._end = "\r\n" if self._live else "\n"

    def begin(self, text: str) -> None:
        """A step that takes its time."""
        self._running = text
        self._show()

    def step(self, text: str) -> None:
        """A step that is done."""
        self._running = ""
        self._print(f"{time.monotonic() - self._start_s:6.1f} s  {text}")

    def also(self, text: str) -> None:
        """More about the last step."""
        self._print(f"{'':10}{text}")

    def line(self, kind: str, text: str) -> None:
        """Take one line of the device: see :mod:`.connection`."""
        if kind == "fact":
            name, _, value = text.partition("=")
            self.facts.append((name, value))
        elif kind == "begin":
            self.begin(text)
        elif kind == "step":
            self.step(text)
        elif kind == "fail":
            self.failures.append(text)
        elif kind == "log":
            self.also(f"| {text}")
        else:
            self._show()

    def reason(self) -> str:
        return self.failures[0] if self.failures else "the installation ended without a word"

    def _print(self, text: str) -> None:
        clear = "\r\x1b[K" if self._live else ""
        sys.stdout.write(f"{clear}{text}{self._end}")
        sys.stdout.flush()

    def _show(self) -> None:
        if self._live and self._running:
            sys.stdout.write(f"\r\x1b[K{time.monotonic() - self._start_s:6.1f} s  {self._running} …")
            sys.stdout.flush()
