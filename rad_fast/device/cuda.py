"""The compiled CUDA backend: the stages of kernels/reference on arrays in CUDA memory, whatever library they are of.

Functions have the names and arguments of kernels/triton. Work is queued on the stream on which the array's library
works; only what returns Python numbers waits for it. Scratch memory is given back in the stream's order.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rad_fast.kernels.reference.agreement import NEIGHBOURS
from rad_fast.kernels.reference.game import Box, Equilibrium, Sums
from rad_fast.kernels.reference.score import LOOKED_AT, SUM_OFF, Findings, Invalid, Kind, Rule

from . import arrays
from .arrays import (
    CudaArray,
    Memory,
    Room,
    address_in,
    described,
    empty_like,
    handed_back,
    kernels,
    new_vector,
    room_like,
)
from .packed import Packed, places

SHRINKS = 0.7  # as rad_fast.game: a pass that leaves more undecided is not looked at


class Scores(NamedTuple):
    """Per row; ``status`` holds the count of invalid rows and the first of them (see ``invalid``)."""

    margin: Any
    confidence: Any
    label: Any
    given_probability: Any
    status: Room


class Points(NamedTuple):
    """What selection keeps of each point; ``other`` where it was asked for; ``status`` as in Scores (``findings``)."""

    gain: Any
    correctness: Any
    label: Any
    other: Any
    status: Room


class DeviceRule(NamedTuple):
    """A rule with its step table in device memory."""

    rule: Rule
    steps: Memory | None
    levels: Memory | None


class Solution(NamedTuple):
    """The equilibrium on the device, not waited for (see ``read``)."""

    address: int
    room: Room


class Selected(NamedTuple):
    """A selection on the device, not waited for (see ``read``)."""

    indices: Any  # int64, ascending; meaningless unless the outcome is "solved"
    points: Packed


class Account(NamedTuple):
    """What the host needs to know of a selection."""

    findings: Findings
    valid: int  # points whose gain is not NaN
    outcome: str  # "solved"; "few" (valid points for the budget), or what kept the search from settling
    equilibrium: Equilibrium | None


# --------------------------------------------------------------------------------------------------------------- select


def select(
    teacher: Any,
    budget: int,
    running: int,
    mistakes: float,
    mistakes_each: float = 0.0,
    student: Any = None,
    rule: Rule | DeviceRule | None = None,
    given: Any = None,
    exclude: Any = None,
    gains: Any = None,
) -> Selected:
    """Enqueue a selection. The mistakes are ``mistakes + mistakes_each * (number of valid points)``.

    ``running``: kernels.reference.sample.start(seed, budget, points). Other arguments as in ``appraise``.
    """
    z = matrix("logits", teacher)
    rows = z.shape[0]
    at, module = places(rows), kernels()
    beside = scoring(z, student, rule, given, exclude, gains)
    memory, workspace = empty_like(z, (at.size,), "uint8"), empty_like(z, (max(at.solve, at.sample),), "uint8")
    indices = empty_like(z, (budget,), "int64")
    account = address_in(memory)
    module.select(
        layout(z), beside.student, rows, beside.rule, beside.mask, account + at.gain, account + at.correctness,
        account + at.label, account, budget, running, mistakes, mistakes_each, address_in(workspace), at.solve,
        address_in(indices), LOOKED_AT, SUM_OFF, z.device, z.stream,
    )  # fmt: skip
    return Selected(handed_back(z, indices), Packed(z, memory, rows, at))


def read(selected: Selected) -> Account:
    """Waits for the device, once."""
    module = kernels()
    both, cut = selected.points.status.bytes(), module.findings_bytes
    four, status, _, valid = module.solution(both[cut : cut + module.solution_bytes])
    answer = Equilibrium(*four) if status == "solved" else None
    return Account(found_in(both[:cut]), valid, status, answer)


def new_account(like: CudaArray) -> Room:
    """Room for what is counted of a selection, for its equilibrium behind that, and for what the sample says of itself.

    The first two are read in one copy.
    """
    module = kernels()
    return room_like(like, module.findings_bytes + module.solution_bytes + module.drawn_bytes)


# ---------------------------------------------------------------------------------------------------------------- score


def score(logits: Any, given: Any = None, *, first_row: int = 0) -> Scores:
    """Margin, confidence and label of every row, and the probability of the label ``given`` (int32) for it."""
    z = matrix("logits", logits)
    rows = z.shape[0]
    new = [empty_like(z, (rows,), dtype) for dtype in ("float32", "float32", "int32")]
    probability, labels = None, None
    if given is not None:
        labels, probability = vector("given", given, "int32", z), empty_like(z, (rows,), "float32")
    status = new_account(z)
    kernels().score(
        layout(z), rows, first_row, address(labels), *(address_of(array) for array in new),
        0 if probability is None else address_of(probability), status.address, z.device, z.stream,
    )  # fmt: skip
    margin, confidence, label = (handed_back(z, array) for array in new)
    return Scores(margin, confidence, label, None if probability is None else handed_back(z, probability), status)


def appraise(
    teacher: Any,
    student: Any = None,
    rule: Rule | DeviceRule | None = None,
    given: Any = None,
    exclude: Any = None,
    gains: Any = None,
    out: Points | None = None,
    *,
    others: bool = False,
    first_row: int = 0,
) -> Points | Packed:
    """Gain, correctness and label of every point.

    ``given``: float32 correctness, for a rule of kind GIVEN, or agreement, for one that has learned from it. ``gains``:
    float32 gains in place of those of the rule. ``exclude``: a boolean mask of points whose gain becomes NaN; their
    rows are not counted where they are invalid. ``others``: each point's likeliest class but the label as well, of at
    most 256 classes. ``out``: where to write, arrays that can be written to; chunks that share its ``status`` say the
    number of their first row, and add to the first chunk's counts.
    """
    z = matrix("logits", teacher)
    beside = scoring(z, student, rule, given, exclude, gains)
    rows = z.shape[0]
    points: Points | Packed
    if out is None:
        at = places(rows, others)
        memory = empty_like(z, (at.size,), "uint8")
        points, account = Packed(z, memory, rows, at, others), address_in(memory)
        fields = (account + at.gain, account + at.correctness, account + at.label, account + at.other if others else 0)
    else:
        points, account = out, out.status.address
        other = None if out.other is None else writable("out.other", out.other, "uint8", z)
        gain = writable("out.gain", out.gain, "float32", z)
        correctness = writable("out.correctness", out.correctness, "float32", z)
        label = writable("out.label", out.label, "int32", z)
        fields = (gain.address, correctness.address, label.address, address(other))
    kernels().appraise(
        layout(z), beside.student, rows, first_row, beside.rule, beside.mask, *fields, account,
        out is not None and first_row > 0, LOOKED_AT, SUM_OFF, z.device, z.stream,
    )  # fmt: skip
    return points


class Beside(NamedTuple):
    """What a scoring pass takes beside the logits, as the module wants it."""

    student: tuple[int, ...] | None
    rule: tuple[Any, ...]
    mask: int
    held: tuple[Any, ...]  # whose memory it is, until the work is queued


def scoring(z: CudaArray, student: Any, rule: Rule | DeviceRule | None, given: Any, exclude: Any, gains: Any) -> Beside:
    ready = prepare(Rule() if rule is None else rule, z)
    of_student = None if student is None else matrix("student_logits", student)
    if of_student is not None and (of_student.shape[0], of_student.device) != (z.shape[0], z.device):
        raise ValueError(
            f"student_logits: expected {z.shape[0]} rows on device {z.device} as in logits, "
            f"got {of_student.shape[0]} on device {of_student.device}"
        )
    values = None
    if ready.rule.kind == Kind.GIVEN or ready.rule.agreement is not None:
        if given is None:
            raise ValueError("correctness, or agreement: expected one number for each point, got none")
        values = vector("correctness", given, "float32", z)
    mask = None if exclude is None else vector("exclude", exclude, "bool", z)
    in_place = None if gains is None else vector("gain", gains, "float32", z)
    held = (ready, of_student, values, mask, in_place)
    there = None if of_student is None else layout(of_student)
    return Beside(there, described_rule(ready, values, in_place), address(mask), held)


def prepare(rule: Rule | DeviceRule, like: CudaArray) -> DeviceRule:
    """The rule with its step table copied to the device."""
    if isinstance(rule, DeviceRule):
        return rule
    if rule.kind != Kind.STEPS:
        return DeviceRule(rule, None, None)
    steps, levels = (np.array(values, np.float32) for values in (rule.steps, rule.levels))
    return DeviceRule(rule, Memory.of(steps, like.device, like.stream), Memory.of(levels, like.device, like.stream))


def described_rule(ready: DeviceRule, given: CudaArray | None, gains: CudaArray | None) -> tuple[Any, ...]:
    rule, steps, levels = ready
    tables = (0, 0) if steps is None or levels is None else (steps.address, levels.address)
    kind, constant, weights, bounds, gain, agreement = numbers_of(rule)
    return kind, constant, address(given), *tables, len(rule.steps), weights, bounds, gain, address(gains), agreement


@lru_cache(maxsize=16)
def numbers_of(rule: Rule) -> tuple[int, float, tuple[float, ...], tuple[float, ...], int, tuple[float, ...]]:
    """A rule's own numbers as the kernels take them."""
    weights, bounds = (tuple(map(float, numbers)) for numbers in (rule.weights, rule.bounds))
    agreement = () if rule.agreement is None else (float(rule.agreement), float(NEIGHBOURS))
    return int(rule.kind), float(rule.constant), weights, bounds, int(rule.gain), agreement


