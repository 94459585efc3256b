"""The default way to train a student, and to ask it for logits: a plain PyTorch loop."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.utils.data import ConcatDataset, DataLoader, default_collate

from . import errors, fit_inputs, inputs
from .data import SoftLabelDataset
from .losses.cross_entropy import cross_entropies, reduced
from .pairs import Pairs, Part
from .rows import batches, by_position

SEEDS = 1 << 63  # that torch takes
Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


def device_of(student: Any) -> torch.device:
    """Where the student lives; a CPU where it has no parameters."""
    if isinstance(student, nn.Module):
        for parameter in student.parameters():
            return parameter.device
    return torch.device("cpu")


def moved(batch: Any, device: torch.device) -> Any:
    """A batch with its tensors on a device."""
    if isinstance(batch, Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, dict):
        return {name: moved(value, device) for name, value in batch.items()}
    if isinstance(batch, (list, tuple)):
        return type(batch)(moved(value, device) for value in batch)
    return batch


def logits_of(student: Any, batch: Any) -> Tensor:
    """What the student says to a batch; a dictionary is given as keyword arguments, an answer with .logits unpacked."""
    answer = student(**batch) if isinstance(batch, dict) else student(batch)
    answer = getattr(answer, "logits", answer)
    if isinstance(answer, (tuple, list)) and any(isinstance(part, Tensor) and part.ndim for part in answer):
        raise errors.student_parts(len(answer))
    return answer if isinstance(answer, Tensor) else torch.as_tensor(inputs.host_array("student", answer))


def vectors(
    asked: Any, features: npt.NDArray[np.float32], pool: Any, holdout: Any, said: Callable[..., Any]
) -> dict[str, npt.NDArray[np.float32]]:
    """Where strategies look for neighbours: the features ``asked`` for, else inputs that are vectors, else nowhere."""
    if asked is not None:
        return {"vectors": features, "holdout_vectors": said(holdout, call=asked)}
    if not inputs.is_vector(holdout[0][0]):
        return {}
    return {"vectors": said(pool, call=as_it_is), "holdout_vectors": said(holdout, call=as_it_is)}


def as_it_is(_: Any, batch: Any) -> Any:
    """A batch itself, where the inputs serve as features."""
    return batch


def predict(
    student: Any,
    data: Any,
    *,
    batch_size: int = 256,
    call: Callable[[Any, Any], Any] = logits_of,
    collate: Callable[[list[Any]], Any] = default_collate,
    progress: Callable[[int], object] = lambda rows: None,
) -> npt.NDArray[np.float32]:
    """What a student says to every input of a data set, in evaluation mode and without gradients.

    Parameters
    ----------
    student : a torch module, on its device, or anything that ``call`` understands.
    data : a data set, tensor, array, pandas column or table of N inputs, taken by position; of items that are
        tuples the first part is the input.
    batch_size : inputs per call.
    call : a callable (student, batch) to logits or features (rows, D).
    collate : a list of inputs to a batch.
    progress : called with the number of rows of every batch.

    Returns
    -------
    (N, D) float32 array in host memory.

    Examples
    --------
    >>> import torch
    >>> predict(torch.nn.Identity(), torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    array([[1., 2.],
           [3., 4.]], dtype=float32)
    """
    data = by_position("data", data)
    size = inputs.positive_int("batch_size", batch_size)
    errors.check_student(student, call is logits_of)
    device, training = device_of(student), getattr(student, "training", False)
    if isinstance(student, nn.Module):
        student.eval()
    found: list[npt.NDArray[np.float32]] = []
    try:
        with torch.no_grad():
            for batch in batches(data, size, collate):
                answer = inputs.host_array("student", call(student, moved(batch, device)))
                answer = inputs.rows_of_batch(answer, min(size, len(data) - size * len(found)), found)
                found.append(answer.astype(np.float32))
                progress(len(answer))
    finally:
        if isinstance(student, nn.Module):
            student.train(training)
    return np.concatenate(found) if found else np.empty((0, 0), np.float32)


class Fit:
    """Trains a student: AdamW, one cosine from ``lr`` to zero, mixed precision on a GPU, early stopping.

    Call it with (student, dataset): items are (input, target (C,), weight ()), as ``SoftLabelDataset`` gives them. The
    student is trained in place, and returned. With a hold-out of (input, label) training stops once its cross-entropy
    has not improved for ``patience`` epochs, and the student has the weights of its best epoch.

    Parameters
    ----------
    holdout : a data set of (input, label), a pair (inputs, labels), or None: all epochs are run.
    epochs, batch_size : ints, at least 1.
    lr, weight_decay : floats, of AdamW.
    patience : epochs without improvement on the hold-out before training stops.
    seed : of the order of the minibatches.
    loss : loss(logits, targets, weight) to one number, the targets as probabilities (n, C). None is the weighted soft
        cross-entropy. In a distiller they are one-hot unless it has ``labels="soft"``. Losses that want something else
        there are refused.
    collate : a list of items to a batch.
    call : a callable (student, batch) to logits, where ``student(batch)`` or ``student(**batch)`` is not it.

    Raises
    ------
    TypeError, ValueError : naming the argument, what was expected and what came.
    RuntimeError : where training diverged, and no epoch before it was measured on the hold-out.

    Examples
    --------
    >>> import torch
    >>> from rad_fast.distill import SoftLabelDataset
    >>> x = torch.tensor([[-1.0], [1.0]])
    >>> student = torch.nn.Linear(1, 2)
    >>> student = Fit(epochs=50, lr=0.1)(student, SoftLabelDataset(x, torch.tensor([0, 1]), n_classes=2))
    >>> student(x).argmax(1)
    tensor([0, 1])
    """

    def __init__(
        self,
        *,
        holdout: Any = None,
        epochs: int = 60,
        batch_size: int = 64,
        lr: float = 1e-3,
        weight_decay: float = 1e-2,
        patience: int = 10,
        seed: int = 0,
        loss: Loss | None = None,
        collate: Callable[[list[Any]], Any] = default_collate,
        call: Callable[[Any, Any], Any] = logits_of,
    ) -> None:
        pairs = holdout is None or isinstance(holdout, (Pairs, Part))
        self.holdout: Pairs | Part | None = holdout if pairs else Pairs("holdout", holdout)
        self.epochs = inputs.positive_int("epochs", epochs)
        self.batch_size = inputs.positive_int("batch_size", batch_size)
        self.lr = inputs.positive("lr", lr)
        self.weight_decay = inputs.positive("weight_decay", weight_decay, zero=True)
        self.patience = inputs.positive_int("patience", patience)
        self.seed = inputs.seed(seed)
        self.loss = weighted if loss is None else fit_inputs.loss_of_rows(loss)
        inputs.callable_or_none("collate", collate, "of a list of items")
        inputs.callable_or_none("call", call, "(student, batch)")
        self.collate = collate
        self.call = call

    def __call__(self, student: nn.Module, dataset: Any) -> nn.Module:
        fit_inputs.trainable(student)
        fit_inputs.items(dataset)
        if says_probabilities(dataset):
            fit_inputs.loss_of_probabilities(self.loss)
        device = device_of(student)
        shuffle = torch.Generator().manual_seed(self.seed % SEEDS)
        lone = len(dataset) > self.batch_size and len(dataset) % self.batch_size == 1  # batch norm needs two
        loader = DataLoader(
            dataset,
            batch_size=self.batch_size,
            shuffle=True,
            generator=shuffle,
            collate_fn=self.collate,
            drop_last=lone,
        )
        steps = self.epochs * len(loader)
        optimizer = torch.optim.AdamW(student.parameters(), lr=self.lr, weight_decay=self.weight_decay)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        half = device.type == "cuda"
        kind = torch.bfloat16 if half and torch.cuda.is_bf16_supported() else torch.float16
        scaler = torch.amp.GradScaler(enabled=half and kind == torch.float16)
        best, best_weights, since = math.inf, None, 0
        softmax: bool | None = None  # whether the student ends in one: the loss is of logits, and so of its logarithm
        for epoch in range(1, self.epochs + 1):
            student.train()
            total, counted = torch.zeros((), device=device), 0.0
            for together in loader:
                batch, targets, weight = fit_inputs.parts(together)
                with torch.autocast(device.type, dtype=kind, enabled=half):
                    logits = self.call(student, moved(batch, device))
                logits = fit_inputs.logits_of_batch(logits)
                if softmax is None:
                    softmax = inputs.likely_probabilities(logits.detach().cpu().numpy())
                if epoch == 1 and self.loss is weighted:  # while they are in host memory
                    fit_inputs.numbers(logits, targets, weight)
                counted += float(weight.sum()) if epoch == 1 else 1.0
                logits = inputs.logarithm(logits) if softmax else logits
                loss = fit_inputs.one_number(self.loss(logits, targets.to(device), weight.to(device)))
                optimizer.zero_grad(set_to_none=True)
                torch.autograd.backward(scaler.scale(loss))
                scaler.step(optimizer)
                scaler.update()
                schedule.step()
                total += loss.detach()
            fit_inputs.something_counts(counted)
            if not fit_inputs.finite(float(total), epoch, self.lr, kept=best_weights is not None):
                break
            if self.holdout is None:
                continue
            now = self.held_out(student, device, softmax=bool(softmax))
            since += 1
            if now < best:
                best, best_weights, since = now, copy.deepcopy(student.state_dict()), 0
            elif since >= self.patience:
                break
        if best_weights is not None:
            student.load_state_dict(best_weights)
        return student

    def __repr__(self) -> str:
        loss = getattr(self.loss, "__name__", None) or settings_of(self.loss)
        given = {"loss": "None" if self.loss is weighted else loss}
        given["holdout"] = "None" if self.holdout is None else f"{len(self.holdout)} points"
        names = ("epochs", "batch_size", "lr", "weight_decay", "patience", "seed")
        given |= {name: repr(getattr(self, name)) for name in names}
        return f"Fit({', '.join(f'{name}={value}' for name, value in given.items())})"

    def held_out(self, student: nn.Module, device: torch.device, *, softmax: bool = False) -> float:
        """The mean cross-entropy on the hold-out."""
        if self.holdout is None:
            return math.nan
        student.eval()
        total = 0.0
        with torch.no_grad():
            for batch, labels in DataLoader(self.holdout, batch_size=256, collate_fn=self.collate):
                logits = self.call(student, moved(batch, device)).float()
                logits = inputs.logarithm(logits) if softmax else logits
                inputs.labels("holdout", labels, len(logits), logits.shape[1])
                total += float(nn.functional.cross_entropy(logits, labels.long().to(device), reduction="sum"))
        return total / len(self.holdout)


def settings_of(loss: Any) -> str:
    """A loss that is an object, with its numbers and words."""
    kept = {name: value for name, value in vars(loss).items() if isinstance(value, (bool, int, float, str))}
    shown = [f"{name}={value!r}" for name, value in kept.items() if name != "training" and not name.startswith("_")]
    return f"{type(loss).__name__}({', '.join(shown)})"


class Items:
    """Collates items (input, ...) where only the inputs need a collation of their own."""

    def __init__(self, collate: Callable[[list[Any]], Any]) -> None:
        self.collate = collate

    def __call__(self, items: list[Any]) -> tuple[Any, ...]:
        given, *others = zip(*items, strict=True)
        return self.collate(list(given)), *(default_collate(list(other)) for other in others)


def weighted(logits: Tensor, targets: Tensor, weight: Tensor) -> Tensor:
    return reduced(cross_entropies(logits, targets), weight, "mean")


def says_probabilities(dataset: Any) -> bool:
    """Whether its targets cannot be anything else."""
    one_of = dataset.datasets if isinstance(dataset, ConcatDataset) else [dataset]
    return any(isinstance(one, SoftLabelDataset) for one in one_of)
