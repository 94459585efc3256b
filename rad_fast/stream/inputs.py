"""Every check of what is given to rad_fast.stream, and every message about it, in one place.

A message names the argument, what was expected, what came, and what to do. Nothing given is ever modified.
"""

from __future__ import annotations

import hashlib
import math
import numbers
import sys
import warnings
from types import FrameType
from typing import Any

import numpy as np
import numpy.typing as npt

from rad_fast.inputs import as_float, choice, is_number, seed
from rad_fast.kernels.reference.arrival import Pace

__all__ = ["choice", "is_number", "seed"]

LEAST_WINDOW = 16
POINTS_TAKEN = 64  # of a window by default: the thresholds then are off by about an eighth of the rate
POINTS_OF_A_CLASS = 64  # of a window by default where each class has a game of its own
CHOICE, MOST_SLACK = 40.0, 8.0
LEAST_DEFAULT, MOST_DEFAULT = 1_024, 1 << 22


class BudgetUsedWarning(UserWarning):
    """The budget of a stream is used: every further point is left. Said once.

    Examples
    --------
    >>> import warnings
    >>> from rad_fast.stream import BudgetUsedWarning
    >>> warnings.simplefilter("ignore", BudgetUsedWarning)  # where the stream is known to go on
    """


def whole(name: str, value: Any) -> int:
    if not is_number(value) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name}: expected an int of at least 1, got {value!r}")
    if value < 1:
        raise ValueError(f"{name}: expected an int of at least 1, got {value}")
    return int(value)


def pace(rate: Any, budget: Any, of: Any, slack: Any) -> Pace:
    """How many points are to be taken, from a rate, a budget of a number of points, or a rate up to a budget."""
    if slack is not None and not is_number(slack):
        raise TypeError(f"slack: expected None or a number of points, at least 1, got {slack!r}")
    if slack is not None and not 1.0 <= as_float(slack) < math.inf:
        raise ValueError(f"slack: expected a finite number of points, at least 1, got {slack}")
    if rate is None and (budget is None or of is None):
        raise ValueError("rate: expected a number in (0, 1]; or give budget= and of=, such as 500 of 100_000")
    most = math.inf if budget is None else float(whole("budget", budget))
    if rate is None:
        end = float(whole("of", of))
        if most > end:
            raise ValueError(f"budget: expected at most of, {of}, got {budget}")
        return Pace(most, end, given_slack(slack, most / end), most, end)
    if of is not None:
        raise ValueError("of: expected together with budget= and without rate=")
    share("rate", rate, "the share of the points to take", "; for a number of points give budget= and of=")
    return Pace(float(rate), 1.0, given_slack(slack, float(rate)), most, math.inf)


def share(name: str, value: Any, what: str, above: str = "") -> float:
    """A number in (0, 1]; ``above`` is what to do where it is more."""
    if not is_number(value):
        raise TypeError(f"{name}: expected {what}, in (0, 1], got {value!r}")
    if not 0.0 < as_float(value) <= 1.0:
        raise ValueError(f"{name}: expected {what}, in (0, 1], got {value}{above if as_float(value) > 1.0 else ''}")
    return float(value)


def given_slack(slack: float | None, rate: float) -> float:
    """The slack, or one that leaves a choice among some forty points: at a rate of a half, 1 leaves one among two."""
    if slack is not None:
        return float(slack)
    return max(1.0, min(MOST_SLACK, CHOICE * rate * (1.0 - rate)))


def window(value: Any, pace: Pace, classes: int = 1) -> int:
    """How many points the thresholds rest on; enough that the game on them has a point to take."""
    rate = pace.budget / pace.of
    if value is None:
        return min(max(LEAST_DEFAULT, POINTS_OF_A_CLASS * classes, math.ceil(POINTS_TAKEN / rate)), MOST_DEFAULT)
    points = whole("window", value)
    least = max(LEAST_WINDOW, math.ceil(1.0 / rate))
    if points < least:
        raise ValueError(
            f"window: expected at least {least} points, so that a rate of {rate:.6g} takes one of them, got {points}; "
            f"thresholds are steady with about {max(least, math.ceil(POINTS_TAKEN / rate))}"
        )
    return points


def mistakes_rate(value: Any, pace: Pace) -> float | None:
    """Mistakes for each point: as given, or a count of the whole stream spread over it."""
    if value is None:
        return None
    if not is_number(value):
        raise TypeError(f"mistakes: expected None, or a float in [0, 1), a fraction of the points; got {value!r}")
    number = as_float(value)
    if not 0.0 <= number < math.inf:
        raise ValueError(f"mistakes: expected a finite number of at least 0, got {value}")
    if number < 1.0:
        return number
    if pace.end == math.inf:
        raise ValueError(
            f"mistakes: expected a float in [0, 1), a fraction of the points; a count needs of=, the number of points; "
            f"got {value}"
        )
    return number / pace.end


