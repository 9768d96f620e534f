from __future__ import annotations

import hashlib
import http.server
import io
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import cv2
import pytest

pytest.importorskip("tensorflow")

from edge_runtime.errors import InputError
from tests.builders import draw_face
from train.data.photos import find_photos
from train.data.prepare import download_lfw


@pytest.fixture
def served(tmp_path) -> Iterator[tuple[str, str]]:
    """URL and md5 of a small archive built like LFW's, on a server on loopback."""
    folder = tmp_path / "served"
    folder.mkdir()
    with tarfile.open(folder / "lfw-small.tgz", "w:gz") as archive:
        for person in range(2):
            data = cv2.imencode(".jpg", draw_face(person))[1].tobytes()
            entry = tarfile.TarInfo(f"lfw-small/Person_{person}/Person_{person}_0001.jpg")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    md5 = hashlib.md5((folder / "lfw-small.tgz").read_bytes()).hexdigest()
    yield f"http://127.0.0.1:{server.server_port}/lfw-small.tgz", md5
    server.shutdown()
    server.server_close()
    thread.join()


def test_it_is_fetched_unpacked_and_found_again(served, tmp_path):
    url, md5 = served
    for _ in range(2):
        root = download_lfw(url, md5, tmp_path / "cache")
        assert [photo.person for photo in find_photos(root)] == ["Person_0", "Person_1"]


def test_another_file_is_refused(served, tmp_path):
    with pytest.raises(InputError, match="pass its folder: --data DIR"):
        download_lfw(served[0], "0" * 32, tmp_path / "cache")


def test_no_way_to_it_is_one_line_and_leaves_no_file(served, tmp_path):
    cache: Path = tmp_path / "cache"
    with pytest.raises(InputError, match="expected to download") as caught:
        download_lfw(served[0].replace("small", "gone"), served[1], cache)
    assert "\n" not in str(caught.value)
    assert not [path for path in cache.rglob("*") if path.is_file()]
