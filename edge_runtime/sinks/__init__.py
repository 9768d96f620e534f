"""Where events go: one file a sink, configured by ``[[sink]]`` tables; ``events.delivery`` hands them on.

A sink's file holds ``Settings``, a frozen dataclass of the keys its table may have, with a property ``target`` that
distinguishes it from others of its kind; and ``open(settings)``, which returns a ``protocols.Sink``.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edge_runtime.errors import ConfigError
from edge_runtime.schema.backends import backend_names, load_backend
from edge_runtime.schema.table import check_known, described, key, section

if TYPE_CHECKING:
    from edge_runtime.protocols import Sink

_HERE = __name__


@dataclass(frozen=True)
class CommonKeys:
    """What every ``[[sink]]`` table may have."""

    type: str = key(help="what takes the events, as jsonlines")
    name: str = key("", "the place in the log is kept under this name; empty: made of type and target")


@dataclass(frozen=True)
class SinkConfig:
    """One sink, checked.

    Attributes:
        type: the backend's name.
        name: unique; its place in the log of events is kept under it.
        settings: an instance of the backend's ``Settings``.
    """

    type: str
    name: str
    settings: Any

    def as_table(self) -> dict[str, Any]:
        """The ``[[sink]]`` table that makes it."""
        return {"type": self.type, "name": self.name, **dataclasses.asdict(self.settings)}


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
    kind = load_backend(_HERE, common.type, "sink").Settings
    settings = section(kind, {name: value for name, value in table.items() if name not in names}, where)
    return SinkConfig(common.type, common.name or f"{common.type}:{settings.target}", settings)


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
    """The ``Settings`` of every sink there is, by type; this imports them all."""
    return {name: load_backend(_HERE, name, "sink").Settings for name in backend_names(_HERE)}


def open_sink(config: SinkConfig) -> Sink:
    """Open one.

    Raises:
        ConfigError: no such sink, or it cannot be opened.
    """
    sink: Sink = load_backend(_HERE, config.type, "sink").open(config.settings)
    return sink
