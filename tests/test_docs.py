"""README.md and docs/ name what there is, and what there is is named there."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from typing import get_args

import pytest

from edge_runtime import errors
from edge_runtime.app import command_line
from edge_runtime.config import describe
from edge_runtime.control.state import EXIT_CODES
from edge_runtime.schema.backends import backend_names
from edge_runtime.types import EventKind
from tests.builders import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXT = "\n\n".join(page.read_text() for page in PAGES)
BLOCKS = [(kind, text.replace("\\\n", " ")) for kind, text in re.findall(r"^```(\w*)\n(.*?)^```", TEXT, re.M | re.S)]
SPANS = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", TEXT, flags=re.M | re.S))
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
SYSTEM_CODES = {130, 141, 143}
"""What Ctrl-C, a pipe without a reader and SIGTERM end with: 128 and the signal's number."""
OTHERS = {"--platform", "--python-version"}
"""Options of pip, for a device of another kind."""
DESKTOP = ("train", "convert")
# The page with the tables is a document of its own; where it is not there yet, these say what it has to hold.


def commands() -> Iterator[list[str]]:
    """The words of every command of ours that a page shows, without ``sudo`` and a path before the program."""
    lines = [*SPANS, *(line for kind, text in BLOCKS if kind in ("", "sh", "console") for line in text.splitlines())]
    for line in lines:
        for part in re.split(r"&&|;| \| |(?:^|\s)#\s", line.replace("\\|", "|")):
            words = part.split()
            words = words[1:] if words[:1] == ["sudo"] else words
            if words[:2] == ["python", "-m"] and len(words) > 2:
                yield words[2:]
            elif len(words) > 1 and words[0] in ("familiar", "make"):
                yield words


@cache
def help_of(program: str, *words: str) -> str:
    """What a command says of itself, with all its verbs."""
    place = command_line if program == "familiar" else importlib.import_module(f"{program}.__main__")
    said = io.StringIO()
    with contextlib.redirect_stdout(said), pytest.raises(SystemExit) as ended:
        place.main([*words, "--help"])
    assert ended.value.code == 0, (program, words)
    return said.getvalue() + "".join(help_of(program, *words, verb) for verb in verbs_below(said.getvalue()))


def verbs_below(said: str) -> list[str]:
    """The actions of a command that have a help of their own."""
    _, _, listed = said.partition("\n  ACTION\n")
    return re.findall(r"^    ([a-z]+)(?:  |$)", listed.partition("\n\n")[0], re.M)


def actions_of(said: str) -> set[str]:
    """The words of which a command takes one, as its first argument."""
    usage = re.sub(r"\[[^\[\]]*\]", "", said.partition("\n\n")[0])
    found = re.search(r"\{([\w,]+)\}", usage)
    return {*verbs_below(said), *(found.group(1).split(",") if found else ())}


def wrong_words(program: str, words: list[str], known: set[str]) -> list[str]:
    """What a command on a page has that the program has not."""
    if not re.fullmatch(r"[a-z_|]+", words[0]):
        return []
    wrong = [verb for verb in words[0].split("|") if verb not in known]
    if wrong or "|" in words[0]:
        return wrong
    said = help_of(program, words[0])
    actions = actions_of(said)
    if actions and len(words) > 1 and re.fullmatch(r"[a-z|]+", words[1]):
        wrong += [action for action in words[1].split("|") if action not in actions]
    return wrong + [option for option in OPTION.findall(" ".join(words)) if option not in said]


def test_pages_show_commands() -> None:
    assert len(list(commands())) > 50


def test_every_familiar_command_on_a_page_is_one() -> None:
    known = set(backend_names("edge_runtime.commands"))
    shown = [words for words in commands() if words[0] == "familiar" and not words[1].startswith("-")]
    assert {" ".join(w): wrong for w in shown if (wrong := wrong_words("familiar", w[1:], known))} == {}


@pytest.mark.parametrize("program", DESKTOP)
def test_every_desktop_command_on_a_page_is_one(program: str) -> None:
    pytest.importorskip("tensorflow")
    known = set(importlib.import_module(f"{program}.__main__").COMMANDS)
    shown = [words for words in commands() if words[0] == program and len(words) > 1]
    assert {" ".join(w): wrong for w in shown if (wrong := wrong_words(program, w[1:], known))} == {}


def test_every_other_module_and_target_on_a_page_is_there() -> None:
    modules = {words[0] for words in commands() if words[0].partition(".")[0] in ("tests", "edge_runtime")}
    assert [name for name in modules if importlib.util.find_spec(name) is None] == []
    named = {words[1] for words in commands() if words[0] == "make" and re.fullmatch(r"[a-z-]+", words[1])}
    assert named - targets() == set()


