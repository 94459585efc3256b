"""What a selection returns: the indices, what they rest on, and what they promise."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from . import inputs
from .calibration import Calibrator, Seen
from .device.backends import Backend, backend
from .device.route import Route
from .game.certificate import certificate
from .game.nested import extended
from .game.quotas import Shares
from .inputs import shown
from .inputs.typed import Budget
from .kernels.reference.game import Equilibria, Equilibrium
from .kernels.reference.score import Gain, Kind, Points, Rule, Scores
from .report import table as tables
from .report.figures import Drawn, figures, probabilities
from .report.numbers import Counted, counted, shared_out, told
from .report.words import amount, sentences
from .storage import archive
from .storage.blocks import Pieces

REPORTED = 0.95  # confidence of a report's certificate
ONE_RANK = (
    "expected a selection of one process, got the part of one rank, which does not know the points of the others; "
    "select from all points in one process, chunk by chunk with partial_fit: the same seed gives the same indices"
)
SAVED = 1  # the version of what ``save`` writes
SAVED_CLASSES = (Calibrator, Equilibria, Equilibrium, Gain, Kind, Points, Rule, Scores, Seen, Shares)
HELD = ("indices", "_indices", "_pieces", "_kernels", "_wrap")  # not saved as they are


@dataclass(frozen=True, eq=False, repr=False)
class Selection:
    """The points chosen for the student, and the game behind the choice.

    Arrays are in the library of the logits. Those of all points are NumPy's to read, not to write to.

    Attributes
    ----------
    indices : (budget,) int64, ascending and distinct.
    probabilities : (N,) float64, every point's inclusion probability; they sum to ``budget``. Computed on first use.
    gain : (N,) float32 in [0, 1], what the student would learn; NaN where a point was excluded or invalid.
    correctness : (N,) float32 in [0, 1], the probability that the teacher's label is right.
    labels : (N,) int32, the teacher's; -1 where a row is invalid.
    weights : (budget,) float64, 1 / inclusion probability of the selected points. A sum over them with these weights is
        an unbiased estimate of the sum over all points whose inclusion probability is not 0.
    value : the value of the game: the expected gain of the selection, right labels less wrong ones, is at least this,
        whichever ``mistakes`` labels are wrong beyond those that correctness allows for. ``certificate()`` is what the
        labelled points of a Calibrator promise, whatever correctness says.
    mistakes : how many labels the adversary may spoil beyond those.
    price, threshold, share : the equilibrium. A point is taken with probability min(1, price / gain) where its
        effective gain (2 correctness - 1) gain exceeds the threshold. With quotas these are (C,) float64 arrays, one
        entry per class.
    quotas : (C,) float64, how much of the budget each class gets; the sum is ``budget``. None without quotas. With
        quotas, ``value`` is the sum over classes, each with mistakes in proportion to its points.
    calibrator : the Calibrator that correctness came from, as it was then, or None.

    Notes
    -----
    ``report()`` gives the numbers, ``summary()`` says them in words, ``table()`` lists the selected points, ``plot()``
    draws figures, ``save_report(path)`` writes words and figures to one HTML page. ``save(path)`` stores a selection
    and ``Selection.load(path)`` reads it. A selection can also be pickled and copied. If it was made on a device, it
    comes back with NumPy arrays, so that any machine can read it.

    Examples
    --------
    >>> import numpy as np, rad_fast
    >>> logits = np.random.default_rng(0).normal(0, 5, size=(1000, 10)).astype("float32")
    >>> selection = rad_fast.Selector(20).fit(logits)
    >>> selection.indices[:3], round(selection.value, 2), selection.mistakes
    (array([ 45, 113, 197]), 2.94, 20.0)
    >>> round(float(selection.probabilities.sum()), 6)
    20.0
    """

    indices: Any
    budget: int
    value: float
    mistakes: float
    price: Any
    threshold: Any
    share: Any
    seed: int
    backend: str
    n_points: int
    n_excluded: int
    n_invalid: int
    # As the backend has them: NumPy arrays, or torch tensors on the device.
    _indices: Any = field(repr=False)
    _pieces: Pieces = field(repr=False)
    _kernels: Backend | Route = field(repr=False)
    _wrap: Callable[[Any], Any] = field(repr=False)
    calibrator: Any = field(default=None, repr=False)
    quotas: npt.NDArray[np.float64] | None = field(default=None, repr=False)
    _answer: Equilibrium | Equilibria | None = field(default=None, repr=False)
    _shares: Shares | None = field(default=None, repr=False)
    _gain_of: str | None = field(default=None, repr=False)
    _everywhere: list[Counted] | None = field(default=None, repr=False)  # of all ranks, where there are several
    n_unanswered: int = field(default=0, repr=False)
    _before: npt.NDArray[np.int64] | None = field(default=None, repr=False)  # selected in stages before this one

    @classmethod
    def _of(cls, **fields: Any) -> Selection:
        """As ``Selection(...)``, in half the time: a frozen dataclass sets one field after the other."""
        if isinstance(fields["_indices"], np.ndarray):
            fields["_indices"] = fields["_indices"].copy()  # the others are the caller's, who may change them
        made = object.__new__(cls)
        object.__setattr__(made, "__dict__", fields)
        return made

    @property
    def equilibrium(self) -> Equilibrium | Equilibria:
        if self._answer is not None:
            return self._answer
        return Equilibrium(self.price, self.threshold, self.share, self.value)

    def __getstate__(self) -> dict[str, Any]:
        """The fields alone, without what was computed when it was asked for; nothing that stays on a device."""
        state = {name: self.__dict__[name] for name in self.__dataclass_fields__}
        at, points = self.on_host()
        whole: list[Any] = [field if field is None else np.asarray(field) for field in points]
        state["_pieces"] = Pieces([Points(*whole)])
        if isinstance(self._kernels, Route) or not inputs.portable(self._wrap):
            state.update(indices=at, _indices=at, _kernels=backend("auto"), _wrap=inputs.same)
        return state

    @cached_property
    def gain(self) -> Any:
        return self._shown(self._points.gain)

    @cached_property
    def correctness(self) -> Any:
        return self._shown(self._points.correctness)

    @cached_property
    def labels(self) -> Any:
        return self._shown(self._points.label)

    def _shown(self, field: Any) -> Any:
        """A field of the points; of NumPy not to be written to, as all that is asked for later rests on it."""
        if self._wrap is inputs.same and isinstance(field, np.ndarray):
            field = field.view()
            field.flags.writeable = False
        return self._wrap(field)

    @property
    def _points(self) -> Points:
        return self._pieces.joined()

    @cached_property
    def probabilities(self) -> Any:
        q = probabilities(self._kernels, self._points, self.equilibrium)
        if self._before is not None:
            q[self._before] = 1.0
        return self._wrap(q)

    @cached_property
    def weights(self) -> Any:
        answer = self.equilibrium
        if isinstance(self._kernels, Route):
            return self._wrap(self._kernels.weights(self._points, self._indices, answer))
        selected = Points(*(field[self._indices] for field in self._points[:3]))
        q = probabilities(self._kernels, selected, answer)
        q[self._had] = 1.0
        return self._wrap(1.0 / q)

    @property
    def _had(self) -> npt.NDArray[np.bool_]:
        """Which of the selected points were selected in stages before this one."""
        return np.isin(self._indices, [] if self._before is None else self._before)

    def on_host(self) -> tuple[npt.NDArray[np.int64], Any]:
        """Indices and points as NumPy arrays."""
        if isinstance(self._indices, np.ndarray) or not isinstance(self._kernels, Route):
            return self._indices, self._points
        return self._kernels.on_host(self._indices), self._kernels.points_on_host(self._points)

    def report(self) -> dict[str, Any]:
        """The numbers of the selection, as JSON can hold them."""
        at, points = self.on_host()
        each = self.quotas is None
        return {
            "points": self.n_points,
            "excluded": self.n_excluded,
            "invalid": self.n_invalid,
            "budget": self.budget,
            "mistakes": self.mistakes,
            "value": self.value,
            "value_per_query": self.value / self.budget,
            **self._certified,
            "price": self.price if each else None,
            "threshold": self.threshold if each else None,
            "share": self.share if each else None,
            **told(self._everywhere or [counted(at, [points], self.threshold)]),
            **({} if self._shares is None else shared_out(self._shares)),
            **({"unanswered": self.n_unanswered} if self.n_unanswered else {}),
            "seed": self.seed,
            "backend": self.backend,
        }

    def certificate(self, confidence: float = 0.95) -> float:
        """The expected gain that the labelled points promise: right labels less wrong ones, each counted with its gain.

        With that confidence the expected gain of the selection is at least this, wherever the teacher's mistakes are,
        if the labelled points are a random sample from the same source as the pool. It does not depend on correctness
        or ``mistakes``, only on which points may be taken. If it is below 0, the labelled points are too few to promise
        a gain. It is loose if the calibrator does not know the gain: if the selection has a student, fit the calibrator
        with the student's logits too.

        Parameters
        ----------
        confidence : a number between 0 and 1.

        Returns
        -------
        A float, in the units of ``value``.

        Raises
        ------
        ValueError : if correctness did not come from a Calibrator, or this is one rank's part of a selection.

        Warns
        -----
        UserWarning : if there are fewer than 30 labelled points.

        Examples
        --------
        >>> import numpy as np, rad_fast
        >>> rng = np.random.default_rng(0)
        >>> logits, truth = rng.normal(size=(5000, 10)), rng.integers(0, 10, 5000)
        >>> logits[np.arange(5000), truth] += rng.exponential(5, 5000)
        >>> calibrator = rad_fast.Calibrator().fit(logits[:500], truth[:500])
        >>> selection = rad_fast.Selector(100).fit(logits[500:], correctness=calibrator)
        >>> promise = selection.certificate()
        >>> right = np.where(logits[500:].argmax(1) == truth[500:], 1, -1)
        >>> bool(0 < promise < (selection.probabilities * selection.gain * right).sum())
        True
        """
        wanted = inputs.confidence(confidence)
        if not isinstance(self.calibrator, Calibrator):
            raise inputs.no_labelled_points()
        if len(self.on_host()[1].gain) != self.n_points:
            raise ValueError(f"certificate: {ONE_RANK}")
        if self.calibrator.n_labelled_ < inputs.FEW_LABELLED:
            inputs.warn_few_labelled(self.calibrator.n_labelled_)
        return self._promised(wanted)

    def _promised(self, confidence: float) -> float:
        labelled, points = self.calibrator.held_out().seen(self._gain_of), self.on_host()[1]
        return certificate(self._host_kernels, points, self.equilibrium, self._before, labelled, confidence)

    @cached_property
    def _certified(self) -> dict[str, Any]:
        """What the report says of the labelled points, where there are some."""
        if not isinstance(self.calibrator, Calibrator) or len(self.on_host()[1].gain) != self.n_points:
            return {}
        return {"labelled": self.calibrator.n_labelled_, "certificate": self._promised(REPORTED)}

    def summary(self) -> str:
        """The numbers in words, for a terminal."""
        return "\n".join(sentences(self.report()))

    def table(self, library: str = "auto") -> Any:
        """The selected points as a table, with the reason for each.

        Parameters
        ----------
        library : {"auto", "pandas", "polars", "pyarrow"}
            The kind of table; "auto" takes the first of these that is already imported, or else the first installed.

        Returns
        -------
        A DataFrame (or pyarrow.Table) of ``budget`` rows: ``index`` of the point, ``label``, ``gain``, ``correctness``,
        ``probability`` of inclusion, ``weight`` (1 / probability), and ``why`` in words.

        Raises
        ------
        ImportError : if the library is not installed.

        Examples
        --------
        >>> import numpy as np, rad_fast
        >>> logits = np.random.default_rng(0).normal(0, 5, size=(1000, 10))
        >>> picks = rad_fast.Selector(20).fit(logits).table("pandas")
        >>> list(picks.columns)
        ['index', 'label', 'gain', 'correctness', 'probability', 'weight', 'why']
        >>> picks.why[0]
        "class 7's quota, effective gain 0.19 above 0.15"
        """
        return tables.table(self._columns, library)

    @property
    def _columns(self) -> tables.Columns:
        """What the table holds, by name."""
        at, points = self.on_host()
        before = np.isin(at, [] if self._before is None else self._before)
        return tables.columns_of(at, points, self.equilibrium, self._host_kernels, before)

    @property
    def _host_kernels(self) -> Backend:
        return backend("auto") if isinstance(self._kernels, Route) else self._kernels

    def extend(self, budget: Budget, *, seed: int | None = None) -> Selection:
        """A larger selection that contains this one, for labels that are bought in steps.

        The points selected so far are fixed. A new game on the other points gives the probabilities with which the rest
        of the budget is sampled. They are exact given this selection: in the new one ``probabilities`` are 1 for the
        points selected before, and ``weights`` give unbiased estimates of sums over these and all other points whose
        probability is not 0. ``value`` is the sum of the stages' values, a lower bound of the gain expected over all
        draws. Quotas share out the whole budget.

        Parameters
        ----------
        budget : int, or a fraction as a float or as text: how many points in total.
        seed : int >= 0, optional: the start of the new sample. Default: this selection's seed.

        Returns
        -------
        Selection. If this one was made on a device, the new one has NumPy arrays.

        Raises
        ------
        ValueError : if the budget is not larger than this selection's, or this is one rank's part of a selection.

        Examples
        --------
        >>> import numpy as np, rad_fast
        >>> logits = np.random.default_rng(0).normal(0, 5, size=(1000, 10))
        >>> first = rad_fast.Selector(20).fit(logits)
        >>> second = first.extend(50)
        >>> len(second.indices), bool(np.isin(first.indices, second.indices).all())
        (50, True)
        """
        at, points = self.on_host()
        if len(points.gain) != self.n_points:
            raise ValueError(f"extend: {ONE_RANK}")
        left_out = self.n_excluded + self.n_invalid + self.n_unanswered
        total = inputs.larger_budget(budget, self.n_points, left_out, self.budget)
        of_seed = self.seed if seed is None else inputs.seed(seed)
        stage = extended(points, at, total - self.budget, self.mistakes, self._shares, of_seed, self._host_kernels)
        wrap, shares = inputs.same if isinstance(self._kernels, Route) else self._wrap, self._shares
        if shares is not None and stage.quotas is not None:
            shares = shares._replace(quotas=stage.quotas)
        return replace(
            self,
            indices=wrap(stage.indices),
            budget=total,
            value=self.value + stage.value,
            price=stage.answer.price,
            threshold=stage.answer.threshold,
            share=stage.answer.share,
            backend=self._host_kernels.name,
            quotas=stage.quotas,
            _indices=stage.indices.copy(),
            _pieces=Pieces([points]),
            _kernels=self._host_kernels,
            _wrap=wrap,
            _answer=stage.answer,
            _shares=shares,
            _before=at,
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Store the selection in a file for ``Selection.load``, with the points' scores, 12 bytes per point.

        Parameters
        ----------
        path : where the file goes; the usual suffix is .npz. An existing file is replaced in one step.

        Raises
        ------
        OSError : if it cannot be written.
        ValueError : if the name ends as that of another kind of file, such as .npy, .csv or .html.

        Examples
        --------
        >>> import numpy as np, rad_fast, tempfile, pathlib
        >>> logits = np.random.default_rng(0).normal(0, 5, size=(1000, 10))
        >>> selection = rad_fast.Selector(50).fit(logits)
        >>> file = pathlib.Path(tempfile.mkdtemp(), "selection.npz")
        >>> selection.save(file)
        >>> bool((rad_fast.Selection.load(file).indices == selection.indices).all())
        True
        """
        inputs.archive_path(path)
        at, points = self.on_host()
        kept = {each.name: getattr(self, each.name) for each in fields(self) if each.name not in HELD}
        archive.write(path, "Selection", SAVED, {**kept, "indices": at, "points": points})

    @staticmethod
    def load(path: str | os.PathLike[str]) -> Selection:
        """Read what ``save`` stored, with NumPy arrays. No code in the file is run.

        Raises
        ------
        OSError : if there is no such file.
        ValueError : if it is some other file, or one from another version of rad_fast.
        """
        content = archive.read(path, "Selection", SAVED, SAVED_CLASSES)
        indices, points = content.pop("indices"), content.pop("points")
        given = {"indices": indices, "_indices": indices.copy(), "_pieces": Pieces([points]), "_wrap": inputs.same}
        return Selection(**content, **given, _kernels=backend("auto"))

    def __repr__(self) -> str:
        return (
            f"Selection({self.budget:,} of {self.n_points:,} points, value {amount(self.value)}, "
            f"mistakes {amount(self.mistakes)}, seed {self.seed})"
        )

    def _repr_html_(self) -> str:
        """As a notebook shows it."""
        left_out = self.n_excluded + self.n_invalid
        rows = {
            "selected": f"{self.budget:,} of {self.n_points:,} points" + (f", {left_out:,} left out" * (left_out > 0)),
            "expected gain at worst": f"{amount(self.value)}, with {amount(self.mistakes)} mistakes",
            "threshold of the effective gain": "one per class" if self.quotas is not None else amount(self.threshold),
            "seed, backend": f"{self.seed}, {self.backend}",
            "see also": ".table(), .summary(), .plot()",
        }
        return shown.card("Selection", rows)

    @property
    def _drawn(self) -> Drawn:
        """What the report's figures are counted from."""
        at, points = self.on_host()
        curve = calibration(self.calibrator)
        game = (self._host_kernels, self.equilibrium, self.budget, self.mistakes, self.n_points)
        return Drawn(at, points, *game, curve, self._before, self._shares)

    @cached_property
    def _figures(self) -> dict[str, Any]:
        return figures(self._drawn)

    def plot(self, ax: Any = None) -> Any:
        """Draw the report's figures: the gain x correctness plane, margins, probabilities, labels, values of the game.

        Needs matplotlib (``pip install "rad_fast[report]"``).

        Parameters
        ----------
        ax : matplotlib Axes, optional: draw only the plane, into these axes.

        Returns
        -------
        The matplotlib Figure, which a notebook shows once.
        """
        from .report.plot import plot

        return plot(self.report(), self._figures, ax)

    def save_report(self, path: str | os.PathLike[str], *, title: str = "Selection") -> None:
        """Write one HTML page with the numbers in words and the figures. It loads nothing from a network.

        The same selection gives the same bytes. Needs ``pip install "rad_fast[report]"``.

        Parameters
        ----------
        path : where the page goes. An existing file is replaced in one step.
        title : its heading.

        Raises
        ------
        ImportError : if matplotlib or jinja2 is missing.
        OSError : if the page cannot be written.

        Examples
        --------
        >>> import numpy as np, rad_fast, tempfile, pathlib
        >>> logits = np.random.default_rng(0).normal(0, 5, size=(1000, 10))
        >>> page = pathlib.Path(tempfile.mkdtemp(), "report.html")
        >>> rad_fast.Selector(50).fit(logits).save_report(page)
        >>> page.read_text().startswith("<!doctype html>")
        True
        """
        from .report.page import save

        inputs.page_path(path)
        save(path, self.report(), self._figures, title)


def calibration(calibrator: object) -> dict[str, Any] | None:
    """The calibration curve, where there was a Calibrator."""
    if not isinstance(calibrator, Calibrator):
        return None
    curve = {name: values.tolist() for name, values in calibrator.curve()._asdict().items()}
    about = {"labelled": calibrator.n_labelled_, "error": calibrator.error_, "both": calibrator.needs_student_}
    return {**curve, **about, "neighbours": calibrator.needs_agreement_}
