"""Speed and memory as ratios within one run: ``make bench``. The machine may be shared and noisy; ratios survive that.

The two sides of a ratio are timed in turns, and the median of the turns' ratios is printed with its quartiles.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np

from edge_runtime.bundle.folder import Bundle
from edge_runtime.bundle.preprocessing import Preprocessing
from edge_runtime.capture.process import CaptureProcess
from edge_runtime.decision.calibration import calibrate
from edge_runtime.decision.matcher import Matcher
from edge_runtime.detectors import DetectorOptions, open_detector
from edge_runtime.faces.encoder import TfliteEncoder, open_encoder
from edge_runtime.gallery.templates import Templates
from edge_runtime.geometry.alignment import Template, align, similarity
from edge_runtime.interpreters import open_interpreter
from edge_runtime.sources import open_source
from edge_runtime.types import Frame
from tests.builders import RELEASED, SHARED, draw_face, make_bundle, make_pixels
from tests.clips import write_clip

Row = tuple[str, str]
_TURNS = 15


def ratio(ours: Callable[[], Any], reference: Callable[[], Any], repeats: int = 5) -> tuple[float, float, float]:
    """Median and quartiles of time(ours) / time(reference), the two timed in turns."""
    ours(), reference()
    ratios = []
    for _ in range(_TURNS):
        times = []
        for action in (ours, reference):
            started = time.perf_counter()
            for _ in range(repeats):
                action()
            times.append(time.perf_counter() - started)
        ratios.append(times[0] / times[1])
    low, middle, high = statistics.quantiles(ratios, n=4)
    return middle, low, high


def pipeline() -> Iterator[Row]:
    """What fitting takes beside its steps: nothing is to wait for cached chips."""
    name = "fit: step alone / step of an epoch on cached chips"
    if find_spec("tensorflow") is None:
        yield name, "left out: no TensorFlow here"
        return
    from tests.benchmarks.fitting import step_and_epoch

    with TemporaryDirectory() as folder, step_and_epoch(Path(folder)) as (step, epoch):
        yield name, shown(ratio(step, epoch, 1))


def shown(values: tuple[float, float, float]) -> str:
    return f"{values[0]:8.2f}   ({values[1]:.2f} to {values[2]:.2f})"


@contextmanager
def some_bundle() -> Iterator[Bundle]:
    """The released bundle, or the tests' tiny one if no bundle is released."""
    if RELEASED.is_dir():
        yield Bundle(RELEASED)
        return
    with TemporaryDirectory() as folder:
        yield make_bundle(Path(folder) / "bundle")


def detectors() -> Iterator[Row]:
    frame = cv2.resize(draw_face(0, 160), (320, 240))
    own = open_detector(f"bundle:{RELEASED}")
    model = SHARED / "reference" / "yunet_n_320.onnx"
    if not model.is_file():
        yield "detect: own / YuNet, 320x240", "left out: no YuNet file beside the checkout"
        return
    yunet = open_detector(f"yunet:{model}", DetectorOptions(min_face_px=10))
    yield "detect: own / YuNet, 320x240", shown(ratio(lambda: own.detect(frame), lambda: yunet.detect(frame)))


def encoders(bundle: Bundle) -> Iterator[Row]:
    size_wh = bundle.manifest.preprocessing.template.size_wh
    encoder = open_encoder(bundle)
    chip = make_pixels(size_wh[1], size_wh[0])[None]
    label = f"encode: {bundle.manifest.name} int8 / MobileFaceNet float"
    model = SHARED / "reference" / "mobilefacenet_float.tflite"
    if not model.is_file():
        yield label, "left out: no reference encoder beside the checkout"
        return
    plain = Preprocessing("rgb", (0.0,) * 3, (1.0,) * 3, Template.arcface(112))
    reference = TfliteEncoder(open_interpreter("auto", model), plain)
    large = make_pixels(112, 112)[None]
    yield label, shown(ratio(lambda: encoder.encode(chip), lambda: reference.encode(large)))


