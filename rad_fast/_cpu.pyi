"""The CPU kernels of rad_fast, on raw addresses; use the package's functions instead.

Addresses are of contiguous host memory that the caller keeps alive; 0 stands for none, and is refused where there are
rows. ValueError names the argument, what was expected and what came. The GIL is released meanwhile.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

_Float32s = npt.NDArray[np.float32]
_Int32s = npt.NDArray[np.int32]
_Equilibria = tuple[npt.NDArray[np.float64], ...]
_Float64s = npt.NDArray[np.float64]
_Logits = tuple[int, int, int, int]  # address, dtype, classes, row stride in elements

def appraise(
    teacher: _Logits,
    student: _Logits | None,
    rows: int,
    model: int,
    parameters: tuple[Any, ...],
    given_correctness_ptr: int,
    gain_ptr: int,
    correctness_ptr: int,
    label_ptr: int,
    gain_of_label: bool,
    other_ptr: int,
    threads: int,
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Gain, correctness (float32) and the teacher's label (int32) of every point, in one pass.

    dtype: 0 float64, 1 float32, 2 float16, 3 bfloat16. model and its parameters: 0 confidence (), 1 constant (value,),
    2 given () with given_correctness_ptr, 3 steps (thresholds, values): float32 buffers of K ascending and K + 1,
    4 logistic (intercept, teacher, agreement, student, least, most). gain_of_label: 1 - the student's probability of
    the label in place of 1 - margin. other_ptr (uint8): where the likeliest other classes go, or 0. Points invalid in
    either get NaN and label -1. Returns (how many rows are invalid, the first or -1) of the teacher and of the student.
    """

class Arrivals:
    """Points to come: scored, decided and kept in one call. It keeps the arrays, and changes them."""

    def __init__(
        self,
        course: Sequence[npt.NDArray[np.float64]],
        pace: Sequence[float],
        counts: npt.NDArray[np.int64],
        phase: npt.NDArray[np.float64],
        got: npt.NDArray[np.float64],
        ring: Sequence[npt.NDArray[Any]],
        places: npt.NDArray[np.int64],
        size: int,
        step: int,
        must: int,
    ) -> None:
        """course: (price, threshold, share, due). ring: gain, correctness and label of the last points, up to `size`.

        places: how many were kept, and at how many to look. must: at how many the game is solved anyhow.
        """

    def count_chosen(self, chosen: npt.NDArray[np.int64]) -> None:
        """Counts the labels of points taken, too."""

    def weigh(
        self,
        found_came: npt.NDArray[np.float64],
        found_sums: npt.NDArray[np.float64],
        spread: npt.NDArray[np.float64],
        precision: npt.NDArray[np.float64],
        came: npt.NDArray[np.float64],
        sums: npt.NDArray[np.float64],
        weights: npt.NDArray[np.float64],
        numbers: Sequence[float],
    ) -> None:
        """Looks at the evidence by itself. numbers: limit, errors, what is kept of it, the share of a window."""

    def score(
        self,
        model: int,
        parameters: tuple[Any, ...],
        by_label: bool,
        classes: int,
        student_classes: int,
        one_thread: int,
        threads: int,
    ) -> None:
        """How rows are scored, as by appraise(); fewer than one_thread numbers by one thread."""

    def say_nothing_more(self) -> None:
        """offer() does not return None because the budget is used."""

    def offer(self, logits: Any, student: Any) -> Any:
        """Whether each row of an array is taken, or its only one; None where the rows are not as expected.

        Where the game is to be solved again: (taken, gain, correctness, label, how many are decided, others came).
        """

    def offer_at(self, logits: _Logits, student: _Logits | None, rows: int) -> Any:
        """The same, of rows at (address, dtype, classes, stride)."""

    def decide(
        self,
        gain: _Float32s,
        correctness: _Float32s,
        label: _Int32s,
        taken: npt.NDArray[np.bool_],
        begin: int,
    ) -> tuple[int, bool]:
        """Decides points from `begin` on, and writes whether they are taken: up to where, and whether others came."""

def class_counts(
    gain: _Float32s, correctness: _Float32s, label: _Int32s, classes: int, threads: int
) -> npt.NDArray[np.int64]:
    """How many points of each class are not left out, and how many of these have a positive effective gain."""

def class_probabilities(
    gain: _Float32s, correctness: _Float32s, label: _Int32s, equilibria: _Equilibria, threads: int
) -> npt.NDArray[np.float64]:
    """Inclusion probabilities. equilibria: (price, threshold, share), one number a class; here and below."""

def constants() -> dict[str, float]:
    """The numbers that Python has, too."""

