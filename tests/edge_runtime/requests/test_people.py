"""The people commands give the same answers on the files and through the control socket."""

from __future__ import annotations

import dataclasses
import io
import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from PIL import Image

from edge_runtime.app.people import open_people
from edge_runtime.bundle.folder import Bundle
from edge_runtime.config import BundleConfig, Config, parse_config
from edge_runtime.control.client import ControlClient
from edge_runtime.control.server import ControlServer
from edge_runtime.errors import ControlError, GalleryError, InputError, UsageError
from edge_runtime.requests.access import Holdings, PeopleAccess
from edge_runtime.requests.table import TABLE, LocalPeople
from edge_runtime.types import Pixels
from tests.builders import draw_face, make_bundle, make_pixels


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("bundles") / "tiny")


@pytest.fixture
def config(bundle: Bundle, tmp_path: Path) -> Config:
    return parse_config(
        {
            "bundle": {"path": str(bundle.path)},
            "gallery": {"path": str(tmp_path / "state/gallery.db"), "key_file": str(tmp_path / "conf/device.key")},
            "control": {"socket": str(tmp_path / "control.sock")},
        }
    )


@pytest.fixture(params=["files", "daemon"])
def people(request: pytest.FixtureRequest, config: Config) -> Iterator[PeopleAccess]:
    with ExitStack() as stack:
        local = stack.enter_context(open_people(config, enrolling=True))
        if request.param == "files":
            yield local
            return
        stack.enter_context(ControlServer(Path(config.control.socket), local.call))
        client = stack.enter_context(open_people(config, enrolling=True))
        assert isinstance(client, ControlClient)
        yield client


def png(pixels: Pixels) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "png")
    return stream.getvalue()


def test_every_command_answers_alike(people: PeopleAccess) -> None:
    assert people.call("people.list", {}) == {"people": []}
    photo = png(draw_face(0))
    result = people.call("enroll", {"name": "Anna", "source": "a.png"}, photo)
    assert result["accepted"] and not result["known"]
    assert people.call("enroll", {"name": "anna", "source": "b.png"}, photo)["known"]
    shown = people.call("people.show", {"name": "anna"})
    assert shown["name"] == "Anna" and shown["templates"] == 1
    assert [(r["source"], r["template_id"]) for r in shown["records"]] == [("a.png", result["template_id"])]
    renamed = people.call("people.rename", {"old": "Anna", "new": "Zo\u00eb"})
    assert renamed["name"] == "Zo\u00eb" and renamed["person_id"] == shown["person_id"]
    assert people.call("people.list", {})["people"] == [renamed]
    assert people.call("people.forget", {"name": "zo\u00eb"}) == renamed | {"remains": False}
    assert people.call("people.list", {}) == {"people": []}


def test_a_merge_answers_with_the_one_and_its_undoing_with_the_other(people: PeopleAccess) -> None:
    for name, drawn in (("Anna", 0), ("Bo", 6)):
        people.call("enroll", {"name": name, "source": f"{name}.png"}, png(draw_face(drawn)))
    before = people.call("people.list", {})["people"]
    anna = people.call("people.merge", {"name": "bo", "into": "anna"})
    assert (anna["name"], anna["templates"]) == ("Anna", 2)
    assert [(part["name"], part["templates"], part["expires"]) for part in anna["merged"]] == [("Bo", 1, None)]
    assert people.call("people.list", {})["people"] == [anna]
    for command, arguments in (("enroll", {"source": "c.png", "force": True}), ("people.show", {})):
        with pytest.raises(InputError, match="merged into 'Anna'; familiar people unmerge 'Bo'"):
            people.call(command, {"name": "bo", **arguments}, png(draw_face(3)))
    assert people.call("people.unmerge", {"name": "bo"}) == before[1]
    assert people.call("people.list", {})["people"] == before


