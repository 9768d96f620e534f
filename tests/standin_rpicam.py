"""What ``rpicam-vid --codec yuv420`` writes, without a camera: full-range I420 pictures, one behind the other.

It takes the arguments ``edge_runtime.sources.rpicam`` gives and refuses others. The environment says what goes wrong:
``STANDIN_FAULT`` is ``die:N`` (after N pictures), ``cut:N`` (in the middle of picture N, then it ends), ``stall:N``,
``none`` (no camera), or ``adjust:WxH`` (it gives another size, and says so); ``STANDIN_COLOUR`` is R,G,B.
"""

import argparse
import os
import sys
import time


def i420(colour: tuple[int, ...], width: int, height: int, shade: int) -> bytes:
    """One colour in full-range BT.601 (JPEG), its brightness a little different for each ``shade``."""
    r, g, b = (min(value + shade % 5, 255) for value in colour)
    y = 0.299 * r + 0.587 * g + 0.114 * b
    u, v = 128 + 0.564 * (b - y), 128 + 0.713 * (r - y)
    quarter = width * height // 4
    return bytes([round(y)]) * (4 * quarter) + bytes([round(u)]) * quarter + bytes([round(v)]) * quarter


def main() -> int:
    parser = argparse.ArgumentParser()
    for name, kind in (("camera", int), ("width", int), ("height", int), ("framerate", float), ("verbose", int)):
        parser.add_argument(f"--{name}", type=kind, required=True)
    parser.add_argument("--codec", choices=["yuv420"], required=True)
    parser.add_argument("--timeout", choices=["0"], required=True)
    parser.add_argument("--output", choices=["-"], required=True)
    parser.add_argument("--nopreview", action="store_true", required=True)
    parser.add_argument("--flush", action="store_true", required=True)
    args = parser.parse_args()
    fault, _, value = os.environ.get("STANDIN_FAULT", "").partition(":")
    width, height = args.width, args.height
    log = "[0:00:00.000000000] [1]  INFO Camera camera.cpp"
    print(f"{log}_manager.cpp:326 libcamera v0.5.1", file=sys.stderr)
    if fault == "none" or args.camera > 0:
        print("ERROR: *** no cameras available ***", file=sys.stderr)
        return 255
    if fault == "adjust":
        width, height = (int(side) for side in value.split("x"))
    print(
        f"{log}:1205 configuring streams: (0) {width}x{height}-YUV420 (1) 1536x864-BGGR16", file=sys.stderr, flush=True
    )
    colour = tuple(int(part) for part in os.environ.get("STANDIN_COLOUR", "200,30,20").split(","))
    at = int(value) if value.isdecimal() else -1
    for number in range(1 << 30):
        picture = i420(colour, width, height, number)
        if number == at:
            if fault == "cut":
                sys.stdout.buffer.write(picture[: len(picture) // 3])
            if fault == "stall":
                time.sleep(3600)
            print("ERROR: *** failed to queue buffer ***", file=sys.stderr)
            return 255
        sys.stdout.buffer.write(picture)
        sys.stdout.buffer.flush()
        time.sleep(1 / args.framerate)
    return 0


if __name__ == "__main__":
    sys.exit(main())
