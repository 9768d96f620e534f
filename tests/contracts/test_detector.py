"""One body over every detector: what the pipeline relies on."""

import numpy as np
import pytest

from edge_runtime.detectors import DetectorOptions, open_detector
from edge_runtime.errors import BundleError, ConfigError, InputError
from edge_runtime.faces.chain import central_face
from tests.builders import RELEASED, SHARED, draw_face, make_pixels

YUNET = SHARED / "reference" / "yunet_n_320.onnx"


@pytest.fixture(params=["bundle", "yunet"])
def detector(request):
    if request.param == "yunet" and not YUNET.is_file():
        pytest.skip(f"needs {YUNET.name} beside the checkout")
    spec = f"bundle:{RELEASED}" if request.param == "bundle" else f"yunet:{YUNET}"
    opened = open_detector(spec, DetectorOptions(min_face_px=40))
    yield opened
    opened.close()
    opened.close()


def test_nothing_is_found_where_there_is_no_face(detector):
    found = detector.detect(make_pixels(240, 320))
    assert len(found) == 0
    assert found.landmarks.shape == (0, 5, 2)


@pytest.mark.parametrize("person", [0, 3])
def test_a_face_is_found_where_it_is(detector, person):
    picture = draw_face(person, 120)
    found = detector.detect(picture)
    assert len(found) >= 1
    best = central_face(found, picture.shape[1::-1])
    assert np.linalg.norm(found.centre[best] - 90) < 25
    right_eye, left_eye, nose, right_mouth, left_mouth = found.landmarks[best]
    assert right_eye[0] < nose[0] < left_eye[0]
    assert right_eye[1] < nose[1] < right_mouth[1]
    assert right_mouth[0] < left_mouth[0]


def test_scores_fall(detector):
    picture = np.concatenate([draw_face(p, 120) for p in (0, 1, 2)], 1)
    scores = detector.detect(picture).score
    assert len(scores) >= 2
    assert (np.diff(scores) <= 0).all()


@pytest.mark.parametrize("shape", [(1, 1), (3, 500), (500, 3), (41, 41)])
def test_odd_pictures_give_no_face_and_no_error(detector, shape):
    assert len(detector.detect(make_pixels(*shape))) == 0


def test_grey_or_float_pictures_are_refused(detector):
    with pytest.raises(InputError, match="uint8"):
        detector.detect(np.zeros((50, 50), np.uint8))
    with pytest.raises(InputError, match="uint8"):
        detector.detect(np.zeros((50, 50, 3), np.float32))


@pytest.mark.parametrize(
    ("spec", "error"),
    [
        ("bundel", ConfigError),
        ("bundle", ConfigError),
        ("bundle:nowhere", BundleError),
        ("yunet", ConfigError),
        ("yunet:no.onnx", InputError),
    ],
)
def test_a_wrong_name_or_file_is_one_line(spec, error):
    with pytest.raises(error, match="expected"):
        open_detector(spec)