def decide(
    gain: _Float32s,
    correctness: _Float32s,
    label: _Int32s,
    price: npt.NDArray[np.float64],
    threshold: npt.NDArray[np.float64],
    share: npt.NDArray[np.float64],
    due: npt.NDArray[np.float64],
    pace: Sequence[float],
    counts: npt.NDArray[np.int64],
    phase: npt.NDArray[np.float64],
    got: npt.NDArray[np.float64],
) -> npt.NDArray[np.bool_]:
    """Which of the points that arrive are taken, in their order; counts, phase and got are changed.

    pace: (budget, of, slack, most, end). threshold and share: (classes, 33). counts: four.
    """

def group(
    gain: _Float32s,
    correctness: _Float32s,
    label: _Int32s,
    starts: npt.NDArray[np.int64],
    out_gain: _Float32s,
    out_correctness: _Float32s,
    threads: int,
) -> None:
    """Each class's points that are not left out, in their order, to starts[class] and on; the starts are moved."""

def ladders(
    gain: _Float32s,
    correctness: _Float32s,
    label: _Int32s,
    price: npt.NDArray[np.float64],
    classes: npt.NDArray[np.int64],
    wanted: npt.NDArray[np.float64],
    all: float,  # noqa: A002
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """For each number of points wanted, (k, levels), of each of k classes: the threshold at which so many are taken.

    `all` where there are fewer. And the share of the points on it.
    """

def level() -> str:
    """The SIMD level in use."""

def levels() -> list[str]:
    """The SIMD levels that this processor supports, best first."""

def mass(gain: _Float32s, correctness: _Float32s, equilibrium: Sequence[float], threads: int) -> int:
    """The sum of the inclusion probabilities, in units of 2**-62, modulo 2**64.

    equilibrium: (price, threshold, share), here and below.
    """

def mass_by_key(
    gain: _Float32s,
    correctness: _Float32s,
    label: _Int32s,
    other: npt.NDArray[np.uint8] | None,
    equilibria: _Equilibria,
    others: int,
    threads: int,
) -> npt.NDArray[np.uint64]:
    """(parts, classes x others) sums of the inclusion probabilities by key, in units of 2**-62 modulo 2**64."""

class OneGame:
    """One game on rows that are scored in the same pass.

    sample: (gain, correctness) of some of the ``size`` points, spread over all. budget, mistakes: what to expect. room:
    how many bytes each point may take. steps and random: as in solve.
    """

    def __init__(
        self,
        sample: tuple[_Float32s, _Float32s],
        size: int,
        budget: float,
        mistakes: float,
        room: float,
        steps: tuple[Any, ...],
        random: npt.NDArray[np.float64],
        threads: int,
    ) -> None: ...
    def useful(self) -> bool:
        """As of OnePass."""

    def appraise(
        self,
        teacher: _Logits,
        student: _Logits | None,
        model: int,
        parameters: tuple[Any, ...],
        given_correctness_ptr: int,
        gain_ptr: int,
        correctness_ptr: int,
        label_ptr: int,
        gain_of_label: bool,
        other_ptr: int,
        left_out_ptr: int,
    ) -> tuple[tuple[int, int], tuple[int, int]]:
        """As of OnePass; other_ptr is 0."""

    def conclude(
        self, budget: float, mistakes: float, running: int
    ) -> tuple[float, float, float, float, npt.NDArray[np.int64]] | None:
        """(price, threshold, share, value, indices); None where the answer is not where it was expected."""

class OnePass:
    """Games by class on rows that are scored in the same pass.

    sample: (gain, correctness, label) of some of the ``size`` points, spread over all. counts, budgets and mistakes:
    what to expect of each class. steps and random: as in solve.
    """

    def __init__(
        self,
        sample: tuple[_Float32s, _Float32s, _Int32s],
        size: int,
        counts: npt.NDArray[np.int64],
        budgets: npt.NDArray[np.float64],
        mistakes: npt.NDArray[np.float64],
        others: int,
        steps: tuple[Any, ...],
        random: npt.NDArray[np.float64],
        threads: int,
    ) -> None: ...
    def useful(self) -> bool:
        """Whether most points can be decided while they are scored; else nothing more can be asked."""

    def appraise(
        self,
        teacher: _Logits,
        student: _Logits | None,
        model: int,
        parameters: tuple[Any, ...],
        given_correctness_ptr: int,
        gain_ptr: int,
        correctness_ptr: int,
        label_ptr: int,
        gain_of_label: bool,
        other_ptr: int,
        left_out_ptr: int,
    ) -> tuple[tuple[int, int], tuple[int, int]]:
        """As the function appraise, for all points. Without addresses nothing is kept but what may be selected.

        left_out_ptr: a byte a point, 1 where it is left out: its gain becomes NaN. Or 0.
        """

    def counts(self) -> npt.NDArray[np.int64]:
        """As class_counts, of all points."""

    def conclude(
        self, budgets: npt.NDArray[np.float64], mistakes: npt.NDArray[np.float64], running: int
    ) -> tuple[_Float64s, _Float64s, _Float64s, _Float64s, npt.NDArray[np.int64]] | None:
        """As play_by_class; None where an answer is not where it was expected."""

def shares(
    weights: _Float64s | str,
    counts: npt.NDArray[np.int64],
    chosen: npt.NDArray[np.int64],
    budget: int,
    bounded: bool,
    mistakes: float,
) -> tuple[_Float64s, _Float64s, _Float64s]:
    """Quotas, weights and mistakes of each class. weights: of each, or equal, proportional or root.

    counts: as class_counts gives them. bounded: whether no class gets more than it has points with a positive effective
    gain, as long as there are others.
    """

def play_by_class(
    pieces: Sequence[tuple[_Float32s, _Float32s, _Int32s, npt.NDArray[np.uint8] | None]],
    counts: npt.NDArray[np.int64],
    budgets: npt.NDArray[np.float64],
    mistakes: npt.NDArray[np.float64],
    others: int,
    running: int,
    steps: tuple[Any, ...],
    random: npt.NDArray[np.float64],
    threads: int,
) -> tuple[_Float64s, _Float64s, _Float64s, _Float64s, npt.NDArray[np.int64]] | None:
    """A game a class, and the sample along keys: (price, threshold, share, value, indices).

    None where points are so alike that they had better be counted. counts, budgets, mistakes: of each class. running:
    where the scan starts. steps and random: as in solve.
    """

def probabilities(
    gain: _Float32s, correctness: _Float32s, equilibrium: Sequence[float], threads: int
) -> npt.NDArray[np.float64]:
    """Inclusion probabilities, (N,) float64."""

def reached(
    gain: _Float32s,
    correctness: _Float32s,
    label: _Int32s,
    price: npt.NDArray[np.float64],
    threshold: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """What points say of the thresholds: how many came of each class, sums and sums of squares."""

def reduce(
    gain: _Float32s, correctness: _Float32s, box: Sequence[float], threads: int
) -> tuple[tuple[int, int, int, int, int, int, int], _Float32s, _Float32s]:
    """Exact sums over the points that the box decides, in the order of Sums; gain and correctness of the others.

    box: (price_low, price_high, threshold_low, threshold_high).
    """

def sample(
    gain: _Float32s, correctness: _Float32s, equilibrium: Sequence[float], running: int, threads: int
) -> tuple[npt.NDArray[np.int64], int]:
    """Indices, ascending, where the running sum, started at `running`, passes a whole number; and the sum at the end.

    Both sums are in units of 2**-62, modulo 2**64.
    """

def sample_by_key(
    gain: _Float32s,
    correctness: _Float32s,
    label: _Int32s,
    other: npt.NDArray[np.uint8] | None,
    equilibria: _Equilibria,
    others: int,
    running: npt.NDArray[np.uint64],
    threads: int,
) -> npt.NDArray[np.int64]:
    """Indices, ascending, where their key's running sum passes a whole number; running: its starts, (parts, keys)."""

def score(
    logits_ptr: int,
    dtype: int,
    rows: int,
    classes: int,
    row_stride: int,
    given_ptr: int,
    margin_ptr: int,
    confidence_ptr: int,
    label_ptr: int,
    given_probability_ptr: int,
    threads: int,
) -> tuple[int, int]:
    """Margin, confidence (float32), label (int32) and the given labels' probability (float32) of every row.

    given_ptr (int32) and given_probability_ptr are both addresses or both 0. Invalid rows get NaN and label -1. Returns
    (how many rows are invalid, the first or -1).
    """

def set_level(name: str) -> None:
    """Use this SIMD level from now on (for tests)."""

def solve(
    pieces: Sequence[tuple[_Float32s, _Float32s]],
    budget: float,
    mistakes: float,
    steps: tuple[Any, ...],
    random: npt.NDArray[np.float64],
    threads: int,
) -> tuple[float, float, float, float] | None:
    """The equilibrium (price, threshold, share, value) of the game on points in one or more pairs of arrays.

    None where points are so alike that they had better be counted. steps: rad_fast.game.solver.Steps; random: what
    spreads its samples.
    """

def stream_sum(ptr: int, bytes: int, threads: int) -> float:  # noqa: A002
    """The sum of float32 values: a plain streaming read, the yardstick of the benchmarks."""
