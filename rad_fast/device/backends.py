"""The backends: which there are, which are usable here and why others are not, and the one that serves a call.

A backend is the stages of kernels/reference under their names there. ``cpp`` is the compiled extension; ``numba``
serves where no compiler was found at install; ``reference`` is the specification itself, slow, and serves as the last.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from rad_fast.inputs import ON_DEVICE, choice, unusable
from rad_fast.kernels.reference import quotas
from rad_fast.kernels.reference.arrival import Bools, Course, Pace, Reached, Standing
from rad_fast.kernels.reference.game import Box, Equilibria, Equilibrium, Float64s, Int32s, Int64s, Sums
from rad_fast.kernels.reference.sample import UInt64s
from rad_fast.kernels.reference.score import Gain, Invalid, Kind, Points, Rule, Scores

Array = npt.NDArray[Any]
Float32s = npt.NDArray[np.float32]

CPU = ("cpp", "numba", "reference")
NAMES = ("auto", *CPU, *ON_DEVICE)
DTYPE_CODES = {"float64": 0, "float32": 1, "float16": 2, "uint16": 3}  # uint16: the bits of bfloat16
CODES = {np.dtype(name): code for name, code in DTYPE_CODES.items()}  # a dtype's name is put together at every look
SOLVED_BY_ONE = 1 << 14  # points: a game on fewer is over before a second thread is awake
COPY_BYTES = 4 << 20  # rows that the kernels cannot read in place are copied in blocks of this size, within L3


class Backend(Protocol):
    """The contract; kernels/reference says what each stage means."""

    name: str

    def score(self, logits: Array, given: npt.NDArray[np.int32] | None = None) -> Scores: ...

    def appraise(
        self, teacher: Array, student: Array | None, rule: Rule, given: Float32s | None, out: Points
    ) -> tuple[Invalid, Invalid]: ...

    def reduce(self, gain: Float32s, correctness: Float32s, box: Box) -> tuple[Sums, Float32s, Float32s]: ...

    def probabilities(
        self, gain: Float32s, correctness: Float32s, equilibrium: Equilibrium
    ) -> npt.NDArray[np.float64]: ...

    def mass(self, gain: Float32s, correctness: Float32s, equilibrium: Equilibrium) -> int: ...

    def sample(
        self, gain: Float32s, correctness: Float32s, equilibrium: Equilibrium, running: int
    ) -> tuple[npt.NDArray[np.int64], int]: ...

    def class_counts(self, gain: Float32s, correctness: Float32s, label: Int32s, classes: int) -> Int64s: ...

    def group(
        self,
        gain: Float32s,
        correctness: Float32s,
        label: Int32s,
        starts: Int64s,
        out_gain: Float32s,
        out_correctness: Float32s,
    ) -> Int64s: ...

    def class_probabilities(self, points: Points, equilibria: Equilibria) -> npt.NDArray[np.float64]: ...

    def mass_by_key(self, points: Points, equilibria: Equilibria, others: int) -> UInt64s: ...

    def sample_by_key(self, points: Points, equilibria: Equilibria, others: int, running: UInt64s) -> Int64s: ...

    def shares(
        self, weights: Float64s | str, counts: Int64s, chosen: Int64s, budget: int, bounded: bool, mistakes: float
    ) -> tuple[Float64s, Float64s, Float64s]: ...

    def decide(
        self,
        gain: Float32s,
        correctness: Float32s,
        label: Int32s,
        course: Course,
        pace: Pace,
        standing: Standing,
    ) -> Bools: ...


class Kernels:
    """A backend whose stages are Python modules with the reference's names."""

    def __init__(self, name: str) -> None:
        self.name = name
        score, game, sample, arrival = (
            importlib.import_module(f"rad_fast.kernels.{name}.{stage}")
            for stage in ("score", "game", "sample", "arrival")
        )
        self.stage = score
        self.reduce, self.probabilities = game.reduce, game.probabilities
        self.mass, self.sample = sample.mass, sample.sample
        self.class_counts, self.group = game.class_counts, game.group
        self.class_probabilities = sample.class_probabilities
        self.mass_by_key, self.sample_by_key = sample.mass_by_key, sample.sample_by_key
        self.shares, self.decide = quotas.shares, arrival.decide

    def score(self, logits: Array, given: npt.NDArray[np.int32] | None = None) -> Scores:
        scores: Scores = self.stage.score(native(logits), given)
        return scores

    def appraise(
        self, teacher: Array, student: Array | None, rule: Rule, given: Float32s | None, out: Points
    ) -> tuple[Invalid, Invalid]:
        beside = None if student is None else native(student)
        bad: tuple[Invalid, Invalid] = self.stage.appraise(native(teacher), beside, rule, given, out)
        return bad

    def __reduce__(self) -> tuple[Any, ...]:
        return again, (self.name,)


