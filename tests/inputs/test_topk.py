"""Teachers and students of whom the top k logits are stored."""

from __future__ import annotations

import doctest
import json
from pathlib import Path

import numpy as np
import pytest

import rad_fast
from rad_fast import TopKLogits, cli
from rad_fast.device import backends, topk
from rad_fast.inputs import teachers
from rad_fast.kernels.reference.score import score_top_k

N, C, K, BUDGET = 3000, 40, 8, 120
LOGITS = np.random.default_rng(3).normal(0, 3, (N, C)).astype(np.float32)
STUDENT = (LOGITS + np.random.default_rng(5).normal(0, 2, (N, C))).astype(np.float32)


def top_of(logits, k=K, exact=True, seed=0):
    """The k largest of each row, shuffled; ``exact``: with the logsumexp of all."""
    rng = np.random.default_rng(seed)
    order = np.argsort(-logits.astype(np.float64), axis=1, kind="stable")[:, :k]
    order = rng.permuted(order, axis=1)
    wide = logits.astype(np.float64)
    sums = wide.max(axis=1) + np.log(np.exp(wide - wide.max(axis=1, keepdims=True)).sum(axis=1))
    return TopKLogits(np.take_along_axis(logits, order, axis=1), order, logits.shape[1], sums if exact else None)


def softmax(logits):
    e = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True).astype(np.float64))
    return e / e.sum(axis=1, keepdims=True)


# ------------------------------------------------------------------------------------------------------------- scores


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@pytest.mark.parametrize("k", [2, K, C])
def test_with_logsumexp_the_scores_are_those_of_all_logits(kernels, dtype, k):
    logits = LOGITS.astype(dtype)
    labels = STUDENT.argmax(axis=1).astype(np.int32)
    whole, kept = kernels.score(logits, labels), topk.score(kernels, top_of(logits, k), labels)
    np.testing.assert_allclose(kept.margin, whole.margin, atol=4e-7)
    np.testing.assert_allclose(kept.confidence, whole.confidence, atol=4e-7)
    np.testing.assert_array_equal(kept.label, whole.label)
    held = (top_of(logits, k).indices == labels[:, None]).any(axis=1)
    assert held.any()
    np.testing.assert_allclose(kept.given_probability[held], whole.given_probability[held], atol=4e-7)


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("k", [2, 5, C])
def test_every_backend_gives_what_the_specification_says(kernels, k, exact):
    rng = np.random.default_rng(1)
    logits = np.round(LOGITS, 0)  # many ties
    logits[5] = -np.inf
    logits[5, :3] = [1, 2, 2]
    stored = top_of(logits, k, exact)
    stored.values[[7, 900], [0, 1]] = [np.nan, np.inf]
    stored.values[8] = -np.inf
    if exact:
        stored.logsumexp[[9, 10]] = [np.nan, -np.inf]
    labels = rng.integers(0, C, N).astype(np.int32)
    found = topk.score(kernels, stored, labels)
    expected = score_top_k(stored.values, stored.indices, C, stored.logsumexp, labels)
    np.testing.assert_array_equal(found.label, expected.label)
    assert set(np.flatnonzero(expected.label < 0)) == {7, 8, 900, *([9, 10] if exact else [])}
    for name in ("margin", "confidence", "given_probability"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), atol=4e-7, err_msg=name)


def test_bfloat16_of_torch():
    torch = pytest.importorskip("torch")
    stored = top_of(LOGITS)
    values = torch.from_numpy(stored.values).bfloat16()
    half = TopKLogits(values, torch.from_numpy(stored.indices), C, torch.from_numpy(stored.logsumexp))
    assert isinstance(rad_fast.select(half, 50), torch.Tensor)
    picked = rad_fast.Selector(50).fit(half)
    expected = score_top_k(values.view(torch.int16).numpy().view(np.uint16), stored.indices, C, stored.logsumexp)
    np.testing.assert_allclose(picked.gain.numpy(), 1 - expected.margin, atol=4e-7)
    np.testing.assert_array_equal(picked.labels.numpy(), expected.label)


