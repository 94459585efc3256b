"""rad-fast report: a page with the figures of a selection, from the files that rad-fast select wrote."""

from __future__ import annotations

import argparse
import os
from pathlib import Path


def add_arguments(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "result",
        metavar="RESULT",
        type=Path,
        help="what rad-fast select wrote: the .json, the points beside it, or the folder of --workdir",
    )
    sub.add_argument("--out", metavar="FILE", type=Path, help="where the page goes (default: beside RESULT, .html)")
    sub.add_argument("--title", metavar="TEXT", help="the page's heading (default: RESULT's name)")
    sub.add_argument("--open", action="store_true", help="show it in the browser")


def run(arguments: argparse.Namespace) -> None:
    """rad-fast report: write the page, say the numbers."""
    from rad_fast.report.page import save
    from rad_fast.report.result import located, read
    from rad_fast.report.table import SUFFIXES
    from rad_fast.report.words import sentences
    from rad_fast.storage.workdir import MANIFEST

    source = located(arguments.result)
    # A working folder holds nothing but its own files, or the next run would refuse it: the page stands beside it.
    folder = source.absolute().parent
    inside = (folder / MANIFEST).exists()
    place, name = (folder, folder.name) if inside else (source, source.stem)
    out: Path = place.with_name(f"{name}.html") if arguments.out is None else arguments.out
    if os.path.realpath(out) in [os.path.realpath(source.with_suffix(end)) for end in (source.suffix, *SUFFIXES)]:
        raise ValueError(f"{out}: expected a place other than RESULT's, choose one with --out")
    numbers, figures = read(source)
    title = arguments.title or f"Selection {name}"
    try:
        save(out, numbers, figures, title)
        words = sentences(numbers, figures)
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError) as error:
        raise ValueError(f"{source}: expected what rad-fast select wrote, but its figures cannot be drawn") from error
    print("\n".join(words))
    print(f"the page is {out}")
    if arguments.open:
        import webbrowser

        webbrowser.open(out.resolve().as_uri())
