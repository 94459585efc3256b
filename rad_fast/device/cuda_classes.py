"""A game a class by the compiled CUDA backend: counts, equilibria and the sample along keys; cuda.py has the one game.

Work is queued as there; ``tally`` and ``read_by_class`` wait for the device, each once.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rad_fast.kernels.reference.game import Equilibria
from rad_fast.kernels.reference.score import Findings

from .arrays import CudaArray, Room, empty_like, handed_back, in_library, kernels, new_vector, room_like
from .cuda import address, address_of, found_in, pair, vector
from .packed import Packed

Int64s = npt.NDArray[np.int64]
GAME = np.dtype([("quota", "f8"), ("mistakes", "f8"), ("start", "i8"), ("count", "i8")])
FIELDS = 6  # numbers of a class's answer: price, threshold, share, value, whether it is settled, points solved last


class Drawn(NamedTuple):
    """A selection by class on the device, not waited for (see ``read_by_class``)."""

    indices: Any  # int64, ascending; meaningless unless all classes are settled
    classes: int
    account: Room


def tally(points: Any, classes: int, chosen: Any = None) -> tuple[Findings, Int64s, Int64s]:
    """What the scoring pass found, how many points of each class play and how many of these have a positive effective
    gain, (2, classes), and how many ``chosen`` has of each."""
    found = counted(points, classes, chosen, points.status.address).bytes()
    counts = counts_in(found, classes)
    return found_in(found[: kernels().findings_bytes]), counts[:2], counts[2]


def counted(points: Any, classes: int, chosen: Any, status: int) -> Room:
    """Enqueue what ``tally`` counts, to lie behind what a scoring pass left at the address ``status``."""
    of, z = labelled(points, classes, 1)
    mask = None if chosen is None else vector("chosen", chosen, "bool", z)
    module = kernels()
    room = room_like(z, module.findings_bytes + 24 * classes)
    module.count_classes(of, address(mask), status, room.address, z.device, z.stream)
    return room


def counts_in(found: bytes, classes: int) -> Int64s:
    """The three numbers of each class in what ``counted`` leaves, (3, classes)."""
    return np.frombuffer(found, np.int64, 3 * classes, kernels().findings_bytes).reshape(3, classes)


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
    games = np.empty(classes, GAME)
    # More mistakes than points change nothing: the price is 0 then.
    games["quota"], games["mistakes"] = quotas, np.minimum(mistakes, 2.0 * counts + 2.0)
    games["start"], games["count"] = np.cumsum(counts) - counts, counts
    large = np.flatnonzero((counts > module.class_games_direct) & (quotas > 0)).astype(np.int32)
    given = games.tobytes() + large.tobytes()
    needed = module.class_games_workspace(z.shape[0], classes, len(large))
    sample_needs = module.sample_by_class_workspace(z.shape[0], classes)
    table, workspace = room_like(z, len(given)), room_like(z, max(needed, sample_needs))
    account = room_like(z, 8 * FIELDS * classes + module.drawn_bytes)
    module.copy_in(table.address, given, z.device, z.stream)
    least = int(counts[large].min()) if len(large) else 0
    module.solve_by_class(
        of, table.address, table.address + games.nbytes, len(large), least, workspace.address, needed, account.address,
        z.device, z.stream,
    )  # fmt: skip
    indices = scanned(of, z, account, running, budget, workspace, sample_needs)
    return Drawn(back(points, z, indices.owner), classes, account)


def read_by_class(drawn: Drawn) -> tuple[Equilibria, npt.NDArray[np.bool_], int]:
    """Each class's equilibrium, which of them are settled, and how many indices the scan passed. Waits."""
    found = drawn.account.bytes()
    numbers = np.frombuffer(found, np.float64, FIELDS * drawn.classes).reshape(FIELDS, drawn.classes)
    _, count = kernels().drawn(found[numbers.nbytes :])
    return Equilibria(*numbers[:4].copy()), numbers[4] == 1.0, count


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