def test_without_logsumexp_the_error_stays_within_its_bound(kernels):
    p = np.sort(softmax(LOGITS), axis=1)[:, ::-1]
    for k in (2, 5, 20, C):
        kept = topk.score(kernels, top_of(LOGITS, k, exact=False))
        left = p[:, k:].sum(axis=1)
        smallest = p[:, k - 1] / (1 - left)  # as computed from those kept
        x = (C - k) * smallest
        for found, true in ((kept.margin, p[:, 0] - p[:, 1]), (kept.confidence, p[:, 0])):
            np.testing.assert_allclose(found, true / (1 - left), atol=4e-7)
            assert (found - true >= -4e-7).all()
            assert (found - true <= left + 4e-7).all()
        assert (left <= x / (1 + x) + 1e-12).all()


def test_a_label_that_the_student_does_not_hold():
    values, indices = np.array([[2.0, 1.0], [2.0, 1.0]]), np.array([[4, 2], [4, 2]])
    sums = np.log(np.exp([2.0, 1.0]).sum() + np.array([3.0, 0.5]))
    kernels = backends.load("reference")
    labels = np.array([1, 1], np.int32)
    assert topk.score(kernels, TopKLogits(values, indices, 5), labels).given_probability.tolist() == [0, 0]
    exact = topk.score(kernels, TopKLogits(values, indices, 5, sums), labels).given_probability
    np.testing.assert_allclose(exact, np.array([1.0, 0.5 / 3]) / np.exp(sums))  # three classes share what is left
    smallest = np.exp(1.0 - sums)
    assert (exact <= smallest).all()


def test_among_equal_logits_the_lowest_class_is_the_label(kernels):
    stored = TopKLogits(np.zeros((1, 4)), np.array([[9, 3, 7, 5]]), 10)
    scores = topk.score(kernels, stored)
    assert scores.label.tolist() == [3]
    assert scores.margin.tolist() == [0]


# ---------------------------------------------------------------------------------------------------------- selections


@pytest.mark.parametrize("students", ["none", "all", "top"])
def test_select_takes_them_in_place_of_logits(students):
    student = {"none": None, "all": STUDENT, "top": top_of(STUDENT, 12)}[students]
    whole_student = None if students == "none" else STUDENT
    gain = "margin" if students == "top" else "auto"  # of a label that a student's top k do not hold little is known
    found = rad_fast.Selector(BUDGET).fit(top_of(LOGITS), student_logits=student, gain=gain)
    whole = rad_fast.Selector(BUDGET).fit(LOGITS, student_logits=whole_student, gain=gain)
    np.testing.assert_allclose(found.gain, whole.gain, atol=4e-7)
    assert len(np.intersect1d(found.indices, whole.indices)) > 0.95 * BUDGET  # rounding may move a point
    assert found.value == pytest.approx(whole.value, rel=1e-5)
    assert ((found.gain * 2**24) % 1 == 0).all()  # the grid on which the game's sums are exact


def test_chunks_do_not_matter(monkeypatch):
    stored = top_of(LOGITS)
    whole = rad_fast.Selector(BUDGET).fit(stored)
    monkeypatch.setattr(topk, "BLOCK", 100)
    selector = rad_fast.Selector(BUDGET)
    for begin in range(0, N, 171):
        selector.partial_fit(stored[begin : begin + 171])
    np.testing.assert_array_equal(selector.partial_fit(stored[:0]).finalize().indices, whole.indices)


@pytest.mark.parametrize("student", [None, STUDENT, top_of(STUDENT, 12)], ids=["none", "all", "top"])
def test_calibration_on_them(student):
    rng = np.random.default_rng(2)
    labels = np.array([rng.choice(C, p=row) for row in softmax(LOGITS[:800])])
    whole = None if student is None else STUDENT
    expected = rad_fast.Calibrator().fit(LOGITS[:800], labels, None if whole is None else whole[:800])
    found = rad_fast.Calibrator().fit(top_of(LOGITS)[:800], labels, None if student is None else student[:800])
    assert found.error_ == expected.error_
    atol = 0.02 if isinstance(student, TopKLogits) else 1e-4  # labels that the student does not hold are guessed
    close = np.isclose(found.predict(top_of(LOGITS), student), expected.predict(LOGITS, whole), atol=atol)
    assert close.mean() > 0.99  # a step of the isotonic regression may lie between two roundings
    first = rad_fast.Selector(BUDGET).fit(top_of(LOGITS), student_logits=student, correctness=found)
    second = rad_fast.Selector(BUDGET).fit(LOGITS, student_logits=whole, correctness=expected)
    assert first.value == pytest.approx(second.value, rel=0.02)


