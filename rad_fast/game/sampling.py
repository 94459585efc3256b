"""The sample over all chunks of all ranks: one scan in the order of the points, or along the keys."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from rad_fast.device.backends import Backend
from rad_fast.kernels.reference.game import Equilibria, Equilibrium
from rad_fast.kernels.reference.sample import UInt64s, running_by_key
from rad_fast.kernels.reference.score import Points

from .group import Alone, Group, place

Int64s = npt.NDArray[np.int64]


def sample(chunks: Sequence[Points], answer: Equilibrium, running: int, kernels: Backend, group: Group) -> Int64s:
    """The indices of one scan in the points' order, those of this rank."""
    if not isinstance(group, Alone):
        running = place(
            group, lambda: sum(kernels.mass(chunk.gain, chunk.correctness, answer) for chunk in chunks), running
        )
    taken, offset = [], 0
    for chunk in chunks:
        here, running = kernels.sample(chunk.gain, chunk.correctness, answer, running)
        here += offset
        taken.append(here)
        offset += len(chunk.gain)
    return joined(taken)


def sample_by_key(
    chunks: Sequence[Points], answers: Equilibria, others: int, running: int, kernels: Backend, group: Group
) -> Int64s:
    """The indices of one scan along the keys, those of this rank."""
    masses = [kernels.mass_by_key(chunk, answers, others) for chunk in chunks]
    parts = np.concatenate([np.empty((0, len(answers.price) * others), np.uint64), *masses])
    mine: UInt64s = parts.sum(axis=0, dtype=np.uint64)
    total, before = mine, np.zeros_like(mine)
    if not isinstance(group, Alone):
        everyone = group.exchange(lambda: mine)
        total = np.sum(everyone, axis=0, dtype=np.uint64)
        for theirs in everyone[: group.rank]:
            before += theirs
    starts = running_by_key(parts, total, before, running)
    taken, offset, at = [], 0, 0
    for chunk, part in zip(chunks, masses, strict=True):
        here = kernels.sample_by_key(chunk, answers, others, starts[at : at + len(part)])
        here += offset
        taken.append(here)
        offset += len(chunk.gain)
        at += len(part)
    return joined(taken)


def joined(taken: list[Int64s]) -> Int64s:
    return taken[0] if len(taken) == 1 else np.concatenate([np.empty(0, np.int64), *taken])
