"""rad-fast bench: how fast it is on this machine, beside memory and PyTorch."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def add_arguments(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--quick", action="store_true", help="smaller inputs and fewer turns: less than a minute")
    sub.add_argument(
        "--out", metavar="DIR", type=Path, default=Path("build/bench"), help="where bench.json and bench.png go"
    )
    sub.add_argument("--against", metavar="FILE", type=Path, help="compare with the bench.json of an earlier run")


def run(arguments: argparse.Namespace) -> None:
    """rad-fast bench: ratios, times and a roofline figure."""
    from rad_fast.bench import run as bench

    size = bench.QUICK if arguments.quick else bench.FULL
    bench.run(arguments.out, print, progress, size=size, against=arguments.against)


def progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
