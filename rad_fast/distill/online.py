"""Batches inside training: draw a large one, score it with the student and a reference, learn a part of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sized
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from rad_fast.device.backends import backend
from rad_fast.game.pool import ArrayPool
from rad_fast.game.solver import on_grid, solve
from rad_fast.kernels.reference.sample import start
from rad_fast.kernels.reference.score import Points

from . import errors, inputs, loss_inputs, online_inputs
from .training import device_of, logits_of, moved

Int64s = npt.NDArray[np.int64]
Score = Callable[[Tensor, Any, Tensor], Any]

BY = ("learnability", "rad")
SAMPLE = 16  # rows of the first batch that are looked at: are they logits?
MISTAKES = 0.02  # of a batch: labels that may be wrong beyond what the reference admits


class OnlineBatches:
    """Wraps a loader of large batches and yields the part of each that is worth a step.

    Every batch is scored without gradients, with the student in evaluation mode. The rows that are kept stay in order,
    in the batch's own structure.

    Parameters
    ----------
    loader : an iterable of batches, such as a DataLoader
        (inputs, labels, ...) as tuples, lists, or dictionaries with "labels". Labels are integers (n,) or
        probabilities (n, C); then the likeliest class counts.
    student : the module that is trained, on its device.
    reference : a model with the same classes that was trained on reliable data, or the teacher. It tells what can be
        known about the labels. A callable of the same inputs.
    keep : float in (0, 1], the share of a batch to keep, at least one row.
    by : "learnability", "rad" or a callable
        "learnability": the rows of largest log p_reference(label) - log p_student(label), those that the reference
        explains but the student does not yet. "rad": the game on the batch, gain 1 - p_student(label), correctness
        p_reference(label), with 2% of the labels for the adversary; the rows are a sample. A callable of (student's
        logits, reference's logits or None, labels) returns one score per row: the largest are kept.
    split : a callable from a batch to (inputs, labels), if the default does not fit.
    call : a callable (model, inputs) to logits.
    seed : of the sample of "rad".

    Attributes
    ----------
    kept : (k,) int64 array, which rows of the last batch were kept.
    step : how many batches were yielded.

    Raises
    ------
    TypeError, ValueError : naming the argument, what was expected and what came.

    Notes
    -----
    Learnability is the score of RHO-LOSS (Mindermann et al., ICML 2022). Rows are scored one by one: no joint choice
    of contrastive batches. Scoring costs a forward pass of both models on all rows; nothing is done ahead, so that
    the next batch can be asked for in a thread or on a stream of your own while this one is learned.

    Examples
    --------
    >>> import torch
    >>> from rad_fast.distill import OnlineBatches
    >>> x, y = torch.eye(4), torch.tensor([0, 1, 2, 0])
    >>> student, reference = torch.nn.Linear(4, 4), lambda inputs: 5.0 * inputs
    >>> for inputs, labels in OnlineBatches([(x, y)], student, reference, keep=0.5):
    ...     print(tuple(inputs.shape), 3 in inputs.argmax(1).tolist())  # its label is not the reference's
    (2, 4) False
    """

    def __init__(
        self,
        loader: Any,
        student: Any,
        reference: Any = None,
        *,
        keep: float = 0.25,
        by: str | Score = "learnability",
        split: Callable[[Any], tuple[Any, Any]] | None = None,
        call: Callable[[Any, Any], Any] = logits_of,
        seed: int = 0,
    ) -> None:
        if not hasattr(loader, "__iter__"):
            raise TypeError(f"loader: expected an iterable of batches, got {type(loader).__name__}")
        inputs.callable_or_none("split", split, "of one batch")
        inputs.callable_or_none("call", call, "(model, inputs)")
        if not callable(by):
            inputs.choice("by", by, BY)
            if reference is None:
                raise ValueError(f"reference: expected a model, which by={by!r} compares the student with; got None")
        self.loader, self.student, self.reference = loader, student, reference
        self.keep = online_inputs.share("keep", keep)
        self.by, self.split, self.call = by, split or parted, call
        self.seed = inputs.seed(seed)
        self.step = 0
        self.kept: Int64s = np.empty(0, np.int64)

    def __len__(self) -> int:
        if not isinstance(self.loader, Sized):
            raise TypeError("loader: has no length")
        return len(self.loader)

    def __iter__(self) -> Iterator[Any]:
        for batch in self.loader:
            self.kept = self._chosen(*self.split(batch))
            self.step += 1
            yield rows_of(batch, torch.from_numpy(self.kept))

    def state_dict(self) -> dict[str, Any]:
        """The step and the seed, and the loader's own state where it has one (torchdata's StatefulDataLoader)."""
        state: dict[str, Any] = {"step": self.step, "seed": self.seed}
        if hasattr(self.loader, "state_dict"):
            state["loader"] = self.loader.state_dict()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where ``state_dict`` was taken; ValueError if it is that of another seed, or no state."""
        self.step = int(online_inputs.state(state, self.seed)["step"])
        if "loader" in state and hasattr(self.loader, "load_state_dict"):
            self.loader.load_state_dict(state["loader"])

    def _chosen(self, batch: Any, labels: Any) -> Int64s:
        """Which rows to keep, ascending."""
        target = online_inputs.labels_of(labels)
        own = self._logits("student", self.student, batch)
        other = None if self.reference is None else self._logits("reference", self.reference, batch)
        target = target.to(own.device)
        online_inputs.rows_alike(len(target), own, other)
        if len(own) == 0:
            return np.empty(0, np.int64)
        count = max(1, round(self.keep * len(own)))
        if callable(self.by):
            return largest(online_inputs.scores("by", self.by(own, other, target), len(own)), count)
        classes = online_inputs.class_labels(target, *own.shape)
        if other is None:
            raise ValueError("reference: expected a model, got None")
        known, learned = (picked(logits, classes) for logits in (other, own))
        for name, said in (("reference", known), ("student", learned)):
            online_inputs.scores(name, said, len(own))
        if self.by == "learnability":
            return largest(online_inputs.scores("logits", known - learned, len(own)), count)
        return played(learned, known, count, self.seed + self.step)

    def _logits(self, name: str, model: Any, batch: Any) -> Tensor:
        """What a model says to a batch, in evaluation mode and without gradients."""
        errors.check_student(model, self.call is logits_of, name)
        modules = list(model.modules()) if isinstance(model, nn.Module) else []
        training = [module.training for module in modules]
        if isinstance(model, nn.Module):
            model.eval()
        try:
            with torch.no_grad():
                logits = self.call(model, moved(batch, device_of(model)))
        finally:  # each as it was: a frozen part stays in evaluation mode
            for module, before in zip(modules, training, strict=True):
                module.training = before
        found = loss_inputs.logits_tensor(name, logits).float()
        if self.step == 0:  # a model that ends in a softmax does so in every batch
            inputs.no_probabilities(name, found[:SAMPLE].cpu().numpy())
        return found


