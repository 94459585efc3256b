"""The study of decisions on arrival. ``python -m benchmarks.streams`` writes docs/stream-study.md anew, and its main
tables into the appendix of docs/study.md.

python -m benchmarks.streams            everything: some five minutes on two idle cores
python -m benchmarks.streams --quick    one seed, printed and kept nowhere unless --page is given
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from pathlib import Path

import numpy as np
import torch

from . import batches, cascades, selectors
from .summary import STUDY, SUMMARY, put_into, summary

HERE = Path(__file__).resolve().parent


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.streams", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one seed")
    parser.add_argument("--page", type=Path, help="where the page goes (docs/stream-study.md)")
    given = parser.parse_args(arguments)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    began = time.perf_counter()
    seeds = 2 if given.quick else 10
    written = {
        "SELECTORS": selectors.table(1 if given.quick else 4),
        "TIMES": selectors.times(),
        "CASCADES": cascades.table(seeds),
        "BATCHES": batches.table(seeds),
    }
    text = (HERE / "text.md").read_text(encoding="utf-8")
    parts: dict[str, list[str]] = {}
    for name, lines in written.items():
        parts[name] = list(lines)
        text = text.replace(f"{{{{{name}}}}}", "\n".join(parts[name]))
        print(f"{time.perf_counter() - began:6.0f} s  {name.lower()}", flush=True)
    versions = f"Python {platform.python_version()}, NumPy {np.__version__}, torch {torch.__version__}"
    noted = f"{time.strftime('%Y-%m-%d')}; {versions}; {platform.machine()}, {os.cpu_count()} cores"
    text = text.replace("{{CONDITIONS}}", noted)
    page = given.page or (None if given.quick else HERE.parents[1] / "docs" / "stream-study.md")
    if page is None:
        print(text)
    else:
        page.write_text(text, encoding="utf-8")
    if page is not None and not given.page:
        block = summary(parts)
        SUMMARY.write_text(block + "\n", encoding="utf-8")
        STUDY.write_text(put_into(STUDY.read_text(encoding="utf-8"), block), encoding="utf-8")


if __name__ == "__main__":
    main()