class Compiled:
    """The compiled extension: arrays go in as addresses, which stay valid because this frame holds the arrays."""

    name = "cpp"

    def __init__(self) -> None:
        self.module = importlib.import_module("rad_fast._cpu")
        self.shares = self.module.shares

    def score(self, logits: Array, given: npt.NDArray[np.int32] | None = None) -> Scores:
        rows, classes = logits.shape
        margin, confidence = np.empty(rows, np.float32), np.empty(rows, np.float32)
        label = np.empty(rows, np.int32)
        probability = None if given is None else np.empty(rows, np.float32)
        for part in readable_blocks(logits):
            block = readable(logits[part])
            labels = None if given is None else np.ascontiguousarray(given[part], dtype=np.int32)
            self.module.score(
                address(block),
                CODES[block.dtype],
                len(block),
                classes,
                row_stride(block),
                address(labels),
                address(margin[part]),
                address(confidence[part]),
                address(label[part]),
                0 if probability is None else address(probability[part]),
                threads(),
            )
        return Scores(
            margin.astype(np.float64),
            confidence.astype(np.float64),
            label,
            None if probability is None else probability.astype(np.float64),
        )

    def appraise(
        self, teacher: Array, student: Array | None, rule: Rule, given: Float32s | None, out: Points
    ) -> tuple[Invalid, Invalid]:
        parameters = parameters_of(rule)
        totals = [Invalid(), Invalid()]
        for part in readable_blocks(teacher) if student is None else readable_blocks(teacher, student):
            block = readable(teacher[part])
            beside = None if student is None else readable(student[part])
            values = None if given is None else np.ascontiguousarray(given[part], dtype=np.float32)
            found = self.module.appraise(
                layout(block),
                None if beside is None else layout(beside),
                len(block),
                int(rule.kind),
                parameters,
                address(values),
                address(out.gain[part]),
                address(out.correctness[part]),
                address(out.label[part]),
                rule.gain == Gain.LABEL,
                0 if out.other is None else address(out.other[part]),
                threads(),
            )
            totals = [joined(*pair, part.start) for pair in zip(totals, found, strict=True)]
        return totals[0], totals[1]

    def reduce(self, gain: Float32s, correctness: Float32s, box: Box) -> tuple[Sums, Float32s, Float32s]:
        sums, undecided_gain, undecided_correctness = self.module.reduce(gain, correctness, tuple(box), threads())
        return Sums(*sums), undecided_gain, undecided_correctness

    def solve(
        self,
        chunks: Sequence[tuple[Float32s, Float32s]],
        budget: float,
        mistakes: float,
        steps: tuple[Any, ...],
        random: npt.NDArray[np.float64],
    ) -> Equilibrium | None:
        """The solver of rad_fast/game/solver.py for points in memory; None where points had better be counted."""
        workers = 1 if sum(len(gain) for gain, _ in chunks) < SOLVED_BY_ONE else threads()
        answer = self.module.solve(chunks, budget, mistakes, steps, random, workers)
        return None if answer is None else Equilibrium(*answer)

    def probabilities(self, gain: Float32s, correctness: Float32s, equilibrium: Equilibrium) -> npt.NDArray[np.float64]:
        q: npt.NDArray[np.float64] = self.module.probabilities(gain, correctness, tuple(equilibrium[:3]), threads())
        return q

    def mass(self, gain: Float32s, correctness: Float32s, equilibrium: Equilibrium) -> int:
        return int(self.module.mass(gain, correctness, tuple(equilibrium[:3]), threads()))

    def sample(
        self, gain: Float32s, correctness: Float32s, equilibrium: Equilibrium, running: int
    ) -> tuple[npt.NDArray[np.int64], int]:
        indices, after = self.module.sample(gain, correctness, tuple(equilibrium[:3]), running, threads())
        return indices, int(after)

    def class_counts(self, gain: Float32s, correctness: Float32s, label: Int32s, classes: int) -> Int64s:
        counts: Int64s = self.module.class_counts(gain, correctness, label, classes, threads())
        return counts

    def group(
        self,
        gain: Float32s,
        correctness: Float32s,
        label: Int32s,
        starts: Int64s,
        out_gain: Float32s,
        out_correctness: Float32s,
    ) -> Int64s:
        after = starts.copy()
        self.module.group(gain, correctness, label, after, out_gain, out_correctness, threads())
        return after

    def class_probabilities(self, points: Points, equilibria: Equilibria) -> npt.NDArray[np.float64]:
        q: npt.NDArray[np.float64] = self.module.class_probabilities(*points[:3], tuple(equilibria[:3]), threads())
        return q

    def mass_by_key(self, points: Points, equilibria: Equilibria, others: int) -> UInt64s:
        other = None if others == 1 else points.other
        sums: UInt64s = self.module.mass_by_key(*points[:3], other, tuple(equilibria[:3]), others, threads())
        return sums

    def sample_by_key(self, points: Points, equilibria: Equilibria, others: int, running: UInt64s) -> Int64s:
        other, table = None if others == 1 else points.other, tuple(equilibria[:3])
        indices: Int64s = self.module.sample_by_key(*points[:3], other, table, others, running, threads())
        return indices

    def play_by_class(
        self,
        chunks: Sequence[Points],
        stakes: tuple[Int64s, npt.NDArray[np.float64], npt.NDArray[np.float64]],
        others: int,
        running: int,
        steps: tuple[Any, ...],
        random: npt.NDArray[np.float64],
    ) -> tuple[Equilibria, Int64s] | None:
        """Games by class and the sample along keys, of points in memory; None where points had better be counted.

        ``stakes``: points, budget and mistakes of each class.
        """
        pieces = [(*chunk[:3], None if others == 1 else chunk.other) for chunk in chunks]
        workers = 1 if sum(len(chunk.gain) for chunk in chunks) < SOLVED_BY_ONE else threads()
        done = self.module.play_by_class(pieces, *stakes, others, running, steps, random, workers)
        return None if done is None else (Equilibria(*done[:4]), done[4])

    def __reduce__(self) -> tuple[Any, ...]:
        return again, (self.name,)

    def decide(
        self,
        gain: Float32s,
        correctness: Float32s,
        label: Int32s,
        course: Course,
        pace: Pace,
        standing: Standing,
    ) -> Bools:
        taken: Bools = self.module.decide(gain, correctness, label, *course, tuple(pace), *standing)
        return taken

    def arrivals(
        self, course: Course, pace: Pace, standing: Standing, ring: Points, places: Int64s, spans: tuple[int, int, int]
    ) -> Any:
        """``rad_fast._cpu.Arrivals``: ``decide`` for points to come, which are kept in a ring, until they call for
        another solution. ``spans``: the most points of the ring, of a look, and where the game is solved anyhow."""
        return self.module.Arrivals(tuple(course), tuple(pace), *standing, ring[:3], places, *spans)

    def reached(self, points: Points, course: Course) -> Reached:
        """``kernels.reference.arrival.reached`` of the middle thresholds."""
        return Reached(*self.module.reached(*points[:3], course.price, course.threshold))

    def ladders(
        self, points: Points, price: Float64s, classes: Int64s, wanted: Float64s, every: float
    ) -> tuple[Float64s, Float64s]:
        """``stream.course.ladders``; ``every``: the threshold where there are fewer points than are wanted."""
        threshold, share = self.module.ladders(*points[:3], price, classes, wanted, every)
        return threshold, share


