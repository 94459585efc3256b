"""Strategies of one line: chance, classes in turn, the student's uncertainty."""

from __future__ import annotations

import numpy as np

from .round import Choice, Round, chosen, top
from .scores import entropies


def uniform(r: Round) -> Choice:
    """Every point is as likely as every other."""
    return chosen(r.rng.choice(r.left, r.budget, replace=False))


def balanced(r: Round) -> Choice:
    """Uniform within each class, all classes equally often as far as they last.

    The class of a point is the teacher's label where it is known, the student's otherwise.
    """
    logits = r.student_logits if r.teacher_logits is None else r.teacher_logits
    label = logits.argmax(1)[r.left]
    order = r.rng.permutation(len(r.left))
    sorted_labels = label[order]
    # Each point's rank within its class; taking the lowest ranks first goes round the classes.
    by_class = np.argsort(sorted_labels, kind="stable")
    starts = np.searchsorted(sorted_labels[by_class], sorted_labels[by_class])
    rank = np.empty(len(order))
    rank[by_class] = np.arange(len(order)) - starts
    return chosen(r.left[order[np.argsort(rank + r.rng.random(len(rank)), kind="stable")[: r.budget]]])


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
