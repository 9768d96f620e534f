"""What a real broker is told by a real daemon: of the synthetic scene and, where it is there, of the shared clip.

python -m tests.benchmarks.transcript --out docs/outputs/transcript.md
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from tests.benchmarks.outputs import Running
from tests.builders import SHARED

_CLIP = SHARED / "data/clips/short_hamilton_clip.mp4"
_PHOTOS = SHARED / "data/clips/enrol"
_SCENE = "synthetic:realtime,loop,fps=15,size=640x480"
_MOST = 12
"""Messages of one topic that are shown."""
_LONGEST = 300
_HIDDEN = ("bundle", "template_id")


def lines_of(messages: list[tuple[str, bytes, bool]]) -> list[str]:
    """Each message on a line: the first few of a topic, discovery whole but once for each kind."""
    seen: Counter[str] = Counter()
    lines = []
    for topic, payload, _ in messages:
        seen[topic] += 1
        if seen[topic] > _MOST:
            continue
        text = shown(payload)
        lines.append(f"{topic} {text if topic.startswith('homeassistant') else _cut(text)}")
    left_out = {topic: count - _MOST for topic, count in seen.items() if count > _MOST}
    return [*lines, *(f"({count} more of {topic})" for topic, count in left_out.items())]


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def shown(payload: bytes) -> str:
    """A payload as text, with the long hashes of events cut."""
    if payload.startswith(b"\xff\xd8"):
        return f"(a JPEG of {len(payload)} bytes)"
    text = payload.decode("utf-8", "replace")
    try:
        values = json.loads(text)
    except ValueError:
        return text
    if isinstance(values, dict):
        cut = {key: f"{value[:8]}…" for key, value in values.items() if key in _HIDDEN and isinstance(value, str)}
        return json.dumps(values | cut, ensure_ascii=False)
    return text


def main() -> None:
    """Run, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    head = (
        "Made by `python -m tests.benchmarks.transcript`: a real mosquitto, the released bundle, two people enrolled. "
        "One message a line, in order; events are cut."
    )
    page = ["# What a broker is told", "", head]

    scenes: list[tuple[str, str, dict[str, list[Path]] | None]] = [("The synthetic scene", _SCENE, None)]
    if _CLIP.exists():
        people = {f"Performer {number}": [path] for number, path in enumerate(sorted(_PHOTOS.glob("*.png")), 1)}
        scenes.append(("The real clip: two performers, an audience", f"file:{_CLIP}?realtime&loop", people))
    for title, camera, people in scenes:
        with ExitStack() as stack:
            running = Running(stack, camera, "outputs", people)
            time.sleep(args.seconds)
            running.end()
            assert running.reader is not None
            running.reader.settled()
            page += ["", f"## {title}", "", "```text", *lines_of(running.reader.messages), "```"]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text("\n".join(page) + "\n")


if __name__ == "__main__":
    main()
