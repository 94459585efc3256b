"""More points beside those that were selected: the second stage of a nested design.

Given the points that are selected, the others play a game of their own for the rest of the budget, and are sampled with
just its probabilities. So the larger selection contains the smaller, and the probabilities of the second stage, given
the first, are exact. The adversary has as many mistakes in it as in the first: then the values of the stages add up to
what both promise. docs/howto/nested.md derives all three.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rad_fast.device.backends import Backend
from rad_fast.kernels.reference import quotas as shared_out
from rad_fast.kernels.reference.game import Equilibria, Equilibrium
from rad_fast.kernels.reference.sample import start
from rad_fast.kernels.reference.score import Points

from .by_class import play
from .group import Alone
from .pool import ArrayPool
from .quotas import Shares, class_counts
from .sampling import sample
from .solver import on_grid, solve

Float64s = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]


class Stage(NamedTuple):
    """What a further stage adds."""

    indices: Int64s  # of all stages together, ascending
    answer: Equilibrium | Equilibria  # of this stage's game
    quotas: Float64s | None  # of all stages together
    value: float  # of this stage's game


def extended(
    points: Points, before: Int64s, more: int, mistakes: float, shares: Shares | None, seed: int, kernels: Backend
) -> Stage:
    """``more`` points beside those at ``before``."""
    rest = points._replace(gain=points.gain.copy())
    rest.gain[before] = np.nan
    running = start(stage_seed(seed, len(before)), more, len(points.gain))
    answer: Equilibrium | Equilibria
    if shares is None:
        answer, quotas = solve(ArrayPool.of([rest], kernels), more, on_grid(mistakes)), None
        added, value = sample([rest], answer, running, kernels, Alone()), answer.value
    else:
        taken = np.bincount(points.label[before], minlength=len(shares.points))
        free, positive = class_counts([rest], len(taken), kernels)
        weights, had = shares.weights, shares.chosen + taken
        if not weights[free > 0].any():  # the classes that weigh anything are used up
            weights = np.ones(len(free))
        bound = None if shares.positive is None else positive
        share = shared_out.quotas(weights, free, had, more, bound)
        # As many mistakes in each class as before: in proportion to all its points, not to those that are left.
        games = Shares(share, weights, shares.points, had)
        others = 1 if points.other is None else int(points.other.max(initial=0)) + 1
        answer, added = play([rest], games, mistakes, others, running, kernels, Alone(), free)
        quotas, value = share + taken, math.fsum(answer.value)
    if len(added) != more:
        raise RuntimeError(f"the sample has {len(added)} points, not {more}: please report this as a bug")
    return Stage(np.sort(np.concatenate([before, added])), answer, quotas, value)


def stage_seed(seed: int, taken: int) -> int:
    """The seed of a stage, of which the start must not depend on that of the stages before it."""
    return int(np.random.SeedSequence([seed, taken]).generate_state(1, np.uint64)[0])
