"""What an own training loop needs: a data set of the points that were selected, and a sampler over a selection."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sized
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from . import inputs
from .rows import by_position, first_of, items


def soft_targets(logits: Any, temperature: float = 1.0) -> Tensor:
    """A teacher's soft labels: the probabilities of its logits.

    Parameters
    ----------
    logits : (n, C) tensor, array or nested lists.
    temperature : above 0, divides the logits: the larger, the softer.

    Returns
    -------
    (n, C) float32 tensor on the CPU; rows sum to 1.

    Raises
    ------
    TypeError, ValueError : naming the argument, what was expected and what came.

    Examples
    --------
    >>> soft_targets([[0.0, 0.0]])
    tensor([[0.5000, 0.5000]])
    """
    found = inputs.matrix("logits", logits, None, None)
    if found.shape[1] < 2:
        raise ValueError(f"logits: expected 2 classes or more, got shape {found.shape}")
    inputs.no_probabilities("logits", found)
    inputs.finite_rows("logits", found)
    values = torch.from_numpy(found)
    scaled = values / inputs.positive("temperature", temperature)
    if bool(scaled.isposinf().any()):  # so cold that only the top class is left
        scaled = (values - values.amax(1, keepdim=True)) / temperature
    return torch.softmax(scaled, dim=1)


class SoftLabelDataset(Dataset[tuple[Any, Tensor, Tensor]]):
    """Points of a data set with a teacher's labels: items (input, target (C,), weight ()), both float32.

    Parameters
    ----------
    data : a data set, tensor, array, pandas column or table of N points, taken by position; of items that are
        tuples the first part is the input.
    targets : (n, C) probabilities, or (n,) integer labels with ``n_classes``: one per selected point, in their order.
    indices : (n,) the selected points; None: all of them.
    weights : (n,) how much each point counts, at least 0; None: 1.
    n_classes : C, needed where targets are labels.
    input_of : what makes the input of an item, where the default does not.

    Raises
    ------
    TypeError, ValueError : naming the argument, what was expected and what came.

    Examples
    --------
    >>> import torch
    >>> x = torch.arange(12.0).reshape(6, 2)
    >>> data = SoftLabelDataset(x, torch.tensor([[0.9, 0.1], [0.2, 0.8]]), indices=[4, 1], weights=[1.0, 0.5])
    >>> len(data), data[1]
    (2, (tensor([2., 3.]), tensor([0.2000, 0.8000]), tensor(0.5000)))
    """

    def __init__(
        self,
        data: Any,
        targets: Any,
        *,
        indices: Any = None,
        weights: Any = None,
        n_classes: int | None = None,
        input_of: Callable[[Any], Any] | None = None,
    ) -> None:
        self.data = by_position("data", data)
        points = len(self.data)
        self.indices = np.arange(points) if indices is None else inputs.indices("indices", indices, points)
        self.targets = inputs.soft_or_hard("targets", targets, len(self.indices), n_classes)
        self.weights = inputs.row_weights("weights", weights, len(self.indices))
        inputs.callable_or_none("input_of", input_of, "of one item")
        self.input_of = input_of or first_of

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, at: int) -> tuple[Any, Tensor, Tensor]:
        return self.input_of(self.data[int(self.indices[at])]), self.targets[at], self.weights[at]

    def __getitems__(self, at: list[int]) -> list[tuple[Any, Tensor, Tensor]]:
        """Several items, which the data are asked for together: torch's loaders call this."""
        if type(self).__getitem__ is not SoftLabelDataset.__getitem__:  # a subclass makes its items in its own way
            return [self[place] for place in at]
        found = items(self.data, self.indices[at])
        return [(self.input_of(item), self.targets[i], self.weights[i]) for i, item in zip(at, found, strict=True)]


