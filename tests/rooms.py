"""Which room imports which: ``python -m tests.rooms`` prints the graph of a package's folders, and its cycles.

A room is a folder; a module that lies loose in the package is a room of its own. Imports inside functions count too.
"""

from __future__ import annotations

import ast
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.builders import ROOT

Graph = dict[str, Counter[str]]
"""For each room the rooms it imports, and by how many statements."""


def room_graph(package: str) -> Graph:
    """The rooms of ``package`` (a folder of the checkout) and the imports between them."""
    folder = ROOT / package
    graph: Graph = {}
    for path in sorted(folder.rglob("*.py")):
        room = _room_of(path.relative_to(ROOT).with_suffix("").parts, folder)
        edges = graph.setdefault(room, Counter())
        for name in _imported(path, package):
            other = _room_of(tuple(name.split(".")), folder)
            if other != room:
                edges[other] += 1
    return graph


def private_imports(package: str) -> list[str]:
    """Imports of a module with an underscore from another room than its own, as ``file: module``."""
    folder, found = ROOT / package, []
    for path in sorted(folder.rglob("*.py")):
        here = path.relative_to(ROOT).with_suffix("").parts[:-1]
        for name in _imported(path, package):
            parts = tuple(name.split("."))
            private = next((i for i, part in enumerate(parts) if part.startswith("_")), None)
            # A folder within a room is no room of its own.
            if private is not None and parts[:private] != here[:private]:
                found.append(f"{path.relative_to(ROOT)}: {name}")
    return found


def cycles(graph: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """Groups of rooms that reach each other (Tarjan's strongly connected components of more than one)."""
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(room: str) -> None:
        order[room] = lowest[room] = len(order)
        stack.append(room)
        for other in graph.get(room, ()):
            if other not in order:
                visit(other)
                lowest[room] = min(lowest[room], lowest[other])
            elif other in stack:
                lowest[room] = min(lowest[room], order[other])
        if lowest[room] == order[room]:
            group = stack[stack.index(room) :]
            del stack[stack.index(room) :]
            if len(group) > 1:
                found.append(sorted(group))

    for room in graph:
        if room not in order:
            visit(room)
    return found


def _imported(path: Path, package: str) -> list[str]:
    """Dotted names of the package's modules that a file imports."""
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    return [name for name in names if name.partition(".")[0] == package]


def _room_of(parts: tuple[str, ...], folder: Path) -> str:
    """The room of a module or of a name in one, by its dotted parts."""
    first = parts[1] if len(parts) > 1 else "__init__"
    if (folder / first).is_dir() or (folder / f"{first}.py").is_file():
        return first
    return "__init__"


def main() -> int:
    """Print each room with what it imports, lowest rooms first; 1 where rooms form a cycle."""
    packages = sys.argv[1:] or ["edge_runtime", "train", "convert", "models"]
    found = []
    for package in packages:
        graph = room_graph(package)
        print(f"{package}/")
        done: set[str] = set()
        while len(done) < len(graph):
            ready = [room for room in sorted(graph) if room not in done and not set(graph[room]) - done]
            ready = ready or [room for room in sorted(graph) if room not in done]
            for room in ready:
                print(f"  {room:14} -> {', '.join(sorted(graph[room])) or '-'}")
            done.update(ready)
        groups = cycles(graph)
        found += groups
        for group in groups:
            print(f"  cycle: {', '.join(group)}")
            for room in group:
                within = {other: count for other, count in graph[room].items() if other in group}
                print(f"    {room} -> {', '.join(f'{other} ({count})' for other, count in sorted(within.items()))}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
