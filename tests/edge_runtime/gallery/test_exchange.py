"""People between devices: whole with the passphrase, nothing without it, and signed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_runtime.errors import InputError
from edge_runtime.gallery import exchange
from edge_runtime.gallery.exchange import MovedPerson, MovedTemplate, fingerprint, pack, unpack
from edge_runtime.storage.keys import seal, unseal
from tests.edge_runtime.gallery.test_store import SIZE, code, open_gallery

BOUND = {"encoder_hash": "e" * 64, "preprocessing_hash": "a" * 64, "code_size": SIZE, "bundle_name": "first"}
KEY = bytes(range(32))
ANNA = MovedPerson("a" * 32, "Anna Zwicky", "agreed", None, (MovedTemplate(code(0), 1.5, "a.jpg", None),))


def test_nobody_goes_and_comes() -> None:
    package = unpack(pack(BOUND, (), KEY, "long enough"), "long enough")
    assert package.people == () and package.bound == BOUND and package.signer == fingerprint(KEY)


def test_people_come_out_as_they_went_in_and_are_not_readable() -> None:
    data = pack(BOUND, (ANNA,), KEY, "long enough")
    (person,) = unpack(data, "long enough", fingerprint(KEY)).people
    assert (person.name, person.consent, person.expires) == ("Anna Zwicky", "agreed", None)
    assert np.array_equal(person.templates[0].embedding, code(0)) and person.templates[0].weight == 1.5
    assert b"Zwicky" not in data and code(0).tobytes()[:12] not in data


def test_another_passphrase_signer_or_altered_byte_is_refused() -> None:
    data = pack(BOUND, (ANNA,), KEY, "long enough")
    with pytest.raises(InputError, match="passphrase does not open"):
        unpack(data, "wrong enough")
    with pytest.raises(InputError, match="ask where it comes from"):
        unpack(data, "long enough", fingerprint(bytes(32)))
    for place in (60, len(data) // 2, len(data) - 1):
        altered = bytearray(data)
        altered[place] ^= 1
        with pytest.raises(InputError):
            unpack(bytes(altered), "long enough")
    for cut in (0, 10, 30, len(data) - 70):
        with pytest.raises(InputError):
            unpack(data[:cut], "long enough")
    with pytest.raises(InputError, match="at least 8"):
        pack(BOUND, (), KEY, "short")


def test_a_header_may_not_ask_for_all_memory() -> None:
    data = pack(BOUND, (), KEY, "long enough").replace(b'"n": 32768', b'"n": 99999')
    with pytest.raises(InputError):
        unpack(data, "long enough")


def packed(change: Callable[[dict[str, Any], list[dict[str, Any]]], Any]) -> bytes:
    """An export of Anna, signed and sealed as it should be, with something else in it."""
    header, start, sealed = exchange._opened(pack(BOUND, (ANNA,), KEY, "long enough"))
    key = exchange._passphrase_key("long enough", bytes.fromhex(header["salt"]), header["scrypt"])
    people = json.loads(unseal(key, sealed, hashlib.sha256(start).hexdigest()))
    people = change(header, people) or people
    start = exchange._MAGIC + json.dumps(header).encode() + b"\n"
    plain = people if isinstance(people, bytes) else json.dumps(people).encode()
    body = start + seal(key, plain, hashlib.sha256(start).hexdigest())
    return body + exchange._signing_key(KEY).sign(body)


def in_person(key: str, value: Any) -> Callable[[dict[str, Any], list[dict[str, Any]]], Any]:
    return lambda header, people: people[0].__setitem__(key, value)


def in_template(key: str, value: Any) -> Callable[[dict[str, Any], list[dict[str, Any]]], Any]:
    return lambda header, people: people[0]["templates"][0].__setitem__(key, value)


def in_header(key: str, value: Any) -> Callable[[dict[str, Any], list[dict[str, Any]]], Any]:
    return lambda header, people: header.__setitem__(key, value)


@pytest.mark.parametrize(
    "change",
    [
        *(lambda h, p, raw=raw: raw for raw in (b"3", b"{", b"\xff\xfe", b"[" * 100_000, b"[3]", b"[{}]")),
        *(in_person("name", value) for value in (3, None)),
        *(in_person("consent", value) for value in (5, "x" * 100_000)),
        *(in_person("expires", value) for value in ("x", 1e300, float("nan"), -1, True)),
        *(in_person("templates", value) for value in (None, [], [3], {})),
        *(in_template("code", value) for value in ("AAAA", "AAA=", "\u00e9", 5, "/" * 86 + "==")),
        *(in_template("weight", value) for value in (float("nan"), "x", 0, True, 1e300)),
        *(in_template("forced", value) for value in (5, [])),
        *(in_template("source", value) for value in (None, 5)),
        *(in_header("code_size", value) for value in ("x", -1, 0, None, 10**9, 16.0, [1], True)),
        *(in_header("encoder_hash", value) for value in (5, "", "e" * 63)),
        *(in_header("bundle_name", value) for value in (5, None)),
        *(in_header("signer", value) for value in (5, "zz", "")),
        *(in_header("salt", value) for value in (5, "zz")),
        *(in_header("scrypt", value) for value in ([1], None, {"n": float("inf"), "r": 8, "p": 1})),
        *(
            in_header("scrypt", {"n": n, "r": r, "p": p})
            for n, r, p in ((3, 8, 1), (-4, 8, 1), (1 << 40, 8, 1), (4, 0, 1), (1 << 18, 8, 16), (1 << 15, 8, 0))
        ),
    ],
)
def test_whatever_a_signed_export_holds_it_is_people_or_one_line(change: Any) -> None:
    with pytest.raises(InputError) as refused:
        unpack(packed(change), "long enough")
    assert str(refused.value).isprintable() and len(str(refused.value)) < 300


def test_text_of_an_export_moves_no_cursor() -> None:
    data = packed(lambda header, people: people[0].update(consent="ok\x1b]0;x\x07\nforged"))
    (person,) = unpack(data, "long enough").people
    assert person.consent.isprintable() and "forged" in person.consent


def test_import_is_all_or_nobody_and_knows_what_is_here(tmp_path: Path) -> None:
    bob = MovedPerson("b" * 32, "Bob", "", None, (MovedTemplate(code(1), 1.0, "b.jpg", "small"),))
    with open_gallery(tmp_path) as gallery:
        gallery.add("bob", code(2), 1.0, "c.jpg")
        with pytest.raises(InputError, match="--merge"):
            gallery.take_moved((ANNA, bob), merge=False)
        assert [person.name for person in gallery.people()] == ["bob"]
        assert gallery.take_moved((ANNA, bob), merge=True) == (2, 0)
        assert gallery.take_moved((ANNA, bob), merge=True) == (0, 2)
        assert [(p.name, p.templates) for p in gallery.people()] == [("bob", 2), ("Anna Zwicky", 1)]
        assert gallery.person("Anna Zwicky").consent == "agreed"
        assert gallery.records("Bob")[1].forced == "small"
        assert {"imported"} <= {action for _, action, _ in gallery.audit()}
        (again,) = gallery.moved(["anna zwicky"])
        assert again.consent == "agreed" and np.allclose(again.templates[0].embedding, code(0), atol=1e-6)
