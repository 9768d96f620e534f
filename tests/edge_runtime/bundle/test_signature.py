"""A signed bundle is taken from whom it should be, whole, and in no other way."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from edge_runtime.app.command_line import main
from edge_runtime.bundle.folder import Bundle
from edge_runtime.bundle.manifest import MANIFEST
from edge_runtime.bundle.signature import SIGNATURE, load_private_key, make_private_key, public_text, sign
from edge_runtime.errors import BundleError, ConfigError, InputError
from tests.builders import make_bundle


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A signed bundle, and two keys."""
    folder = tmp_path_factory.mktemp("signed")
    bundle = make_bundle(folder / "tiny").path
    key = make_private_key(folder / "key.pem")
    make_private_key(folder / "other.pem")
    sign(bundle, (bundle / MANIFEST).read_bytes(), key)
    return folder


@pytest.fixture
def folder(place: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(place / "tiny", tmp_path / "tiny"))


@pytest.fixture
def key(place: Path) -> str:
    return public_text(load_private_key(place / "key.pem"))


@pytest.fixture
def other(place: Path) -> str:
    return public_text(load_private_key(place / "other.pem"))


def refused(folder: Path, trusted: tuple[str, ...] = ()) -> str:
    with pytest.raises(BundleError) as caught:
        Bundle(folder, trusted)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_signed_bundle_says_who_signed_it(folder: Path, key: str, other: str) -> None:
    assert Bundle(folder).signed_by == key and len(key) == 44
    assert Bundle(folder, [other, key]).signed_by == key


def test_trust_refuses_the_unsigned_and_what_others_signed(folder: Path, key: str, other: str) -> None:
    assert key in refused(folder, (other,))
    (folder / SIGNATURE).unlink()
    assert Bundle(folder).signed_by is None
    assert "found none" in refused(folder, (key,))


def test_one_flipped_byte_anywhere_is_found_even_where_nobody_is_trusted(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for path in sorted(folder.iterdir()):
        whole = path.read_bytes()
        every = path.name in (MANIFEST, SIGNATURE)
        places = range(len(whole)) if every else rng.integers(0, len(whole), 40)
        for at in places:
            data = bytearray(whole)
            data[at] ^= 1 << int(rng.integers(8))
            path.write_bytes(data)
            refused(folder)
        path.write_bytes(whole)
    assert Bundle(folder)


def test_another_way_to_write_the_same_signature_is_refused(folder: Path) -> None:
    text = (folder / SIGNATURE).read_bytes()
    line, signature = text.split(b"\n")[:2]
    # The last character before the padding carries four bits that decoding drops.
    twin = signature[:85] + bytes([signature[85] ^ 1]) + signature[86:]
    edits = [
        text + b"\n",
        text[:-1],
        text.replace(b"\n", b"\r\n"),
        b" " + text,
        b"",
        text * 2,
        line + b"\n" + twin + b"\n",
    ]
    for edited in edits:
        (folder / SIGNATURE).write_bytes(edited)
        refused(folder)


def test_the_signature_of_another_manifest_is_refused(folder: Path, place: Path, tmp_path: Path) -> None:
    stranger = make_bundle(tmp_path / "stranger", strangers=50).path
    sign(stranger, (stranger / MANIFEST).read_bytes(), load_private_key(place / "key.pem"))
    shutil.copy(stranger / SIGNATURE, folder / SIGNATURE)
    assert "altered" in refused(folder)


def test_a_linked_signature_is_refused(folder: Path, tmp_path: Path) -> None:
    shutil.move(folder / SIGNATURE, tmp_path / SIGNATURE)
    (folder / SIGNATURE).symlink_to(tmp_path / SIGNATURE)
    assert SIGNATURE in refused(folder)


def test_what_a_signature_covers_is_checked_before_anything_is_believed(folder: Path) -> None:
    document = json.loads((folder / MANIFEST).read_text()) | {"schema": 99}
    (folder / MANIFEST).write_text(json.dumps(document))
    assert "altered" in refused(folder)


@pytest.mark.parametrize("text", ["", "abc", "A" * 44, "A" * 43 + "=x", "ö" * 44])
def test_a_trusted_key_that_is_none_is_a_mistake_in_the_configuration(folder: Path, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Bundle(folder, [text])
    assert "\n" not in str(caught.value)


def test_a_device_with_a_trusted_key_takes_its_bundle_and_no_other(
    folder: Path, key: str, other: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def verify(trusted: str) -> int:
        return main(["bundle", "verify", str(folder), "--set", f"bundle.trusted_keys={trusted}"])

    assert verify(f"{other} {key}") == 0
    assert f"signed   by {key}" in capsys.readouterr().out
    assert verify(other) == 6
    assert capsys.readouterr().err.count("\n") == 1
    pictures = folder.parent / "pictures"
    pictures.mkdir()
    arguments = ["embed", str(pictures), "--out", str(folder.parent / "c.npz")]
    (pictures / "a.png").write_bytes(b"")
    assert main([*arguments, "--set", f"bundle.path={folder}", "--set", f"bundle.trusted_keys={other}"]) == 6
    assert main([*arguments, "--set", f"bundle.path={folder}", "--set", f"bundle.trusted_keys={key}"]) == 0


@pytest.mark.parametrize(
    "make",
    [
        lambda p: None,
        lambda p: p.write_bytes(b"hello"),
        lambda p: p.mkdir(),
        lambda p: p.write_bytes(
            ec.generate_private_key(ec.SECP256R1()).private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        ),
        lambda p: make_private_key(p) and p.chmod(0o644),
    ],
)
def test_a_key_that_cannot_be_used_is_one_line(tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / "k.pem")
    with pytest.raises(InputError, match=r"k\.pem") as caught:
        load_private_key(tmp_path / "k.pem")
    assert "\n" not in str(caught.value)


def test_a_new_key_is_for_its_owner_alone_and_never_in_the_place_of_another(tmp_path: Path) -> None:
    path = tmp_path / "k.pem"
    made = make_private_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert public_text(load_private_key(path)) == public_text(made)
    with pytest.raises(InputError):
        make_private_key(path)
