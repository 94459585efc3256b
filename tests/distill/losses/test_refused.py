"""What a loss is given that cannot be meant is refused: the number that comes out would look like any other."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch", reason="rad_fast.distill needs torch")

from rad_fast.distill.losses import (  # noqa: E402
    DebiasingWeights,
    DistillationKL,
    MixingEstimator,
    StudentLabelMixing,
    SubclassDistillation,
    WeightedDistillation,
    distillation_kl,
    partial_labels,
    self_distillation,
    soft_cross_entropy,
    student_label_mixing,
)

ROWS, CLASSES = 12, 4  # more rows than can be 0 and 1 by chance
Z, TEACHER, EARLIER = (torch.randn(ROWS, CLASSES, generator=torch.Generator().manual_seed(at)) for at in range(3))
P, LABELS = TEACHER.softmax(1), TEACHER.argmax(1)
ONE_HOT = torch.nn.functional.one_hot(LABELS, CLASSES).float()
MIXING = MixingEstimator().fit(TEACHER, LABELS)
WEIGHTS = DebiasingWeights().fit(EARLIER, TEACHER, LABELS)
SUBCLASS = SubclassDistillation().fit(Z[:, :3], LABELS, classes=CLASSES)


@pytest.mark.parametrize("p", [P, P[:2], P.half(), P.bfloat16(), P.double(), ONE_HOT])
@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("student_logits", lambda p: soft_cross_entropy(p, LABELS[: len(p)])),
        ("student_logits", lambda p: distillation_kl(p, TEACHER[: len(p)])),
        ("student_logits", lambda p: student_label_mixing(p, LABELS[: len(p)], 0.9)),
        ("teacher_logits", lambda p: distillation_kl(Z[: len(p)], p)),
        ("teacher_logits", lambda p: DistillationKL(3.0)(Z[: len(p)], p, torch.ones(len(p)))),
        ("teacher_logits", lambda p: StudentLabelMixing(MIXING)(Z[: len(p)], p)),
        ("teacher_logits", lambda p: MixingEstimator().fit(p, LABELS[: len(p)])),
        ("teacher_logits", lambda p: MIXING.alpha(p)),
        ("teacher_logits", lambda p: DebiasingWeights().fit(EARLIER[: len(p)], p, LABELS[: len(p)])),
        ("student_logits", lambda p: DebiasingWeights().fit(p, TEACHER[: len(p)], LABELS[: len(p)])),
        ("student_logits", lambda p: WeightedDistillation(WEIGHTS)(Z[: len(p)], TEACHER[: len(p)], p)),
        ("earlier_student_logits", lambda p: self_distillation(Z[: len(p)], LABELS[: len(p)], p)),
        ("teacher_logits", lambda p: SUBCLASS.targets(p, torch.zeros(len(p), 3))),
    ],
)
def test_probabilities_are_no_logits(name, call, p):
    with pytest.raises(ValueError, match=f"{name}: expected logits, got probabilities: .*before its softmax, or log"):
        call(p)


@pytest.mark.parametrize("logits", [P[:1], ONE_HOT[:7], P + 0.01, P.log(), 100 * P, torch.zeros(ROWS, CLASSES), -P])
def test_logits_are_not_taken_for_probabilities(logits):
    assert math.isfinite(float(distillation_kl(logits, logits)))


@pytest.mark.parametrize(
    ("targets", "says"),
    [
        (TEACHER, r"12 are not, the first is row 0; give logits through soft_targets\(logits\)"),
        (torch.cat([P[:5], 2 * P[5:6], P[6:]]), "1 is not, the first is row 5"),
        (torch.cat([P[:5], P[5:6] * torch.nan, P[6:]]), "1 is not, the first is row 5"),
        (torch.cat([P[:-1], torch.tensor([[1.5, -0.5, 0.0, 0.0]])]), "1 is not, the first is row 11"),
        (LABELS.index_fill(0, torch.tensor([3]), -100), "classes from 0 to 3, 1 is not, the first: -100 in row 3; lea"),
        (LABELS + 2, f"classes from 0 to 3, {int((LABELS == 2).sum())} are not, the first: 4 in row"),
    ],
)
def test_targets_are_probabilities_or_classes(targets, says):
    for call in (soft_cross_entropy, lambda z, t: student_label_mixing(z, t, 0.9)):
        with pytest.raises(ValueError, match=f"targets: expected .*{says}"):
            call(Z, targets)
    with pytest.raises(ValueError, match=f"targets: expected .*{says}"):
        self_distillation(Z, targets, EARLIER)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_targets_in_any_precision_serve(kind):
    many = torch.randn(ROWS, 1000, generator=torch.Generator().manual_seed(5))
    exact = float(soft_cross_entropy(many, many.softmax(1)))
    assert float(soft_cross_entropy(many, many.softmax(1).to(kind))) == pytest.approx(exact, rel=1e-2)


@pytest.mark.parametrize(("bad", "shown"), [(-0.5, "-0.5"), (math.nan, "nan"), (math.inf, "inf")])
@pytest.mark.parametrize(
    "call",
    [
        lambda w: soft_cross_entropy(Z, P, weight=w),
        lambda w: distillation_kl(Z, TEACHER, weight=w),
        lambda w: student_label_mixing(Z, P, 0.9, weight=w),
        lambda w: self_distillation(Z, P, EARLIER, weight=w),
        lambda w: StudentLabelMixing(MIXING)(Z, TEACHER, w),
    ],
)
def test_weights_are_finite_and_not_below_zero(call, bad, shown):
    weight = torch.ones(ROWS)
    weight[4] = bad
    with pytest.raises(ValueError, match=f"weight: expected finite weights of at least 0, 1 is not, .* {shown} in row"):
        call(weight)
    with pytest.raises(ValueError, match=f"weight: expected finite .*first: {shown} in row 0"):
        call(bad)
    assert math.isfinite(float(call(torch.zeros(ROWS))))
    assert float(call(2.0)) == pytest.approx(2 * float(call(torch.ones(ROWS))))


@pytest.mark.parametrize("alpha", [1.5, -0.1, math.nan, torch.full((ROWS,), 2.0)])
def test_a_probability_is_one(alpha):
    with pytest.raises(ValueError, match=r"alpha: expected probabilities, from 0 to 1, .* not, the first: .* in row 0"):
        student_label_mixing(Z, P, alpha)


def test_one_hot_rows_have_no_second_class():
    for rows in (1, ROWS):
        with pytest.raises(ValueError, match="logits: expected logits or probabilities, got one-hot rows"):
            partial_labels(ONE_HOT[:rows])
    assert torch.equal(partial_labels(ONE_HOT, 1), ONE_HOT)
    assert partial_labels(ONE_HOT, CLASSES).eq(0.25).all()
    assert partial_labels(P).sum() == ROWS
    assert partial_labels(P[:0]).shape == (0, CLASSES)


def test_a_loss_is_made_of_what_is_fitted():
    with pytest.raises(ValueError, match=r"mixing: expected a fitted MixingEstimator; call its \.fit first"):
        StudentLabelMixing(MixingEstimator())
    with pytest.raises(TypeError, match="weights: expected a fitted DebiasingWeights, got Tensor"):
        WeightedDistillation(torch.ones(3))


def test_the_teacher_of_a_loss_has_the_student_s_classes():
    with pytest.raises(
        ValueError, match=r"teacher_logits: expected shape \(12, 4\) as the student's logits, got \(12, 3\)"
    ):
        StudentLabelMixing(MIXING)(Z, TEACHER[:, :3])
    with pytest.raises(ValueError, match="teacher_logits: expected shape"):
        WEIGHTS.predict(Z, TEACHER[:5])


def test_where_there_are_no_numbers_none_are_looked_at():
    """Gradients point by point, and shapes alone."""

    def one(z, p):
        return soft_cross_entropy(z[None], p[None])

    found = torch.func.vmap(torch.func.grad(one))(Z, P)
    torch.testing.assert_close(found, Z.softmax(1) - P)
    assert soft_cross_entropy(Z.to("meta"), P.to("meta")).shape == ()


SPOILED = Z.clone()
SPOILED[3, 1] = math.nan
SPOILED[7] = -math.inf


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("teacher_logits", lambda z: distillation_kl(Z, z)),
        ("teacher_logits", lambda z: DebiasingWeights().fit(EARLIER, z, LABELS)),
        ("student_logits", lambda z: DebiasingWeights().fit(z, TEACHER, LABELS)),
        ("student_logits", lambda z: WEIGHTS.predict(z, TEACHER)),
        ("earlier_student_logits", lambda z: self_distillation(Z, LABELS, z)),
        ("teacher_logits", lambda z: SUBCLASS.targets(z, torch.zeros(ROWS, 3))),
        ("embedding", lambda z: SubclassDistillation().fit(z, LABELS, classes=CLASSES)),
        ("logits", partial_labels),
    ],
)
def test_what_is_not_trained_here_has_numbers(name, call):
    with pytest.raises(
        ValueError, match=f"^{name}: expected rows of finite numbers or -inf, 2 are not.* is row 3; leave"
    ):
        call(SPOILED)
    call(Z.index_fill(1, torch.tensor([2]), -100.0))


@pytest.mark.parametrize(
    "call",
    [
        lambda z, y: DebiasingWeights().fit(z, z, y),
        lambda z, y: MixingEstimator().fit(z, y),
        lambda z, y: SubclassDistillation().fit(z, y),
    ],
)
def test_of_no_points_nothing_is_learned(call):
    with pytest.raises(ValueError, match=r": expected at least one row, got shape \(0, 4\)"):
        call(Z[:0], LABELS[:0])
