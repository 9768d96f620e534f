"""The house: rooms (folders) import each other in one direction, and what is private to a room stays in it."""

from __future__ import annotations

import re

import pytest

from tests.builders import ROOT
from tests.rooms import cycles, private_imports, room_graph

PACKAGES = ("edge_runtime", "train", "convert", "models")
LOOSE = {"__init__", "__main__", "types", "protocols", "errors", "config", "pipeline", "recognizer"}
"""Modules of the device that may lie outside of a room."""


def test_cycles_are_found() -> None:
    assert cycles({}) == []
    assert cycles({"a": ["b"], "b": [], "c": ["a", "b"]}) == []
    assert cycles({"a": ["b"], "b": ["c"], "c": ["b", "d"], "d": []}) == [["b", "c"]]


@pytest.mark.parametrize("package", PACKAGES)
def test_no_two_rooms_need_each_other(package: str) -> None:
    graph = room_graph(package)
    assert len(graph) > 3
    assert cycles(graph) == []


@pytest.mark.parametrize("package", PACKAGES)
def test_a_module_with_an_underscore_is_private_to_its_room(package: str) -> None:
    assert private_imports(package) == []


def test_the_page_has_every_room_below_those_that_import_it() -> None:
    page = (ROOT / "docs/architecture.md").read_text()
    table = page.partition("| rooms | what they hold |")[2].partition("\n\n")[0]
    rows = [re.findall(r"`(\w+)(?:\.py)?`", line.split("|")[1]) for line in table.splitlines()[2:]]
    order = [room for row in rows for room in row]
    graph = room_graph("edge_runtime")
    assert sorted(order) == sorted(set(graph) - {"__init__", "__main__"})
    above = {room: order[: order.index(room)] for room in order}
    wrong = [f"{room} imports {other}" for room in order for other in graph[room] if other not in above[room]]
    assert wrong == []


def test_nothing_else_lies_loose_in_the_package_of_the_device() -> None:
    graph = room_graph("edge_runtime")
    rooms = {path.name for path in (ROOT / "edge_runtime").iterdir() if path.is_dir()}
    assert set(graph) - rooms <= LOOSE
