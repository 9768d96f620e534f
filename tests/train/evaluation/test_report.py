"""The page about a run: complete, self-contained, and the figures of the evaluation on it."""

from __future__ import annotations

import base64
import json
import re
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

pytest.importorskip("tensorflow")

from tests.train.made_run import make_run
from train.__main__ import main


class Page(HTMLParser):
    """Tags, the addresses they load, and the text; every element that was opened must be closed in order."""

    VOID = ("meta", "img", "source", "br")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "srcset", "href", "data")]
        assert not [name for name, _ in attrs if name.startswith("on")]
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = make_run(tmp_path_factory.mktemp("report") / "my <run> & more")
    assert main(["evaluate", str(folder), "--enrol", "2", "--photos", "2", "--draws", "3"]) == 0
    return folder


def test_one_self_contained_page(folder):
    assert main(["report", str(folder)]) == 0
    html = (folder / "report.html").read_text()
    page = Page(html)
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert "url(" not in html and "@import" not in html
    assert "width=device-width" in html and "prefers-color-scheme: dark" in html
    kinds = {}
    for address in page.addresses:
        kind, data = re.fullmatch(r"data:(image/[a-z+]+);base64,([A-Za-z0-9+/=]+)", address).groups()
        kinds.setdefault(kind, []).append(base64.b64decode(data))
    # ROC, DIR over FPIR and two curves, each light and dark; the faces once.
    assert len(kinds["image/svg+xml"]) == 8
    assert all(b"</svg>" in data for data in kinds["image/svg+xml"])
    (grid,) = kinds["image/png"]
    assert cv2.imdecode(np.frombuffer(grid, np.uint8), cv2.IMREAD_COLOR).std() > 5


def test_figures_recipe_and_versions_are_on_it(folder, tmp_path):
    assert main(["report", str(folder), "--out", str(tmp_path / "page.html")]) == 0
    text = Page((tmp_path / "page.html").read_text()).text
    found = json.loads((folder / "evaluation.json").read_text())
    assert f"{100 * found['verification']['accuracy']:.2f} %" in text
    for rate in found["identification"]["rates"]:
        assert f"{100 * rate['dir_mean']:.1f} % ± {100 * rate['dir_std']:.1f}" in text
    assert f"{found['reconstruction']['ssim']['mean']:.3f}" in text
    for part in (
        "my <run> & more",
        "drawn faces of <nobody>",
        "# small",
        "--set fit.epochs=3",
        "--seed 7",
        "tensorflow",
    ):
        assert part.lower() in text.lower()
    assert "/home/somebody" not in text and str(folder.parent) not in text


def test_a_run_that_was_not_measured_says_so(tmp_path):
    folder = make_run(tmp_path / "run")
    assert main(["report", str(folder)]) == 0
    page = Page((folder / "report.html").read_text())
    assert "Not measured yet" in page.text
    assert len(page.addresses) == 4  # the curves


def test_further_chips_are_part_of_how_to_repeat_it(tmp_path):
    folder = make_run(tmp_path / "run")
    document = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(document | {"also": [document["chips"]]}))
    assert main(["report", str(folder)]) == 0
    assert "--chips CHIPS --also CHIPS --run RUN" in Page((folder / "report.html").read_text()).text


def test_an_evaluation_of_fewer_epochs_is_called_old(folder, tmp_path):
    stale = json.loads((folder / "evaluation.json").read_text()) | {"epochs_done": 2}
    copy = make_run(tmp_path / "run")
    (copy / "evaluation.json").write_text(json.dumps(stale))
    assert main(["report", str(copy)]) == 0
    assert "Measured after 2 epochs, now fitted for 3" in (copy / "report.html").read_text()


def test_what_cannot_be_reported_is_one_line(tmp_path, capsys):
    assert main(["report", str(tmp_path / "nothing")]) == 4
    assert "run.json" in capsys.readouterr().err
    assert not (tmp_path / "nothing").exists()
    folder = make_run(tmp_path / "run")
    (folder / "evaluation.json").write_text("{}")
    assert main(["report", str(folder)]) == 4
    assert "evaluate again" in capsys.readouterr().err
    assert not (folder / "report.html").exists()
