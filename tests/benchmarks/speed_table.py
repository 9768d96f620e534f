"""What speed to expect on boards that nothing was timed on: computed from the released models and published rates.

python -m tests.benchmarks.speed_table [--out docs/speed.md]
"""

from __future__ import annotations

import argparse
import math
import re
from dataclasses import dataclass
from pathlib import Path

from convert.edgetpu.graph import Graph, Operator, Tensor, read_graph
from edge_runtime.bundle.folder import Bundle
from edge_runtime.storage.files import write_whole
from tests.builders import RELEASED

BEGIN, END = "<!-- made by python -m tests.benchmarks.speed_table -->", "<!-- made until here -->"
MOBILENET_MACS = 569e6
"""Of MobileNet v1 1.0 at 224x224 pixels, on which the rates were published (arXiv 1704.04861, table 4)."""
PI_3_MS, PI_4_MS = 46, 24
"""Of that, int8, on the four cores of a Pi 3 B+ and of a Pi 4 with a 64-bit system: XNNPACK's README, February 2022."""
PI_4_SSD_MS, PI_5_SSD_MS = 82.7, 16.9
"""Of SSD MobileNet v1 0.75 by TensorFlow Lite: github.com/aallan/benchmarking-ml-on-the-edge."""
PI_3_GHZ, ZERO_2_GHZ = 1.4, 1.0
"""The clocks of two processors with the same cores, Cortex-A53: raspberrypi.com."""
CORAL_MS = 2.2
"""Of that on the USB Accelerator at a desktop's USB 3: Coral's FAQ."""
CORAL_CALL_MS = 1.4
"""Of a network with next to no work on the Accelerator at a Pi 4: github.com/EscVM/RPS_with_Edge_TPU."""
CORES = 4


@dataclass(frozen=True)
class Board:
    """One row.

    Attributes:
        name: of the board.
        rate: int8 multiply-adds a second, of one core.
        call_ms: what a run costs beside its multiply-adds.
        memory_mb: of the smallest version that is sold; None: the host's.
        source: where the rate is from, in words.
    """

    name: str
    rate: float
    memory_mb: int | None
    source: str
    call_ms: float = 0.0

    def ms(self, macs: int) -> float:
        """How long a model takes, in milliseconds."""
        return 1000 * macs / self.rate + self.call_ms


def boards() -> list[Board]:
    """The boards, the slowest first."""
    pi_3, pi_4 = (MOBILENET_MACS / ms * 1000 / CORES for ms in (PI_3_MS, PI_4_MS))
    return [
        Board("Zero 2 W", pi_3 * ZERO_2_GHZ / PI_3_GHZ, 512, "the Pi 3's, by the clock"),
        Board("3 B+", pi_3, 1024, f"MobileNet v1 in {PI_3_MS} ms on four cores"),
        Board("4", pi_4, 1024, f"MobileNet v1 in {PI_4_MS} ms on four cores"),
        Board("5", pi_4 * PI_4_SSD_MS / PI_5_SSD_MS, 2048,
              f"the Pi 4's, by SSD MobileNet: {PI_5_SSD_MS} ms for {PI_4_SSD_MS}"),
        Board("Coral USB at a Pi 4 or 5", MOBILENET_MACS / CORAL_MS * 1000, None,
              f"MobileNet v1 in {CORAL_MS} ms, and {CORAL_CALL_MS} ms a call", CORAL_CALL_MS),
    ]  # fmt: skip


def macs(graph: Graph) -> int:
    """Multiply-adds of one run, in convolutions and dense layers."""
    return sum(_macs(operator) for operator in graph.operators)


def _macs(operator: Operator) -> int:
    if operator.name not in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
        return 0
    weights, output = operator.inputs[1], operator.outputs[0]
    assert weights is not None
    # (out, h, w, in), (1, h, w, channels) and (out, in): what one value of the output is a sum of.
    each = weights.shape[1:3] if operator.name == "DEPTHWISE_CONV_2D" else weights.shape[1:]
    return math.prod(output.shape) * math.prod(each)


def activations(graph: Graph) -> int:
    """Bytes of the largest step: its inputs and outputs at once, all int8."""

    def size(tensors: tuple[Tensor, ...]) -> int:
        return sum(math.prod(tensor.shape) for tensor in tensors if not tensor.constant)

    return max(size(operator.given) + size(operator.outputs) for operator in graph.operators)


def table(folder: Path = RELEASED) -> str:
    """Both tables, as Markdown, of a bundle with a detector of its own."""
    manifest = Bundle(folder).manifest
    detector = manifest.own_detector
    assert detector is not None and detector.refiner is not None
    files = {"detector": detector.file, "refiner": detector.refiner.file, "encoder": manifest.encoder_file}
    graphs = {name: read_graph((folder / file).read_bytes(), file) for name, file in files.items()}
    work = {name: macs(graph) for name, graph in graphs.items()}
    views = 2 if manifest.mirrored else 1
    runs = {"detector": "a search", "refiner": "a face found", "encoder": f"{views} a view"}
    lines = [
        f"Bundle `{manifest.name}`:",
        "",
        "| model | input | multiply-adds, million | file, kB | largest step, kB | runs |",
        "|---|---|---|---|---|---|",
    ]
    for name, graph in graphs.items():
        _, height, width, _ = graph.inputs[0].shape
        lines.append(
            f"| {name} | {width}x{height} | {work[name] / 1e6:.1f} | {(folder / files[name]).stat().st_size / 1e3:.0f} "
            f"| {activations(graph) / 1e3:.0f} | {runs[name]} |"
        )
    lines += [
        "",
        "| board, one core | memory, MB | G multiply-adds/s | search, ms | face found, ms | view encoded, ms "
        "| searches/s, one face | the same, each view encoded | rate from |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for board in boards():
        search, face = board.ms(work["detector"]), board.ms(work["refiner"])
        view = views * board.ms(work["encoder"])
        lines.append(
            f"| {board.name} | {board.memory_mb or '-'} | {board.rate / 1e9:.1f} | {search:.1f} | {face:.1f} "
            f"| {view:.1f} | {1000 / (search + face):.0f} | {1000 / (search + face + view):.0f} | {board.source} |"
        )
    return "\n".join(lines)


def put_into(page: str, made: str) -> str:
    """A page with the tables between its two marks."""
    found = re.compile(f"{re.escape(BEGIN)}\n.*?{re.escape(END)}", re.S)
    assert found.search(page), f"expected the marks {BEGIN} and {END}"
    return found.sub(lambda _: f"{BEGIN}\n\n{made}\n\n{END}", page)


def main() -> None:
    """Print the tables, or put them into a page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="the page whose tables are made anew")
    args = parser.parse_args()
    if args.out:
        write_whole(args.out, put_into(args.out.read_text(), table()))
    else:
        print(table())


if __name__ == "__main__":
    main()
