"""The stages on CPU through numba, for machines where no compiled extension is present.

Importing these modules imports numba, and the first call of a kernel compiles it (or loads it from numba's cache); the
package imports them only when this backend is asked for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numba

BLOCK = 1 << 14  # points per piece of parallel work: 128 KiB read, and sums of 14 bits more than a point's

SMALL = 512 << 10  # bytes: read in about the time that a second thread takes to be woken

# numba's simplest threading layer ends the process when two Python threads launch parallel kernels at once.
LAUNCHING = threading.Lock()


@contextmanager
def launching(size: int) -> Iterator[None]:
    """Around each launch of a parallel kernel that reads ``size`` bytes."""
    with LAUNCHING:
        usual = numba.get_num_threads()
        numba.set_num_threads(usual if size >= SMALL else 1)
        try:
            yield
        finally:
            numba.set_num_threads(usual)


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """``numba.njit`` with IEEE division and, where numba finds a folder to write to, its cache on disk.

    That cache is renewed when a function's own file changes. A kernel that inlines functions of another file (sample.py
    those of game.py) goes stale unnoticed when only the other changes: empty __pycache__ then.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        settings = {"nogil": True, "error_model": "numpy", **options}
        try:
            return numba.njit(cache=True, **settings)(function)
        except RuntimeError:  # "no locator available": neither this folder nor the user's cache folder can be written
            return numba.njit(**settings)(function)

    return decorate


def blocks_of(points: int) -> int:
    return -(-points // BLOCK)
