"""Tokens: shown once, kept as hashes, and of use until they are removed."""

from __future__ import annotations

import json
import stat
import time
from pathlib import Path

import pytest

from edge_runtime.errors import ConfigError, InputError
from edge_runtime.web.tokens import EVERYTHING, Tokens


def test_a_token_is_found_until_it_is_removed_and_stands_nowhere(tmp_path: Path) -> None:
    path = tmp_path / "state/tokens.json"
    text = Tokens(path).add("phone", "name", ["front"])
    assert text not in path.read_text() and text.removeprefix("fam_") not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    other = Tokens(path)
    found = other.find(text)
    assert found is not None and found.allows("read") and found.allows("name") and not found.allows("admin")
    assert found.sees("front") and not found.sees("back")
    assert other.find(text[:-1]) is None and other.find("") is None
    Tokens(path).remove("phone")
    assert other.find(text) is None


def test_a_token_ends_with_its_last_day(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path / "tokens.json")
    ended, lasting = (
        tokens.add("guest", "read", None, time.time() - 1),
        tokens.add("tv", "read", None, time.time() + 60),
    )
    again = Tokens(tmp_path / "tokens.json")
    assert again.find(ended) is None
    found = again.find(lasting)
    assert found is not None and again.holds(found) and not again.holds(again.all()[0])
    assert not again.holds(EVERYTHING), "an ended token is no reason to let everybody in"
    again.remove("tv")
    assert not again.holds(found)


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{", b'{"version": 2, "tokens": []}', b'{"version": 1, "tokens": [{}]}', b"\xff\xfe", b"[" * 9999],
)
def test_a_damaged_file_is_said_and_lets_nobody_in(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "tokens.json"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="expected a file of tokens"):
        Tokens(path).find("fam_anything")


def test_a_scope_that_nobody_knows_is_refused_in_a_file_too(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    Tokens(path).add("phone", "read")
    document = json.loads(path.read_text())
    document["tokens"][0]["scope"] = "root"
    path.write_text(json.dumps(document))
    with pytest.raises(ConfigError):
        Tokens(path).all()


@pytest.mark.parametrize(("name", "scope"), [("", "read"), ("a\nb", "read"), ("x" * 81, "read"), ("ok", "root")])
def test_unusable_names_and_scopes_are_refused(tmp_path: Path, name: str, scope: str) -> None:
    with pytest.raises(InputError):
        Tokens(tmp_path / "tokens.json").add(name, scope)


def test_a_name_is_taken_once(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path / "tokens.json")
    tokens.add("phone", "read")
    with pytest.raises(InputError, match="there is one"):
        tokens.add("phone", "admin")
    with pytest.raises(InputError, match="found none"):
        tokens.remove("tablet")
