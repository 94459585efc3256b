"""Games by class and the sample along keys: in one call where a backend has it and the points are in memory."""

from __future__ import annotations

from collections.abc import Sequence

from rad_fast.device.backends import Backend, Compiled
from rad_fast.kernels.reference.game import Equilibria
from rad_fast.kernels.reference.score import Points

from .group import Alone, Group
from .pool import drawn
from .quotas import ClassPools, GroupPools, Int64s, Shares, class_counts, shares_of_mistakes, solve_by_class
from .sampling import sample_by_key
from .solver import steps


def play(
    chunks: Sequence[Points],
    found: Shares,
    mistakes: float,
    others: int,
    running: int,
    kernels: Backend,
    group: Group,
    mine: Int64s | None = None,
) -> tuple[Equilibria, Int64s]:
    """The equilibrium of each class's game, and this rank's indices; ``mine``: how many points it has of each class."""
    classes = len(found.quotas)
    counts = class_counts(chunks, classes, kernels)[0] if mine is None else mine
    if isinstance(kernels, Compiled) and isinstance(group, Alone):
        stakes, how = (counts, found.quotas, shares_of_mistakes(found, mistakes)), steps()
        done = kernels.play_by_class(chunks, stakes, others, running, how, drawn(max(how.sample, how.most_sampled)))
        if done is not None:
            return done
    pools = ClassPools(chunks, classes, kernels, counts)
    everyones = pools if isinstance(group, Alone) else GroupPools(pools, counts, group)
    answers = solve_by_class(everyones, found, mistakes)
    return answers, sample_by_key(chunks, answers, others, running, kernels, group)
