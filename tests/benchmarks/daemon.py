"""What the daemon costs and sees on the shared clip, beside the plain chain, and in an idle scene.

python -m tests.benchmarks.daemon --bundle REFERENCE_BUNDLE --out docs/daemon/clip

The plain chain is YuNet on each frame at its own size and the float reference encoder on each face. Both chains get
two threads and read the clip themselves; the daemon's is the pipeline on the reference encoder, wrapped as a bundle
(``python -m convert wrap``), so that names compare. Figures of the processes are of ``familiar run`` on the clip.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge_runtime.bundle.folder import Bundle
from edge_runtime.config import Config, DecideConfig, parse_config
from edge_runtime.decision.matcher import Matcher, make_matcher
from edge_runtime.detectors import DetectorOptions, open_detector
from edge_runtime.faces.chain import FaceChain, central_face
from edge_runtime.gallery.templates import Templates
from edge_runtime.pictures.reader import read_image
from edge_runtime.pipeline import Pipeline
from edge_runtime.protocols import Detector
from edge_runtime.sources import open_source
from edge_runtime.sources.synthetic import Scene, SceneOptions
from edge_runtime.types import Detections, Floats, Frame
from tests.builders import RELEASED, ROOT, SHARED

CLIP = SHARED / "data/clips/short_hamilton_clip.mp4"
PHOTOS = SHARED / "data/clips/enrol"
YUNET = SHARED / "reference/yunet_n_320.onnx"
THREADS = 2
FACE_PX, SCORE = 40, 0.7
_TURNS = 3

Row = tuple[str, str]
Named = list[list[tuple[Floats, str | None]]]
"""(box xyxy, name) of every face, a list a frame."""


def clip_frames() -> Iterator[Frame]:
    with open_source(f"file:{CLIP}", "clip") as source:
        yield from source


def matcher_for(chain: FaceChain, detector: Detector) -> Matcher:
    """The two performers, from the one photo there is of each."""
    codes, names = [], []
    for path in sorted(PHOTOS.glob("*.png")):
        photo = read_image(path)
        faces = detector.detect(photo)
        codes.append(chain.encode(photo, faces.landmarks[[central_face(faces, photo.shape[1::-1])]])[0][0])
        names.append(path.stem)
    count = len(codes)
    index = np.arange(count, dtype=np.int64)
    templates = Templates(tuple(names), index, np.stack(codes), np.ones(count, np.float32), index)
    return make_matcher(templates, chain.bundle, DecideConfig())


def plain(chain: FaceChain, yunet: Detector, matcher: Matcher) -> tuple[Named, list[Detections]]:
    """YuNet on each frame, the encoder on each face."""
    named, found = [], []
    for frame in clip_frames():
        faces = yunet.detect(frame.pixels)
        codes, _ = chain.encode(frame.pixels, faces.landmarks)
        named.append([(box, m.person) for box, m in zip(faces.xyxy, matcher.match(codes), strict=True)])
        found.append(faces)
    return named, found


def ours(chain: FaceChain, matcher: Matcher) -> tuple[Named, list[list[Floats]], Pipeline]:
    """The daemon's pipeline on each frame."""
    pipeline = Pipeline(chain, matcher, parse_config({}), "clip")
    named, followed = [], []
    for frame in clip_frames():
        pipeline.step(frame)
        named.append([(box, name) for box, name, _ in pipeline.sightings()])
        followed.append([box for _, box in pipeline.tracks])
    return named, followed, pipeline


def timed(action: Callable[[], Any]) -> tuple[Any, float, float]:
    """What it gives, its wall seconds, and its CPU seconds."""
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    result = action()
    return result, time.perf_counter() - wall_s, time.process_time() - cpu_s


