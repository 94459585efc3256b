"""What the checks of inputs cost: python -m benchmarks.cpu.checks [--points N] [--turns N]

Of select() from memory: the look for probabilities among the logits. Of `rad-fast select --workdir` from a file: the
digest of the file, and the checksums of the scores. Each is timed within the whole that it is a part of, turn by turn,
and a share is the median of the turns': whatever else the machine does meets both alike.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

import rad_fast
from rad_fast import cli, inputs
from rad_fast.bench import cpu
from rad_fast.cli.select import scoring
from rad_fast.storage import workdir
from rad_fast.storage.scored import Scored

CLASSES = 10
CHECKS: tuple[tuple[str, Any, str], ...] = (
    ("the look for probabilities", Scored, "with_chunk"),
    ("the look at all of them", inputs, "refuse_all_probabilities"),
    ("the digests of the files", scoring, "fingerprint"),
    ("the checksums of the scores", workdir, "checksum"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=10_000_000)
    parser.add_argument("--turns", type=int, default=9)
    given = parser.parse_args()
    logits = cpu.logits("float32", CLASSES, CLASSES * given.points)
    budget = given.points // 100
    print(f"| {given.points:,} x {CLASSES} | share of the whole |\n|---|---|")
    for name, share in shares(lambda _: rad_fast.select(logits, budget), given.turns).items():
        print(f"| of select(): {name} | {100 * share:.3f}% |")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "logits.npy")
        np.save(file, logits)

        def command(turn: int) -> None:
            scores = Path(folder, f"scores-{turn}")
            with contextlib.redirect_stdout(io.StringIO()):
                cli.main(["select", str(file), "--budget", str(budget), "--workdir", str(scores)])

        for name, share in shares(command, given.turns).items():
            print(f"| of rad-fast select --workdir: {name} | {100 * share:.3f}% |")


def shares(work: Callable[[int], object], turns: int) -> dict[str, float]:
    """The time within each check as a share of the time of the work, median of the turns."""
    found: dict[str, list[float]] = {name: [] for name, *_ in CHECKS}
    work(0)
    for turn in range(1, turns + 1):
        with timed() as spent:
            begin = time.perf_counter()
            work(turn)
            whole = time.perf_counter() - begin
        for name, seconds in spent.items():
            found[name].append(seconds / whole)
    return {name: float(np.median(values)) for name, values in found.items() if any(values)}


@contextlib.contextmanager
def timed() -> Iterator[dict[str, float]]:
    """The seconds that each check takes."""
    spent = {name: 0.0 for name, *_ in CHECKS}

    def clocked(name: str, check: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **settings: Any) -> Any:
            begin = time.perf_counter()
            try:
                return check(*arguments, **settings)
            finally:
                spent[name] += time.perf_counter() - begin

        return call

    with contextlib.ExitStack() as stack:
        for name, place, attribute in CHECKS:
            stack.enter_context(mock.patch.object(place, attribute, clocked(name, getattr(place, attribute))))
        yield spent


if __name__ == "__main__":
    main()
