"""``familiar.toml``: every key with its type, default, limits and meaning, in one place.

Precedence: command line (``--set section.key=value``) > environment (``FAMILIAR_SECTION_KEY``) > file > default.
Unknown keys are errors that name the nearest known one.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_type_hints

from edge_runtime.errors import ConfigError, InputError
from edge_runtime.schema.listening import parse_listen
from edge_runtime.schema.table import (
    check_known,
    collected,
    described,
    key,
    read_toml,
    remember_address,
    section,
    type_name,
)
from edge_runtime.sinks import CommonKeys, SinkConfig, read_sink, read_sinks, settings_types
from edge_runtime.storage.files import with_sides
from edge_runtime.text.address import NOWHERE, Address

SYSTEM_CONFIG = Path("/etc/familiar/familiar.toml")
SYSTEM_STATE = Path("/var/lib/familiar")
LEVELS = ("debug", "info", "warning", "error")
LIVE_SECTIONS = ("decide", "log")
"""What a running daemon takes over; everything else waits for its next start."""


@dataclass(frozen=True)
class BundleConfig:
    path: str = key("", "folder of the bundle; empty: the state folder's, then a checkout's released one")
    trusted_keys: str = key("", "public keys, separated by spaces; if given, one of them must have signed the bundle")


@dataclass(frozen=True)
class CameraConfig:
    source: Address = key(  # noqa: RUF009 -- an address cannot be changed
        NOWHERE,
        "v4l2:0 | rpicam:0 (both take ?size=1280x720&fps=15) | rtsp://… | http://… (a stream or a still picture) | "
        "file:clip.mp4 (?realtime, ?loop) | dir:photos | synthetic:",
    )
    first_frame_s: float = key(
        30.0,
        "seconds from opening to the first frame after which the camera counts as lost: program and camera must start",
        0.1,
        3600,
    )
    deadline_s: float = key(10.0, "seconds without another frame after which the camera counts as lost", 0.1, 3600)
    frozen_s: float = key(
        30.0,
        "seconds of the very same picture after which a camera counts as frozen, so lost; 0: never",
        0,
        86400,
    )
    snapshot_fps: float = key(
        5.0, "how often a second a picture is asked for where the address gives one still picture a request", 0.2, 60
    )
    max_megapixels: float = key(
        16.0,
        "pictures of this camera that are larger are refused, megapixels; the memory of its process follows from it",
        0.1,
        200,
    )

    def __post_init__(self) -> None:
        """Take a plain text as an address, too."""
        object.__setattr__(self, "source", Address(self.source))


@dataclass(frozen=True)
class WrongCamera(CameraConfig):
    """A camera whose table has a mistake, beside others that are to go on; it is never opened.

    Attributes:
        reason: the mistake, in one line.
    """

    reason: str = ""


@dataclass(frozen=True)
class DetectConfig:
    detector: str = key("bundle", "bundle (the one it was trained with) | bundle:FOLDER | yunet:FILE.onnx")
    every: int = key(
        0, "look for faces in every n-th frame; 0: eight times a second, or what the machine can do", 0, 1000
    )
    refresh_s: float = key(3.0, "seconds between looks at a scene in which nothing moves", 0.1, 3600)
    min_face_px: int = key(20, "smallest face to look for, px", 8, 4096)
    close_looks: int = key(
        4, "parts of a large frame looked at closely in a search, where something moves; 0: never", 0, 64
    )


@dataclass(frozen=True)
class DecideConfig:
    false_accepts_per_1000_strangers: float = key(
        1.0, "how many of 1,000 strangers may be called by somebody's name", 0.001, 1000
    )
    strangers: str = key(
        "alike",
        "whom the target is kept for: alike (strangers who look like the household) | mixed (strangers in general)",
        choices=("alike", "mixed"),
    )
    margin: float = key(0.02, "how far the best person must be ahead of the second best (score)", 0, 2)
    views: int = key(3, "good views of a face before the first decision", 1, 100)
    recheck_s: float = key(1.0, "seconds between re-checks of a decided track", 0, 3600)
    left_after_s: float = key(1.5, "seconds without a face after which a track has left", 0.05, 3600)


@dataclass(frozen=True)
class QualityConfig:
    min_face_px: float = key(32.0, "smallest face that may get a name, px", 8, 4096)


@dataclass(frozen=True)
class GalleryConfig:
    path: str = key("", "gallery database; empty: gallery.db in the state folder")
    key_file: str = key("", "device key, outside the state folder; empty: device.key beside the configuration")
    keep_crops: bool = key(False, "keep a small sealed picture of each enrolled face, for people reembed")


@dataclass(frozen=True)
class ImagesConfig:
    max_megapixels: float = key(50.0, "larger photos are refused, megapixels", 0.1, 10000)


@dataclass(frozen=True)
class RuntimeConfig:
    interpreter: str = key(
        "auto", "auto (an Edge TPU if there is one) | cpu | edgetpu | edgetpu:usb:0 | edgetpu:pci:0 | litert | tflite"
    )
    threads: int = key(1, "CPU threads of one model run", 1, 64)


@dataclass(frozen=True)
class ControlConfig:
    socket: str = key("", "control socket; empty: control.sock in the run folder")


@dataclass(frozen=True)
class MetricsConfig:
    listen: str = key("", "address and port at which Prometheus may read, as 127.0.0.1:9108; empty: nowhere")


KEPT = ("none", "crops", "snapshots", "clips")
"""Each keeps what those before it do."""


@dataclass(frozen=True)
class EventsConfig:
    path: str = key("-", "file that gets one JSON line an event where there is no [[sink]]; -: standard output")
    db: str = key("", "log of events; empty: events.db beside the gallery")
    keep_days: float = key(30.0, "days after which events are deleted", 0.01, 36500)
    keep_mb: float = key(100.0, "megabytes the log may take; beyond, the oldest events are deleted", 1, 1_000_000)
    keep: str = key(
        "none",
        "pictures kept beside each decision, encrypted: none | crops (the face) | snapshots (and what the camera saw, "
        "with boxes and names) | clips (and a film of the seconds before and after)",
        choices=KEPT,
    )
    keep_pictures_mb: float = key(
        500.0, "megabytes that snapshots and clips may take; beyond, the oldest are deleted", 1, 1_000_000
    )
    keep_embeddings: bool = key(True, "keep the encrypted embedding beside each name, for familiar wrong")

    def keeps(self, what: str) -> bool:
        """Whether this of ``KEPT`` is kept."""
        return KEPT.index(self.keep) >= KEPT.index(what)


@dataclass(frozen=True)
class StrangersConfig:
    remember: bool = key(False, "remember who was seen and never named, sealed, to name or ignore them later")
    keep_days: float = key(
        14.0, "days after which a stranger not seen again is deleted; six times that if ignored", 0.01, 3650
    )
    most: int = key(200, "strangers remembered at most; beyond, the one longest unseen is deleted", 1, 2000)
    visit_s: float = key(300.0, "seconds out of sight after which a stranger's coming back is another visit", 0, 86400)


@dataclass(frozen=True)
class WebConfig:
    listen: str = key("", "address and port of API and page, as 127.0.0.1:8470; empty: neither")
    tokens: str = key("", "file of tokens; empty: tokens.json in the state folder")
    tls_cert: str = key("", "certificate chain, PEM; needed beyond this device, unless behind_proxy")
    tls_key: str = key("", "its private key, PEM")
    behind_proxy: bool = key(False, "a proxy that does TLS stands before it; everybody then needs a token")
    max_upload_mb: float = key(16.0, "largest picture taken, MiB", 0.1, 60)


@dataclass(frozen=True)
class LogConfig:
    format: str = key("text", "text | json", choices=("text", "json"))
    level: str = key("info", "least important lines that are written: debug | info | warning | error", choices=LEVELS)
    every_s: float = key(30.0, "seconds between two lines that say the same; those left out are counted", 0, 86400)
    names: bool = key(False, "let lines hold people's names")


@dataclass(frozen=True)
class Config:
    """The whole configuration; every part is immutable and checked."""

    bundle: BundleConfig = BundleConfig()
    camera: Mapping[str, CameraConfig] = field(default_factory=dict)
    detect: DetectConfig = DetectConfig()
    decide: DecideConfig = DecideConfig()
    quality: QualityConfig = QualityConfig()
    gallery: GalleryConfig = GalleryConfig()
    images: ImagesConfig = ImagesConfig()
    runtime: RuntimeConfig = RuntimeConfig()
    control: ControlConfig = ControlConfig()
    events: EventsConfig = EventsConfig()
    sink: tuple[SinkConfig, ...] = ()
    strangers: StrangersConfig = StrangersConfig()
    web: WebConfig = WebConfig()
    metrics: MetricsConfig = MetricsConfig()
    log: LogConfig = LogConfig()


_LONGEST_NAME = 64
_NOT_IN_NAMES = "/+#"
_TABLES = {"camera"}
"""Sections that hold one table a name."""

_LISTS = {"sink"}
"""Sections that are lists of tables, whose keys depend on their type."""


def _section_types() -> dict[str, type[Any]]:
    hints = {name: hint for name, hint in get_type_hints(Config).items() if name not in _LISTS}
    return {name: CameraConfig if name in _TABLES else hint for name, hint in hints.items()}


def load_config(
    path: str | Path | None = None,
    overrides: Sequence[str] = (),
    environ: Mapping[str, str] = os.environ,
    faults: list[ConfigError] | None = None,
    strict: bool = False,
) -> Config:
    """Read the configuration.

    Args:
        path: a file that must exist; None: ``FAMILIAR_CONFIG``, then ``default_path()`` if it is there.
        overrides: ``section.key=value`` from the command line.
        environ: the environment.
        faults: gets every mistake, and defaults are taken instead; None: the first one is raised.
        strict: raise also the mistakes of one camera among others; else it is a ``WrongCamera``.

    Raises:
        ConfigError: an unreadable file, an unknown key, a wrong type, or a value out of range.
    """
    at_once = faults is None
    found = [] if faults is None else faults
    chosen, named = config_file(path, environ), path or environ.get("FAMILIAR_CONFIG")
    document: dict[str, Any] = {}
    if named or chosen.is_file():
        with collected(found, at_once):
            document, _ = read_toml(chosen, "a configuration file")
    for name, value in sorted(environ.items()):
        with collected(found, at_once):
            # Alone first, so that a mistake in it is not blamed on the file.
            parse_config(_apply_environment({}, name, value), name)
            _apply_environment(document, name, value)
    for override in overrides:
        with collected(found, at_once):
            dotted, equals, value = override.partition("=")
            remember_address(value)
            if not equals or "." not in dotted:
                raise ConfigError(f"--set {described(override)}: expected section.key=value")
            given = override if described(value) == repr(value) else dotted
            parse_config(_assign({}, dotted.split("."), value), f"--set {given}")
            _assign(document, dotted.split("."), value)
    return parse_config(document, str(chosen), faults, strict)


def parse_config(
    document: Mapping[str, Any],
    where: str = "configuration",
    faults: list[ConfigError] | None = None,
    strict: bool = True,
) -> Config:
    """Check a parsed document and fill in defaults.

    Args:
        document: as TOML gives it.
        where: for the error lines.
        faults: gets every mistake, and defaults are taken instead; None: the first one is raised.
        strict: see :func:`load_config`.

    Raises:
        ConfigError: an unknown key, a wrong type, or a value out of range.
    """
    at_once = faults is None
    found = [] if faults is None else faults
    sections = _section_types()
    values: dict[str, Any] = {}
    for name, table in document.items():
        with collected(found, at_once):
            check_known(name, {**sections, **dict.fromkeys(_LISTS)}, where, "section")
            if name in _LISTS:
                values[name] = read_sinks(table, where)
            elif name in _TABLES:
                values[name] = _cameras(table, f"{where}: [{name}", faults, strict)
            else:
                values[name] = section(sections[name], table, f"{where}: [{name}]", faults)
    events = document.get("events")
    if values.get("sink") and isinstance(events, dict) and "path" in events:
        with collected(found, at_once):
            raise ConfigError(
                f"{where}: [events] path: expected no path beside [[sink]] tables, found both; delete it, or write "
                'instead [[sink]] with the lines type = "jsonlines" and path = "…"'
            )
    config = Config(**values)
    for section_name, listen in (("metrics", config.metrics.listen), ("web", config.web.listen)):
        if listen:
            with collected(found, at_once):
                parse_listen(listen, f"{where}: [{section_name}] listen")
    for sink in config.sink:
        with collected(found, at_once):
            sent = getattr(sink.settings, "pictures", "none")
            wanted = "none" if sent == "none" else f"{sent}s"
            if not config.events.keeps(wanted):
                raise ConfigError(
                    f'{where}: sink {sink.name}: expected [events] keep = "{wanted}" where such pictures are sent, '
                    f'found "{config.events.keep}"'
                )
    return config


def _cameras(table: Any, where: str, faults: list[ConfigError] | None, strict: bool) -> dict[str, CameraConfig]:
    """The cameras of a table of tables; ``where`` ends with the table's name."""
    if not isinstance(table, dict):
        raise ConfigError(
            f"{where}]: expected a table a name, as {where.rpartition(': ')[2]}.front], found something else"
        )
    cameras: dict[str, CameraConfig] = {}
    wrong: list[ConfigError] = []
    for name, inner in table.items():
        with collected([] if faults is None else faults, faults is None):
            check_camera_name(name)
            if not isinstance(inner, dict):
                raise _no_table(where, inner)
            try:
                cameras[name] = section(CameraConfig, inner, f"{where}.{name}]", faults)
            except ConfigError as error:
                if strict or faults is not None:
                    raise
                wrong.append(error)
                cameras[name] = WrongCamera(reason=str(error))
    if wrong and len(wrong) == len(cameras):
        raise wrong[0]
    return cameras