class Finding(NamedTuple):
    """Whether a backend is usable here, and if not why and what installs it."""

    name: str
    usable: bool
    why: str


def findings() -> list[Finding]:
    """Every backend, and whether it can be used on this machine."""
    found = []
    for name in CPU:
        try:
            load(name)
            found.append(Finding(name, True, ""))
        except ImportError as error:
            found.append(Finding(name, False, str(error)))
    scores, game = triton(), cuda()
    return [*found, scores, game, both(scores, game)]


def triton() -> Finding:
    """Whether arrays in CUDA memory are served. Imports torch where it is installed."""
    try:
        torch: Any = importlib.import_module("torch")
        importlib.import_module("triton.language")
    except ImportError as error:
        return Finding("triton", False, f'Triton is not installed ({error}); pip install "rad_fast[triton]"')
    if not torch.cuda.is_available():
        return Finding("triton", False, "no CUDA device: torch.cuda.is_available() is False")
    return Finding("triton", True, "")


def cuda() -> Finding:
    """Whether the compiled CUDA kernels are here, and a device for them."""
    try:
        module: Any = importlib.import_module("rad_fast._cuda")
    except ImportError as error:
        return Finding("cuda", False, f"the compiled CUDA kernels are not installed ({error})")
    try:
        usable = bool(module.devices())
    except RuntimeError as error:
        return Finding("cuda", False, str(error))
    return Finding("cuda", usable, "" if usable else "no CUDA device")


