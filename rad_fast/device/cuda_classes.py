"""A game a class by the compiled CUDA backend: counts, equilibria and the sample along keys; cuda.py has the one game.

Work is queued as there; ``tally`` and ``read_by_class`` wait for the device, each once.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rad_fast.kernels.reference.game import Equilibria
from rad_fast.kernels.reference.score import LOOKED_AT, SUM_OFF, Findings, Rule

from .arrays import CudaArray, Room, address_in, empty_like, handed_back, in_library, kernels, new_vector, room_like
from .cuda import DeviceRule, address, address_of, found_in, layout, matrix, pair, scoring, vector
from .packed import Packed, places

Int64s = npt.NDArray[np.int64]
FIELDS = 6  # numbers of a class's answer: price, threshold, share, value, whether it is settled, points solved last


class Drawn(NamedTuple):
    """A selection by class on the device, not waited for (see ``read_by_class``)."""

    indices: Any  # int64, ascending; meaningless unless all classes are settled
    classes: int
    account: Room
    played: Any = None  # the classes that the account is of, int32; None: all


class Appraised(NamedTuple):
    """Points, and what of them came to the host: ``tally``, and how many play in all."""

    points: Packed
    findings: Findings
    counts: Int64s
    chosen: Int64s
    possible: int


def appraise_by_class(
    teacher: Any,
    student: Any,
    rule: Rule | DeviceRule,
    given: Any,
    exclude: Any,
    gains: Any,
    *,
    others: bool,
    chosen: Any = None,
) -> Appraised:
    """``appraise`` and ``tally`` in one call. Waits."""
    z = matrix("logits", teacher)
    beside = scoring(z, student, rule, given, exclude, gains)
    rows, classes = z.shape
    at, module = places(rows, others, classes), kernels()
    mask = None if chosen is None else vector("chosen", chosen, "bool", z)
    memory = empty_like(z, (at.size,), "uint8")
    account = address_in(memory)
    module.appraise_classes(
        layout(z), beside.student, rows, beside.rule, beside.mask, account + at.gain, account + at.correctness,
        account + at.label, account + at.other if others else 0, address(mask), classes, account, LOOKED_AT, SUM_OFF,
        z.device, z.stream,
    )  # fmt: skip
    size = module.findings_bytes + (16 if mask is None else 24) * classes
    found = module.copy_out(account, size, z.device, z.stream)
    findings = found_in(found[: module.findings_bytes])
    counts, before, possible = module.class_counts(found, classes)
    before = none_chosen(classes) if before is None else before
    return Appraised(Packed(z, memory, rows, at, others), findings, counts, before, possible)


@lru_cache(maxsize=4)
def none_chosen(classes: int) -> Int64s:
    """A 0 for each class, not to be written to: of a vocabulary's classes new memory takes as long as a kernel."""
    zeros = np.zeros(classes, np.int64)
    zeros.setflags(write=False)
    return zeros


def tally(points: Any, classes: int, chosen: Any = None) -> tuple[Findings, Int64s, Int64s]:
    """What the scoring pass found, how many points of each class play and how many of these have a positive effective
    gain, (2, classes), and how many ``chosen`` has of each."""
    found = counted(points, classes, chosen, points.status.address).bytes()
    counts, before, _ = kernels().class_counts(found, classes)
    return found_in(found[: kernels().findings_bytes]), counts, before


def counted(points: Any, classes: int, chosen: Any, status: int) -> Room:
    """Enqueue what ``tally`` counts, to lie behind what a scoring pass left at the address ``status``; 0: nothing."""
    of, z = labelled(points, classes, 1)
    mask = None if chosen is None else vector("chosen", chosen, "bool", z)
    module = kernels()
    room = room_like(z, module.findings_bytes + 24 * classes)
    module.count_classes(of, address(mask), status, room.address, z.device, z.stream)
    return room


