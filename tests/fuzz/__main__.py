"""``make fuzz``: many spoilt files; ends with 1 where one of them broke a promise."""

from __future__ import annotations

import argparse
import sys

from tests.fuzz.cases import run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=24_000)
    parser.add_argument("--native", type=int, default=200, help="of them in an interpreter, in a child each")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    outcome = run(args.cases, args.seed, args.native)
    for name, count in sorted(outcome.counts.items()):
        print(f"{count:>7,}  {name}")
    print(f"{sum(outcome.counts.values()):>7,}  in all")
    print("\n".join(outcome.failures) or "every one an answer or one line")
    return 1 if outcome.failures else 0


if __name__ == "__main__":
    sys.exit(main())
