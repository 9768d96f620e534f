"""People between devices: whole with the passphrase, nothing without it, and signed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_runtime.errors import InputError
from edge_runtime.gallery.exchange import MovedPerson, MovedTemplate, fingerprint, pack, unpack
from tests.edge_runtime.gallery.test_store import SIZE, code, open_gallery

BOUND = {"encoder_hash": "e" * 64, "preprocessing_hash": "p" * 64, "code_size": SIZE, "bundle_name": "first"}
KEY = bytes(range(32))
ANNA = MovedPerson("Anna Zwicky", "agreed", None, (MovedTemplate(code(0), 1.5, "a.jpg", None),))


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


def test_import_is_all_or_nobody_and_knows_what_is_here(tmp_path: Path) -> None:
    bob = MovedPerson("Bob", "", None, (MovedTemplate(code(1), 1.0, "b.jpg", "small"),))
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