def findings(status: Room) -> Findings:
    """What a scoring pass has counted. Waits for the device."""
    return found_in(status._replace(nbytes=kernels().findings_bytes).bytes())


@lru_cache(maxsize=16)
def found_in(account: bytes) -> Findings:
    """What ``account`` says; kept, as that of clean logits is the same in every selection."""
    teacher, student, given, gain, *others = kernels().findings(account)
    return Findings(Invalid(*teacher), Invalid(*student), Invalid(*given), Invalid(*gain), *others)


# ----------------------------------------------------------------------------------------------------------------- game


class DevicePool:
    """Points on a device, for ``game.solver.solve``: one pass and one wait for the device each time it narrows."""

    def __init__(self, gain: Any, correctness: Any, size: int | None = None) -> None:
        self.points = pair(gain, correctness)
        self._size = self.points[0].shape[0] if size is None else size  # more than there was room for: only its number

    @property
    def size(self) -> int:
        return self._size

    def peek(self, count: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        gain, correctness = self.on_host()
        if count >= len(gain):
            return gain, correctness
        at = (2 * np.arange(count, dtype=np.int64) + 1) * len(gain) // (2 * count)
        return gain[at], correctness[at]

    def reduce(self, box: Box) -> tuple[Sums, DevicePool]:
        gain, correctness = self.points
        room = int(self.size * SHRINKS) + 1
        new = [empty_like(gain, (room,), "float32") for _ in range(2)]
        sums = room_like(gain, kernels().sums_bytes)
        kernels().reduce(
            gain.address, correctness.address, gain.shape[0], tuple(float(end) for end in box), sums.address,
            address_of(new[0]), address_of(new[1]), room, gain.device, gain.stream,
        )  # fmt: skip
        fields, count = kernels().sums(sums.bytes())
        if count > room:
            return Sums(*fields), DevicePool(new[0], new[1], count)
        return Sums(*fields), DevicePool(front(new[0], count), front(new[1], count))

    def distinct(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        gain, correctness = self.on_host()
        keep = ~np.isnan(gain)
        keys = gain[keep].view(np.uint32).astype(np.uint64) << np.uint64(32) | correctness[keep].view(np.uint32)
        pairs, counts = np.unique(keys, return_counts=True)
        return (
            (pairs >> np.uint64(32)).astype(np.uint32).view(np.float32),
            pairs.astype(np.uint32).view(np.float32),
            counts.astype(np.int64),
        )

    def on_host(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Gain and correctness on the host. Waits for the device."""
        gain, correctness = (arrays.on_host(array) for array in self.points)
        return gain, correctness


def solve(
    gain: Any,
    correctness: Any,
    budget: int,
    mistakes: float,
    mistakes_each: float = 0.0,
) -> Solution:
    """Enqueue the search for the equilibrium; nothing waits for the device."""
    g, c = pair(gain, correctness)
    points = g.shape[0]
    size = places(points).solve
    workspace, account = room_like(g, size), new_account(g)
    at = account.address + kernels().findings_bytes
    kernels().solve(
        g.address, c.address, points, budget, mistakes, mistakes_each, workspace.address, size, at, g.device, g.stream
    )
    return Solution(at, account)


def solution_of(account: bytes) -> bytes:
    begin: int = kernels().findings_bytes
    end: int = begin + kernels().solution_bytes
    return account[begin:end]


def equilibrium(solution: Solution) -> Equilibrium | None:
    """The equilibrium, or None where the search did not settle (``game.solver.solve`` will). Waits for the device."""
    four, status, _, _ = kernels().solution(solution_of(solution.room.bytes()))
    return Equilibrium(*four) if status == "solved" else None


def probabilities(gain: Any, correctness: Any, equilibrium: Equilibrium) -> Any:
    """Inclusion probability of every point, float64."""
    g, c = pair(gain, correctness)
    out = empty_like(g, g.shape, "float64")
    kernels().probabilities(
        g.address, c.address, g.shape[0], tuple(map(float, equilibrium[:3])), address_of(out), g.device, g.stream
    )
    return handed_back(g, out)


# --------------------------------------------------------------------------------------------------------------- sample


def sample(gain: Any, correctness: Any, equilibrium: Equilibrium | Solution, running: int, budget: int) -> Any:
    """Indices of ``budget`` points, ascending, int64, on the device; ``running``: kernels.reference.sample.start.

    The budget must be the one that the equilibrium was found for. Does not wait.
    """
    g, c = pair(gain, correctness)
    indices = new_vector(g, budget, "int64")
    scan(g, c, equilibrium, running, 0, indices.address, budget)
    return handed_back(g, indices.owner)


def sample_part(
    gain: Any, correctness: Any, equilibrium: Equilibrium | Solution, running: int, first_index: int = 0
) -> tuple[Any, int]:
    """Indices selected in one part (a chunk, a rank's shard) and the running sum after it. Waits for the device."""
    g, c = pair(gain, correctness)
    after, count = kernels().drawn(scan(g, c, equilibrium, running, 0, 0, 0).bytes())
    indices = new_vector(g, count, "int64")
    scan(g, c, equilibrium, running, first_index, indices.address, count)
    return handed_back(g, indices.owner), int(after)


def mass(gain: Any, correctness: Any, equilibrium: Equilibrium | Solution) -> int:
    """The sum of all probabilities in units of 2^-62, modulo 2^64. Waits for the device."""
    g, c = pair(gain, correctness)
    return int(kernels().drawn(scan(g, c, equilibrium, 0, 0, 0, 0).bytes())[0])


def scan(
    gain: CudaArray,
    correctness: CudaArray,
    equilibrium: Equilibrium | Solution,
    running: int,
    first_index: int,
    indices: int,
    room: int,
) -> Room:
    """Enqueue a scan that writes to the address ``indices``; what it says of itself, on the device."""
    points = gain.shape[0]
    workspace = room_like(gain, places(points).sample)
    module = kernels()
    if isinstance(equilibrium, Solution):
        answer: Any = equilibrium.address
        behind, owner = equilibrium.address + module.solution_bytes, equilibrium.room.owner
        drawn = Room(behind, module.drawn_bytes, gain.device, gain.stream, owner)
    else:
        answer, drawn = tuple(map(float, equilibrium[:3])), room_like(gain, module.drawn_bytes)
    module.sample(
        gain.address, correctness.address, points, answer, running, first_index, indices, room, workspace.address,
        drawn.address, gain.device, gain.stream,
    )  # fmt: skip
    return drawn


# --------------------------------------------------------------------------------------------------------------- arrays


def matrix(name: str, value: Any) -> CudaArray:
    array = described(name, value)
    if len(array.shape) != 2 or array.shape[1] < 2:
        raise ValueError(f"{name}: expected an array of shape (points, classes), got shape {array.shape}")
    if array.dtype not in arrays.KINDS:
        raise TypeError(f"{name}: expected float64, float32, float16 or bfloat16, got {array.dtype}")
    return array


def vector(name: str, value: Any, dtype: str, like: CudaArray) -> CudaArray:
    array = described(name, value)
    kinds = ("bool", "uint8") if dtype == "bool" else (dtype,)
    if array.shape != like.shape[:1] or array.dtype not in kinds or array.device != like.device:
        raise ValueError(
            f"{name}: expected {dtype} of shape {like.shape[:1]} on device {like.device}, "
            f"got {array.dtype} of shape {array.shape} on device {array.device}"
        )
    if not array.contiguous:
        raise ValueError(f"{name}: expected a contiguous array, got strides of {array.strides} elements")
    return array


def writable(name: str, value: Any, dtype: str, like: CudaArray) -> CudaArray:
    array = vector(name, value, dtype, like)
    if array.read_only:
        raise ValueError(f"{name}: expected an array that can be written to, got a read-only one")
    return array


def pair(gain: Any, correctness: Any) -> tuple[CudaArray, CudaArray]:
    g = gain if isinstance(gain, CudaArray) else described("gain", gain)
    if len(g.shape) != 1 or g.dtype != "float32" or not g.contiguous:
        raise ValueError(f"gain: expected contiguous float32 of one dimension, got {g.dtype} of shape {g.shape}")
    c = correctness if isinstance(correctness, CudaArray) else vector("correctness", correctness, "float32", g)
    return g, c


def layout(z: CudaArray) -> tuple[int, int, int, int, int]:
    return z.address, arrays.KINDS[z.dtype], z.shape[1], z.strides[0], z.strides[1]


def address(array: CudaArray | None) -> int:
    return 0 if array is None else array.address


def address_of(value: Any) -> int:
    return value.address if isinstance(value, Memory) else described("out", value).address


def front(array: Any, count: int) -> CudaArray:
    """The first elements; the memory stays as it is, held by what is returned."""
    return described("undecided", array)._replace(shape=(count,))