def correctness(value: Any) -> None:
    """What can be said of a stream's correctness before the first point."""
    if value is None or hasattr(value, "predict"):
        if hasattr(value, "check_fitted"):
            value.check_fitted()
        if getattr(value, "needs_agreement_", False):
            raise ValueError(
                "correctness: expected a Calibrator fitted without agreement: a stream does not know the neighbours of "
                "a point; give offer(..., correctness=calibrator.predict(..., agreement=...))"
            )
        return
    if not is_number(value):
        raise TypeError(
            f"correctness: expected None, a fitted Calibrator or the teacher's average accuracy, got "
            f"{type(value).__name__}; give one number per point as offer(..., correctness=)"
        )
    if not 0.0 <= as_float(value) <= 1.0:
        raise ValueError(f"correctness: expected the teacher's average accuracy in [0, 1], got {value}")


def told_apart(correctness: Any) -> Any:
    """A stream's correctness as its state tells it from others: of a Calibrator a digest of what it learned."""
    if not hasattr(correctness, "predict"):
        return None if correctness is None else float(correctness)
    learned = repr((getattr(correctness, "rule_", None), getattr(correctness, "n_labelled_", None)))
    return f"a Calibrator {hashlib.sha256(learned.encode()).hexdigest()[:12]}"


def gain(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(
            f'gain: expected "auto", "label" or "margin", got {type(value).__name__}; give one number per point '
            "as offer(..., gain=)"
        )
    return choice("gain", value, ("auto", "label", "margin"))


def of_points(value: Any, rows: int) -> Any:
    """What is given of points: an array, or one number for all."""
    return np.full(rows, float(value), np.float32) if is_number(value) else value


def say_budget_used(most: float) -> None:
    """Warn at the line outside this package that offered the point."""
    frame: FrameType | None = sys._getframe(1)
    level = 2
    while frame is not None and str(frame.f_globals.get("__name__")).startswith("rad_fast"):
        frame, level = frame.f_back, level + 1
    text = f"the budget of {most:.0f} points is used: this point and all later ones are left"
    warnings.warn(text, BudgetUsedWarning, stacklevel=level)


def same_settings(state: Any, settings: dict[str, Any]) -> None:
    """A state goes on with the settings that it was taken with."""
    if not isinstance(state, dict) or not isinstance(state.get("settings"), dict):
        raise ValueError(f"state: expected what state_dict() returned, got {type(state).__name__}")
    for name, now in settings.items():
        before = state["settings"].get(name)
        if before != now:
            raise ValueError(
                f"state: expected one of a stream with {name}={now!r}, got {name}={before!r}; give the same "
                "arguments as for the stream that you want to continue"
            )


def whole_state(state: dict[str, Any], like: dict[str, Any]) -> None:
    """A state has all its parts."""
    missing = sorted(like.keys() - state.keys())
    if missing:
        raise ValueError(f"state: expected what state_dict() returned, got a dictionary without {', '.join(missing)}")


def model(name: str, value: Any) -> None:
    if value is not None and not callable(value):
        raise TypeError(f"{name}: expected a callable of a batch of queries, got {type(value).__name__}")


def both_models(small: Any, large: Any) -> tuple[Any, Any]:
    for name, value in (("small", small), ("large", large)):
        if value is None:
            raise ValueError(
                f"{name}: expected a callable of a batch of queries, got None; only route() works without it"
            )
    return small, large


def no_logits(value: Any) -> TypeError:
    return TypeError(
        f"small: expected logits, or (answers, logits), of a batch of queries, got {type(value).__name__}: its "
        "logits say how sure the model is"
    )


def calibrator(value: Any) -> None:
    if value is None:
        return
    if not hasattr(value, "check_fitted"):
        raise TypeError(f"calibrator: expected a Calibrator, got {type(value).__name__}")
    value.check_fitted()
    if value.needs_student_ or value.needs_agreement_:
        beside = "two models" if value.needs_student_ else "agreement"
        raise ValueError(
            "calibrator: expected one fitted with the small model's logits alone, got one fitted on " + beside
        )


def answers_of(name: str, answers: Any, expected: int) -> None:
    if not hasattr(answers, "__len__"):
        raise TypeError(f"{name}: expected an answer for each of {expected} queries, got {type(answers).__name__}")
    if len(answers) != expected:
        raise ValueError(f"{name}: expected an answer for each of {expected} queries, got {len(answers)}")


def same_queries(small: int, large: int) -> None:
    if small != large:
        raise ValueError(f"large_logits: expected a row for every row of small_logits, {small}, got {large}")


def rates(value: Any) -> npt.NDArray[np.float64]:
    array = np.asarray(value, dtype=np.float64)
    if array.ndim != 1 or not array.size or not ((array >= 0.0) & (array <= 1.0)).all():
        raise ValueError(f"rates: expected shares in [0, 1], got {value!r}")
    return array


def costs(value: Any) -> tuple[float, float]:
    both = list(value) if isinstance(value, (list, tuple)) else []
    if len(both) != 2 or not all(is_number(number) and 0.0 <= number < math.inf for number in both):
        raise ValueError(f"cost: expected two finite numbers of at least 0, for small and large, got {value!r}")
    return float(both[0]), float(both[1])