def test_refused_photo_is_an_answer_not_an_error(people: PeopleAccess) -> None:
    photo = png(draw_face(0))
    for data, reason in ((b"", "empty file"), (photo[: len(photo) // 2], "cut short"), (png(make_pixels()), "no face")):
        result = people.call("enroll", {"name": "Anna", "source": "a.png"}, data)
        assert not result["accepted"] and reason in result["reason"] and not result["reason"].startswith("a.png")
    assert people.call("people.list", {}) == {"people": []}


@pytest.mark.parametrize(
    ("command", "arguments", "error"),
    [
        ("people.show", {"name": "Nobody here"}, InputError),
        ("people.forget", {"name": "Nobody here"}, InputError),
        ("people.rename", {"old": "Nobody here", "new": "x"}, InputError),
        ("people.merge", {"name": "Nobody here", "into": "x"}, InputError),
        ("people.unmerge", {"name": "Nobody here"}, InputError),
        ("enroll", {"name": "a\nb", "source": "x"}, InputError),
        ("people.show", {}, UsageError),
        ("people.show", {"name": 3}, UsageError),
        ("people.list", {"name": "x"}, UsageError),
        ("people.destroy", {}, UsageError),
        ("people.drop", {"name": "Nobody here", "template_id": "1"}, UsageError),
        ("people.note", {"name": "Nobody here", "expires": 1e12, "for_good": True}, UsageError),
        ("enroll", {"name": "Anna", "source": "x", "force": "yes"}, UsageError),
        ("enroll", {"name": "Anna", "source": "x", "photo": "no fingerprint"}, UsageError),
        ("enroll.pose", {"camera": "door", "want": "upside down"}, UsageError),
        ("enroll.views", {"name": "Anna", "source": "x", "sizes": "12"}, UsageError),
        ("strangers.show", {"stranger": "3fa2c1"}, InputError),
        ("status", {}, ControlError),
        ("live", {"camera": "door"}, ControlError),
    ],
)
def test_wrong_calls_raise_the_same_error(
    people: PeopleAccess, command: str, arguments: dict[str, object], error: type[Exception]
) -> None:
    with pytest.raises(error) as caught:
        people.call(command, arguments, png(draw_face(0)))
    assert "\n" not in str(caught.value)


def test_nobody_is_there_before_the_first_gallery(config: Config, tmp_path: Path) -> None:
    with open_people(config) as people:
        assert people.call("people.list", {}) == {"people": []}
        with pytest.raises(InputError, match="nobody is enrolled yet"):
            people.call("people.forget", {"name": "Anna"})
        with pytest.raises(UsageError):
            people.call("enroll", {"name": "Anna", "source": "x"}, b"")
    assert not list(tmp_path.iterdir())


def test_people_can_be_listed_and_forgotten_without_their_bundle(config: Config, tmp_path: Path) -> None:
    with open_people(config, enrolling=True) as people:
        people.call("enroll", {"name": "Anna", "source": "a.png"}, png(draw_face(0)))
    folder = tmp_path / "other"
    shutil.copytree(config.bundle.path, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["encoder"]["template"]["points"][0][0] += 1  # another alignment: its codes do not compare
    (folder / "manifest.json").write_text(json.dumps(manifest))
    other = dataclasses.replace(config, bundle=BundleConfig(str(folder)))
    with pytest.raises(GalleryError, match="people reembed --photos DIR"):
        open_people(other, enrolling=True)
    with open_people(other) as people:
        assert people.call("people.forget", {"name": "Anna"})["name"] == "Anna"


@pytest.mark.parametrize(
    ("command", "arguments", "says"),
    [
        ("people.lst", {}, "unknown request 'people.lst'; did you mean 'people.list'?"),
        ("people.show", {"nme": "Anna"}, "people.show: unknown key 'nme'; did you mean 'name'?"),
        ("people.show", {}, "people.show: expected the key 'name'"),
        ("people.show", {"name": 3}, "people.show name: expected str, found 3"),
        ("enroll.views", {"name": "Anna", "source": "x", "sizes": [1, "2"]}, "enroll.views sizes: expected int"),
    ],
)
def test_a_wrong_request_is_refused_by_the_name_of_what_is_wrong(
    people: PeopleAccess, command: str, arguments: dict[str, object], says: str
) -> None:
    with pytest.raises(UsageError) as caught:
        people.call(command, arguments)
    assert says in str(caught.value)


def test_a_photo_that_was_looked_at_is_not_sent_again(people: PeopleAccess) -> None:
    arguments = {"name": "Anna", "source": "a.png"}
    seen = people.call("enroll.look", arguments, png(draw_face(0)))
    assert seen["accepted"] and people.call("people.list", {}) == {"people": []}
    result = people.call("enroll", arguments | {"photo": seen["photo"]})
    assert result["accepted"] and result["quality"] == seen["quality"]
    assert people.call("enroll", arguments | {"photo": seen["photo"]})["known"]
    never = people.call("enroll", arguments | {"photo": "00" * 32})
    assert not never["accepted"] and "send the photo again" in never["reason"]
    with pytest.raises(UsageError, match="received both"):
        people.call("enroll", arguments | {"photo": seen["photo"]}, png(draw_face(0)))


def test_what_was_agreed_to_is_noted_and_taken_back(people: PeopleAccess) -> None:
    people.call("enroll", {"name": "Anna", "source": "a.png"}, png(draw_face(0)))
    noted = people.call("people.note", {"name": "Anna", "consent": "the door", "expires": 32503680000})
    assert (noted["consent"], noted["expires"]) == ("the door", 32503680000)
    assert people.call("people.note", {"name": "Anna"})["consent"] == "the door"
    noted = people.call("people.note", {"name": "Anna", "consent": "-", "for_good": True})
    assert (noted["consent"], noted["expires"]) == ("", None)


def test_every_request_says_what_it_is_for() -> None:
    for name, entry in TABLE.items():
        assert entry.kind.__doc__ and not entry.kind.__doc__.startswith(f"{entry.kind.__name__}("), name
        assert all(field.metadata["help"] for field in dataclasses.fields(entry.kind)), name


def test_before_the_first_gallery_there_is_nobody_to_check() -> None:
    assert LocalPeople(Holdings(None)).call("people.check", {}) == {"findings": []}
