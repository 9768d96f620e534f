import io
from pathlib import Path

import pytest
from PIL import Image

from edge_runtime.errors import InputError
from edge_runtime.pictures.folder import list_images, look_through
from edge_runtime.pictures.formats import SUFFIXES, readable
from edge_runtime.pictures.reader import decode_image
from tests.builders import draw_face


def put(root: Path, *names: str, data: bytes = b"x") -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def names(root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in look_through(root).pictures]


def test_files_are_listed_sorted_and_the_rest_is_counted_and_named(tmp_path):
    put(tmp_path, "b/2.JPG", "a/1.png", "a/notes.txt", ".thumbs/x.png", "a/1.mp4", "a/2.MOV", "raw.dng")
    told: list[str] = []
    assert [p.relative_to(tmp_path).as_posix() for p in list_images(tmp_path, told.append)] == ["a/1.png", "b/2.JPG"]
    assert told == [
        f"{tmp_path}: left out: 2 videos (a/1.mp4, …), 1 hidden entry (.thumbs), 1 other file (a/notes.txt), "
        "1 raw picture (raw.dng)"
    ]


def test_of_a_folder_of_pictures_alone_nothing_is_told(tmp_path):
    put(tmp_path, "1.png")
    assert look_through(tmp_path).told is None


def test_every_picture_that_is_read_is_listed_by_its_ending_and_without_one_by_its_beginning(tmp_path):
    picture = Image.fromarray(draw_face(0, 60))
    for kind in readable():
        buffer = io.BytesIO()
        picture.save(buffer, kind)
        decode_image(buffer.getvalue())
        put(tmp_path, f"{kind}/no-ending", data=buffer.getvalue())
    put(tmp_path, *(f"empty{suffix}" for suffix in SUFFIXES))
    assert names(tmp_path) == sorted([f"{kind}/no-ending" for kind in readable()] + [f"empty{s}" for s in SUFFIXES])


def test_links_are_followed_once_and_never_round_in_a_loop(tmp_path):
    root = tmp_path / "photos"
    put(root, "Ann/1.png")
    put(tmp_path, "elsewhere/Bob/2.png")
    (root / "Bob").symlink_to(tmp_path / "elsewhere" / "Bob")
    (root / "Anna").symlink_to(root / "Ann")
    (root / "Ann" / "all").symlink_to(root)
    (root / "gone.png").symlink_to(root / "nothing")
    assert names(root) == ["Ann/1.png", "Bob/2.png"]
    assert "2 links to folders listed already (Ann/all, …), 1 broken link (gone.png)" in look_through(root).told


def test_missing_and_empty_places_say_what_to_do(tmp_path):
    with pytest.raises(InputError, match="check the path"):
        look_through(tmp_path / "nowhere")
    put(tmp_path, "holiday.mp4")
    with pytest.raises(InputError, match=r"found none \(left out: 1 video \(holiday\.mp4\)\)"):
        look_through(tmp_path)
