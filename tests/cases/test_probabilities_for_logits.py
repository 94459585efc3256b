"""Softmax outputs where logits are expected: refused everywhere, with the words that help; and logits never are."""

from __future__ import annotations

import numpy as np
import pytest

import rad_fast
from rad_fast import cli, inputs

pytestmark = pytest.mark.usefixtures("short_curves")

LOGITS = np.random.default_rng(0).normal(0, 4, (600, 6)).astype("f4")
STUDENT = np.random.default_rng(1).normal(0, 2, (600, 6)).astype("f4")
GIVEN = r"expected logits, got probabilities: .* rad_fast.Probabilities\(p\), or their logarithm"


def softmax(z):
    e = np.exp(z.astype("f8") - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


P = softmax(LOGITS)


def bfloat16(p):
    return p.astype(pytest.importorskip("ml_dtypes").bfloat16)


@pytest.mark.parametrize(
    "kept",
    [np.float64, np.float32, np.float16, bfloat16, lambda p: p.round(3), lambda p: np.eye(6)[p.argmax(axis=1)]],
    ids=["float64", "float32", "float16", "bfloat16", "three decimals", "one-hot"],
)
def test_probabilities_are_refused_in_every_precision(kept, kernels):
    p = kept(P) if isinstance(kept, type) is False else P.astype(kept)
    with pytest.raises(ValueError, match="^logits: " + GIVEN):
        rad_fast.select(p, 20, backend=kernels.name)
    with pytest.raises(ValueError, match="^student_logits: " + GIVEN):
        rad_fast.select(LOGITS, 20, student_logits=p, backend=kernels.name)


def test_in_chunks_of_any_size():
    def fit(step):
        selector = rad_fast.Selector(20)
        for begin in range(0, 600, step):
            selector.partial_fit(P[begin : begin + step])

    for step in (600, 100, 3, 1):
        with pytest.raises(ValueError, match="^logits: " + GIVEN):
            fit(step)


def test_a_shard_of_probabilities_among_logits():
    selector = rad_fast.Selector(20).partial_fit(LOGITS)
    with pytest.raises(ValueError, match=GIVEN):
        selector.partial_fit(P[:200])


def test_a_call_that_was_refused_leaves_the_selector_as_it_was():
    selector = rad_fast.Selector(20).partial_fit(LOGITS[:300])
    with pytest.raises(ValueError, match=GIVEN):
        selector.partial_fit(P[300:])
    found = selector.partial_fit(LOGITS[300:]).finalize()
    np.testing.assert_array_equal(found.indices, rad_fast.select(LOGITS, 20))


def test_few_rows():
    with pytest.raises(ValueError, match=GIVEN):
        rad_fast.select(P[:3], 1)
    with pytest.raises(ValueError, match=GIVEN):
        rad_fast.Selector(1).partial_fit(P[:2]).partial_fit(P[2:3]).finalize()
    assert len(rad_fast.select(np.array([[0.0, 1.0], [1.0, 0.0]]), 1)) == 1  # two rows of 0 and 1 may be logits


def test_rows_that_say_nothing_do_not_hide_it():
    p = P.copy()
    p[0], p[-1] = np.nan, 7.0
    with pytest.raises(ValueError, match=GIVEN):
        rad_fast.Selector(20, invalid="exclude").fit(p, exclude=[599])


def test_calibrators():
    labels = P.argmax(axis=1)
    with pytest.raises(ValueError, match="^teacher_logits: " + GIVEN):
        rad_fast.Calibrator().fit(P, labels)
    with pytest.raises(ValueError, match="^student_logits: " + GIVEN):
        rad_fast.Calibrator().fit(LOGITS, labels, softmax(STUDENT))
    calibrator = rad_fast.Calibrator().fit(LOGITS, (labels + (np.arange(600) % 5 == 0)) % 6)
    with pytest.raises(ValueError, match="^teacher_logits: " + GIVEN):
        calibrator.predict(P)


def test_two_rows_are_enough_for_a_calibrator():
    labels = P.argmax(axis=1)
    calibrator = rad_fast.Calibrator().fit(LOGITS, (labels + (np.arange(600) % 5 == 0)) % 6)
    with pytest.raises(ValueError, match=GIVEN):
        calibrator.predict(P[:2])
    assert len(calibrator.predict(np.eye(6)[:1])) == 1


def test_streams_and_cascades():
    from rad_fast.stream import Cascade, StreamSelector

    with pytest.raises(ValueError, match="^student_logits: " + GIVEN):
        StreamSelector(0.1).offer(LOGITS, P)
    stream = StreamSelector(0.1)
    for teacher, student in zip(LOGITS[:7], P[:7], strict=True):
        stream.offer(teacher, student)
    with pytest.raises(ValueError, match="^student_logits: " + GIVEN):
        stream.offer(LOGITS[7], P[7])
    cascade = Cascade(lambda rows: P[rows], lambda rows: LOGITS[rows], rate=0.2)
    for call in (
        lambda: cascade(np.arange(100)),
        lambda: cascade.route(P),
        lambda: cascade.watch(P),
        lambda: cascade.table(P, LOGITS, P.argmax(axis=1)),
        lambda: cascade.table(LOGITS, P, P.argmax(axis=1)),
    ):
        with pytest.raises(ValueError, match=GIVEN):
            call()
    routed = Cascade(None, None, 0.2).route(rad_fast.Probabilities(P))
    np.testing.assert_array_equal(routed, Cascade(None, None, 0.2).route(np.log(P)))


def test_soft_targets_and_batches_inside_training():
    torch = pytest.importorskip("torch")
    from rad_fast.distill import OnlineBatches, soft_targets

    for rows in (2, 600):
        with pytest.raises(ValueError, match="logits: expected logits, got probabilities"):
            soft_targets(P[:rows])
    assert soft_targets(np.eye(6)[:2]).shape == (2, 6)  # a few rows of 0 and 1 may be logits
    x, labels = torch.from_numpy(LOGITS[:64]), torch.from_numpy(P[:64].argmax(axis=1))

    def ends_in_softmax(rows):
        return rows.softmax(1)

    def logits(rows):
        return 2.0 * rows

    for by in ("learnability", "rad"):
        with pytest.raises(ValueError, match="reference: expected logits, got probabilities"):
            next(iter(OnlineBatches([(x, labels)], logits, ends_in_softmax, by=by)))
        with pytest.raises(ValueError, match="student: expected logits, got probabilities"):
            next(iter(OnlineBatches([(x, labels)], ends_in_softmax, logits, by=by)))


def test_the_largest_of_each_row():
    ids = np.argsort(-P, axis=1)[:, :4].copy()
    with pytest.raises(ValueError, match=GIVEN):
        rad_fast.select(rad_fast.TopKLogits(np.take_along_axis(P, ids, axis=1), ids, 6), 20)


def test_the_command_line_names_the_file_and_its_option(tmp_path, capsys):
    np.save(tmp_path / "p.npy", P.astype("f4"))
    np.save(tmp_path / "z.npy", LOGITS)
    out = tmp_path / "o.npy"
    assert cli.main(["select", str(tmp_path / "p.npy"), "--budget", "20", "--out", str(out)]) == 1
    said = capsys.readouterr().err
    assert "p.npy: expected logits, got probabilities" in said
    assert "give --probabilities" in said
    command = ["select", str(tmp_path / "z.npy"), "--student", str(tmp_path / "p.npy"), "--budget", "20"]
    assert cli.main([*command, "--out", str(out)]) == 1
    assert "give --student-probabilities" in capsys.readouterr().err
    assert not out.exists()
    assert cli.main(["select", str(tmp_path / "p.npy"), "--probabilities", "--budget", "20", "--out", str(out)]) == 0
    np.testing.assert_array_equal(np.load(out), rad_fast.select(np.log(P.astype("f4")), 20))


@pytest.mark.parametrize(
    "logits",
    [
        LOGITS,
        np.zeros((600, 6)),  # a student that knows nothing yet
        np.random.default_rng(0).normal(0, 0.01, (600, 6)),
        np.random.default_rng(0).uniform(0, 1, (600, 2)),
        np.log(P),
        np.abs(LOGITS),
    ],
    ids=["logits", "zeros", "untrained", "uniform", "log-probabilities", "not negative"],
)
def test_logits_are_never_taken_for_probabilities(logits):
    assert len(rad_fast.Selector(20, mistakes=0).fit(logits, correctness=0.9).indices) == 20


def test_as_probabilities_they_serve():
    found = rad_fast.select(rad_fast.Probabilities(P), 20, student_logits=rad_fast.Probabilities(softmax(STUDENT)))
    np.testing.assert_array_equal(found, rad_fast.select(LOGITS, 20, student_logits=STUDENT))


@pytest.mark.parametrize(
    ("p", "words"),
    [
        (LOGITS, "600 are not, the first is row 0"),
        (np.array([[0.5, 0.5], [0.5, 0.6]]), "1 is not, the first is row 1, from 0.5 to 0.6 with the sum 1.1"),
    ],
)
def test_what_is_given_as_probabilities_is_checked(p, words):
    with pytest.raises(ValueError, match=f"p: expected rows of probabilities, .*{words}"):
        rad_fast.Probabilities(p)


def test_a_look_costs_a_few_rows():
    """Of a matrix that is no such thing one row is read, however many there are."""

    class Counted(np.ndarray):
        reads = 0

        def __getitem__(self, at):
            Counted.reads += isinstance(at, int)
            return super().__getitem__(at)

    assert inputs.looked_at(LOGITS.view(Counted), None).others
    assert Counted.reads == 1
    assert inputs.looked_at(P.view(Counted), None).alike == 16
    assert Counted.reads == 1 + 16


@pytest.mark.parametrize("held_out", [False, True])
def test_a_student_that_ends_in_a_softmax_learns_as_without_it(held_out):
    """The loss is of logits: a softmax of a softmax would learn little, and say nothing."""
    torch = pytest.importorskip("torch")
    from rad_fast.distill import Fit, SoftLabelDataset

    x = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
    data, holdout = SoftLabelDataset(x, (x[:, 0] > 0).long(), n_classes=2), (x[:50], (x[:50, 0] > 0).long())
    trained = []
    for ends in ([], [torch.nn.Softmax(1)]):
        torch.manual_seed(0)
        student = torch.nn.Sequential(torch.nn.Linear(2, 2), *ends)
        Fit(epochs=5, lr=0.05, holdout=holdout if held_out else None)(student, data)
        trained.append(student[0].weight.detach().numpy())
    np.testing.assert_allclose(trained[1], trained[0], atol=1e-4)