def parted(batch: Any) -> tuple[Any, Any]:
    """Inputs and labels of a batch: its first two parts, or a dictionary's "labels" and all the rest."""
    if isinstance(batch, dict) and "labels" in batch:
        return {name: value for name, value in batch.items() if name != "labels"}, batch["labels"]
    if isinstance(batch, (list, tuple)) and len(batch) > 1:
        return batch[0], batch[1]
    raise TypeError(
        f'loader: expected batches (inputs, labels, ...) or dictionaries with "labels", got {type(batch).__name__}; '
        "use split= to say where they are"
    )


def rows_of(batch: Any, at: Tensor) -> Any:
    """Some rows of a batch, in its structure."""
    if isinstance(batch, Tensor):
        return batch[at.to(batch.device)]
    if isinstance(batch, np.ndarray):
        return batch[at.numpy()]
    if isinstance(batch, dict):
        return {name: rows_of(value, at) for name, value in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(rows_of(value, at) for value in batch))
    if isinstance(batch, (list, tuple)) and batch and isinstance(batch[0], (Tensor, np.ndarray, dict, list, tuple)):
        return type(batch)(rows_of(value, at) for value in batch)
    return [batch[i] for i in at.tolist()]  # a list of strings, say


def picked(logits: Tensor, classes: Tensor) -> Tensor:
    """log p(label) of every row."""
    log_p: Tensor = torch.log_softmax(logits, 1)
    return log_p.gather(1, classes[:, None].to(log_p.device))[:, 0].cpu()


def largest(scores: Tensor, count: int) -> Int64s:
    """The rows of the largest scores, ascending; of equal scores the first."""
    order = torch.sort(scores, descending=True, stable=True).indices[:count]
    return np.sort(order.numpy()).astype(np.int64)


def played(learned: Tensor, known: Tensor, count: int, seed: int) -> Int64s:
    """A sample of the equilibrium of the game on one batch, from both models' log p(label)."""
    gain = np.float32(1) - learned.exp().numpy().astype(np.float32)
    points = Points(gain, known.exp().numpy().astype(np.float32), np.zeros(len(gain), np.int32))
    kernels = backend("auto")
    answer = solve(ArrayPool.of([points], kernels), count, on_grid(MISTAKES * len(gain)))
    return kernels.sample(points.gain, points.correctness, answer, start(seed, count, len(gain)))[0]
