"""select and Selector from end to end: DESIGN section 4, invariants 2, 3, 5 and 6."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rad_fast
from rad_fast.device import backends
from rad_fast.device.backends import Backend
from rad_fast.kernels.reference import score as specification

from .oracle import assert_same

N, C, BUDGET = 2000, 7, 90


@pytest.fixture(scope="module")
def logits() -> np.ndarray:
    return np.random.default_rng(8).normal(0, 4, size=(N, C)).astype(np.float32)


@pytest.fixture(scope="module")
def student() -> np.ndarray:
    return np.random.default_rng(9).normal(0, 2, size=(N, C)).astype(np.float32)


class SameScores:
    """A backend whose scores are the specification's: what differs then is the game and the sample alone."""

    def __init__(self, kernels: Backend) -> None:
        self.kernels = kernels
        self.name = kernels.name
        self.score, self.appraise = specification.score, specification.appraise

    def __getattr__(self, name: str) -> object:
        return getattr(self.kernels, name)


def assert_same_selection(actual: rad_fast.Selection, expected: rad_fast.Selection, what: str = "") -> None:
    for name in ("indices", "gain", "correctness", "labels", "probabilities", "weights"):
        assert_same(getattr(actual, name), getattr(expected, name), f"{name} {what}")
    for name in ("price", "threshold", "share", "quotas"):
        assert_same(getattr(actual, name), getattr(expected, name), f"{name} {what}")
    for name in ("value", "mistakes", "budget", "n_points", "n_excluded", "n_invalid"):
        assert getattr(actual, name) == getattr(expected, name), f"{name} {what}"


# -------------------------------------------------------------------------------------------- the same, however it runs


@pytest.mark.parametrize("points", [1, 2, 3000, 150_000])  # nothing to choose; a pair; the direct way; through a box
@pytest.mark.parametrize("budget", [1, 0.02, 0.6, 1.0])  # one; few; caps bind; all
def test_the_same_scores_and_seed_give_the_same_indices_in_every_backend(
    kernels: Backend, reference: Backend, points: int, budget: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    logits = np.random.default_rng(points).normal(0, 4, (points, 5)).astype(np.float16)
    logits[::3] = np.round(logits[::3])  # ties
    found = []
    for stages in (SameScores(kernels), SameScores(reference)):
        monkeypatch.setitem(backends.LOADED, kernels.name, stages)
        # At most a hundredth of a mistake per point asked for: a selection of 60% then still has a value.
        selector = rad_fast.Selector(budget, mistakes=0.01 * min(1.0, float(budget)), seed=5, backend=kernels.name)
        found.append(quietly(selector, logits, exclude=np.arange(0, points, 11)[1:]))
    assert_same_selection(*found)
    assert len(found[0].indices) == found[0].budget


def quietly(selector: rad_fast.Selector, logits: object, **arguments: object) -> rad_fast.Selection:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rad_fast.UnreliableTeacherWarning)
        return selector.fit(logits, **arguments)


@settings(max_examples=40)
@given(cuts=st.lists(st.integers(0, N), max_size=7), seed=st.integers(0, 50), with_student=st.booleans())
def test_the_selection_does_not_depend_on_chunks(
    kernels: Backend, logits: np.ndarray, student: np.ndarray, cuts: list[int], seed: int, with_student: bool
) -> None:
    rng = np.random.default_rng(seed)
    correctness, exclude = rng.random(N).astype(np.float32) / 2 + np.float32(0.5), rng.random(N) < 0.1
    settings_ = {"seed": seed, "backend": kernels.name, "mistakes": 10}
    beside = student if with_student else None
    whole = rad_fast.Selector(BUDGET, **settings_).fit(
        logits, student_logits=beside, correctness=correctness, exclude=exclude
    )
    selector = rad_fast.Selector(BUDGET, **settings_)
    edges = [0, *sorted(cuts), N]  # equal neighbours make empty chunks
    for begin, end in pairwise(edges):
        part = slice(begin, end)
        selector.partial_fit(
            logits[part],
            student_logits=None if beside is None else beside[part],
            correctness=correctness[part],
            exclude=exclude[part],
        )
    assert_same_selection(selector.finalize(), whole, f"cut at {cuts}")


