"""Log-probabilities as servers of language models give them: the likeliest tokens of each answer, and their classes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .arguments import is_number, is_whole

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
        raise ValueError(
            "n_classes: expected the size of the teacher's vocabulary, as token ids are the classes; or give "
            "vocabulary=, the class of each token"
        )
    if isinstance(rows, (Mapping, str)):
        raise TypeError(f"rows: expected a list with one element per point, got a {type(rows).__name__}; give [row]")
    if not isinstance(rows, Iterable):
        raise TypeError(f"rows: expected a list with one element per point, got a {type(rows).__name__}")
    rows = list(rows)
    classes = n_classes if n_classes is not None else max((known or {}).values(), default=-1) + 1
    found = [by_class(pairs_of(row, at), known, at) for at, row in enumerate(rows)]
    if rows and known and not any(found):
        raise ValueError(none_known(rows, known))
    most = max([2, *(len(row) for row in found)])
    if classes < most:
        raise ValueError(f"n_classes: expected at least the {most} classes that a row has, got {classes}")
    for at, row in enumerate(found):
        if max(row, default=-1) >= classes:
            raise ValueError(
                f"n_classes: expected more than the class of every token, {max(row)} in row {at}, got {classes}"
            )
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
    known: dict[str, int] = {}
    for token, place in pairs:
        if not is_number(place) or not is_whole(place) or place < 0:
            raise ValueError(f"vocabulary: expected classes from 0 on, ints, got {place!r} for {token!r}")
        if known.setdefault(str(token).strip(), int(place)) != place:
            raise ValueError(
                f"vocabulary: expected one class for each token, {str(token).strip()!r} is of class "
                f"{known[str(token).strip()]} and of class {place}; spaces around a token do not matter"
            )
    return known


def by_class(pairs: Iterable[tuple[Any, float]], known: dict[str, int] | None, at: int) -> dict[int, float]:
    """Log-probabilities by class; those of one class are added up as probabilities."""
    found: dict[int, float] = {}
    for token, value in pairs:
        if not is_number(value):
            raise ValueError(
                f"{ROW}; row {at} has a {type(value).__name__} for {str(token)!r}; for a point without an answer give "
                "None or {}"
            )
        number = float(value)
        if math.isnan(number) or number > 1e-3:
            raise ValueError(
                f"rows: expected log-probabilities, at most 0; row {at} has {number:g} for {str(token)!r}; of "
                "probabilities give the logarithm"
            )
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
    """Tokens and their log-probabilities in any of the forms that servers give them in, or a part of these.

    None is no answer, as {} is.
    """
    if row is None:
        return []
    if isinstance(row, str):
        raise ValueError(f"{ROW}; row {at} is text; read it first: json.loads(row)")
    for outer in ("outputs", "choices"):  # vLLM's RequestOutput; OpenAI's response: the first answer
        if is_list(inner := field(row, outer)):
            return pairs_of(inner[0], at)
    if is_list(row):  # of tokens; or of the likeliest in place of one
        first = row[0]
        if field(first, "logprob") is not None and field(first, "top_logprobs") is None:
            return [(field(each, "token"), field(each, "logprob")) for each in row]
        return pairs_of(first, at)
    if "logprobs" in row if isinstance(row, Mapping) else hasattr(row, "logprobs"):  # an answer
        return parts_of(field(row, "logprobs"), row, at)
    if any(is_list(field(row, name)) for name in ("content", "top_logprobs")):
        return parts_of(row, row, at)
    if not isinstance(row, Mapping) or field(row, "top_logprobs") == []:
        raise ValueError(f"{ROW}; row {at} is a {type(row).__name__} without; {ASK}")
    return [named(token, value) for token, value in row.items()]


def parts_of(said: Any, answer: Any, at: int) -> Iterable[tuple[Any, float]]:
    """Of the log-probabilities of an answer those of its first token."""
    for part in (field(said, "content"), field(said, "top_logprobs"), said):  # OpenAI: chat, completions; vLLM
        if is_list(part):
            return pairs_of(part, at)
    if is_number(said) and isinstance(answer, Mapping):  # a dict of tokens, of which one is called so
        return [named(token, value) for token, value in answer.items()]
    none = f"is a {type(answer).__name__} without" if said is None else "has none"
    raise ValueError(f"{ROW}; row {at} {none}; {ASK}")


def is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str) and len(value) > 0


def none_known(rows: list[Any], known: dict[str, int]) -> str:
    """What to say where no answer has a token of the vocabulary."""
    tokens = [str(token) for at, row in enumerate(rows[:100]) for token, _ in pairs_of(row, at)]
    asked = ", ".join(map(repr, list(known)[:5]))
    seen = ", ".join(map(repr, list(dict.fromkeys(tokens))[:5])) or "none"
    return (
        f"vocabulary: expected tokens that occur in the answers; it has {asked}, the answers have {seen}; case matters"
    )


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
