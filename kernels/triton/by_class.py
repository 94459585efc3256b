"""A game a class on the device: its points brought together (keys.py), the games played (class_game.py), the sample
along the keys.

A class of many points is played by all of the device, as a game without classes is (equilibrium.py); all others by a
program each, or by a row of one where they are small.

Memory for N points: 8 bytes a point while the games are played, then 4 for the order of the sample.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import triton

from rad_fast.kernels.reference.game import GRID_BITS, NOTHING, Equilibria
from rad_fast.kernels.reference.score import Findings, Rule

from . import equilibrium, keys, score
from .class_game import class_game_kernel
from .equilibrium import Shape
from .game import HALF_BITS, INTERPRETED, on_device, probabilities
from .keys import Keyed
from .sample import Scan
from .score import DeviceRule, Points, findings_of
from .solver import SOLVED

Int64s = npt.NDArray[np.int64]
Float64s = npt.NDArray[np.float64]

ALONE = 1 << 16  # points of a class from which on all of the device plays its game
FEW = 256 if not INTERPRETED else 64  # most points of a class that shares a program with others
# Games in a program, and points that each looks at once; of small classes and of others.
SMALL, LARGE = ((4, 64), (1, 512)) if not INTERPRETED else ((64, 64), (8, 1024))


class Games(NamedTuple):
    """The games' solutions on the device, not waited for."""

    answers: torch.Tensor  # float64, (classes, 4): price, threshold, share, value
    outcomes: torch.Tensor  # int64, (classes,): SOLVED, or the host has to


class Drawn(NamedTuple):
    """A selection by class on the device, not waited for (see ``read_by_class``)."""

    indices: torch.Tensor  # int64, ascending; meaningless unless all classes are settled
    games: Games
    passed: torch.Tensor  # int64: how many indices the scan passed


class Appraised(NamedTuple):
    """Points, and what of them came to the host: ``tally``, and how many play in all."""

    points: Points
    findings: Findings
    counts: Int64s
    chosen: Int64s
    possible: int


def appraise_by_class(
    teacher: torch.Tensor,
    student: torch.Tensor | None,
    rule: Rule | DeviceRule,
    given: torch.Tensor | None,
    exclude: torch.Tensor | None,
    gains: torch.Tensor | None,
    *,
    others: bool,
    chosen: torch.Tensor | None = None,
) -> Appraised:
    """``appraise`` and ``tally``. Waits."""
    points = score.appraise(teacher, student, rule, given, exclude, gains, others=others)
    findings, counts, before = tally(points, teacher.shape[1], chosen)
    return Appraised(points, findings, counts, before, int(counts[0].sum()))


def tally(points: Points, classes: int, chosen: torch.Tensor | None = None) -> tuple[Findings, Int64s, Int64s]:
    """What the scoring pass found, how many points of each class play and how many of these have a positive effective
    gain, (2, classes), and how many ``chosen`` has of each. Waits."""
    found = [points.status, keys.count(points, classes).counts()]
    some = [(points.gain > 0) & (points.correctness > 0.5)]
    if chosen is not None:
        some.append(chosen & (points.label >= 0))
    for mask in some:
        counted = torch.where(mask, 0.0, torch.nan).to(torch.float32)
        found.append(keys.count(points._replace(gain=counted), classes).counts())
    numbers = torch.cat(found).cpu().numpy()
    status, counts = numbers[: len(points.status)], numbers[len(points.status) :].reshape(-1, classes)
    return findings_of(status.tolist()), counts[:2], np.zeros(classes, np.int64) if chosen is None else counts[2]


def select_by_class(
    points: Points, counts: Int64s, quotas: Float64s, mistakes: Float64s, others: int, running: int, budget: int
) -> Drawn:
    """Enqueue each class's game, on ``counts`` points with its quota and mistakes, and the sample along the keys."""
    keyed = keys.count(points, len(counts), others)
    games = solve(keyed, counts, quotas, mistakes)
    indices, passed = scanned(keyed, games.answers, running, budget, int(counts.sum()))
    return Drawn(indices, games, passed)