class SelectionSampler(Sampler[int]):
    """Runs through the selected points of a data set, in a new order every epoch.

    Parameters
    ----------
    selection : a ``rad_fast.Selection``, or the indices of the selected points.
    shuffle : False keeps the order of the indices.
    seed : the order is that of the pair (seed, epoch), on every machine.
    replicas, rank : of several processes each runs through its own part, all of them equally long: the first few
        points are seen twice where they do not divide.

    Notes
    -----
    ``set_epoch`` before an epoch sets that epoch's order; without it every run is the next epoch. Every ``iter()``
    starts at the beginning, or where ``load_state_dict`` put it. The first run that is broken off does not count, so
    that looking at one batch changes nothing. Further broken-off runs count, so that loops with fewer steps than
    batches still reach all points. ``state_dict`` and ``load_state_dict`` hold the epoch and the place in it, so that a
    loader can resume in the middle. With worker processes the sampler is ahead of the loop by the batches that the
    loader has asked for.

    Examples
    --------
    >>> sampler = SelectionSampler([7, 3, 9], seed=1)
    >>> sorted(sampler), len(sampler)
    ([3, 7, 9], 3)
    >>> run = iter(sampler)
    >>> first, state = next(run), sampler.state_dict()
    >>> other = SelectionSampler([7, 3, 9], seed=1)
    >>> other.load_state_dict(state)
    >>> list(other) == list(run)
    True
    """

    def __init__(
        self, selection: Any, *, shuffle: bool = True, seed: int = 0, replicas: int = 1, rank: int = 0
    ) -> None:
        chosen = selection if isinstance(selection, Tensor) else getattr(selection, "indices", selection)
        if not isinstance(chosen, Sized):
            raise TypeError(f"selection: expected a Selection or indices, got {type(selection).__name__}")
        self.indices = inputs.indices("selection", chosen, None)
        self.shuffle = inputs.flag("shuffle", shuffle)
        self.seed = inputs.seed(seed)
        self.replicas = inputs.positive_int("replicas", replicas)
        self.rank = inputs.positive_int("rank", rank, 0)
        if self.rank >= self.replicas:
            raise ValueError(f"rank: expected less than the {replicas} replicas, got {rank}")
        self.epoch = self.place = 0
        self._begin = 0  # the place where a run through this epoch begins
        self._looked = False  # whether the run before this one was broken off
        self._run = 0  # of several runs at once only the last one counts

    def __len__(self) -> int:
        return -(-len(self.indices) // self.replicas)

    def __iter__(self) -> Iterator[int]:
        if self.place > self._begin:  # a run through this epoch has begun and not come to its end
            broken_off = self.place < len(self)
            if self._looked or not broken_off:
                self._start(self.epoch + 1)
            self._looked = broken_off
        self.place = self._begin
        self._run += 1
        run, epoch, order = self._run, self.epoch, self.indices
        if self.shuffle:
            order = np.random.default_rng((self.seed, self.epoch)).permutation(order)
        if len(order):
            order = np.resize(order, len(self) * self.replicas)[self.rank :: self.replicas]
        for at in range(self.place, len(order)):
            if (run, epoch) == (self._run, self.epoch):
                self.place = at + 1
            yield int(order[at])
        if (run, epoch) == (self._run, self.epoch):
            self._start(epoch + 1)

    def _start(self, epoch: int, place: int = 0) -> None:
        self.epoch, self.place, self._begin, self._looked = epoch, place, place, False

    def set_epoch(self, epoch: int) -> None:
        """Start that epoch from its beginning, or where ``load_state_dict`` put it."""
        epoch = inputs.positive_int("epoch", epoch, 0)
        self._start(epoch, self._begin if epoch == self.epoch else 0)

    def state_dict(self) -> dict[str, int]:
        """The epoch and the place in it, with what tells another sampler apart."""
        return {"epoch": self.epoch, "place": self.place, "seed": self.seed, "points": len(self.indices)}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on where ``state_dict`` was taken; ValueError where it is of other points or another seed."""
        if not isinstance(state, dict):
            raise ValueError(f"state: expected what state_dict() returned, got {state!r}")
        if state.get("points") != len(self.indices) or state.get("seed") != self.seed:
            raise ValueError(
                f"state: expected that of a sampler over {len(self.indices)} points with seed {self.seed}, got {state}"
            )
        if not {"epoch", "place"} <= state.keys():
            raise ValueError(f"state: expected what state_dict() returned, got {state!r}")
        epoch, place = (inputs.positive_int(f"state: its {name}", state[name], 0) for name in ("epoch", "place"))
        if place > len(self):
            raise ValueError(f"state: expected a place up to {len(self)}, got {place}; was it of other replicas?")
        self._start(epoch, place)
