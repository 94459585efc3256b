"""Other shapes of problem: classes merged until they are few, or unequal, and teachers made as poor or good as wanted.

The texts are CLINC150's, and so are the teacher's mistakes: it compares word vectors with the names of 150 intents.
Intents that the teacher finds alike become one class.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from . import real
from .problem import Float32s, Problem

SOURCE = "clinc150"
SETS = {  # how many intents make up each class
    "6 unequal classes": (34, 33, 31, 25, 24, 3),
    "20 equal classes": (8,) * 10 + (7,) * 10,
    "64 unequal classes": (10, *(6,) * 1, *(5,) * 4, *(4,) * 6, *(3,) * 10, *(2,) * 18, *(1,) * 24),
    "4 classes": (60, 40, 30, 20),
}
RIGHT = (0.43, 0.6, 0.78)
SAYS = ("logits", "labels")  # what a teacher gives: logits, or labels alone
TEACHERS = tuple((name, f"{right:.2f}, {says}") for name in SETS for right in RIGHT for says in SAYS)


def problem(name: str, teacher: str, seed: int) -> Problem:
    right, says = teacher.split(", ")
    return real.cut(said(name, float(right), says), real.features(SOURCE, "tfidf"), name, teacher, seed, 64)


@cache
def said(name: str, right: float, says: str) -> real.Answers:
    """A teacher that is right on so many points: logits of the intents, made worse by a liking for some of them and by
    chance, or better by a liking for the truth; then classes' logits, or labels."""
    found, wanted = logits_of(name, right)
    if says == "labels":
        found = real.spoken(found.argmax(1), np.full(len(found), real.UNKNOWN), found.shape[1])
    everywhere = np.ones(len(wanted), bool)
    return real.Answers(np.arange(len(wanted)), wanted, found, everywhere, ~everywhere)


@cache
def logits_of(name: str, right: float) -> tuple[Float32s, npt.NDArray[np.int64]]:
    a = real.file(SOURCE)
    truth, logits = a["truth"].astype(np.int64), 20.0 * a["cosine"].astype(np.float64)
    group = groups(name)
    rng = np.random.default_rng(len(group) + round(100 * right))
    noise = rng.normal(size=logits.shape[1]) + 0.5 * rng.normal(size=logits.shape)
    wanted = group[truth]
    hot = np.zeros_like(logits)
    hot[np.arange(len(truth)), truth] = 1.0

    def merged(strength: float, every: int = 1) -> npt.NDArray[np.float64]:
        z = (logits + (strength * noise if strength > 0 else -strength * hot))[::every]
        return np.stack([np.logaddexp.reduce(z[:, group == k], axis=1) for k in range(group.max() + 1)], 1)

    low, high = -20.0, 20.0  # the better, the worse
    for _ in range(16):
        middle = (low + high) / 2
        now = (merged(middle, 5).argmax(1) == wanted[::5]).mean()  # a fifth of the points is enough
        low, high = (middle, high) if now > right else (low, middle)
    return merged(low).astype(np.float32), wanted


@cache
def groups(name: str) -> npt.NDArray[np.int64]:
    """(150,) the class of each intent: neighbours in a tree of what the teacher says of their points."""
    from scipy.cluster.hierarchy import leaves_list, linkage

    a = real.file(SOURCE)
    truth, cosine = a["truth"], a["cosine"].astype(np.float32)
    said_of: Float32s = np.stack([cosine[truth == k].mean(0) for k in range(cosine.shape[1])])
    order = leaves_list(linkage(said_of, "ward"))
    group = np.empty(len(order), np.int64)
    group[order] = np.repeat(np.arange(len(SETS[name])), SETS[name])
    return group