def _no_table(where: str, found: Any) -> ConfigError:
    example = f"{where.rpartition(': ')[2]}.front]"
    return ConfigError(f"{where}]: expected a table a name, as {example}, found {described(found)}")


def check_camera_name(name: str) -> None:
    """See that a camera's name can stand in a line, a topic and a file's name.

    Raises:
        ConfigError: it cannot.
    """
    if not 1 <= len(name) <= _LONGEST_NAME or not name.isprintable() or set(name) & set(_NOT_IN_NAMES):
        raise ConfigError(
            f"camera {name!a}: expected a name of 1 to {_LONGEST_NAME} letters, digits, spaces, dots or dashes "
            f"without any of {_NOT_IN_NAMES}; choose another"
        )


def changed_keys(old: Config, new: Config) -> list[str]:
    """The dotted keys in which two configurations differ; a camera that came or went is named without a key."""
    changed = []
    for name in sorted(_LISTS):
        changed += [name] if getattr(old, name) != getattr(new, name) else []
    for name, kind in _section_types().items():
        one, other = getattr(old, name), getattr(new, name)
        pairs = {name: (one, other)}
        if name in _TABLES:
            changed += [f"{name}.{each}" for each in sorted({*one} ^ {*other})]
            pairs = {f"{name}.{each}": (one[each], other[each]) for each in one if each in other}
        for prefix, (before, after) in pairs.items():
            keys = [item.name for item in dataclasses.fields(kind)]
            changed += [f"{prefix}.{each}" for each in keys if getattr(before, each) != getattr(after, each)]
    return changed


