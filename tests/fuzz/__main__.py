"""``make fuzz``: many spoilt files, commands and requests; ends with 1 where one of them broke a promise."""

from __future__ import annotations

import argparse
import sys

from tests.fuzz import cases, hostile


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=24_000, help="spoilt models, manifests and bundles")
    parser.add_argument("--native", type=int, default=200, help="of them in an interpreter, in a child each")
    parser.add_argument("--commands", type=int, default=50_000, help="commands, most in this process")
    parser.add_argument("--real", type=int, default=300, help="of them as processes of their own")
    parser.add_argument("--messages", type=int, default=50_000, help="messages to the control socket")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    failures = []
    outcomes = [
        cases.run(args.cases, args.seed, args.native),
        hostile.run_commands(args.commands, args.seed, args.real),
        hostile.run_messages(args.messages, args.seed),
    ]
    for outcome in outcomes:
        for name, count in sorted(outcome.counts.items()):
            print(f"{count:>7,}  {name}")
        print(f"{sum(outcome.counts.values()):>7,}  in all", flush=True)
        failures += outcome.failures
    print("\n".join(failures) or "every one an answer or one line")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