def targets() -> set[str]:
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text().replace("\\\n", " "), re.M)
    assert phony is not None
    return set(phony.group(1).split())


def test_every_option_named_alone_is_one_of_some_command() -> None:
    pytest.importorskip("tensorflow")
    said = "".join(help_of("familiar", verb) for verb in backend_names("edge_runtime.commands"))
    for program in DESKTOP:
        said += "".join(help_of(program, verb) for verb in importlib.import_module(f"{program}.__main__").COMMANDS)
    known = set(OPTION.findall(said))
    named = {option for span in SPANS if span.startswith("--") for option in OPTION.findall(span)}
    assert named and named - known - OTHERS == set()


def keys() -> set[tuple[str, str]]:
    """Sections and keys of the configuration and of every recipe."""
    found = set()
    for key, _, _, meaning in describe():
        assert meaning, key
        words = re.findall(r"\w+", key)  # of decide.margin, camera.NAME.source or [[sink]] jsonlines.path
        found.add((words[0], words[-1]))
    for recipe in [*(ROOT / "train/recipes").glob("*.toml"), *(ROOT / "convert/recipes").glob("*.toml")]:
        for section, table in tomllib.loads(recipe.read_text()).items():
            if isinstance(table, dict):
                found |= {(section, key) for key in table}
    return found


def test_every_key_on_a_page_is_one() -> None:
    named = {found.groups() for span in SPANS for found in re.finditer(r"\[(\w+)(?:\.\w+)?\] (\w+)", span)}
    for kind, text in BLOCKS:
        if kind == "toml":
            for section, table in tomllib.loads(text).items():
                tables = table.values() if section == "camera" else table if section == "sink" else [table]
                named |= {(section, key) for one in tables for key in one}
    assert len(named) > 10 and named - keys() == set()


def test_every_command_is_on_a_page() -> None:
    shown = {words[0]: set[str]() for words in commands()}
    for words in commands():
        shown[words[0]] |= {*words[1].split("|")} if len(words) > 1 else set()
    assert set(backend_names("edge_runtime.commands")) - shown["familiar"] == set()
    assert targets() - shown["make"] == set()
    for program in DESKTOP:
        known = importlib.import_module(f"{program}.__main__").COMMANDS
        assert set(known) - shown[program] == set(), program


def test_every_action_of_a_command_is_on_a_page() -> None:
    missing = {}
    for verb in backend_names("edge_runtime.commands"):
        shown = {a for w in commands() if w[:2] == ["familiar", verb] and len(w) > 2 for a in w[2].split("|")}
        if left := actions_of(help_of("familiar", verb)) - shown:
            missing[verb] = left
    assert missing == {}


def test_every_kind_of_event_is_on_a_page() -> None:
    assert set(get_args(EventKind)) - {word for span in SPANS for word in re.findall(r"\w+", span)} == set()


def exit_codes() -> set[int]:
    ours = {value.exit_code for value in vars(errors).values() if hasattr(value, "exit_code")}
    return ours | set(EXIT_CODES.values())


def test_exit_codes_on_the_pages_are_those_there_are() -> None:
    section = re.search(r"^#+ [^\n]*exit code[^\n]*\n(.*?)(?=^#|\Z)", TEXT, re.M | re.S | re.I)
    assert section is not None, "no page has a section of exit codes"
    told = {int(code) for code in re.findall(r"^\| *`?(\d+)`? *\|", section.group(1), re.M)}
    assert (exit_codes() - told, told - exit_codes() - SYSTEM_CODES) == (set(), set())


def test_the_expected_speed_is_that_of_the_released_models() -> None:
    pytest.importorskip("ai_edge_litert", reason="models are read with ai-edge-litert's schema")
    from tests.benchmarks.speed_table import put_into, table

    page = (ROOT / "docs/speed.md").read_text()
    assert put_into(page, table()) == page, "run: python -m tests.benchmarks.speed_table --out docs/speed.md"


def test_every_file_that_a_page_names_is_there() -> None:
    named = {
        (page.name, path)
        for page in PAGES
        for path in re.findall(
            r"\b(?:edge_runtime|train|convert|models|tests)/[\w/.-]+\.(?:py|toml)\b", page.read_text()
        )
        if "NAME" not in path
    }
    assert len(named) > 20
    assert sorted((page, path) for page, path in named if not (ROOT / path).is_file()) == []
