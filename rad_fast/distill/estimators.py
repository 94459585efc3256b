"""Students that are estimators of scikit-learn, LightGBM or XGBoost rather than torch modules."""

from __future__ import annotations

import copy
import inspect
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader

from . import errors, inputs

Array = npt.NDArray[Any]
Float32s = npt.NDArray[np.float32]

FLOOR = 1e-6  # the least probability of a class: an estimator's 0 is a guess, and -inf would rule the class out
SHARE = 0.01  # classes of a soft label with less than this are left out


class SklearnStudent:
    """A classifier of scikit-learn, LightGBM or XGBoost as a student: ``ActiveDistiller(SklearnStudent(...), ...)``.

    It is trained with its own ``fit``, from scratch in each round. If ``fit`` takes ``sample_weight`` (also of the last
    step of a ``Pipeline``), a soft label becomes one row for each class of at least 1%, weighted with its probability
    times the point's weight; otherwise the likeliest class is learned and weights are left out. Before it has been
    trained, all classes are equally likely.

    Parameters
    ----------
    estimator : a classifier with ``predict_proba`` or ``decision_function``. It is copied, never fitted itself.
    n_classes : int, optional
        How many classes there are. None: ``ActiveDistiller`` takes the teacher's, or as many as there are labels.

    Raises
    ------
    TypeError : if it is not a classifier.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from rad_fast.distill import ActiveDistiller, SklearnStudent
    >>> x = np.random.default_rng(0).normal(size=(400, 2)).astype("float32")
    >>> y = (x[:, 0] > 0).astype(int)
    >>> distiller = ActiveDistiller(
    ...     SklearnStudent(LogisticRegression()), lambda batch: np.stack([-9 * batch[:, 0], 9 * batch[:, 0]], 1),
    ...     labelled=(x[:20], y[:20]), holdout=(x[20:100], y[20:100]), pool=x[100:], budget=100, progress=False)
    >>> student = distiller.run()
    >>> bool((student.estimator.predict(x) == y).mean() > 0.9)
    True
    """

    def __init__(self, estimator: Any, n_classes: int | None = None) -> None:
        if isinstance(estimator, type) or not hasattr(estimator, "fit"):
            raise TypeError(
                f"estimator: expected a classifier with fit, such as LogisticRegression(), got {estimator!r}"
            )
        if not (hasattr(estimator, "predict_proba") or hasattr(estimator, "decision_function")):
            raise TypeError(
                f"estimator: expected a classifier with predict_proba or decision_function, {estimator!r} has neither; "
                "an SVC needs probability=True or decision_function_shape='ovr'"
            )
        if not hasattr(estimator, "predict_proba") and one_against_one(estimator):
            raise ValueError(
                "estimator: expected a decision function of the classes, got decision_function_shape='ovo', that of "
                "pairs; give decision_function_shape='ovr'"
            )
        self.estimator = estimator
        self.n_classes = None if n_classes is None else inputs.positive_int("n_classes", n_classes, 2)
        self.fitted = False

    def __call__(self, batch: Any) -> Float32s:
        """Logits of a batch, (rows, n_classes): the log-probabilities, or the values of the decision function."""
        x = as_rows(batch)
        if self.n_classes is None:
            raise ValueError("n_classes: expected a number; give SklearnStudent(estimator, n_classes=...)")
        if not self.fitted:
            return np.zeros((len(x), self.n_classes), np.float32)
        try:
            return self._logits(x, self.n_classes)
        except Exception as error:
            raise errors.estimator_failed(
                type(self.estimator).__name__, f"say what {len(x)} inputs are", error
            ) from error

    def _logits(self, x: Any, classes: int) -> Float32s:
        if hasattr(self.estimator, "predict_proba"):
            p = np.full((len(x), classes), FLOOR)
            p[:, self.estimator.classes_] = np.maximum(self.estimator.predict_proba(x), FLOOR)
            found: Float32s = np.log(p).astype(np.float32)
            return found
        values = np.asarray(self.estimator.decision_function(x))
        if values.ndim == 1:
            values = np.column_stack([-values / 2, values / 2])
        logits = np.repeat(values.min(axis=1, keepdims=True), classes, axis=1)
        logits[:, self.estimator.classes_] = values
        return logits.astype(np.float32)

    def learn(self, dataset: Any) -> SklearnStudent:
        """Fit a copy of the estimator to a data set of (input, target (C,), weight ()); returns the student with it."""
        if len(dataset) == 0:
            raise errors.nothing_to_learn()
        batch, targets, weights = next(iter(DataLoader(dataset, batch_size=len(dataset))))
        x, target, weight = as_rows(batch), targets.numpy().astype(np.float64), weights.numpy().astype(np.float64)
        student = copy.copy(self)
        student.n_classes = target.shape[1] if self.n_classes is None else self.n_classes
        inputs.as_many_classes("dataset", target.shape[1], student.n_classes)
        if not (weight > 0).any():
            raise errors.nothing_counts()
        student.estimator = copied(self.estimator)
        name = weight_argument(student.estimator)
        labels, others = target.argmax(axis=1), {}
        if name is not None:
            rows, labels = np.nonzero((target >= SHARE) & (weight > 0)[:, None])
            of_row = target[rows, labels] / np.bincount(rows, target[rows, labels], len(target))[rows]
            x = [x[row] for row in rows] if isinstance(x, list) else x[rows]
            others = {name: of_row * weight[rows]}
        try:
            student.estimator.fit(x, labels, **others)
        except Exception as error:
            what = f"learn {len(labels)} rows of {len(np.unique(labels))} of {student.n_classes} classes"
            raise errors.estimator_failed(type(student.estimator).__name__, what, error) from error
        student.fitted = True
        return student

    def __repr__(self) -> str:
        return f"SklearnStudent({self.estimator!r}{', fitted' if self.fitted else ''})"


def as_rows(batch: Any) -> Any:
    """A batch as estimators take it: a matrix, or a list of texts and other objects as it is."""
    if isinstance(batch, (list, tuple)):
        return list(batch)
    array = batch.detach().cpu().numpy() if isinstance(batch, torch.Tensor) else np.asarray(batch)
    return array.reshape(len(array), -1)


def copied(estimator: Any) -> Any:
    """An estimator of the same settings that has learned nothing."""
    try:
        from sklearn.base import clone
    except ImportError:
        return copy.deepcopy(estimator)
    return clone(estimator)


def one_against_one(estimator: Any) -> bool:
    """Whether the decision function is one of pairs of classes."""
    steps = getattr(estimator, "steps", None)
    return getattr(steps[-1][1] if steps else estimator, "decision_function_shape", None) == "ovo"


def weight_argument(estimator: Any) -> str | None:
    """What ``fit`` calls the weights of the rows; None where it takes none."""
    steps = getattr(estimator, "steps", None)
    last = steps[-1][1] if steps else estimator
    if "sample_weight" not in inspect.signature(last.fit).parameters:
        return None
    return f"{steps[-1][0]}__sample_weight" if steps else "sample_weight"


def prepared(student: Any, classes: int) -> Any:
    """The student of a distiller: one of this kind that has no number of classes gets it."""
    if isinstance(student, SklearnStudent) and student.n_classes is None:
        student = copy.copy(student)
        student.n_classes = classes
    return student
