"""rad-fast demo: the main job on real data."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--out", metavar="DIR", type=Path, default=Path("build/demo"), help="where the figure goes")
    sub.add_argument("--seeds", metavar="N", type=int, help="how many repetitions are averaged")


def run(arguments: argparse.Namespace) -> None:
    """rad-fast demo: the main job on real data."""
    from rad_fast.demo import run as show

    settings = {} if arguments.seeds is None else {"seeds": arguments.seeds}
    show(arguments.out, print, **settings)