def speed_and_names(bundle: Bundle) -> Iterator[Row]:
    cv2.setNumThreads(THREADS)
    yunet = open_detector(f"yunet:{YUNET}", DetectorOptions(min_face_px=10, score_floor=SCORE))
    with FaceChain.open(bundle, threads=THREADS, options=DetectorOptions(min_face_px=20)) as chain:
        reference, own = matcher_for(chain, yunet), matcher_for(chain, chain.detector)
        ratios, spent = [], []
        for _ in range(_TURNS):
            (their_names, found), their_wall_s, their_cpu_s = timed(lambda: plain(chain, yunet, reference))
            (our_names, followed, pipeline), wall_s, cpu_s = timed(lambda: ours(chain, own))
            ratios.append((their_wall_s / wall_s, their_cpu_s / cpu_s))
            spent.append((1000 * their_cpu_s / len(found), 1000 * cpu_s / len(found)))
    assert pipeline.counts["frames"] == len(found)
    wall, cpu = np.median([r[0] for r in ratios]), np.median([r[1] for r in ratios])
    yield "frames, all of them taken by both chains", f"{len(found)}"
    yield (
        "**frames a second / those of the plain chain**",
        f"**{wall:.1f}** ({cpu:.1f} by CPU time), median of {_TURNS}",
    )
    yield (
        "CPU a frame, plain / ours",
        f"{np.median([s[0] for s in spent]):.1f} / {np.median([s[1] for s in spent]):.1f} ms",
    )
    yield "searched / encoded", f"{pipeline.counts['searched']} frames / {pipeline.stages['encode'].count} views"
    yield from coverage(found, followed, our_names)
    yield from agreement(their_names, our_names)


def coverage(found: list[Detections], followed: list[list[Floats]], announced: Named) -> Iterator[Row]:
    boxes = [(frame, box) for frame, faces in enumerate(found) for box in faces.xyxy[faces.width >= FACE_PX]]
    by_any = sum(covers(followed[frame], box) for frame, box in boxes)
    by_told = sum(covers([row[0] for row in announced[frame]], box) for frame, box in boxes)
    name = f"YuNet's boxes of {FACE_PX} px and more (score {SCORE:g} and more)"
    yield f"**{name} covered by a track**", f"**{by_any / len(boxes):.1%}** of {len(boxes)}"
    yield "... by a track that was announced", f"{by_told / len(boxes):.1%} (the others are profiles)"
    yield "tracks a frame, announced and not", f"{np.mean([len(row) for row in followed]):.1f}"


def covers(boxes: list[Floats], box: Floats) -> bool:
    """Whether the centre of ``box`` lies in one of ``boxes``."""
    centre = (box[:2] + box[2:]) / 2
    return any(bool((other[:2] < centre).all() and (centre < other[2:]).all()) for other in boxes)


def agreement(theirs: Named, mine: Named) -> Iterator[Row]:
    tally: Counter[str] = Counter()
    names: tuple[set[str], set[str]] = set(), set()
    for plain_row, our_row in zip(theirs, mine, strict=True):
        for box, name in plain_row:
            here = [said for other, said in our_row if covers([other], box)]
            said = here[0] if here else None
            if name:
                names[0].add(name)
                tally["named"] += 1
                tally["same" if said == name else "not" if said is None else "other"] += 1
            tally["ours"] += said is not None
            tally["more"] += said is not None and name is None
        names[1].update(said for _, said in our_row if said)
    yield (
        "people named, plain / ours",
        f"{', '.join(sorted(names[0])) or 'nobody'} / {', '.join(sorted(names[1])) or 'nobody'}",
    )
    yield "faces with a name, plain / ours", f"{tally['named']} / {tally['ours']}"
    yield (
        "of the plain chain's names: the same / not yet / another",
        f"{tally['same']} / {tally['not']} / {tally['other']}",
    )
    yield "faces only ours names", f"{tally['more']}"