def read_by_class(drawn: Drawn) -> tuple[Equilibria, npt.NDArray[np.bool_], int]:
    """Each class's equilibrium, which of them are settled, and how many indices the scan passed. Waits."""
    games = drawn.games
    both = torch.cat([games.answers.view(torch.int64).view(-1), games.outcomes, drawn.passed]).cpu().numpy()
    answers, outcomes = np.split(both[:-1], [games.answers.numel()])
    return Equilibria(*answers.view(np.float64).reshape(-1, 4).T.copy()), outcomes == SOLVED.value, int(both[-1])


def sample_by_class(points: Points, equilibria: Equilibria, others: int, running: int, budget: int) -> torch.Tensor:
    """Indices of ``budget`` points, ascending, int64, by a scan along the keys. Waits, for how many points play."""
    keyed = keys.count(points, len(equilibria.price), others)
    playing = int(keyed.table.sum())
    return scanned(keyed, answers_on(keyed.table.device, equilibria), running, budget, playing)[0]


def class_probabilities(points: Points, equilibria: Equilibria) -> torch.Tensor:
    """Inclusion probability of every point in the game of its class, float64."""
    return probabilities(
        points.gain, points.correctness, answers_on(points.gain.device, equilibria), label=points.label
    )


def solve(
    keyed: Keyed,
    counts: Int64s,
    quotas: Float64s,
    mistakes: Float64s,
    alone: int = ALONE,
    shape: Shape | None = None,
) -> Games:
    """Enqueue each class's game. ``counts`` as in ``keyed``, ``quotas`` multiples of 2^-31, ``mistakes`` of 2^-25.

    A class without a quota has q = 0 for all of its points. More than ``alone`` points: in rounds of such a ``shape``.
    """
    classes = len(counts)
    gain, correctness, starts = keyed.pairs(counts)
    device = gain.device
    mistakes = np.minimum(mistakes, 2.0 * counts + 2.0)  # more change nothing: the price is 0 then
    played = np.flatnonzero((quotas > 0) & (counts <= alone))
    played = played[np.argsort(-counts[played], kind="stable")]  # those of a program are alike, the longest come first
    spend = np.floor(mistakes[played] * 2.0 ** (GRID_BITS + 1) + 0.5)
    jobs = np.array([played, starts[played], counts[played], quotas[played] * 2.0**HALF_BITS, spend]).astype(np.int64)
    nothing = np.tile(NOTHING, (classes, 1)).view(np.int64).ravel()
    # One copy brings all that the games are given.
    sent = torch.from_numpy(np.concatenate([nothing, np.full(classes, SOLVED.value), jobs.ravel()])).to(device)
    answers, outcomes, given = sent.split([4 * classes, classes, jobs.size])
    answers = answers.view(torch.float64).view(-1, 4)
    large = int(np.count_nonzero(counts[played] > FEW))
    for part, (rows, block) in ((slice(0, large), LARGE), (slice(large, None), SMALL)):
        mine = given.view(5, -1)[:, part].contiguous()
        games = mine.shape[1]
        if games:
            with on_device(gain):
                class_game_kernel[(triton.cdiv(games, rows),)](
                    gain, correctness, mine, games, answers, outcomes,
                    ROWS=rows, BLOCK=block, num_warps=4, enable_fp_fusion=False,
                )  # fmt: skip
    for k in np.flatnonzero((quotas > 0) & (counts > alone)):
        mine = slice(int(starts[k]), int(starts[k] + counts[k]))
        solution = equilibrium.solve(gain[mine], correctness[mine], float(quotas[k]), float(mistakes[k]), shape=shape)
        answers[k].copy_(solution.equilibrium)
        outcomes[k : k + 1].copy_(solution.outcome[:1])
    return Games(answers, outcomes)


def scanned(
    keyed: Keyed, answers: torch.Tensor, running: int, budget: int, playing: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The indices, ascending, and how many there are; ``playing``: how many points are not left out."""
    points = keyed.points
    indices = torch.empty(budget, dtype=torch.int64, device=points.gain.device)
    scan = Scan(points.gain, points.correctness, answers, running, keyed.order(playing), points.label)
    scan.take(indices)
    return indices.sort().values, scan.passed  # of those alone that are selected


def answers_on(device: torch.device, equilibria: Equilibria) -> torch.Tensor:
    """Price, threshold, share and value of each class, float64 on the device."""
    return torch.from_numpy(np.stack(equilibria, 1)).to(device)