def test_invalid_rows_and_exclusion():
    stored = top_of(LOGITS)
    stored.values[40, 2] = np.nan
    stored.logsumexp[70] = np.inf
    with pytest.raises(ValueError, match=r"logits: .*2 rows have NaN.* the first is row 40"):
        rad_fast.select(stored, 5)
    with pytest.raises(ValueError, match=r"1 row has NaN.* the first is row 70"):
        rad_fast.select(stored, 5, exclude=[40])
    assert rad_fast.Selector(5, invalid="exclude").fit(stored).n_invalid == 2
    with pytest.raises(ValueError, match=r"student_logits: .*the first is row 40"):
        rad_fast.select(LOGITS, 5, student_logits=stored)


# ------------------------------------------------------------------------------------------------------------ messages


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((np.zeros((3, 2), int), np.zeros((3, 2), int), 5), TypeError, "values: expected float64, .*got int64"),
        ((np.zeros((3, 1)), np.zeros((3, 1), int), 5), ValueError, r"values: .*k at least 2, got shape \(3, 1\)"),
        ((np.zeros((3, 2)), np.zeros((3, 2)), 5), TypeError, "indices: expected integers.*got dtype float64"),
        ((np.zeros((3, 2)), np.zeros((3, 3), int), 5), ValueError, r"indices: .*shape \(3, 2\), got shape \(3, 3\)"),
        ((np.zeros((3, 2)), np.zeros((3, 2), int), 1), ValueError, "n_classes: expected at least the 2"),
        ((np.zeros((3, 2)), np.zeros((3, 2), int), 5.0), TypeError, "n_classes: expected an int"),
        ((np.zeros((3, 2)), np.zeros((3, 2), int), 5, [1, 2, 3]), TypeError, "logsumexp: expected float64"),
        ((np.zeros((3, 2)), np.zeros((3, 2), int), 5, np.zeros(2)), ValueError, r"logsumexp: .*shape \(3,\), got"),
    ],
)
def test_what_cannot_be_right_is_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        TopKLogits(*arguments)


def test_what_is_wrong_inside_is_refused_when_it_is_scored():
    stored = top_of(LOGITS)
    for change, message in [
        (lambda s: s.indices.__setitem__((30, 1), C), "logits.indices: expected classes from 0 to 39, row 30 has"),
        (lambda s: s.logsumexp.__setitem__(32, 0.0), "logits.logsumexp: .*row 32, got 0 .1 rows in all"),
    ]:
        broken = TopKLogits(stored.values.copy(), stored.indices.copy(), C, stored.logsumexp.copy())
        change(broken)
        with pytest.raises(ValueError, match=message):
            rad_fast.select(broken, 5)
    with pytest.raises(ValueError, match="expected at least one row"):
        rad_fast.Calibrator().fit(stored[:0], [])


def test_the_example_in_its_documentation():
    assert doctest.testmod(topk).failed == 0


# -------------------------------------------------------------------------------------------------- on the command line


def stored(folder: Path, kept: TopKLogits) -> list[str]:
    """Files of what is kept, and the arguments that name them."""
    for name, array in (("values", kept.values), ("classes", kept.indices), ("sums", kept.logsumexp)):
        np.save(folder / f"{name}.npy", array)
    files = ["--top-k", str(folder / "classes.npy"), "--logsumexp", str(folder / "sums.npy")]
    return ["select", str(folder / "values.npy"), *files, "--classes", str(kept.n_classes), "--budget", "30"]


