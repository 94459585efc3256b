"""What a run is recognised by when it goes on: its data sets, its callables and its student.

Of a data set that is a digest of some of its items, the same ones every time.

Two data sets of one length that hold other points, or the same in another order, get different digests, unless they
differ only at places that are not looked at. Items that are not the same when they are read twice (random crops, say)
count by their type alone.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from .rows import first_of, items
from .training import Fit

SAMPLE = 128  # items looked at
DIGITS = 16  # of the digest, hexadecimal
ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")  # of an object in memory: another one in every process


def digests(pool: Any, holdout: Any, labelled: Any, logits: Mapping[str, Any]) -> dict[str, str | None]:
    """What the data sets of a run are recognised by when it goes on."""
    return {
        "points of the pool": digest_of(pool),
        "points of the hold-out": digest_of(holdout) + digest_of_array(holdout.labels),
        "labelled points": digest_of(labelled) + digest_of_array(labelled.labels),
        **{name: None if rows is None else digest_of_array(rows) for name, rows in logits.items()},
    }


def name_of(function: Any) -> str | None:
    """What a callable is called, or its kind; None of None."""
    return None if function is None else getattr(function, "__name__", type(function).__name__)


def course(train: Any, call: Any, collate: Any, student: Any) -> dict[str, str]:
    """What may be changed when a run goes on, but not unnoticed; ``student`` None: it never begins anew."""
    shown = repr(train) if type(train) is Fit else str(name_of(train))
    found = {"train": shown, "call": str(name_of(call)), "collate": str(name_of(collate))}
    return found if student is None else {**found, "student": described(student)}


def described(student: Any) -> str:
    """A student as it is given: of a module its kind, with a digest of some of its initial weights; of others what
    they say of themselves."""
    if not isinstance(student, torch.nn.Module):
        return ADDRESS.sub("", repr(student))
    weights = [(name, *some_of(value)) for name, value in student.state_dict().items() if torch.is_tensor(value)]
    return f"{type(student).__name__} with initial weights {combined(weights)}"


def some_of(weights: torch.Tensor) -> tuple[tuple[int, ...], str]:
    """Shape, and fingerprint of a few numbers at even distances."""
    flat = weights.detach().reshape(-1)
    at = torch.linspace(0, max(0, len(flat) - 1), min(SAMPLE, len(flat)), dtype=torch.float64).round().long()
    return tuple(weights.shape), fingerprint(flat[at.to(flat.device)])


def digest_of(data: Any) -> str:
    """Of the inputs of a data set."""
    at = places(len(data))
    first, second = read(data, at, seed=1), read(data, at, seed=2)
    same = [one == other for one, other in zip(first, second, strict=True)]
    kept = [content if all(same) else kind for kind, content in first]
    return combined([(len(data), kept)])


def digest_of_array(values: npt.NDArray[Any]) -> str:
    """Of labels: all of them. Of logits: some rows."""
    whole = values if values.ndim == 1 else values[places(len(values))]
    return combined([values.shape, fingerprint(whole)])


def places(count: int) -> npt.NDArray[np.int64]:
    """The first and last item, and others at even distances."""
    return np.unique(np.linspace(0, count - 1, min(SAMPLE, count)).round().astype(np.int64))


def read(data: Any, at: npt.NDArray[np.int64], seed: int) -> list[tuple[str, str]]:
    """Type and fingerprint of some inputs; the random generators are seeded, and left as they were."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - what a data set may draw from
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            random.seed(seed)
            np.random.seed(seed)  # noqa: NPY002
            found = [first_of(item) for item in items(data, at)]
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
    return [(type(item).__name__, fingerprint(item)) for item in found]


def fingerprint(item: Any) -> str:
    """A digest of what an item holds; of an unknown kind that is its type."""
    if isinstance(item, torch.Tensor):
        item = item.detach().cpu()
        item = item.float().numpy() if item.dtype == torch.bfloat16 else item.numpy()
    if isinstance(item, (str, bytes, int, float, bool, complex, type(None))):
        return combined([type(item).__name__, item])
    if isinstance(item, Mapping):
        return combined(sorted((str(key), fingerprint(value)) for key, value in item.items()))
    if isinstance(item, (list, tuple)):
        return combined([fingerprint(part) for part in item])
    if hasattr(item, "__array__"):  # arrays, NumPy's numbers, images
        array = np.asarray(item)
        if not array.dtype.hasobject:
            return combined([array.dtype.str, array.shape, hashlib.sha256(array.tobytes()).hexdigest()])
    return combined([type(item).__name__])


def combined(parts: Any) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:DIGITS]
