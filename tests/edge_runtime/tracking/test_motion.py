import numpy as np
import pytest

from edge_runtime.tracking.motion import MotionGate
from tests.builders import draw_face, make_pixels

FPS = 25.0


def noisy(pixels, sigma, rng):
    noise = rng.normal(0, sigma, (*pixels.shape[:2], 1))
    return np.clip(pixels + noise, 0, 255).astype(np.uint8)


def watch(gate, pictures, start=0):
    return [gate.look(picture, (start + index) / FPS) for index, picture in enumerate(pictures)]


def room():
    return make_pixels(240, 320, 5) // 2 + 40


def with_face(x, size=80):
    picture, face = room(), draw_face(0, size)
    picture[40 : 40 + len(face), x : x + len(face)] = face
    return picture


def test_the_first_picture_and_one_of_another_size_are_new_scenes():
    gate = MotionGate()
    assert watch(gate, [room()]) == ["cut"]
    assert gate.look(make_pixels(120, 160), 1.0) == "cut"


@pytest.mark.parametrize(("sigma", "share"), [(3, 1.0), (12, 1.0), (12, 0.15)])
def test_noise_by_day_and_night_is_no_motion(sigma, share):
    rng = np.random.default_rng(0)
    seen = watch(MotionGate(), [noisy(room() * share, sigma, rng) for _ in range(150)])
    assert seen.count("still") >= 145


def test_light_that_changes_everywhere_is_no_motion():
    rng = np.random.default_rng(1)
    dimming = [noisy(room() * (1 + 0.3 * np.sin(i / 20)), 3, rng) for i in range(150)]
    lamp = [noisy(room() * (1.5 if i // 40 % 2 else 1.0), 3, rng) for i in range(150)]
    rows = np.arange(240)[:, None, None]
    mains = [noisy(room() * (1 + 0.15 * np.sin(rows / 25 + 1.7 * i)), 3, rng) for i in range(150)]
    for pictures in (dimming, lamp, mains):
        assert watch(MotionGate(), pictures).count("still") >= 145


@pytest.mark.parametrize("sigma", [3, 12])
def test_somebody_who_walks_in_is_motion_until_they_stand(sigma):
    rng, gate = np.random.default_rng(2), MotionGate()
    assert set(watch(gate, [noisy(room(), sigma, rng) for _ in range(100)])[5:]) == {"still"}
    walk = watch(gate, [noisy(with_face(5 + 4 * i), sigma, rng) for i in range(40)], 100)
    assert "moved" in walk[:3]
    assert walk.count("moved") >= 35
    stand = watch(gate, [noisy(with_face(161), sigma, rng) for _ in range(150)], 140)
    assert set(stand[100:]) == {"still"}


def test_a_cut_is_told_from_a_camera_that_pans():
    wide = make_pixels(240, 1000, 8)
    gate = MotionGate()
    pan = watch(gate, [wide[:, 4 * i : 4 * i + 320] for i in range(60)])
    assert "cut" not in pan[1:]
    assert "moved" in pan
    assert gate.look(255 - wide[:, 600:920], 3.0) == "cut"


def test_what_always_moves_is_got_used_to():
    rng, gate = np.random.default_rng(3), MotionGate()

    def screen(i):
        picture = room().astype(np.float32)
        picture[100:160, 200:280] *= rng.uniform(0.5, 1.5)
        return noisy(picture, 2, rng)

    seen = watch(gate, [screen(i) for i in range(1000)])
    assert seen[:100].count("moved") > 50
    assert seen[-200:].count("moved") < 50
    walk = watch(gate, [noisy(with_face(5 + 3 * i), 2, rng) for i in range(20)], 1000)
    assert "moved" in walk[:4]