def describe() -> list[tuple[str, str, Any, str]]:
    """(dotted key, type, default, meaning) of every key, in the file's order."""

    def row(prefix: str, item: dataclasses.Field[Any]) -> tuple[str, str, Any, str]:
        default = None if item.default is dataclasses.MISSING else item.default
        default = str(default) if isinstance(default, Address) else default
        return f"{prefix}.{item.name}", type_name(item.type), default, item.metadata["help"]

    rows = []
    for name, kind in _section_types().items():
        prefix = f"{name}.NAME" if name in _TABLES else name
        for item in dataclasses.fields(kind):
            rows.append(row(prefix, item))
    kinds: dict[str, type[Any]] = {
        "[[sink]]": CommonKeys,
        **{f"[[sink]] {name}": kind for name, kind in settings_types().items()},
    }
    for prefix, settings in kinds.items():
        for item in dataclasses.fields(settings):
            if str(item.type).startswith("tuple"):
                default = () if item.default is dataclasses.MISSING else item.default
                rows.append((f"{prefix}.{item.name}", "list", list(default), item.metadata["help"]))
            else:
                rows.append(row(prefix, item))
    return rows


def _apply_environment(document: dict[str, Any], name: str, value: str) -> dict[str, Any]:
    """FAMILIAR_DECIDE_MARGIN=… or FAMILIAR_CAMERA_FRONT_SOURCE=…; other FAMILIAR_ names are not ours to judge."""
    if name.startswith("FAMILIAR_"):
        remember_address(value)
    match = re.fullmatch(r"FAMILIAR_([A-Z]+)_([A-Z0-9_]+)", name)
    sections = _section_types()
    if not match or match[1].lower() not in sections:
        return document
    section, rest = match[1].lower(), match[2].lower()
    keys = [item.name for item in dataclasses.fields(sections[section])]
    if section not in _TABLES:
        return _assign(document, [section, rest], value)
    key = next((k for k in keys if rest.endswith(f"_{k}")), None)
    if key:
        _assign(document, [section, rest[: -len(key) - 1], key], value)
    return document