def both(scores: Finding, game: Finding) -> Finding:
    """Whether Triton's kernels can score for the compiled ones."""
    why = "; ".join(dict.fromkeys(part.why for part in (scores, game) if not part.usable))
    return Finding("triton+cuda", not why, why)


LOADED: dict[str, Backend] = {}
SAID: set[str] = set()
LOG = logging.getLogger("rad_fast")
SLOW = (
    "no compiled kernels are installed, so NumPy does the work, tens of times slower: install numba "
    '(pip install "rad_fast[numba]"), or a C++ compiler and then rad_fast again (rad-fast info says more)'
)
MISSING = {
    "cpp": (
        "the compiled extension is not installed ({error}); with a C++ compiler present: "
        "pip install --force-reinstall --no-cache-dir rad_fast"
    ),
    "numba": 'numba is not installed ({error}); pip install "rad_fast[numba]"',
}


def load(name: str) -> Backend:
    """The backend of that name, imported on first use; ImportError says what installs it."""
    if name not in LOADED:
        try:
            LOADED[name] = Compiled() if name == "cpp" else Kernels(name)
        except ImportError as error:
            raise ImportError(MISSING.get(name, "{error}").format(error=error)) from error
    return LOADED[name]


def backend(name: Any) -> Backend:
    """The backend for arrays in host memory; "auto" is the first usable one of cpp, numba and reference.

    Where a backend for CUDA memory is asked for, points that are kept in host memory are served as by "auto".
    """
    choice("backend", name, NAMES)
    if name != "auto" and name not in ON_DEVICE:
        try:
            return load(name)
        except ImportError as error:
            raise unusable(name, str(error)) from error
    for candidate in CPU[:-1]:
        try:
            return load(candidate)
        except ImportError:
            continue
    return slowest()


def slowest() -> Backend:
    """The backend that needs nothing; that it serves for want of a better one is said once."""
    if CPU[-1] not in SAID:
        SAID.add(CPU[-1])
        LOG.warning(SLOW)
    return load(CPU[-1])


def again(name: str) -> Backend:
    """The backend of a pickle; where that one is missing, another, whose indices are the same."""
    try:
        return load(name)
    except ImportError:
        return backend("auto")


def threads() -> int:
    """Threads for the CPU kernels: RAD_FAST_THREADS, or as many as this process may run on."""
    asked = os.environ.get("RAD_FAST_THREADS", "")
    if asked:
        if not asked.isdigit() or int(asked) < 1:
            raise ValueError(f"RAD_FAST_THREADS: expected a number of threads of at least 1, got {asked!r}")
        return int(asked)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def parameters_of(rule: Rule) -> tuple[Any, ...]:
    """What the compiled extension wants for each kind of rule."""
    if rule.kind == Kind.CONSTANT:
        return (float(rule.constant),)
    if rule.kind == Kind.STEPS:
        return np.array(rule.steps, dtype=np.float32), np.array(rule.levels, dtype=np.float32)
    return tuple(float(x) for x in (*rule.weights, *rule.bounds)) if rule.kind == Kind.LOGISTIC else ()


def address(array: Array | None) -> int:
    return 0 if array is None else int(array.__array_interface__["data"][0])  # half the time of array.ctypes.data


def row_stride(block: Array) -> int:
    """The distance of rows in elements."""
    return int(block.strides[0]) // block.itemsize


def layout(block: Array) -> tuple[int, int, int, int]:
    return address(block), CODES[block.dtype], int(block.shape[1]), row_stride(block)


def in_place(logits: Array) -> bool:
    """Whether the kernels can read an array where it lies: neighbouring columns, aligned, rows whole elements apart, in
    this machine's byte order."""
    size = logits.itemsize
    rows, columns = logits.strides
    return columns == size and rows % size == 0 and logits.flags.aligned and logits.dtype.isnative


def readable(block: Array) -> Array:
    return block if in_place(block) else np.ascontiguousarray(native(block))


def native(logits: Array) -> Array:
    return logits if logits.dtype.isnative else logits.astype(logits.dtype.newbyteorder("="))


def readable_blocks(*matrices: Array) -> Iterator[slice]:
    """One block of all rows where every array can be read in place; else blocks whose copies are small."""
    rows = len(matrices[0])
    step = rows
    for logits in matrices:
        if not in_place(logits):
            step = min(step, max(1, COPY_BYTES // (logits.shape[1] * logits.itemsize)))
    for begin in range(0, rows, max(1, step)):
        yield slice(begin, min(rows, begin + step))


def joined(total: Invalid, part: tuple[int, int], offset: int) -> Invalid:
    count, first = part
    return Invalid(total.rows + count, offset + first if total.rows == 0 and count else total.first)