def test_the_selection_does_not_depend_on_the_number_of_threads(
    kernels: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    logits = np.random.default_rng(1).normal(0, 4, (120_000, 6)).astype(np.float32)
    found = []
    for threads in ("1", "2", "3", "16"):  # alone; as here; no divisor of anything; more than there are processors
        monkeypatch.setenv("RAD_FAST_THREADS", threads)
        found.append(rad_fast.Selector(0.01, backend=kernels.name).fit(logits))
    for selection in found[1:]:
        assert_same_selection(selection, found[0])


def layouts(logits: np.ndarray) -> dict[str, np.ndarray]:
    n, c = logits.shape
    wide = np.zeros((2 * n, 3 * c + 1), logits.dtype)
    wide[1::2, 1::3] = logits
    buffer = np.zeros(logits.nbytes + 1, np.uint8)
    misaligned = buffer[1:].view(logits.dtype).reshape(logits.shape)
    misaligned[...] = logits
    frozen = logits.copy()
    frozen.flags.writeable = False
    return {
        "columns first": np.asfortranarray(logits),
        "rows backwards": np.ascontiguousarray(logits[::-1])[::-1],
        "columns backwards": np.ascontiguousarray(logits[:, ::-1])[:, ::-1],
        "sliced": wide[1::2, 1::3],
        "misaligned": misaligned,
        "big-endian": logits.astype(logits.dtype.newbyteorder(">")),
        "read-only": frozen,
        "a list": logits.tolist() if logits.dtype == np.float64 else logits,
    }


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_the_selection_does_not_depend_on_how_the_array_lies_in_memory(
    kernels: Backend, logits: np.ndarray, dtype: str
) -> None:
    plain = logits.astype(dtype)
    expected = rad_fast.Selector(BUDGET, backend=kernels.name).fit(plain)
    for name, array in layouts(plain).items():
        assert_same_selection(rad_fast.Selector(BUDGET, backend=kernels.name).fit(array), expected, name)


def test_rows_that_are_one_row_seen_many_times_are_alike(kernels: Backend) -> None:
    row = np.array([2.0, 1.0, 0.0], np.float32)
    arguments = {"mistakes": 0, "backend": kernels.name}
    seen = rad_fast.Selector(10, **arguments).fit(np.broadcast_to(row, (100, 3)))
    assert_same_selection(seen, rad_fast.Selector(10, **arguments).fit(np.tile(row, (100, 1))))
    assert_same(np.diff(seen.indices), np.full(9, 10), "evenly spread")


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_numpy_and_torch_select_the_same(kernels: Backend, logits: np.ndarray, dtype: str) -> None:
    torch = pytest.importorskip("torch")
    array = logits.astype(dtype)
    expected = rad_fast.Selector(BUDGET, backend=kernels.name).fit(array)
    tensor = torch.from_numpy(array)
    for what, given_ in {
        "plain": tensor,
        "with a gradient": tensor.clone().requires_grad_(),
        "transposed": tensor.t().contiguous().t(),
    }.items():
        selection = rad_fast.Selector(BUDGET, backend=kernels.name).fit(given_)
        assert isinstance(selection.indices, torch.Tensor), what
        assert selection.indices.dtype == torch.int64, what
        assert not selection.indices.requires_grad, what
        assert_same_selection(selection, expected, what)


def test_bfloat16_selects_as_its_values_in_float64_do(kernels: Backend, logits: np.ndarray) -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.from_numpy(logits).to(torch.bfloat16)
    for given_ in (tensor, tensor.t().contiguous().t(), tensor[:, :3]):
        of_bfloat16 = rad_fast.Selector(BUDGET, backend=kernels.name).fit(given_)
        of_float64 = rad_fast.Selector(BUDGET, backend="reference").fit(given_.double().numpy())
        assert_same(of_bfloat16.labels, of_float64.labels.astype(np.int32), "labels")
        assert np.abs(of_bfloat16.gain.numpy() - of_float64.gain).max() < 1e-6
        assert abs(of_bfloat16.value - of_float64.value) < 1e-5 * abs(of_float64.value)


def test_the_value_of_a_float32_backend_is_within_1e_5_of_the_specifications(
    kernels: Backend, logits: np.ndarray, student: np.ndarray
) -> None:
    for mistakes in (0, 0.01, 0.05, 300):  # greedy; few; the default; threshold far up
        for budget in (1, 50, 1500):  # one; few; caps bind
            arguments = {"student_logits": student}
            ours = quietly(rad_fast.Selector(budget, mistakes=mistakes, backend=kernels.name), logits, **arguments)
            exact = quietly(rad_fast.Selector(budget, mistakes=mistakes, backend="reference"), logits, **arguments)
            assert abs(ours.value - exact.value) <= 1e-5 * max(abs(exact.value), 1e-2 * budget), (
                f"{ours.value}, {exact.value}"
            )


# ------------------------------------------------------------------------------------------------------ what comes back


@settings(max_examples=60)
@given(
    rows=st.integers(1, 60),
    classes=st.integers(2, 9),
    dtype=st.sampled_from(["float64", "float32", "float16"]),
    levels=st.sampled_from([1, 2, 50]),
    seed=st.integers(0, 1000),
    data=st.data(),
)
def test_exactly_budget_distinct_ascending_indices_of_allowed_points(
    kernels: Backend, rows: int, classes: int, dtype: str, levels: int, seed: int, data: st.DataObject
) -> None:
    rng = np.random.default_rng(seed)
    logits = (2 * rng.integers(0, levels, (rows, classes))).astype(dtype)  # 0 and 1 alone could be probabilities
    exclude = rng.random(rows) < 0.3
    exclude[rng.integers(rows)] = False
    budget = data.draw(st.integers(1, int((~exclude).sum())))
    mistakes = data.draw(st.sampled_from([None, 0, 1, 2.5, 0.2, rows]))
    selector = rad_fast.Selector(budget, mistakes=mistakes, seed=seed, backend=kernels.name)
    selection = quietly(selector, logits, exclude=exclude)
    assert selection.indices.dtype == np.int64
    assert len(selection.indices) == budget
    assert (np.diff(selection.indices) > 0).all(), selection.indices
    assert not exclude[selection.indices].any(), selection.indices
    assert abs(selection.probabilities.sum() - budget) < 1e-9 * budget


def test_seeds_make_different_samples_and_one_seed_the_same(kernels: Backend, logits: np.ndarray) -> None:
    drawn = [rad_fast.select(logits, BUDGET, seed=seed, backend=kernels.name) for seed in (0, 1, 2, 0, 2**100)]
    assert_same(drawn[0], drawn[3])
    assert len({indices.tobytes() for indices in drawn}) == 4


# --------------------------------------------------------------------------------------------------------- invalid rows


@pytest.mark.parametrize("classes", [2, 10, 100])  # binary; tiles of rows; whole rows
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])  # -np.inf: throughout the row
def test_invalid_rows_are_refused_with_argument_first_row_and_count_or_left_out(
    kernels: Backend, classes: int, value: float
) -> None:
    clean = np.random.default_rng(4).normal(0, 3, (200, classes)).astype(np.float32)
    for rows in ([0], [199], [100, 101, 7], [0, 63, 64, 199]):
        for column in {0, classes // 2, classes - 1}:
            bad = clean.copy()
            bad[rows, slice(None) if value == -np.inf else column] = value
            for name, arguments in {
                "logits": {"logits": bad},
                "student_logits": {"logits": clean, "student_logits": bad},
            }.items():
                message = rf"^{name}: .*{len(rows)} rows? ha(s|ve) .* row {min(rows)};"
                with pytest.raises(ValueError, match=message):
                    rad_fast.select(**arguments, budget=20, quotas=None, backend=kernels.name)
                arguments = {**arguments, "exclude": [rows[0]]}
                selector = rad_fast.Selector(20, invalid="exclude", mistakes=2, quotas=None, backend=kernels.name)
                selection = selector.fit(**arguments)
                assert not np.isin(selection.indices, rows).any(), selection.indices
                assert (selection.n_excluded, selection.n_invalid) == (1, len(rows) - 1)
                assert np.isnan(selection.gain[rows]).all()
                arguments["exclude"] = np.array(rows)
                refusing = rad_fast.Selector(20, mistakes=2, quotas=None, backend=kernels.name)
                assert_same(refusing.fit(**arguments).indices, selection.indices, "excluded by hand")


def test_a_class_that_is_ruled_out_is_no_fault(kernels: Backend, logits: np.ndarray) -> None:
    ruled_out = np.concatenate([logits, np.full((N, 1), -np.inf, np.float32)], axis=1)
    assert_same(
        rad_fast.select(ruled_out, BUDGET, backend="reference"), rad_fast.select(logits, BUDGET, backend="reference")
    )
    assert len(rad_fast.select(ruled_out, BUDGET, backend=kernels.name)) == BUDGET


def test_a_chunk_that_is_refused_leaves_no_trace(kernels: Backend, logits: np.ndarray) -> None:
    whole = rad_fast.Selector(BUDGET, backend=kernels.name).fit(logits)
    selector = rad_fast.Selector(BUDGET, backend=kernels.name).partial_fit(logits[:900])
    bad = logits[:50].copy()
    bad[3] = np.nan
    for wrong in ({"logits": bad}, {"logits": logits[:5, :3]}, {"logits": logits[:5], "exclude": [7]}, {"logits": "x"}):
        with pytest.raises((TypeError, ValueError)):
            selector.partial_fit(**wrong)
    assert_same_selection(selector.partial_fit(logits[900:]).finalize(), whole)


def digest(*arrays: np.ndarray) -> str:
    return hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)).hexdigest()


