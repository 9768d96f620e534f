import numpy as np
import pytest

from edge_runtime.errors import InputError
from train.data.wider import read_wider

WIDER = """\
0--Parade/a b.jpg
2
10 20 30 40 0 0 0 0 0 0
50 60 70 80 0 0 0 1 0 0
1--Handshaking/empty.jpg
0
0 0 0 0 0 0 0 0 0 0
"""
RETINA = """\
# x/y.jpg
10 20 30 40 12.0 25.0 0.0 30.0 25.0 0.0 20.0 35.0 0.0 14.0 50.0 0.0 28.0 50.0 0.0 0.9
1 2 3 4 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 0.3
"""


def test_wider_face(tmp_path):
    (tmp_path / "list.txt").write_text(WIDER)
    found = read_wider(tmp_path / "list.txt")
    assert list(found) == ["0--Parade/a b.jpg", "1--Handshaking/empty.jpg"]
    faces = found["0--Parade/a b.jpg"]
    assert faces.xyxy.tolist() == [[10, 20, 40, 60], [50, 60, 120, 140]]
    assert faces.score[0] == 1 and faces.score[1] < 0.6, "an invalid box is no face to learn"
    assert np.isnan(faces.landmarks).all()
    assert len(found["1--Handshaking/empty.jpg"]) == 0


def test_retinaface(tmp_path):
    (tmp_path / "list.txt").write_text(RETINA)
    faces = read_wider(tmp_path / "list.txt")["x/y.jpg"]
    assert faces.landmarks[0].tolist() == [[12, 25], [30, 25], [20, 35], [14, 50], [28, 50]]
    assert np.isnan(faces.landmarks[1]).all()


@pytest.mark.parametrize("text", ["", "\n", "10 20 30 40\n", "a.jpg\n1\n10 20 30\n"])
def test_another_file_is_one_line(tmp_path, text):
    (tmp_path / "list.txt").write_text(text)
    with pytest.raises(InputError, match="expected"):
        read_wider(tmp_path / "list.txt")
