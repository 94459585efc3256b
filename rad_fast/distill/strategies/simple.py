"""Strategies of a few lines: chance, and the student's uncertainty."""

from __future__ import annotations

import numpy as np

from .round import Choice, Round, chosen, top
from .scores import entropies


def uniform(r: Round) -> Choice:
    """Every point is as likely as every other."""
    return chosen(r.rng.choice(r.left, r.budget, replace=False))


def margin(r: Round) -> Choice:
    """The points of smallest student margin (Scheffer, Decomain, Wrobel 2001)."""
    return top(r, -r.student_margin)


def entropy(r: Round) -> Choice:
    """The points of largest entropy of the student."""
    return top(r, entropies(r.student))


def least_confidence(r: Round) -> Choice:
    """The points whose likeliest class is least likely to the student (Lewis, Gale 1994)."""
    return top(r, -r.student.max(1))


def unixkd(r: Round) -> Choice:
    """Uncertainty and mixing (Xu, Liu, Loy: UNIXKD, 2020), with the paper's shares: of a uniform sample of 4/3 the
    budget the points of largest student entropy; the least uncertain third of them is mixed with points of the sample
    at random, by a share uniform in [0, 1], before the teacher sees them."""
    sample = r.rng.choice(r.left, min(len(r.left), -(-4 * r.budget // 3)), replace=False)
    order = sample[np.argsort(-entropies(r.student[sample]), kind="stable")][: r.budget]
    mixed = np.arange(len(order)) >= -(-2 * len(order) // 3)
    shares = np.where(mixed, r.rng.random(len(order)), 0.0)
    partners = r.rng.choice(sample, len(order))
    by_index = np.argsort(order)
    return Choice(order[by_index], partners[by_index], shares[by_index])


def top_confidence(r: Round) -> Choice:
    """The points that the student is surest of (Manjah et al.: Stream-Based Active Distillation, CVPRW 2023).

    The rule is that of the authors' code. It takes images, as they come, whose confidence exceeds a quantile of those
    seen first. Where a whole pool is known, and the quantile leaves as many points as the budget, these are the surest.
    """
    return top(r, r.student.max(1))


def m_raru(r: Round) -> Choice:
    """M-RARU (Luccioli et al., 2025): points come in random order, and each is accepted with probability 1 - the
    student's confidence, until the budget is full; where it is not, another turn begins.

    The rule rests on the paper's abstract, which names uncertainty and a random accept or reject. The paper may measure
    uncertainty in another way.
    """
    accept = np.maximum(1.0 - r.student.max(1)[r.left], 1e-12)
    turns = r.rng.geometric(accept)  # the turn in which a point is accepted
    return chosen(r.left[np.lexsort((r.rng.random(len(accept)), turns))[: r.budget]])