def _assign(document: dict[str, Any], path: Sequence[str], text: str) -> dict[str, Any]:
    """Put a value given as text into the document, which is returned; it is read as the key's own type."""
    kind: type[Any] = str
    if (section := _section_types().get(path[0])) is not None:
        kind = get_type_hints(section).get(path[-1], str)
    value: Any = text
    if kind in (int, float):
        try:
            value = kind(text)
        except ValueError as error:
            raise ConfigError(f"{'.'.join(path)}: expected {kind.__name__}, found {described(text)}") from error
    elif kind is bool and text.lower() in ("true", "false"):
        value = text.lower() == "true"
    table = document
    for name in path[:-1]:
        table = table.setdefault(name, {})
        if not isinstance(table, dict):
            raise ConfigError(f"{'.'.join(path)}: {name} is not a table")
    table[path[-1]] = value
    return document


# Places. A system install uses the folders systemd makes; a person trying things uses their own.


def config_file(path: str | Path | None = None, environ: Mapping[str, str] = os.environ) -> Path:
    """The configuration file that :func:`load_config` reads, whether or not it is there."""
    named = path or environ.get("FAMILIAR_CONFIG")
    return Path(named) if named else default_path()


def default_path() -> Path:
    """The configuration file read when no other is named."""
    user = config_dir() / "familiar.toml"
    return user if user.is_file() or not SYSTEM_CONFIG.is_file() else SYSTEM_CONFIG


