"""reduce and probabilities of every CPU backend, at every SIMD level, against kernels/reference: bit for bit."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from rad_fast.device import backends
from rad_fast.kernels.reference import game as specification
from rad_fast.kernels.reference.game import Box, Equilibrium, Sums

from ..oracle import assert_same

BLOCK = 1 << 14  # points that the kernels handle at a time

# Vectors hold 2, 4 or 8 numbers of 64 bits; a block is BLOCK points; several threads start at 2**16 points.
SIZES = (
    0,  # nothing
    1,  # less than any vector
    3,  # the vector of x86-64-v2 holds 2 numbers of 64 bits: one vector and one point
    7,  # one less than the vector of x86-64-v4
    8,  # exactly that vector
    9,  # one more
    511,  # one less than the 512 points whose indices are collected at a time
    513,  # one more
    BLOCK - 1,  # the last vector of a block in part
    BLOCK,  # a whole block
    BLOCK + 1,  # a block of a single point
    5 * BLOCK + 5,  # enough for several threads, and a last block in part
)

FAMILIES = ("smooth", "ties", "left out", "zero gains", "hopeless", "certain", "tiny gains", "alike")

BOXES = {
    "open: all are undecided": Box(),
    "narrow, threshold above 0": Box(0.3, 0.32, 0.2, 0.22),
    "narrow, threshold below 0": Box(0.3, 0.32, -0.22, -0.2),
    "wide, threshold of either sign": Box(0.1, 0.6, -0.3, 0.3),
    "on values that ties have": Box(0.25, 0.5, 0.0, 0.25),
    "on values that ties have, below 0": Box(0.25, 0.5, -0.5, -0.25),
    "a single point": Box(0.5, 0.5, 0.25, 0.25),
    "a single point below 0": Box(0.5, 0.5, -0.25, -0.25),
    "without mistakes: no price is too high": Box(1.0, 1.0, 0.1, 0.11),
    "price 0: nobody is saturated but at gain 0": Box(0.0, 0.0, -1.0, -1.0),
}

EQUILIBRIA = {
    "threshold above 0": Equilibrium(0.3, 0.2, 0.0, 0.0),
    "threshold below 0": Equilibrium(0.3, -0.2, 0.0, 0.0),
    "threshold on ties": Equilibrium(0.5, 0.25, 0.375, 0.0),
    "threshold on ties, below 0": Equilibrium(0.5, -0.25, 0.1, 0.0),
    "threshold 0, where gain 0 ties": Equilibrium(0.25, 0.0, 1 / 3, 0.0),
    "price that no float32 holds": Equilibrium(1 / 3, 0.1, 0.7, 0.0),
    "without mistakes: q is 0, 1 or the share": Equilibrium(1.0, 0.05, 0.9, 0.0),
    "all have q = 1": Equilibrium(1.0, -1.0, 1.0, 0.0),
    "price 0": Equilibrium(0.0, -0.5, 0.5, 0.0),
    "price of the size of tiny gains": Equilibrium(2.0**-26, -(2.0**-25), 0.5, 0.0),
}


def points(family: str, size: int, seed: int = 0) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Gain, a multiple of 2**-24 as 1 - margin is, and correctness."""
    rng = np.random.default_rng(seed)
    gain = np.float32(1) - rng.random(size, dtype=np.float32)
    correctness = rng.random(size, dtype=np.float32)
    if family == "ties":
        gain, correctness = np.round(gain * 4) / np.float32(4), np.round(correctness * 4) / np.float32(4)
    elif family == "left out":
        gain[rng.random(size) < 0.3] = np.nan
        correctness[rng.random(size) < 0.5] = np.nan
        correctness[~np.isnan(gain)] = rng.random(int((~np.isnan(gain)).sum()), dtype=np.float32)
    elif family == "zero gains":
        gain[rng.random(size) < 0.5] = 0
    elif family == "hopeless":
        correctness[:] = 0
    elif family == "certain":
        correctness[:] = 1
    elif family == "tiny gains":  # their widths take up to 62 bits
        gain = (rng.integers(1, 9, size) * 2.0**-24).astype(np.float32)
    elif family == "alike":
        gain[:], correctness[:] = 0.5, 0.75
    return gain, correctness


@cache  # the same for every backend
def reductions(family: str, size: int) -> list[Any]:
    return [specification.reduce(*points(family, size), box) for box in BOXES.values()]


@cache
def all_probabilities(family: str, size: int) -> dict[str, npt.NDArray[np.float64]]:
    return {name: specification.probabilities(*points(family, size), at) for name, at in EQUILIBRIA.items()}


def assert_same_reduction(found: tuple[Any, ...], expected: tuple[Any, ...]) -> None:
    for name, mine, theirs in zip(Sums._fields, found[0], expected[0], strict=True):
        assert mine == theirs, f"{name}: {mine} for {theirs}"
        assert type(mine) is int, f"{name}: {type(mine)} for int"
    assert_same(found[1], expected[1], "undecided gain")
    assert_same(found[2], expected[2], "undecided correctness")


