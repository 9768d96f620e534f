"""One body over every detector: what the pipeline relies on."""

from contextlib import closing

import cv2
import numpy as np
import pytest

from edge_runtime.detectors import DetectorOptions, open_detector
from edge_runtime.errors import BundleError, ConfigError, InputError
from edge_runtime.faces.chain import central_face
from edge_runtime.pictures.reader import read_image
from edge_runtime.sources.synthetic import PORTRAITS, still
from edge_runtime.types import NOWHERE
from tests.builders import RELEASED, SHARED, draw_face, make_pixels

STILL_FACE_PX = 170.0
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


def crowd(width, height, sizes):
    """A picture with generated faces of these widths, px, side by side, and their middles (N, 2)."""
    pixels, middles = make_pixels(height, width), []
    for number, (path, size) in enumerate(zip(sorted(PORTRAITS.glob("*.png")), sizes, strict=False)):
        side = round(400 * size / STILL_FACE_PX)
        x = round((number + 0.5) * width / len(sizes) - side / 2)
        y = (height - side) * (number % 3) // 2
        shrunk = cv2.resize(still(read_image(path)), (side, side), interpolation=cv2.INTER_AREA)
        pixels[y : y + side, x : x + side] = shrunk
        middles.append((x + side / 2, y + side * 190 / 400))
    return pixels, np.array(middles)


@pytest.mark.parametrize(("width", "height", "sizes"), [(1280, 720, (50, 54, 58, 70, 81)), (1920, 1080, (50, 60) * 4)])
def test_small_faces_of_a_large_picture_are_found_each_once(detector, width, height, sizes):
    pixels, middles = crowd(width, height, sizes)
    found = detector.detect(pixels)
    assert len(found) == len(middles)
    assert np.linalg.norm(found.centre[:, None] - middles[None], axis=2).min(0).max() < 10


def test_a_window_shows_what_the_whole_picture_does_not():
    with closing(open_detector(f"bundle:{RELEASED}", DetectorOptions(min_face_px=20))) as detector:
        pixels, middles = crowd(1920, 1080, (26,) * 4)
        windows = detector.windows(pixels.shape)
        assert len(detector.detect(pixels, windows=NOWHERE)) == 0
        x, y = middles[1]
        near = windows[(windows[:, :2] < [x - 40, y - 40]).all(1) & (windows[:, 2:] > [x + 40, y + 40]).all(1)][:1]
        found = detector.detect(pixels, windows=near)
        assert np.linalg.norm(found.centre - [x, y], axis=1).max() < 10
        assert len(found) == 1


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
