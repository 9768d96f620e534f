"""The device's test on arm64, emulated, beside the same here: ``make arm``."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.arm.comparison import compare
from tests.arm.root import SUITES, missing, prepare, size
from tests.builders import SHARED


def main() -> int:
    """Prepare, run, compare; 0 if all is as it must be."""
    parser = argparse.ArgumentParser(prog="python -m tests.arm", description=__doc__)
    parser.add_argument("--suite", choices=SUITES, default="trixie", help="Debian's release (trixie)")
    parser.add_argument("--quick", action="store_true", help="neither doctor nor cameras")
    args = parser.parse_args()
    if missing():
        sys.exit(f"make arm: {missing()}")
    started = time.monotonic()
    emulated = prepare(args.suite)
    print(f"{time.monotonic() - started:.0f} s to prepare; packages on the device, MB:")
    for path in sorted(emulated.site.iterdir(), key=size, reverse=True)[:10]:
        print(f"  {path.name:<34} {size(path) / 1e6:6.1f}")
    print(f"  {'all':<34} {size(emulated.site) / 1e6:6.1f}", flush=True)
    clip = SHARED / "data/clips/short_hamilton_clip.mp4"
    with tempfile.TemporaryDirectory(prefix="familiar-arm-") as work:
        for line in compare(emulated, Path(work), clip if clip.exists() else None, args.quick):
            print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
