"""Strategies that ask both models: a label to be trusted, and a student that has something to learn from it."""

from __future__ import annotations

import numpy as np

from .classes import confidence
from .round import Choice, Float64s, Int64s, Round, chosen, top
from .scores import entropies

FALSE_LABELS = 0.1  # conformal labelling: the share of wrong labels among those it trusts, as in the paper


def llkd(r: Round) -> Choice:
    """LLKD (Li et al.: Learning with Less, NAACL 2025): points on which the teacher is confident and the student
    uncertain (by its entropy), each above a threshold of the class.

    A threshold is the mean over all points, times the class's mean as a share of the largest class's. The paper has a
    moving average over the batches of training; here a choice comes before training, and the average is over the pool.
    The paper keeps all points above both thresholds, whatever their number. Here it is the budget: as many of them at
    random, or, if they are too few, all of them, then those that the teacher is confident of, the student's most
    uncertain first, then the others in the same order.
    """
    teacher = r.teacher("llkd")
    label, sure, unsure = teacher.argmax(1), confidence(teacher), entropies(r.student)
    trusted = sure[r.left] >= adaptive(sure[r.left], label[r.left])
    wanted = unsure[r.left] >= adaptive(unsure[r.left], label[r.left])
    chance = r.rng.random(len(r.left))
    order = np.lexsort((np.where(trusted & wanted, chance, -unsure[r.left]), ~wanted, ~trusted))
    return chosen(r.left[order[: r.budget]])


def adaptive(value: Float64s, label: Int64s) -> Float64s:
    """Every point's threshold: the overall mean times (its class's mean / the largest class mean); a billionth less, so
    that rounding keeps out no class where all values are equal."""
    times = np.bincount(label)
    mean = np.bincount(label, weights=value) / np.maximum(times, 1)
    found: Float64s = (1.0 - 1e-9) * (value.mean() * mean / max(mean.max(), 1e-300))[label]
    return found


def learnability(r: Round) -> Choice:
    """Sampled in proportion to exp(learnability) = p_teacher(y) / p_student(y), y the teacher's label, without
    replacement (Evans et al.: JEST, 2024; Udandarao et al.: ACID, 2024).

    The papers choose batches for a contrastive loss, in chunks, where a point's score depends on the chunks before it.
    The loss here is of single points: no score depends on another point, and all can be drawn at once. The rule rests
    on the papers' definition of the score and on public code for it.
    """
    return top(r, learnable(r, "learnability") + r.rng.gumbel(size=len(r.available)))


def learnability_top(r: Round) -> Choice:
    """The highest learnability log p_teacher(y) - log p_student(y), which is the reducible loss of RHO-LOSS with the
    teacher as the model that has learned (Mindermann et al., ICML 2022).

    As in the authors' code: the student's loss less the other model's, the largest first. They choose a tenth of each
    batch again and again during training; here the choice is made once a round, over the pool.
    """
    return top(r, learnable(r, "learnability-top"))


def learnable(r: Round, strategy: str) -> Float64s:
    teacher = r.teacher(strategy)
    student = r.student[np.arange(len(teacher)), teacher.argmax(1)]
    score: Float64s = np.log(confidence(teacher)) - np.log(np.maximum(student, 1e-300))
    return score


def conformal(r: Round) -> Choice:
    """Conformal labelling (Huang et al., 2025): a point's p-value is the share of the hold-out's wrong points that the
    teacher is at least as confident of, ties broken at random. Benjamini and Hochberg's step keeps labels of which a
    tenth are false in expectation, at a level that is larger the fewer wrong points the hold-out has: (1 + its points)
    / (1 + its wrong points) times as large. The budget is drawn from them uniformly. Where they are too few the next
    p-values follow."""
    teacher = r.teacher("conformal")
    truth, held, _ = r.holdout("conformal")
    wrong = np.sort(confidence(held)[held.argmax(1) != truth])
    sure = confidence(teacher)[r.left]
    above = len(wrong) - np.searchsorted(wrong, sure, side="right")
    equal = np.searchsorted(wrong, sure, side="right") - np.searchsorted(wrong, sure, side="left")
    value = (above + r.rng.random(len(sure)) * (equal + 1)) / (len(wrong) + 1)
    order = np.argsort(value, kind="stable")
    level = FALSE_LABELS * (len(truth) + 1) / (len(wrong) + 1)
    passed = np.flatnonzero(value[order] <= level * np.arange(1, len(order) + 1) / len(order))
    kept = order[: passed[-1] + 1 if len(passed) else 0]
    if len(kept) >= r.budget:
        return chosen(r.left[r.rng.choice(kept, r.budget, replace=False)])
    return chosen(r.left[order[: r.budget]])


def confident_learning(r: Round) -> Choice:
    """Confident learning (Northcutt, Jiang, Chuang, JAIR 2021): a teacher's label is an error where the student is
    confident of another class. Confident: its probability reaches the mean that the class has among the points which
    bear its label; of several such classes the likeliest. Errors are dropped, the rest is drawn from uniformly."""
    label = r.teacher("confident-learning").argmax(1)[r.left]
    p = r.student[r.left]
    times = np.bincount(label, minlength=p.shape[1])
    of_label = p[np.arange(len(label)), label]
    threshold = np.bincount(label, weights=of_label, minlength=p.shape[1]) / np.maximum(times, 1)
    reached = np.where((p >= threshold) & (times > 0), p, -1.0)
    error = (reached.max(1) >= 0.0) & (reached.argmax(1) != label)
    order = np.lexsort((r.rng.random(len(label)), error))
    return chosen(r.left[order[: r.budget]])
