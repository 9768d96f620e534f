"""The device key: made once, private, never silently replaced; sealed values open only where they belong."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from edge_runtime.errors import GalleryError
from edge_runtime.storage.keys import KEY_BYTES, load_key, row_mac, seal, unseal


def test_key_is_made_once_and_is_private(tmp_path: Path) -> None:
    path = tmp_path / "conf" / "device.key"
    key = load_key(path, create=True)
    assert len(key) == KEY_BYTES
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert load_key(path, create=True) == load_key(path) == key
    assert list(path.parent.iterdir()) == [path]


def test_two_keys_differ(tmp_path: Path) -> None:
    assert load_key(tmp_path / "a", create=True) != load_key(tmp_path / "b", create=True)


def test_all_who_start_at_once_get_the_same_key(tmp_path: Path) -> None:
    path = tmp_path / "device.key"
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: load_key(path, create=True), range(32)))
    assert keys == {path.read_bytes()}


def test_missing_key_is_not_made_unasked(tmp_path: Path) -> None:
    with pytest.raises(GalleryError, match="put the key of this gallery back"):
        load_key(tmp_path / "device.key")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_key_that_others_may_touch_is_refused_with_the_mend(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "device.key"
    load_key(path, create=True)
    path.chmod(mode)
    with pytest.raises(GalleryError, match=f"chmod 600 {path}"):
        load_key(path)


@pytest.mark.parametrize("content", [b"", b"short", bytes(KEY_BYTES + 1)])
def test_key_of_another_length_is_refused_and_kept(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "device.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(GalleryError, match=f"{KEY_BYTES} bytes, found {len(content)}"):
        load_key(path, create=True)
    assert path.read_bytes() == content


def test_sealed_value_opens_with_its_key_in_its_place_alone() -> None:
    key, other = bytes(range(32)), bytes(32)
    sealed = seal(key, b"Anna", "name/1")
    assert b"Anna" not in sealed
    assert seal(key, b"Anna", "name/1") != sealed
    assert unseal(key, sealed, "name/1") == b"Anna"
    damaged = sealed[:-1] + bytes([sealed[-1] ^ 1])
    for attempt in ((other, sealed, "name/1"), (key, sealed, "name/2"), (key, damaged, "name/1"), (key, b"", "name/1")):
        with pytest.raises(ValueError):
            unseal(*attempt)


def test_a_row_is_known_by_every_value_its_kind_and_the_key() -> None:
    rows = [(1, "a"), (1.0, "a"), ("1", "a"), (b"1", "a"), (None, "a"), ("1a",), ("", "1a"), ("1", "a", None), ()]
    macs = {row_mac(key, *row) for row in rows for key in (b"", b"k")}
    assert len(macs) == 2 * len(rows)
    assert row_mac(b"k", 1, "\ud800") == row_mac(b"k", 1, "\ud800")
