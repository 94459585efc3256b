"""The stages on CPU through numba, for machines where no compiled extension is present.

Importing these modules imports numba, and the first call of a kernel compiles it (or loads it from numba's cache); the
package imports them only when this backend is asked for.
"""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numba

BLOCK = 1 << 14  # points per piece of parallel work: 128 KiB read, and sums of 14 bits more than a point's

SMALL = 512 << 10  # bytes: read in about the time that a second thread takes to be woken

# numba's simplest threading layer ends the process when two Python threads launch parallel kernels at once.
LAUNCHING = threading.Lock()

# A process that was forked after GNU OpenMP had started its threads is ended by OpenMP at its next parallel kernel: it
# runs the same kernels compiled for one thread. numba's other threading layers survive a fork.
FORKED_FROM_OPENMP = False


def _after_fork() -> None:
    global LAUNCHING, FORKED_FROM_OPENMP
    LAUNCHING = threading.Lock()  # a thread that the child does not have may have held it
    with contextlib.suppress(ValueError):  # no parallel kernel has run yet: the child starts threads of its own
        FORKED_FROM_OPENMP = FORKED_FROM_OPENMP or numba.threading_layer() == "omp"


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@contextmanager
def launching(size: int) -> Iterator[None]:
    """Around each launch of a parallel kernel that reads ``size`` bytes."""
    with LAUNCHING:
        if FORKED_FROM_OPENMP:
            yield
            return
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
            made = numba.njit(cache=True, **settings)(function)
        except RuntimeError:  # "no locator available": neither this folder nor the user's cache folder can be written
            made = numba.njit(**settings)(function)
        return surviving_fork(made, function, settings) if options.get("parallel") else made

    return decorate


def surviving_fork(
    parallel: Callable[..., Any], function: Callable[..., Any], settings: dict[str, Any]
) -> Callable[..., Any]:
    """A parallel kernel, and the same for one thread where OpenMP would end the process; compiled when first needed.

    The second is not cached: numba's cache does not tell the two apart.
    """

    @functools.cache
    def serial() -> Callable[..., Any]:
        made: Callable[..., Any] = numba.njit(**{**settings, "parallel": False})(function)
        return made

    @functools.wraps(function)
    def run(*arguments: Any) -> Any:
        return (serial() if FORKED_FROM_OPENMP else parallel)(*arguments)

    return run


def blocks_of(points: int) -> int:
    return -(-points // BLOCK)