@contextmanager
def threads(kernels: backends.Backend, count: int) -> Iterator[None]:
    """Run the backend on ``count`` threads; numba on as many of them as it has."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAD_FAST_THREADS", str(count))
        if kernels.name != "numba":
            yield
            return
        import numba

        usual = numba.get_num_threads()
        numba.set_num_threads(min(count, numba.config.NUMBA_NUM_THREADS))
        try:
            yield
        finally:
            numba.set_num_threads(usual)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("size", SIZES)
def test_reduce_equals_the_reference_for_every_box(kernels: backends.Backend, size: int, family: str) -> None:
    gain, correctness = points(family, size)
    for box, expected in zip(BOXES.values(), reductions(family, size), strict=True):
        assert_same_reduction(kernels.reduce(gain, correctness, box), expected)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_reduce_does_not_depend_on_the_number_of_threads(
    kernels: backends.Backend, reference: backends.Backend, count: int
) -> None:
    gain, correctness = points("smooth", 13 * BLOCK + 1)  # more blocks than threads, and a last one of one point
    for box in BOXES.values():
        expected = reference.reduce(gain, correctness, box)
        with threads(kernels, count):
            assert_same_reduction(kernels.reduce(gain, correctness, box), expected)


@pytest.mark.parametrize("cut", [1, 8, 511, BLOCK, BLOCK + 3])  # within a vector, at one, in a block, at one, beyond it
def test_reduce_of_two_chunks_adds_up_to_that_of_the_whole(kernels: backends.Backend, cut: int) -> None:
    gain, correctness = points("smooth", 2 * BLOCK + 100)
    for box in BOXES.values():
        first = kernels.reduce(gain[:cut], correctness[:cut], box)
        second = kernels.reduce(gain[cut:], correctness[cut:], box)
        together = (
            first[0].add(second[0]),
            np.concatenate([first[1], second[1]]),
            np.concatenate([first[2], second[2]]),
        )
        assert_same_reduction(kernels.reduce(gain, correctness, box), together)


def test_sums_that_exceed_64_bits_are_exact(kernels: backends.Backend) -> None:
    size = 3 * BLOCK + 1  # times 2**62: 78 bits
    gain, correctness = np.full(size, 2.0**-24, np.float32), np.ones(size, np.float32)
    sums, rest, _ = kernels.reduce(gain, correctness, Box(2.0**-25, 2.0**-25, 2.0**-25, 2.0**-25))
    assert (sums, len(rest)) == (Sums(priced_advantage=size << 24, priced_width=size << 62), 0)
    sums, rest, _ = kernels.reduce(np.ones(size, np.float32), correctness, Box(1.0, 1.0, 0.5, 0.5))
    assert (sums, len(rest)) == (Sums(saturated=size, saturated_value=size << 48), 0)


def test_points_left_out_are_neither_summed_nor_undecided(kernels: backends.Backend) -> None:
    gain, correctness = np.full(1000, np.nan, np.float32), np.full(1000, 0.9, np.float32)
    for name, box in BOXES.items():
        sums, rest, _ = kernels.reduce(gain, correctness, box)
        assert (sums, len(rest)) == (Sums(), 0), name
    for name, equilibrium in EQUILIBRIA.items():
        assert not kernels.probabilities(gain, correctness, equilibrium).any(), name


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("size", SIZES)
def test_probabilities_equal_the_reference_for_every_equilibrium(
    kernels: backends.Backend, size: int, family: str
) -> None:
    gain, correctness = points(family, size)
    for name, expected in all_probabilities(family, size).items():
        assert_same(kernels.probabilities(gain, correctness, EQUILIBRIA[name]), expected, name)


def test_read_only_points_are_read_and_unchanged(kernels: backends.Backend, reference: backends.Backend) -> None:
    gain, correctness = points("smooth", 1000)
    before = gain.copy(), correctness.copy()
    gain.flags.writeable = correctness.flags.writeable = False
    box, equilibrium = BOXES["wide, threshold of either sign"], EQUILIBRIA["threshold above 0"]
    assert_same_reduction(kernels.reduce(gain, correctness, box), reference.reduce(gain, correctness, box))
    expected = reference.probabilities(gain, correctness, equilibrium)
    assert_same(kernels.probabilities(gain, correctness, equilibrium), expected, "probabilities")
    assert_same(gain, before[0], "gain")
    assert_same(correctness, before[1], "correctness")


@pytest.mark.parametrize(
    ("gain", "correctness", "words"),
    [
        (np.ones(4), np.ones(4, np.float32), "gain: .*float32.*got float64"),
        (np.ones((2, 2), np.float32), np.ones(4, np.float32), "gain: .*one-dimensional.*2 dimensions"),
        (np.ones(4, np.float32), np.ones(8, np.float32)[::2], "correctness: .*contiguous"),
        (np.ones(4, np.float32), np.ones(5, np.float32), "correctness: expected 4 numbers, as in gain, got 5"),
    ],
)
def test_the_extension_refuses_arrays_that_it_would_read_wrongly(
    gain: npt.NDArray[Any], correctness: npt.NDArray[Any], words: str
) -> None:
    module = pytest.importorskip("rad_fast._cpu", reason="the compiled extension is not installed")
    for call in (
        lambda: module.reduce(gain, correctness, tuple(Box()), 1),
        lambda: module.probabilities(gain, correctness, (0.5, 0.5, 0.0), 1),
        lambda: module.mass(gain, correctness, (0.5, 0.5, 0.0), 1),
        lambda: module.sample(gain, correctness, (0.5, 0.5, 0.0), 0, 1),
    ):
        with pytest.raises(ValueError, match=words):
            call()


def test_importing_the_package_does_not_import_numba() -> None:
    pytest.importorskip("numba", reason="numba is not installed")
    code = "import sys, rad_fast; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=tempfile.gettempdir()).returncode == 0


def test_numba_kernels_compile_where_no_cache_can_be_written() -> None:
    pytest.importorskip("numba", reason="numba is not installed")
    from rad_fast.kernels.numba import compiled

    found: dict[str, Any] = {}
    exec(compile("def twice(x): return x + x", "/nowhere/kernel.py", "exec"), found)  # no file, so nowhere to cache
    assert compiled()(found["twice"])(21) == 42
