"""The types of arguments, for type checkers and for who reads."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, TypedDict

Budget = int | float | str  # a count, a fraction, or text such as "5%"
InvalidRows = Literal["raise", "exclude"]
BackendName = Literal["auto", "cpp", "numba", "reference", "triton", "cuda", "triton+cuda"]


class Given(NamedTuple):
    """What is given of points: the arguments of ``select`` that go with them, in one order."""

    logits: Any
    student_logits: Any = None
    gain: Any = "auto"
    correctness: Any = None
    chosen: Any = None
    exclude: Any = None
    agreement: Any = None


class Options(TypedDict, total=False):
    """What ``select`` takes by name, for its overloads."""

    student_logits: Any
    gain: Any
    correctness: Any
    agreement: Any
    mistakes: Budget | None
    quotas: Any
    chosen: Any
    exclude: Any
    seed: int
    random_state: int | None
    invalid: InvalidRows
    backend: BackendName
