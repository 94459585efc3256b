"""Inputs that the kernels' tests share, and where they lie: on the CPU for the interpreter, else on the GPU."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import torch

from rad_fast.kernels.reference.game import Float32s

Array = np.ndarray[Any, Any]
T = TypeVar("T")

DEVICE = "cpu" if os.environ.get("TRITON_INTERPRET") == "1" else "cuda"
DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
# Each number of classes, dtype and rule is a kernel that Triton compiles for about a second. The interpreter compiles
# nothing and takes them all; on a GPU the default is one of each kind, and RAD_FAST_EVERY_KERNEL=1 asks for all.
EVERY = DEVICE == "cpu" and os.environ.get("RAD_FAST_FEW_KERNELS") != "1"
EVERY = EVERY or os.environ.get("RAD_FAST_EVERY_KERNEL") == "1"


def some(everything: Sequence[T], few: Sequence[T]) -> Sequence[T]:
    """What a test goes through: all, or on a GPU a few."""
    return everything if EVERY else few


def logits(rows: int, classes: int, dtype: torch.dtype, seed: int = 0, scale: float = 3.0) -> torch.Tensor:
    """Random rows in which ties of the maximum are frequent, also across blocks."""
    random = np.random.default_rng(seed)
    z = random.standard_normal((rows, classes)) * scale
    for row in range(0, rows, 3):
        z[row, random.integers(classes)] = z[row].max()
    return torch.tensor(z).to(dtype).to(DEVICE)


def given_labels(z: torch.Tensor, seed: int = 0) -> torch.Tensor:
    """Of each row a class whose probability is asked for, or one that there is not."""
    random = np.random.default_rng(seed)
    return on_device(random.integers(-1, z.shape[1] + 1, len(z)).astype(np.int32))


def on_device(array: Any, dtype: torch.dtype | None = None) -> torch.Tensor:
    """A copy where the kernels read."""
    return torch.tensor(array, dtype=dtype, device=DEVICE)


def host(tensor: torch.Tensor) -> Array:
    """The same numbers as the reference reads them: bfloat16 as its bits."""
    tensor = tensor.cpu()
    return tensor.contiguous().view(torch.uint16).numpy() if tensor.dtype == torch.bfloat16 else tensor.numpy()


KINDS = 8  # of games' points
GAMES = 5 * KINDS  # with each kind of mistakes


def points(random: np.random.Generator, count: int, kind: int | None = None) -> tuple[Float32s, Float32s]:
    """Gains and correctness of a game: continuous, alike, quantised, hopeless."""
    kind = int(random.integers(KINDS)) if kind is None else kind
    gain = np.float32(1) - (random.random(count) ** random.choice([0.3, 1, 3])).astype(np.float32)
    correctness = random.random(count).astype(np.float32)
    if kind == 1:
        correctness[:] = 1
    if kind == 2:
        correctness = np.float32(0.5) + np.float32(0.5) * correctness
    if kind in (3, 4):
        gain = np.round(gain * 4) / np.float32(4)
    if kind == 4:
        correctness = np.round(correctness * 4) / np.float32(4)
    if kind == 5:
        correctness *= np.float32(0.4)
    if kind == 6:
        gain[:] = gain[:1]
    if kind == 7:
        correctness[:] = 0
    return gain, correctness


def game(
    random: np.random.Generator, most: int, least: int = 1, turn: int | None = None
) -> tuple[Float32s, Float32s, int, float]:
    """Points, budget and mistakes, some points left out; mistakes are multiples of 2^-25, as the device rounds them.

    ``turn``: GAMES in a row have all kinds of points with all kinds of mistakes; without it they are drawn.
    """
    turn = int(random.integers(GAMES)) if turn is None else turn
    while True:
        count = int(random.integers(least, most + 1))
        gain, correctness = points(random, count, turn % KINDS)
        if random.random() < 0.3:
            gain[random.random(count) < 0.1] = np.nan
        valid = int(np.count_nonzero(~np.isnan(gain)))
        if valid:
            break
    budget = int(random.integers(1, valid + 1))
    choices = [0.0, random.random() * count, float(random.integers(0, count + 1)), random.random() * 3, 3.0 * count]
    return gain, correctness, budget, np.floor(choices[turn // KINDS % 5] * 2**25 + 0.5) / 2**25