def idle(bundle: Bundle) -> Iterator[Row]:
    """CPU of the pipeline in a busy scene and in an empty room with a noisy sensor, the daemon's bundle."""
    scene = Scene(SceneOptions(crossing=True, seed=0))
    rng = np.random.default_rng(0)
    room = scene.render(0.0).astype(np.float32)
    seconds, settled_s, fps = 20.0, 4.0, 25.0
    frames = round(seconds * fps)
    busy = [scene.render(2.5 + k / fps) for k in range(round(4.0 * fps))]
    still = [np.clip(room + rng.normal(0, 4, (*room.shape[:2], 1)), 0, 255).astype(np.uint8) for _ in range(50)]
    cv2.setNumThreads(1)
    costs = []
    with FaceChain.open(bundle, options=DetectorOptions(min_face_px=20)) as chain:
        matcher = make_matcher(Templates.empty(chain.encoder.embedding_size), bundle, DecideConfig())
        for pictures in (busy, still):
            pipeline = Pipeline(chain, matcher, Config(), "idle")
            started, searched = 0.0, 0
            for seq in range(frames + round(settled_s * fps)):
                if seq == round(settled_s * fps):
                    started, searched = time.process_time(), pipeline.counts["searched"]
                pipeline.step(Frame(pictures[seq % len(pictures)], "idle", seq, seq / fps, seq / fps))
            costs.append((1000 * (time.process_time() - started) / frames, pipeline.counts["searched"] - searched))
    (busy_ms, busy_n), (idle_ms, idle_n) = costs
    yield (
        "**pipeline's CPU, idle / busy scene**",
        f"**{idle_ms / busy_ms:.2f}** ({idle_ms:.2f} / {busy_ms:.2f} ms a frame)",
    )
    yield "searched of " + f"{frames} frames, idle / busy", f"{idle_n} / {busy_n}"


def processes(bundle: Path) -> Iterator[Row]:
    """Memory of ``familiar run`` and its capture process, and how long the first decision takes."""
    with tempfile.TemporaryDirectory(prefix="familiar-bench-") as folder:
        env = {**os.environ, "FAMILIAR_BUNDLE_PATH": str(bundle), "PYTHONPATH": str(ROOT)}
        env |= {f"XDG_{kind}": f"{folder}/{kind}" for kind in ("CONFIG_HOME", "STATE_HOME", "RUNTIME_DIR")}
        command = [sys.executable, "-m", "edge_runtime", "run", "--camera", f"clip=file:{CLIP}"]
        started = time.perf_counter()
        with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            assert process.stdout is not None
            os.set_blocking(process.stdout.fileno(), False)
            first, text, most_kb = None, b"", 0
            while process.poll() is None:
                most_kb = max(most_kb, sum(map(pss_kb, family(process.pid))))
                text += process.stdout.read() or b""
                if first is None and any(kind in text for kind in (b'"identified"', b'"unknown"')):
                    first = time.perf_counter() - started, sum(map(cpu_s, family(process.pid)))
                time.sleep(0.01)
    if first is None:
        raise SystemExit(f"{CLIP}: expected a decision, found none; see familiar run --camera clip=file:{CLIP}")
    yield "**summed PSS of the daemon's processes, at most**", f"**{most_kb / 1024:.0f} MB**"
    yield "**from start to the first decision**", f"**{first[0]:.2f} s** ({first[1]:.2f} s of CPU, both processes)"


def family(pid: int) -> list[int]:
    """A process and its children that are there."""
    try:
        return [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
    except OSError:
        return [pid]


def pss_kb(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def cpu_s(pid: int) -> float:
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True, help="the reference encoder as a bundle")
    parser.add_argument("--daemon", type=Path, default=RELEASED, help="the daemon's bundle (the released one)")
    parser.add_argument("--out", type=Path, help="path without ending")
    args = parser.parse_args()
    if not CLIP.is_file():
        raise SystemExit(f"{CLIP}: expected the shared clip, found nothing; it lies beside the checkout")
    rows = [*speed_and_names(Bundle(args.bundle)), *idle(Bundle(args.daemon)), *processes(args.daemon)]
    text = "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)]) + "\n"
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.with_suffix(".md").write_text(text)
        args.out.with_suffix(".json").write_text(json.dumps(dict(rows), indent=2, ensure_ascii=False) + "\n")
    print(text, end="")


if __name__ == "__main__":
    main()