def select_by_class(
    points: Any,
    counts: Int64s,
    quotas: npt.NDArray[np.float64],
    mistakes: npt.NDArray[np.float64],
    others: int,
    running: int,
    budget: int,
) -> Drawn:
    """Enqueue each class's game, on ``counts`` points with its quota and mistakes, and the sample along the keys."""
    classes, module = len(counts), kernels()
    of, z = labelled(points, classes, others)
    size = room_by_class(z.shape[0], classes)
    workspace, indices = empty_like(z, (size,), "uint8"), empty_like(z, (budget,), "int64")
    first = address_in(workspace)
    played = module.select_by_class(
        of, counts, quotas, mistakes, running, address_in(indices), budget, first, size, z.device, z.stream
    )
    games = classes if played is None else len(played)
    account = Room(first, 8 * FIELDS * games + module.drawn_bytes, z.device, z.stream, workspace)
    return Drawn(back(points, z, indices), classes, account, played)


@lru_cache(maxsize=64)
def room_by_class(points: int, classes: int) -> int:
    """Bytes that ``select_by_class`` needs, what it leaves there for ``read_by_class`` first."""
    size: int = kernels().select_by_class_workspace(points, classes)
    return size


def read_by_class(drawn: Drawn) -> tuple[Equilibria, npt.NDArray[np.bool_], int]:
    """Each class's equilibrium, which of them are settled, and how many indices the scan passed. Waits."""
    numbers, settled, count = kernels().class_answers(drawn.account.bytes(), drawn.classes, drawn.played)
    return Equilibria(*numbers), settled, count


def sample_by_class(points: Any, equilibria: Equilibria, others: int, running: int, budget: int) -> Any:
    """Indices of ``budget`` points, ascending, int64, by a scan along the keys. Does not wait."""
    classes, module = len(equilibria.price), kernels()
    of, z = labelled(points, classes, others)
    size = module.sample_by_class_workspace(z.shape[0], classes)
    account = answers_on_device(z, equilibria)
    return back(points, z, scanned(of, z, account, running, budget, room_like(z, size), size).owner)


def class_probabilities(points: Any, equilibria: Equilibria) -> Any:
    """Inclusion probability of every point in the game of its class, float64."""
    classes = len(equilibria.price)
    of, z = labelled(points, classes, 1)
    out, rates = empty_like(z, z.shape, "float64"), room_like(z, kernels().class_rates_bytes * classes)
    account = answers_on_device(z, equilibria)
    kernels().class_probabilities(of, account.address, rates.address, address_of(out), z.device, z.stream)
    return back(points, z, out)


def labelled(points: Any, classes: int, others: int) -> tuple[tuple[int, ...], CudaArray]:
    """Points as the kernels take them, and the array of their gain."""
    if isinstance(points, Packed) and (others == 1 or points.others):
        at, z = points.addresses(), points.described()
        return (*at[:3], 0 if others == 1 else at[3], z.shape[0], classes, others), z
    z, correctness = pair(points.gain, points.correctness)
    label = vector("label", points.label, "int32", z)
    other = None if others == 1 else vector("other", points.other, "uint8", z)
    return (z.address, correctness.address, label.address, address(other), z.shape[0], classes, others), z


def back(points: Any, z: CudaArray, array: Any) -> Any:
    """An array in the library that the points' logits came in."""
    return in_library(points.library, array) if isinstance(points, Packed) else handed_back(z, array)


def answers_on_device(z: CudaArray, equilibria: Equilibria) -> Room:
    """Equilibria as ``solve_by_class`` leaves them, and room for what the sample says of itself."""
    numbers = np.array([*equilibria, *np.ones((2, len(equilibria.price)))])
    account = room_like(z, numbers.nbytes + kernels().drawn_bytes)
    kernels().copy_in(account.address, numbers.reshape(-1), z.device, z.stream)
    return account


def scanned(
    of: tuple[int, ...], z: CudaArray, account: Room, running: int, budget: int, workspace: Room, size: int
) -> CudaArray:
    """Enqueue the scan along the keys; where it writes the indices."""
    indices = new_vector(z, budget, "int64")
    drawn = account.address + 8 * FIELDS * of[5]
    kernels().sample_by_class(
        of, account.address, running, indices.address, budget, workspace.address, size, drawn, z.device, z.stream
    )
    return indices