def config_dir() -> Path:
    """Where configuration and the device key live for this user."""
    return _own_place("XDG_CONFIG_HOME", ".config", SYSTEM_CONFIG.parent)


def state_dir() -> Path:
    """Where the gallery lives: systemd's StateDirectory, else the user's own state folder."""
    given = os.environ.get("FAMILIAR_STATE") or os.environ.get("STATE_DIRECTORY")
    return Path(given) if given else _own_place("XDG_STATE_HOME", ".local/state", SYSTEM_STATE)


def _own_place(variable: str, below_home: str, without_home: Path) -> Path:
    """A folder of this user's; the system's for a user who has no home, as ``--user`` in a container makes one.

    Relative paths are passed over (XDG Base Directory Specification): they would be another place in each folder.
    """
    given = Path(os.environ.get(variable, ""))
    if given.is_absolute():
        return given / "familiar"
    try:
        home = Path.home()
    except RuntimeError:
        return without_home
    return home / below_home / "familiar" if home.is_absolute() else without_home


def run_dir() -> Path:
    """Where the control socket lives: systemd's RuntimeDirectory, else the user's own."""
    if given := os.environ.get("RUNTIME_DIRECTORY"):
        return Path(given)
    own = Path(os.environ.get("XDG_RUNTIME_DIR", ""))
    return own / "familiar" if own.is_absolute() else state_dir()