def test_inputs_are_never_modified_and_may_be_read_only(
    kernels: Backend, logits: np.ndarray, student: np.ndarray
) -> None:
    teacher, beside = logits.copy(), student.copy()
    teacher[5, 0], beside[6, 1] = np.nan, np.inf
    correctness, exclude = np.linspace(0.5, 1, N, dtype=np.float32), np.arange(N) % 9 == 0
    labels = np.random.default_rng(0).integers(0, C, N)
    given_ = (teacher, beside, correctness, exclude, labels)
    before = digest(*given_)
    for array in given_:
        array.flags.writeable = False
    selection = rad_fast.Selector(BUDGET, invalid="exclude", backend=kernels.name).fit(
        teacher, student_logits=beside, correctness=correctness, exclude=exclude
    )
    selection.summary(), selection.report(), selection.weights, selection.probabilities
    rad_fast.Calibrator(backend=kernels.name).fit(logits, labels, student).predict(logits, student)
    assert digest(*given_) == before


# --------------------------------------------------------------------------------------------------------------- memory

MEASURE = """
import sys
import numpy as np
import rad_fast

def kilobytes(key):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(key))

backend, kind, points, chunks = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
logits = np.empty((points, 2), np.float32)
np.random.default_rng(0).standard_normal(out=logits, dtype=np.float32)
if kind == "few":
    np.round(logits, out=logits)
if kind == "alike":
    logits[:] = [2.0, 0.0]

def run(array):
    selector = rad_fast.Selector(0.01, mistakes=0 if kind == "alike" else 0.02, backend=backend)
    for part in np.array_split(array, chunks):
        selector.partial_fit(part)
    return selector.finalize()

run(logits[:200_000])  # imports, compiled kernels, threads
with open("/proc/self/clear_refs", "w") as peak:
    peak.write("5")  # the peak starts anew
before = kilobytes("VmRSS")
selection = run(logits)
print((kilobytes("VmHWM") - before) * 1024 / points)
"""


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="needs Linux's record of peak memory")
@pytest.mark.parametrize("backend", ["cpp", "numba"])
@pytest.mark.parametrize(
    ("kind", "chunks"),
    [("plain", 1), ("few", 1), ("alike", 1), ("plain", 5)],  # what a model gives; ties; nothing to narrow; a stream
)
def test_extra_memory_is_at_most_24_bytes_a_point(backend: str, kind: str, chunks: int) -> None:
    finding = next(finding for finding in backends.findings() if finding.name == backend)
    if not finding.usable:
        pytest.skip(finding.why)
    points = 6_000_000  # what does not grow with the points, some 30 MB, is then small
    # Without these the allocator keeps some of what is freed, and hides as much.
    env = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    command = [sys.executable, "-c", MEASURE, backend, kind, str(points), str(chunks)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) <= 24, f"{float(done.stdout):.1f} bytes per point"
