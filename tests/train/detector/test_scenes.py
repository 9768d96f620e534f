import numpy as np
import pytest

from tests.train.labelled_photos import write_drawn
from train.data.labelled import LabelledPhotos
from train.detector.backgrounds import UNSEEN, draw_background, drawing
from train.detector.scenes import PhotoPool, make_scene

SIZE = (320, 240)


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    return PhotoPool.of_split([write_drawn(tmp_path_factory.mktemp("scenes") / "l.npz")], "train")


def test_only_people_of_the_split_take_part(pool):
    assert len(pool) == 2


def test_a_scene_is_a_function_of_its_seed(pool):
    one, faces = make_scene(pool, SIZE, np.random.default_rng(7))
    again, same = make_scene(pool, SIZE, np.random.default_rng(7))
    np.testing.assert_array_equal(one, again)
    np.testing.assert_array_equal(faces.faces.xyxy, same.faces.xyxy)


def test_scenes_have_faces_of_all_sizes_and_some_have_none(pool):
    made = [make_scene(pool, SIZE, np.random.default_rng([3, k])) for k in range(60)]
    sizes = np.concatenate([faces.size[~faces.doubtful] for _, faces in made])
    assert all(pixels.shape == (240, 320, 3) and pixels.dtype == np.uint8 for pixels, _ in made)
    assert any(len(faces.faces) == 0 for _, faces in made)
    assert sizes.min() < 16 and sizes.max() > 120


def test_labels_lie_on_the_faces(pool):
    """The drawn eyes are darker than the skin between them, so wherever a label is right that can be measured."""
    right = total = 0
    for k in range(80):
        pixels, faces = make_scene(pool, SIZE, np.random.default_rng([5, k]), harsh=0.0)
        for points, size, doubtful in zip(faces.faces.landmarks, faces.size, faces.doubtful, strict=True):
            spots = np.rint([points[0], points[1], (points[0] + points[1]) / 2]).astype(int)
            if doubtful or size < 40 or (spots < 1).any() or (spots >= np.array(SIZE) - 1).any():
                continue
            levels = [float(pixels[y - 1 : y + 2, x - 1 : x + 2].mean()) for x, y in spots]
            total += 1
            right += levels[2] > min(levels[:2])
            assert points[0][0] < points[1][0], "right and left are the subject's"
    assert total > 20 and right / total > 0.9


def test_unseen_drawings_are_others_than_the_scenes():
    assert not np.array_equal(drawing(SIZE, 0), drawing(SIZE, UNSEEN))
    with pytest.raises(ValueError, match="read-only"):
        drawing(SIZE, 0)[:] = 0


def test_backgrounds_differ():
    rng = np.random.default_rng(0)
    drawn = {draw_background(SIZE, rng).tobytes() for _ in range(12)}
    assert len(drawn) == 12


def test_labelled_photos_of_another_split_are_not_touched(tmp_path):
    write_drawn(tmp_path / "l.npz")
    assert len(PhotoPool.of_split([LabelledPhotos.load(tmp_path / "l.npz")], "cohort")) == 0