def trusted_keys(config: Config) -> list[str]:
    """The public keys of which one must have signed a bundle; empty: nobody need have."""
    return config.bundle.trusted_keys.split()


def _file(text: str, where: str) -> Path:
    """A path that can be a file's."""
    path = Path(text)
    if not path.name or path.name == ".." or "\0" in text:
        raise ConfigError(f"{where}: expected the path of a file, found {described(text)}; name one")
    try:
        path.resolve()
    except (OSError, RuntimeError) as error:
        raise ConfigError(f"{where}: expected the path of a file, found links that lead nowhere; name one") from error
    return path


def gallery_path(config: Config) -> Path:
    return _file(config.gallery.path, "[gallery] path") if config.gallery.path else state_dir() / "gallery.db"


def events_path(config: Config) -> Path:
    return _file(config.events.db, "[events] db") if config.events.db else gallery_path(config).with_name("events.db")


def sinks(config: Config) -> tuple[SinkConfig, ...]:
    """The sinks configured; without a table, one of JSON lines to ``[events] path``."""
    return config.sink or (read_sink({"type": "jsonlines", "path": config.events.path}, "[events]"),)


def unknowns_path(config: Config) -> Path:
    return gallery_path(config).with_name("strangers.db")


def check_output(config: Config, path: Path) -> Path:
    """A file that is about to be written; it may not be one that this device needs.

    Raises:
        InputError: it is the gallery, the log of events, the strangers' file, the device key or the configuration,
            a folder or device, or in a folder that is not there.
    """
    if not path.absolute().parent.is_dir():
        raise InputError(f"{path}: expected a folder to write to, found none; make {path.absolute().parent}")
    if path.exists() and not path.is_file():
        raise InputError(f"{path}: expected a file or nothing, found a folder or device; name a file")
    databases = [gallery_path(config), events_path(config), unknowns_path(config)]
    files = (file for own in databases for file in (*with_sides(own), own.with_name(f"{own.name}.forgotten")))
    try:
        target = path.resolve()
    except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: links that lead to each other
        raise InputError(f"{path}: expected a new file to write, found a name that leads nowhere ({error})") from error
    for own in (*files, key_path(config), default_path()):
        if target == own.resolve():
            raise InputError(f"{path}: expected a new file to write, found one that this device lives by; name another")
    return path


def key_path(config: Config) -> Path:
    return (
        _file(config.gallery.key_file, "[gallery] key_file") if config.gallery.key_file else config_dir() / "device.key"
    )


def tokens_path(config: Config) -> Path:
    return Path(config.web.tokens) if config.web.tokens else state_dir() / "tokens.json"


def socket_path(config: Config) -> Path:
    return _file(config.control.socket, "[control] socket") if config.control.socket else run_dir() / "control.sock"


def bundle_path(config: Config) -> Path:
    """The bundle configured, else the state folder's, else the released one of this code's or the current checkout."""
    if config.bundle.path:
        return Path(config.bundle.path)
    released = Path("models/released/default")
    checkouts = (Path(__file__).parent.parent / released, released.absolute())
    places = (installed_bundle(), *checkouts)
    return next((place for place in places if place.is_dir()), places[0])


def installed_bundle() -> Path:
    """Where ``familiar bundle install`` puts one."""
    return state_dir() / "bundle"
