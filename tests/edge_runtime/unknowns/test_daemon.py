"""Strangers of a real daemon: remembered, listed, named and ignored over its socket and on its files."""

from __future__ import annotations

import dataclasses
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.app.people import open_people
from edge_runtime.config import Config, StrangersConfig, events_path, unknowns_path
from edge_runtime.control.client import ControlClient
from edge_runtime.daemon.service import Service
from edge_runtime.errors import InputError
from edge_runtime.events.reader import EventReader
from edge_runtime.gallery.directory import Directory
from edge_runtime.gallery.opening import key_source
from edge_runtime.unknowns.file import UnknownsFile
from tests.running_service import make_config


@pytest.fixture
def config(tmp_path: Path, tiny_bundle: Path, visit_clip: str) -> Config:
    made = make_config(tmp_path, tiny_bundle, door=visit_clip)
    return dataclasses.replace(made, strangers=StrangersConfig(remember=True, visit_s=0.0))


@pytest.fixture
def watch(config: Config) -> Callable[[], list[dict[str, Any]]]:
    """Lets a daemon watch the clip once; returns the events it told."""

    def run() -> list[dict[str, Any]]:
        path = Path(config.events.path)
        path.unlink(missing_ok=True)
        with Service(config) as service:
            service.run()
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    return run


def of(config: Config, command: str, **arguments: str | bool) -> Any:
    with open_people(config, enrolling=command == "strangers.name", strangers=True) as people:
        return people.call(command, arguments)


def test_by_default_nobody_is_remembered(config: Config, visit_clip: str) -> None:
    off = dataclasses.replace(config, strangers=StrangersConfig())
    with Service(off) as service:
        service.run()
        assert service.answer("strangers.list", {}, b"") == {"strangers": []}
    assert not unknowns_path(config).exists()
    assert of(off, "strangers.list") == {"strangers": []}


def test_seen_twice_named_and_known_the_third_time(config: Config, watch: Callable[[], list[dict[str, Any]]]) -> None:
    assert [event["visits"] for event in watch()] == [None, 1, 1]
    with UnknownsFile(unknowns_path(config), key_source(config).load(), None) as file:
        (one,) = file.strangers()
        earlier = dataclasses.replace(one, last_s=one.last_s - 3600)
        file.write({one.stranger_id: earlier}, {}, (file.clock_s, file.wall_s))
    told = watch()
    assert [event["kind"] for event in told] == ["appeared", "unknown", "left"]
    assert [event["visits"] for event in told] == [None, 2, 2]
    (stranger,) = of(config, "strangers.list")["strangers"]
    assert stranger["stranger"] == told[1]["stranger"] and stranger["cameras"] == ["door"]
    shown = of(config, "strangers.show", stranger=stranger["stranger"])
    assert shown["visits"] == 2 and all(record["crop"] for record in shown["records"])
    answer = of(config, "strangers.name", stranger=stranger["stranger"], name="Ada")
    assert [result["accepted"] for result in answer["results"]] == [True] * shown["views"]
    assert of(config, "strangers.list") == {"strangers": []}
    with closing(sqlite3.connect(unknowns_path(config))) as database:
        assert database.execute("SELECT count(*) FROM view").fetchone() == (0,)
    assert of(config, "people.show", name="Ada")["records"][0]["source"].startswith("stranger ")
    named = watch()
    assert [(event["kind"], event["person"]) for event in named[1:]] == [("identified", "Ada"), ("left", "Ada")]
    with pytest.raises(InputError, match="familiar strangers"):
        of(config, "strangers.name", stranger=stranger["stranger"], name="Ada")


def test_an_ignored_one_is_in_the_log_and_nowhere_else(
    config: Config, watch: Callable[[], list[dict[str, Any]]]
) -> None:
    stranger = watch()[1]["stranger"]
    assert of(config, "strangers.ignore", stranger=stranger)["ignored"]
    assert watch() == []
    with EventReader(events_path(config)) as log:
        events = [record.event(Directory()) for record in log.after(0, 100)]
    assert [(event.kind, event.ignored) for event in events[-3:]] == [
        ("appeared", True),
        ("unknown", True),
        ("left", True),
    ]
    assert not of(config, "strangers.unignore", stranger=stranger)["ignored"]
    assert len(watch()) == 3


def test_a_running_daemon_names_and_forgets_at_once(config: Config) -> None:
    with Service(config) as service:
        service.run()
        client = ControlClient.connect(Path(config.control.socket))
        assert client is not None
        (stranger,) = client.call("strangers.list", {})["strangers"]
        client.call("strangers.name", {"stranger": stranger["stranger"], "name": "Ada"})
        assert service.matcher.templates.names == ("Ada",)
        assert client.call("strangers.list", {}) == {"strangers": []}
        assert client.call("strangers.clear", {}) == {"forgotten": 0}


def test_a_stranger_like_somebody_enrolled_needs_force(
    config: Config, watch: Callable[[], list[dict[str, Any]]]
) -> None:
    stranger = watch()[1]["stranger"]
    with open_people(config, enrolling=True, strangers=True) as people:
        people.call("strangers.name", {"stranger": stranger, "name": "Ada"})
    gallery = Path(config.gallery.path)
    aside = gallery.read_bytes()
    gallery.unlink()
    again = watch()[1]["stranger"]
    gallery.write_bytes(aside)
    gallery.chmod(0o600)
    refused = of(config, "strangers.name", stranger=again, name="Eve")
    assert not any(result["accepted"] for result in refused["results"])
    assert "Ada" in refused["results"][0]["reason"]
    assert len(of(config, "strangers.list")["strangers"]) == 1
    assert [person["name"] for person in of(config, "people.list")["people"]] == ["Ada"]
    forced = of(config, "strangers.name", stranger=again, name="Eve", force=True)
    assert all(result["accepted"] for result in forced["results"])
    assert "Ada" in of(config, "people.show", name="Eve")["records"][0]["forced"]


def test_what_cannot_be_read_costs_the_daemon_nothing_else(
    config: Config, watch: Callable[[], list[dict[str, Any]]]
) -> None:
    path = unknowns_path(config)
    watch()
    path.write_bytes(b"no database" * 1000)
    told = watch()
    assert told[0]["kind"] == "degraded" and "familiar repair" in told[0]["reason"]
    assert [event["visits"] for event in told[1:]] == [None, 1, 1]
    assert path.with_name("strangers.db.aside-1").exists()
    path.chmod(0o644)
    with Service(config) as service:
        assert service.status()["troubles"][0]["part"] == "strangers"
        service.run()
