"""Select: from logits and a budget to the indices of the points that a student should learn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt

from .inputs.typed import BackendName, Budget, InvalidRows
from .selector import Selector

if TYPE_CHECKING:
    import torch
    from typing_extensions import Unpack

    from .inputs.typed import Options


@overload
def select(logits: npt.NDArray[Any], budget: Budget, **options: Unpack[Options]) -> npt.NDArray[np.int64]: ...
@overload
def select(logits: torch.Tensor, budget: Budget, **options: Unpack[Options]) -> torch.Tensor: ...
@overload
def select(logits: Any, budget: Budget, **options: Unpack[Options]) -> Any: ...
def select(
    logits: Any,
    budget: Budget,
    *,
    student_logits: Any = None,
    gain: Any = "auto",
    correctness: Any = None,
    agreement: Any = None,
    mistakes: Budget | None = None,
    quotas: Any = "auto",
    chosen: Any = None,
    exclude: Any = None,
    seed: int = 0,
    random_state: int | None = None,
    invalid: InvalidRows = "raise",
    backend: BackendName = "auto",
) -> Any:
    """Choose the ``budget`` points that are informative for the student and labelled correctly by the teacher.

    A player picks points, an adversary spoils labels. The inclusion probabilities are the equilibrium of that game, and
    the indices are a systematic sample with exactly these probabilities.

    Parameters
    ----------
    logits : (N, C) array of float64, float32, float16 or bfloat16, or TopKLogits
        The teacher's logits: NumPy, torch, CuPy, or anything with DLPack; a pandas, polars or Arrow table with one
        column per class, or a column of lists. Never modified.
    budget : int in 1..N, or float in (0, 1], or text such as "5%"
        How many points to select, or which fraction of those that can be selected.
    student_logits : (N, any C) array, optional
        The student's logits: the gain is then what the student does not know yet.
    gain : {"auto", "label", "margin"}, or (N,) array in [0, 1]
        What the student would learn. "label": 1 - its probability of the teacher's label. "margin": 1 - its margin, or
        the teacher's where there is no student. "auto": "label" where the student has the teacher's classes. An array
        is rounded to multiples of 2**-24.
    correctness : None, (N,) array in [0, 1], fitted Calibrator, or float in [0, 1]
        The probability that the teacher's label is right: the teacher's own confidence (None), an array, a fitted
        Calibrator's prediction, or just the teacher's average accuracy.
    agreement : (N,) array in [0, 1]
        Of each point's neighbours, the share that bears its label: ``rad_fast.agreement``. Needed where the Calibrator
        was fitted with it.
    mistakes : None, int or float >= 1 (a count), or float in [0, 1) (a fraction of the points)
        How many more labels may be wrong than correctness says. Also text such as "5%". None: with a Calibrator, as
        many as its labelled points suggest; with an average accuracy, (1 - accuracy) N; otherwise 0.02 N. 0: no game,
        just the points of highest effective gain.
    quotas : None, {"auto", "equal", "proportional"}, or weights: (C,) array, or mapping of classes to weights
        How the budget is shared out among the teacher's labels, each with a game of its own. "auto": with a Calibrator
        by how often each label comes, counted as in a sample of as many points as it was fitted on, and drawn together
        where such counts look equally frequent; without one by the square root of how often each label comes. By these
        names no class gets more than it has points with a positive effective gain, as long as others have some left;
        weights are taken as they are. None: one game, and a sample in the order of the points.
    chosen : boolean mask (N,), indices, or mapping of classes to counts, optional
        What was selected before: quotas then share out the whole, and these points are not selected again. A mapping
        (``collections.Counter(labels)``) counts points that are not among these: the labels of all that the student is
        trained on besides, because it is the whole training set that should have the shares.
    exclude : boolean mask (N,) or indices, optional
        Points never to select: those already labelled, say.
    seed, random_state : int >= 0
        The start of the sample, under either name. The same scores and seed give the same indices.
    invalid : {"raise", "exclude"}
        What to do with rows that have NaN, +inf or nothing finite.
    backend : {"auto", "cpp", "numba", "reference", "triton", "cuda", "triton+cuda"}
        What computes: "triton" (torch and CuPy), "cuda" (the compiled kernels, arrays of any library) or "triton+cuda"
        (scores by the first, the rest by the second) for arrays in CUDA memory, the others for arrays in host memory.

    Returns
    -------
    (budget,) int64 indices, ascending and distinct, in the library and on the device of ``logits``; NumPy for a table.

    Raises
    ------
    TypeError, ValueError : naming the argument, what was expected and what came.

    Warns
    -----
    UnreliableTeacherWarning : if the value of the game is not positive.

    References
    ----------
    Baykal, Trinh, Iliopoulos, Menghani, Vee. Robust Active Distillation. ICLR 2023.

    Examples
    --------
    >>> import numpy as np, rad_fast
    >>> logits = np.random.default_rng(0).normal(0, 5, size=(1000, 10)).astype("float32")
    >>> rad_fast.select(logits, 5)
    array([ 54,  98, 543, 769, 910])
    """
    settings = {"mistakes": mistakes, "quotas": quotas, "seed": seed, "random_state": random_state}
    selector = Selector(budget, **settings, invalid=invalid, backend=backend)
    selector._indices_alone = True
    of_points = {"gain": gain, "correctness": correctness, "agreement": agreement, "chosen": chosen, "exclude": exclude}
    indices = selector.fit(logits, student_logits=student_logits, **of_points).indices
    selector._state.let_go()  # the indices alone are handed out
    return indices
