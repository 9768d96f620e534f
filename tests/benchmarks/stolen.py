"""What a copied gallery tells without its key, measured with real codes.

    python -m tests.benchmarks.stolen --codes codes.npz --split lfw_split.csv --out docs/gallery/stolen

The thief has another device with the same encoder, and other photos of the same people. He tries the file's bytes as
they are.
"""

from __future__ import annotations

import argparse
import sqlite3
import tempfile
from pathlib import Path

import numpy as np

from edge_runtime.gallery.store import Gallery
from edge_runtime.geometry.embeddings import normalise
from edge_runtime.storage.keys import KeySource
from tests.benchmarks.calibration import load


def stolen_rows(path: Path, size: int) -> np.ndarray:
    """The sealed embeddings' bytes read as numbers, float32 (N, size) of unit length, in the order of their rows."""
    connection = sqlite3.connect(path)
    sealed = [row[0] for row in connection.execute("SELECT code FROM template ORDER BY id")]
    connection.close()
    return normalise(np.array([np.frombuffer(code[12 : 12 + size], np.int8) for code in sealed], np.float32))[0]


def figures(stolen: np.ndarray, probes: np.ndarray) -> tuple[float, float]:
    """Share of first places that are right, and area under the curve of own against other scores."""
    scores = probes @ stolen.T
    own, others = np.diag(scores), scores[~np.eye(len(scores), dtype=bool)]
    ranks = np.searchsorted(np.sort(others), own)
    return float((scores.argmax(1) == np.arange(len(scores))).mean()), float(ranks.mean() / len(others))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--codes", type=Path, required=True)
    parser.add_argument("--split", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    people = load(args.codes, args.split)
    chosen = [i for i, rows in enumerate(people.rows) if len(rows) >= 2 and people.split[i] in ("select", "final")]
    enrolled = people.codes[[people.rows[i][0] for i in chosen]]
    probes = people.codes[[people.rows[i][1] for i in chosen]]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        key = KeySource.of(folder / "conf/device.key")
        path = folder / "state/gallery.db"
        with Gallery.open(path, key, "e" * 64, "p" * 64, enrolled.shape[1], "stolen") as gallery:
            for index, code in zip(chosen, enrolled, strict=True):
                gallery.add(str(people.names[index]), code, 1.0, "photo")
            content = b"".join(p.read_bytes() for p in path.parent.iterdir())
            readable = sum(str(people.names[index]).encode() in content for index in chosen)
            rows = stolen_rows(path, enrolled.shape[1])
    table = {
        "with the key (for comparison)": figures(enrolled, probes),
        "the file's bytes": figures(rows, probes),
    }
    head = f"{len(chosen)} people, {readable} of their names readable in the file or its -wal"
    lines = [f"{head}; chance: {1 / len(chosen):.2%}.", ""]
    lines += ["| what the thief has | right first places | area under the curve |", "|---|---|---|"]
    lines += [f"| {name} | {rank1:.2%} | {auc:.3f} |" for name, (rank1, auc) in table.items()]
    text = "\n".join(lines) + "\n"
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.with_suffix(".md").write_text(text)
    print(text, end="")


if __name__ == "__main__":
    main()