def command_case() -> tuple[np.ndarray, TopKLogits]:
    logits = np.random.default_rng(5).normal(0, 4, (900, 40)).astype(np.float32)
    top = np.argsort(-logits, axis=1)[:, :6]
    sums = np.log(np.exp(logits.astype(np.float64)).sum(axis=1))
    return logits, TopKLogits(np.take_along_axis(logits, top, axis=1), top, 40, sums)


def test_the_command_selects_from_files_of_the_top_k_as_from_all_logits(tmp_path, monkeypatch):
    monkeypatch.setattr(cli.select, "CHUNK_BYTES", 24 * 130)
    logits, kept = command_case()
    arguments = stored(tmp_path, kept)
    for more in ([], ["--workdir", str(tmp_path / "work")], ["--workdir", str(tmp_path / "work")]):
        assert cli.main([*arguments, "--out", str(tmp_path / "out.npy"), *more]) == 0
        np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), rad_fast.select(kept, 30))
    assert len(np.intersect1d(np.load(tmp_path / "out.npy"), rad_fast.select(logits, 30))) >= 29
    assert json.loads((tmp_path / "out.json").read_text())["classes"] == 40
    np.save(tmp_path / "classes.npy", kept.indices[::-1])  # the work folder knows these files
    assert cli.main([*arguments, "--out", str(tmp_path / "out.npy"), "--workdir", str(tmp_path / "work")]) == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda kept: {"indices": kept.indices[:-1]}, "expected a class for every value, shape (900, 6), got (899, 6)"),
        (lambda kept: {"logsumexp": kept.logsumexp[:5]}, "expected one number per row, shape (900,), got (5,)"),
        (lambda kept: {"logsumexp": kept.logsumexp - 3}, "logsumexp: expected log(sum(exp(logits)))"),
        (lambda kept: {"n_classes": 5}, "n_classes: expected at least the 6 that are kept"),
        (lambda kept: {"indices": kept.values}, "classes.npy: expected rows of integers, got dtype float32"),
    ],
)
def test_files_of_the_top_k_that_do_not_go_together_are_refused(change, said, tmp_path, capsys):
    kept = command_case()[1]
    kept.__dict__.update(change(kept))
    assert cli.main([*stored(tmp_path, kept), "--out", str(tmp_path / "out.npy")]) == 1
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--top-k", "classes.npy"], "--classes: expected with --top-k: how many classes"),
        (["--logsumexp", "sums.npy"], "--logsumexp: expected together with --top-k and --classes"),
        (["--top-k", "classes.npy", "--classes", "40", "--backend", "triton"], "with a --backend in host memory"),
    ],
)
def test_arguments_of_the_top_k_that_do_not_go_together_are_bad_usage(more, said, capsys):
    with pytest.raises(SystemExit) as left:
        cli.main(["select", "values.npy", "--budget", "5", *more])
    assert left.value.code == 2
    assert said in capsys.readouterr().err


# ------------------------------------------------------------------------------------------------------ in CUDA memory


def test_top_k_in_cuda_memory_select_the_same_and_hand_back_on_the_device(monkeypatch):
    torch = pytest.importorskip("torch")
    kept = top_of(LOGITS)
    wanted = rad_fast.select(kept, BUDGET)
    there = [torch.from_numpy(array) for array in (kept.values, kept.indices, kept.logsumexp)]
    # A tensor in host memory stands for one on the device; what is fetched from there is counted.
    monkeypatch.setattr(teachers, "is_cuda", lambda value: isinstance(value, torch.Tensor))
    moved = []
    monkeypatch.setattr(torch.Tensor, "cpu", lambda tensor: moved.append(tensor.numel()) or tensor)
    monkeypatch.setattr(topk, "BLOCK", K * 1000)
    selection = rad_fast.Selector(BUDGET).fit(TopKLogits(there[0], there[1], C, there[2]))
    assert isinstance(selection.indices, torch.Tensor)
    np.testing.assert_array_equal(selection.indices.numpy(), wanted)
    assert max(moved) == K * 1000, "no more than a block at a time"
    with pytest.raises(ValueError, match=r"indices: expected a class for every value"):
        TopKLogits(there[0], there[1][:5], C)