def alignment(bundle: Bundle) -> Iterator[Row]:
    frame = make_pixels(480, 640)
    template = bundle.manifest.preprocessing.template
    landmarks = (Template.arcface(200).as_array() + 100)[None]
    matrix = similarity(landmarks[0], template.as_array())
    yield (
        "align: antialiased warp / plain warpAffine",
        shown(
            ratio(
                lambda: align(frame, landmarks, template), lambda: cv2.warpAffine(frame, matrix, template.size_wh), 50
            )
        ),
    )


def matching() -> Iterator[Row]:
    rng = np.random.default_rng(0)
    people, each, size = 1000, 10, 128
    codes = rng.normal(size=(people * each, size)).astype(np.float32)
    codes /= np.linalg.norm(codes, axis=1, keepdims=True)
    index = np.repeat(np.arange(people), each)
    templates = Templates(
        tuple(map(str, range(people))), index, codes, np.ones(len(codes), np.float32), np.arange(len(codes))
    )
    matcher = Matcher(templates, calibrate(templates, codes[::10], 1000, 10.0), 0.02)
    probe = codes[:1]
    yield (
        "match: 1,000 people x 10 / one matrix product",
        shown(ratio(lambda: matcher.match(probe), lambda: probe @ codes.T, 20)),
    )


def capture() -> Iterator[Row]:
    """What a process of its own costs a clip's frame: CPU time of both sides over that of reading it here."""
    for width, height, frames in ((640, 480, 200), (1920, 1080, 60)):
        with TemporaryDirectory() as folder:
            clip = write_clip(Path(folder) / "clip.avi", [make_pixels(height, width, 0)] * 30)
            spec = f"file:{clip}?loop"

            def here(spec: str = spec, frames: int = frames) -> float:
                with open_source(spec, "c") as source:
                    return _cpu_s(iter(source), frames, [])

            def across(spec: str = spec, frames: int = frames) -> float:
                with CaptureProcess(spec, "c") as source:
                    return _cpu_s(iter(source), frames, [source.pid])

            ratios = [across() / here() for _ in range(3)]
            low, middle, high = statistics.quantiles(ratios, n=4)
            yield f"capture: process / in place, CPU, {width}x{height}", shown((middle, low, high))


def _cpu_s(frames: Iterator[Frame], count: int, pids: list[int]) -> float:
    """CPU seconds of this process and of ``pids`` for ``count`` frames, after a few to warm up."""

    def spent_s() -> float:
        threads = [thread for pid in pids for thread in Path(f"/proc/{pid}/task").iterdir()]
        return time.process_time() + sum(int((t / "schedstat").read_text().split()[0]) for t in threads) / 1e9

    for _ in range(10):
        next(frames)
    started_s = spent_s()
    for _ in range(count):
        next(frames)
    return spent_s() - started_s


def memory(bundle: Bundle) -> Iterator[Row]:
    # VmHWM, not ru_maxrss: the latter starts at what the parent had.
    report = "; print([l for l in open('/proc/self/status') if l.startswith('VmHWM')][0].split()[1])"
    floor = "import numpy, cv2"
    whole = (
        "from edge_runtime.bundle.folder import Bundle; from edge_runtime.faces.chain import FaceChain; "
        "from edge_runtime.faces.golden import check_golden; "
        f"c = FaceChain.open(Bundle({str(bundle.path)!r})); check_golden(c.bundle, c.encoder)"
    )
    sizes = []
    for code in (whole, floor):
        done = subprocess.run([sys.executable, "-c", code + report], capture_output=True, text=True, check=True)
        sizes.append(int(done.stdout.split()[-1]) // 1024)
    yield (
        "memory: chain open and run / numpy + cv2 imported",
        f"{sizes[0] / sizes[1]:8.2f}   ({sizes[0]} / {sizes[1]} MiB)",
    )


def main() -> None:
    cv2.setNumThreads(1)
    with some_bundle() as bundle:
        rows = [
            *detectors(),
            *encoders(bundle),
            *alignment(bundle),
            *matching(),
            *capture(),
            *memory(bundle),
            *pipeline(),
        ]
    for name, value in rows:
        print(f"{name:<52} {value}")


if __name__ == "__main__":
    main()
