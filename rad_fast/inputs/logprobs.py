"""Log-probabilities as servers of language models give them: the likeliest tokens of each answer, and their classes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

ROW = (
    "rows: expected for each point a dict of tokens to log-probabilities, or a response of vLLM or OpenAI with "
    "log-probabilities"
)
ASK = "ask the server for them: logprobs=True, top_logprobs=20 (OpenAI), SamplingParams(logprobs=20) (vLLM)"


class TopK(NamedTuple):
    """What ``TopKLogits`` takes."""

    values: npt.NDArray[np.float32]
    indices: npt.NDArray[np.int32]
    n_classes: int
    logsumexp: npt.NDArray[np.float64] | None


def top_k(rows: Iterable[Any], n_classes: int | None, vocabulary: Any) -> TopK:
    """The log-probabilities of the first token of each answer, by class.

    With a vocabulary the classes are its tokens: others are left out, and spaces around a token do not matter. The log
    probabilities of tokens of one class are added up. Without one the token ids are the classes, and as those of all
    tokens sum to 1, the sum over all classes is known.
    """
    known = None if vocabulary is None else classes_of(vocabulary)
    if known is None and n_classes is None:
        raise ValueError("n_classes: expected the size of the teacher's vocabulary, as the tokens' ids are the classes")
    classes = n_classes if n_classes is not None else max((known or {}).values(), default=-1) + 1
    found = [by_class(pairs_of(row, at), known, at) for at, row in enumerate(rows)]
    most = max([2, *(len(row) for row in found)])
    if classes < most:
        raise ValueError(f"n_classes: expected at least the {most} classes that a row has, got {classes}")
    values = np.full((len(found), most), -np.inf, np.float32)
    indices = np.zeros((len(found), most), np.int32)
    for at, row in enumerate(found):
        values[at, : len(row)] = list(row.values())
        indices[at] = padded(list(row), most)
    return TopK(values, indices, classes, np.zeros(len(found)) if known is None else None)


def classes_of(vocabulary: Any) -> dict[str, int]:
    """The class of each token: of a mapping as it says, of a sequence its place."""
    if isinstance(vocabulary, Mapping):
        pairs = vocabulary.items()
    elif isinstance(vocabulary, Sequence) and not isinstance(vocabulary, str):
        pairs = {token: place for place, token in enumerate(vocabulary)}.items()
    else:
        raise TypeError(
            "vocabulary: expected a mapping of tokens to classes, or a list with the token of each class; "
            f"got {type(vocabulary).__name__}"
        )
    return {str(token).strip(): int(place) for token, place in pairs}


def by_class(pairs: Iterable[tuple[Any, float]], known: dict[str, int] | None, at: int) -> dict[int, float]:
    """Log-probabilities by class; those of one class are added up as probabilities."""
    found: dict[int, float] = {}
    for token, value in pairs:
        number = float(value)
        if math.isnan(number) or number > 1e-3:
            raise ValueError(f"rows: expected log-probabilities, at most 0; row {at} has {number:g} for {token!r}")
        if known is None:
            place = class_of_id(token, at)
        elif (place := known.get(str(token).strip(), -1)) < 0:
            continue
        found[place] = float(np.logaddexp(found[place], number)) if place in found else number
    return found


def class_of_id(token: Any, at: int) -> int:
    try:
        place = int(token)
    except ValueError:
        place = -1
    if place < 0:
        raise ValueError(f"rows: expected token ids, row {at} has {token!r}; give vocabulary=, the class of each token")
    return place


def padded(places: list[int], most: int) -> list[int]:
    """As many different classes as ``most``: those that are missing are taken from the lowest that are free."""
    taken, free = set(places), 0
    while len(places) < most:
        if free not in taken:
            places.append(free)
        free += 1
    return places


def pairs_of(row: Any, at: int) -> Iterable[tuple[Any, float]]:
    """Tokens and their log-probabilities in any of the forms that servers give them in."""
    if isinstance(row, Mapping) and not isinstance(row.get("choices"), list):
        return [named(token, value) for token, value in row.items()]
    for outer in ("outputs", "choices"):  # vLLM's RequestOutput; OpenAI's response: the first answer
        inner = field(row, outer)
        if inner:
            return pairs_of_answer(inner[0], at)
    return pairs_of_answer(row, at)


def pairs_of_answer(answer: Any, at: int) -> Iterable[tuple[Any, float]]:
    said = field(answer, "logprobs")
    if said is None:
        raise ValueError(f"{ROW}; row {at} is a {type(answer).__name__} without; {ASK}")
    content = field(said, "content")  # OpenAI, chat
    if content:
        return [(field(each, "token"), field(each, "logprob")) for each in field(content[0], "top_logprobs")]
    completion = field(said, "top_logprobs")  # OpenAI, completions: a dict for each token
    first = completion[0] if completion else said[0] if isinstance(said, Sequence) and len(said) else None
    if not isinstance(first, Mapping):
        raise ValueError(f"{ROW}; row {at} has none; {ASK}")
    return [named(token, value) for token, value in first.items()]


def named(token: Any, value: Any) -> tuple[Any, float]:
    """A number, or vLLM's Logprob with the token's text beside it."""
    if hasattr(value, "logprob"):
        return Token(token, getattr(value, "decoded_token", None)), value.logprob
    return token, value


class Token(int):
    """A token id that is written as its text."""

    text: str | None

    def __new__(cls, place: Any, text: str | None) -> Token:
        token = super().__new__(cls, place)
        token.text = text
        return token

    def __str__(self) -> str:
        return int.__repr__(self) if self.text is None else self.text


def field(thing: Any, name: str) -> Any:
    """A field of an object, or of what its JSON became."""
    return thing.get(name) if isinstance(thing, Mapping) else getattr(thing, name, None)
