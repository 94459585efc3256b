"""What the distiller says of a round."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class RoundReport:
    """What one round did. Round 0 trains on the labelled set alone.

    Attributes
    ----------
    number, selected : the round, and how many points it chose.
    queries : points the teacher has been asked for in the whole run so far, the hold-out included.
    seconds_selecting : in the strategy.
    holdout_accuracy : the student's, after the round.
    mean_weight : of the points chosen in the round.
    value : the value of the game, where the strategy played one.
    certificate : the gain of the round's labels that the hold-out promises with 95% confidence, in the units of
        ``value``; None where the strategy played no game on the teacher's logits (``pool_logits=``), or the hold-out
        has fewer than 30 points. Below 0: it promises nothing.
    measured : what ``evaluate`` returned.

    Examples
    --------
    >>> from rad_fast.distill import RoundReport
    >>> RoundReport(number=1, selected=50, queries=150, seconds_selecting=0.01, holdout_accuracy=0.9).queries
    150
    """

    number: int
    selected: int
    queries: int
    seconds_selecting: float
    holdout_accuracy: float
    mean_weight: float | None = None
    value: float | None = None
    certificate: float | None = None
    measured: dict[str, float] = field(default_factory=dict)
