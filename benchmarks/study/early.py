"""Before any answer of the teacher for the pool: what its answers so far, and the hold-out, say of the next.

The adversary's part is left to chance here: the choice is the highest expected value, and what is compared with margin
sampling is what a model of the teacher adds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rad_fast.distill import Choice, Round
from rad_fast.distill.strategies import Strategy
from rad_fast.distill.strategies.game import play_spread
from rad_fast.distill.strategies.scores import margins, softmax

Float64s = npt.NDArray[np.float64]
AXES = 8  # principal axes of the hidden units


@dataclass(frozen=True)
class Learned:
    """Whether the teacher will agree with the student is learned from what it answered (features as they were when the
    point was chosen) and from the hold-out; how often it is right where it agrees and where it does not, from the
    hold-out. From both follow the expected gain of a label, and its correctness; then the game, as ever."""

    features: str = "logits"
    answers: bool = True

    def __call__(self, r: Round) -> Choice:
        from sklearn.linear_model import LogisticRegression

        truth, teacher, held = r.holdout("early")
        p, q = r.student, softmax(held)
        seen, held_seen = self.seen(r, p, r.features), self.seen(r, q, None)
        top, held_top = p.argmax(1), q.argmax(1)
        agree, right = teacher.argmax(1) == held_top, teacher.argmax(1) == truth
        x, y = [held_seen], [agree]
        if self.answers:
            x, y = [*x, *r.memory.get("features", [])], [*y, *r.memory.get("agreed", [])]
        x_all, y_all = np.concatenate(x), np.concatenate(y)
        share = np.full(len(p), float(y_all.mean()))
        if 0 < y_all.sum() < len(y_all):
            share = LogisticRegression(C=1.0, max_iter=500).fit(x_all, y_all).predict_proba(seen)[:, 1]
        where_agreed, where_not = (float((right[at].sum() + 1.0) / (at.sum() + 2.0)) for at in (agree, ~agree))
        same, other = 1.0 - p.max(1), np.ones(len(p))
        gain = share * same + (1.0 - share) * other
        value = share * (2 * where_agreed - 1) * same + (1.0 - share) * (2 * where_not - 1) * other
        correctness = 0.5 + 0.5 * value / np.maximum(gain, 1e-9)
        mistakes = len(r.left) * float(np.sqrt(right.mean() * (1 - right.mean()) / len(right) / (2 * np.pi)))
        choice = play_spread(r, gain, correctness, top, mistakes)
        at = choice.indices
        r.memory["features"] = [*r.memory.get("features", []), seen[at]]
        r.memory["agreed"] = [*r.memory.get("agreed", []), r.teacher("early")[at].argmax(1) == top[at]]
        return choice

    def seen(self, r: Round, p: Float64s, hidden: npt.NDArray[np.float32] | None) -> Float64s:
        """What a point is described by: the student's confidence and margin; or its probabilities too, by size."""
        top = np.clip(p.max(1), 1e-6, 1 - 1e-6)
        few = np.column_stack([np.log(top / (1 - top)), margins(p)])
        if self.features == "logits":
            return few
        z = np.log(np.maximum(p, 1e-6))
        return np.column_stack([few, -np.sort(-z, axis=1)[:, :AXES], (p * -z).sum(1)])


EARLY: dict[str, Strategy] = {
    "prior, agreement learned": Learned(),
    "prior, agreement learned from the hold-out alone": Learned(answers=False),
    "prior, agreement learned from all logits": Learned(features="sorted logits"),
}
