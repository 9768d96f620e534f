"""Where events go: one file a sink, configured by ``[[sink]]`` tables; ``events.delivery`` hands them on.

A sink's file holds ``Settings``, a frozen dataclass of the keys its table may have, with a property ``target`` that
distinguishes it from others of its kind; and ``open(settings)``, which returns a ``protocols.Sink``. What events a
sink gets is said by keys that all tables have; ``events.filters`` applies them, so that no sink needs to.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

from edge_runtime.errors import ConfigError
from edge_runtime.schema.backends import backend_names, load_backend
from edge_runtime.schema.table import check_known, described, key, section

if TYPE_CHECKING:
    from edge_runtime.protocols import Sink

_HERE = __name__
_HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-4]):([0-5]\d)")


def picture_key(what: str, clips: bool = False) -> Any:
    """The key by which a sink shows pictures: ``none``, ``crop``, ``snapshot``, and perhaps ``clip``.

    Args:
        what: is done with them, as "sent".
        clips: whether it can send films.
    """
    choices = ("none", "crop", "snapshot", "clip") if clips else ("none", "crop", "snapshot")
    film = ", or that and a film" if clips else ""
    shown = f"the face, or all that the camera saw{film}"
    return key("none", f"what is {what}: {' | '.join(choices)} ({shown}); see [events] keep", choices=choices)


@dataclass(frozen=True)
class CommonKeys:
    """What every ``[[sink]]`` table may have."""

    type: str = key(help="what takes the events, as jsonlines")
    name: str = key("", "the place in the log is kept under this name; empty: made of type and target")
    cameras: tuple[str, ...] = key((), "only events of these cameras; empty: of all, and of the device")
    kinds: tuple[str, ...] = key((), "only events of these kinds, as identified; empty: of all")
    people: tuple[str, ...] = key(
        (), "only events of these people; unknown stands for everybody without a name; empty: of all"
    )
    hours: tuple[str, ...] = key((), "only events in these hours of local time, as 22:00-06:00; empty: always")
    cooldown_s: float = key(
        0.0, "seconds after an event in which no other of its kind, camera and person is handed on", 0, 604_800
    )
    first_of_day: bool = key(False, "of each kind only the first event of a person in a day of local time")

    @property
    def spans(self) -> tuple[tuple[int, int], ...]:
        """``hours`` as minutes of the day, first and last; one that ends before it begins goes over midnight."""
        found = [_HOURS.fullmatch(text) for text in self.hours]
        return tuple((int(m[1]) * 60 + int(m[2]), int(m[3]) * 60 + int(m[4])) for m in found if m)


@dataclass(frozen=True)
class SinkConfig:
    """One sink, checked.

    Attributes:
        common: what all tables have; its name is never empty.
        settings: an instance of the backend's ``Settings``.
    """

    common: CommonKeys
    settings: Any

    @property
    def type(self) -> str:
        """The backend's name."""
        return self.common.type

    @property
    def name(self) -> str:
        """Unique; its place in the log of events is kept under it."""
        return self.common.name

    def as_table(self, show_secrets: bool = True) -> dict[str, Any]:
        """The ``[[sink]]`` table that makes it; without its secrets on request."""
        table = {**dataclasses.asdict(self.common), **dataclasses.asdict(self.settings)}
        if not show_secrets:
            hidden = {item.name for item in dataclasses.fields(self.settings) if item.metadata["secret"]}
            table |= {name: "***" for name in hidden if table[name]}
        return table


def read_sink(table: Any, where: str) -> SinkConfig:
    """One ``[[sink]]`` table; its backend's file is imported, no other.

    Args:
        table: of the document.
        where: for the error line.

    Raises:
        ConfigError: no table, an unknown type or key, a wrong type of a value, or a value out of range.
    """
    if not isinstance(table, dict):
        raise ConfigError(f"{where}: expected a table, found {described(table)}")
    names = [item.name for item in dataclasses.fields(CommonKeys)]
    common = section(CommonKeys, {name: value for name, value in table.items() if name in names}, where)
    check_known(common.type, dict.fromkeys(backend_names(_HERE)), where, "type")
    _check_filters(common, where)
    kind = load_backend(_HERE, common.type, "sink").Settings
    try:
        settings = section(kind, {name: value for name, value in table.items() if name not in names}, where)
    except ConfigError as error:
        # What a sink's own checks find does not know in which of several tables.
        raise error if str(error).startswith(where) else ConfigError(f"{where}: {error}") from error
    name = common.name or f"{common.type}:{settings.target}"
    return SinkConfig(dataclasses.replace(common, name=name), settings)


def _check_filters(common: CommonKeys, where: str) -> None:
    if common.kinds:
        from edge_runtime.types import EventKind  # brings numpy along

        for kind in common.kinds:
            check_known(kind, dict.fromkeys(get_args(EventKind)), f"{where} kinds", "kind")
    for text in common.hours:
        if not _HOURS.fullmatch(text):
            raise ConfigError(f"{where} hours: expected HH:MM-HH:MM, as 22:00-06:00, found {text!r}")


def read_sinks(tables: Any, where: str) -> tuple[SinkConfig, ...]:
    """All ``[[sink]]`` tables of a document.

    Raises:
        ConfigError: as for :func:`read_sink`; no list of tables, or two sinks of one name.
    """
    if not isinstance(tables, list):
        raise ConfigError(
            f"{where}: [[sink]]: expected a list of tables, found {described(tables)}; write [[sink]] in the file"
        )
    sinks = tuple(read_sink(table, f"{where}: [[sink]] {number}") for number, table in enumerate(tables, 1))
    names = [sink.name for sink in sinks]
    for number, name in enumerate(names, 1):
        if name in names[: number - 1]:
            raise ConfigError(
                f"{where}: [[sink]] {number}: expected a name of its own, found {name!r} again; "
                'add name = "…" to one of them, or delete one'
            )
    return sinks


def settings_types() -> dict[str, type[Any]]:
    """The ``Settings`` of every sink there is, by type; this imports their files, and no package of others'."""
    return {name: load_backend(_HERE, name, "sink").Settings for name in backend_names(_HERE)}


def open_sink(config: SinkConfig) -> Sink:
    """Open one.

    Raises:
        ConfigError: no such sink, or it cannot be opened.
    """
    sink: Sink = load_backend(_HERE, config.type, "sink").open(config.settings)
    return sink
