"""Many threads, and processes that were forked: the right answer, or a word, never another answer."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import rad_fast
from rad_fast.device import backends

RNG = np.random.default_rng(1)
MANY = [RNG.normal(0, 4, (300 + 7 * at, 5)).astype(np.float32) for at in range(40)]


def test_one_selector_fits_in_forty_threads_as_in_one(kernels):
    expected = [rad_fast.Selector(20, backend=kernels.name).fit(logits).indices for logits in MANY]
    shared = rad_fast.Selector(20, backend=kernels.name)
    start = threading.Barrier(len(MANY))

    def fit(logits: np.ndarray) -> np.ndarray:
        start.wait()
        return shared.fit(logits).indices

    with ThreadPoolExecutor(len(MANY)) as pool:
        got = list(pool.map(fit, MANY))
    for one, other in zip(expected, got, strict=True):
        assert np.array_equal(one, other)


class Meeting:
    """An array that, while it is read, lets another thread try the same selector."""

    def __init__(self, values: np.ndarray, attempt: object) -> None:
        self.values, self.attempt = values, attempt

    def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
        self.attempt()
        return self.values


@pytest.mark.parametrize("call", ["partial_fit", "finalize"])
def test_chunks_from_two_threads_at_once_are_refused(call):
    selector = rad_fast.Selector(20)
    selector.partial_fit(MANY[0])
    heard: list[BaseException] = []

    def other() -> None:
        try:
            selector.finalize() if call == "finalize" else selector.partial_fit(MANY[1])
        except RuntimeError as error:
            heard.append(error)

    def attempt() -> None:
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()

    selector.partial_fit(Meeting(MANY[2], attempt))
    assert "another thread is in a call of this selector" in str(heard[0])
    whole = rad_fast.Selector(20).fit(np.concatenate([MANY[0], MANY[2]]))
    assert np.array_equal(selector.finalize().indices, whole.indices)


def test_a_folder_of_scores_is_filled_by_one_thread_at_a_time(tmp_path):
    selector = rad_fast.Selector(20, scores=tmp_path / "scores")
    heard: list[str] = []

    def attempt() -> None:
        def other() -> None:
            with pytest.raises(RuntimeError, match="another thread") as caught:
                selector.fit(MANY[1])
            heard.append(str(caught.value))

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()

    selection = selector.fit(Meeting(MANY[2], attempt))
    assert len(heard) == 1
    assert np.array_equal(selection.indices, rad_fast.select(MANY[2], 20))


def test_a_call_that_failed_does_not_block_the_next():
    selector = rad_fast.Selector(20)
    with pytest.raises(ValueError, match="logits"):
        selector.partial_fit(np.full((4, 5), np.nan, np.float32))
    assert np.array_equal(selector.partial_fit(MANY[0]).finalize().indices, rad_fast.select(MANY[0], 20))


FORK = """
import os, sys, numpy as np, rad_fast
logits = np.random.default_rng(0).normal(0, 4, (200_000, 10)).astype("f4")
before = rad_fast.select(logits, 100, backend=sys.argv[1])
read, write = os.pipe()
child = os.fork()
if child == 0:
    after = rad_fast.select(logits, 100, backend=sys.argv[1])
    os.write(write, b"same" if (before == after).all() else b"other")
    os._exit(0)
os.close(write)
status = os.waitpid(child, 0)[1]
print(os.read(read, 10).decode(), status, (rad_fast.select(logits, 100, backend=sys.argv[1]) == before).all())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize(("name", "layer"), [("cpp", ""), ("reference", ""), ("numba", "omp"), ("numba", "workqueue")])
def test_a_forked_process_selects_as_its_parent_did(name, layer):
    """The workers of a DataLoader and of multiprocessing's pools are such processes."""
    try:
        backends.load(name)
    except ImportError as error:
        pytest.skip(str(error))
    environment = {**os.environ, "NUMBA_THREADING_LAYER": layer or "default"}
    done = subprocess.run(
        [sys.executable, "-c", FORK, name], env=environment, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.stdout.split() == ["same", "0", "True"], done.stderr
