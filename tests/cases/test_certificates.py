"""What a certificate promises is kept: in 2,000 simulated worlds, wherever the teacher's mistakes lie."""

from __future__ import annotations

import json
import warnings
from itertools import product

import numpy as np
import pytest
from scipy.stats import hypergeom

import rad_fast
from rad_fast.game.certificate import most_wrong, promised

POOL, CLASSES, BUDGET = 1000, 6, 60
TEACHERS = (0.6, 0.8, 0.9, 0.97, 0.995)
WORLDS = 2000


class World:
    """A pool and labelled points of one source: logits of both models, and where the teacher is wrong.

    Either it is wrong where its margin is small, or, whatever its margin, where the student disagrees.
    """

    def __init__(self, seed: int, labelled: int, right: float, beside_the_margin: bool, pool: int = POOL) -> None:
        rng = np.random.default_rng(seed)
        points = pool + labelled
        teacher = rng.normal(0, 1, (points, CLASSES))
        teacher[np.arange(points), rng.integers(0, CLASSES, points)] += rng.exponential(4, points)
        student = teacher + rng.normal(0, 2.5, teacher.shape)
        label = teacher.argmax(1)
        odds = np.exp(teacher - teacher.max(1, keepdims=True))
        p = np.sort(odds / odds.sum(1, keepdims=True), axis=1)
        risk = 1.02 - (p[:, -1] - p[:, -2])
        if beside_the_margin:
            risk = 0.05 + (student.argmax(1) != label)
        scale = 1.0
        for _ in range(40):  # until so many are wrong on average
            scale *= (1.0 - right) / np.minimum(risk * scale, 0.95).mean()
        self.wrong = rng.random(points) < np.minimum(risk * scale, 0.95)
        self.truth = np.where(self.wrong, (label + 1 + rng.integers(0, CLASSES - 1, points)) % CLASSES, label)
        self.teacher, self.student = teacher.astype(np.float32), student.astype(np.float32)
        self.pool = pool

    def selection(self, both: bool, gain: str, seed: int = 0, quotas: str | None = "auto") -> rad_fast.Selection:
        held = slice(self.pool, None)
        calibrator = rad_fast.Calibrator()
        calibrator.fit(self.teacher[held], self.truth[held], self.student[held] if both else None)
        student = self.student[: self.pool] if both or gain == "of another model" else None
        kind = "margin" if gain == "of another model" else gain
        selector = rad_fast.Selector(BUDGET, seed=seed, quotas=quotas)
        return selector.fit(self.teacher[: self.pool], student_logits=student, gain=kind, correctness=calibrator)

    def real(self, selection: rad_fast.Selection) -> float:
        """The gain that is to be expected of the selection, true labels known."""
        return float((selection.probabilities * selection.gain * np.where(self.wrong[: self.pool], -1, 1)).sum())


def kept(labelled: int, both: bool, gain: str, worlds: int) -> tuple[float, float, float]:
    """How often the promise was kept, and the means of what was promised and of what came."""
    promises, came = [], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few labelled points, unreliable teachers: both are meant
        for at, (right, beside) in zip(range(worlds), _settings(), strict=False):
            world = World(1000 * labelled + at, labelled, right, beside)
            selection = world.selection(both, gain, seed=at, quotas="auto" if at % 3 else None)
            promises.append(selection.certificate(0.95))
            came.append(world.real(selection))
    within = np.array(promises) <= np.array(came) + 1e-9
    return float(within.mean()), float(np.mean(promises)), float(np.mean(came))


def _settings():
    while True:
        yield from product(TEACHERS, (False, True))


CALIBRATORS = [(False, "margin"), (True, "label")]
LABELLED = (5, 20, 50, 100, 500, 1000)


@pytest.mark.slow
@pytest.mark.parametrize(("both", "gain"), CALIBRATORS)
@pytest.mark.parametrize("labelled", LABELLED)
def test_a_certificate_at_95_percent_is_kept_in_at_least_95_percent_of_worlds(labelled, both, gain):
    share, promise, came = kept(labelled, both, gain, -(-WORLDS // (len(CALIBRATORS) * len(LABELLED))))
    assert share >= 0.95
    assert promise < came
    if labelled >= 100:
        assert promise > 0.2 * came, "it is honest, and it says something"


@pytest.mark.parametrize("labelled", [50, 500])
def test_where_the_gain_of_labelled_points_is_not_known_it_is_kept_all_the_same(labelled):
    share, promise, came = kept(labelled, False, "of another model", 30)
    assert share >= 0.95
    assert promise < came


def test_more_labelled_points_promise_more():
    means = [kept(labelled, True, "label", 10)[1] for labelled in (5, 50, 500)]
    assert means[0] < 0 < means[1] < means[2]


@pytest.mark.parametrize("seen", [1, 4, 9])
@pytest.mark.parametrize("rest", [1, 6])
@pytest.mark.parametrize("confidence", [0.5, 0.95])
def test_the_limit_on_wrong_points_is_exceeded_no_more_often_than_said(seen, rest, confidence):
    """Exactly, over every number of wrong points among all."""
    for wrong_of_all in range(seen + rest + 1):
        chance = 0.0
        for wrong in range(max(0, wrong_of_all - rest), min(seen, wrong_of_all) + 1):
            if wrong_of_all - wrong > most_wrong(wrong, seen, rest, confidence):
                chance += hypergeom.pmf(wrong, seen + rest, wrong_of_all, seen)
        assert chance <= 1 - confidence + 1e-12


def test_the_limit_is_the_largest_that_is_not_excluded():
    for wrong, seen, rest in ((0, 100, 10_000), (3, 250, 40_000), (40, 1000, 10**7), (5, 5, 10)):
        most = most_wrong(wrong, seen, rest, 0.95)
        assert hypergeom.cdf(wrong, seen + rest, wrong + most, seen) > 0.05
        assert most == rest or hypergeom.cdf(wrong, seen + rest, wrong + most + 1, seen) <= 0.05
    assert most_wrong(0, 0, 7, 0.95) == 7


def test_what_is_lost_is_lost_where_it_costs_most():
    worth = np.array([0.5, 0.1, 0.9, 0.2], np.float32)
    for errors, gain in ((0, 1.7), (1, -0.1), (2, -1.1), (3, -1.5), (4, -1.7), (9, -1.7)):
        assert promised(worth, errors) == pytest.approx(gain, abs=1e-6)
    assert promised(worth[:0], 0) == 0.0


def test_all_labelled_points_right_is_not_certainty():
    """Of a hundred right ones a teacher of 97% has hundreds behind it that are wrong."""
    world = World(3, 100, 0.99, False)
    world.truth[POOL:] = world.teacher[POOL:].argmax(1)
    selection = world.selection(True, "label")
    assert selection.calibrator.error_ == 0.0
    assert 0.0 < selection.correctness.min() <= selection.correctness.max() < 1.0
    assert selection.mistakes > 0
    total = float((selection.probabilities * selection.gain).sum())
    assert selection.certificate() < 0.95 * total
    assert selection.certificate(0.5) > selection.certificate(0.95) > selection.certificate(0.999)


def test_few_labelled_points_are_warned_of():
    selection = World(3, 29, 0.9, False).selection(True, "label")
    with pytest.warns(UserWarning, match="certificate: 29 labelled points promise hardly anything; label at least 30"):
        selection.certificate()
    World(3, 30, 0.9, False).selection(True, "label").certificate()
    one = World(3, 1, 0.9, False).selection(False, "margin")
    with pytest.warns(UserWarning, match="1 labelled point promises hardly anything"):
        assert one.certificate() < 0


@pytest.mark.parametrize("quotas", ["auto", None])
def test_summary_report_page_and_json_say_it(tmp_path, quotas):
    pytest.importorskip("jinja2")
    pytest.importorskip("matplotlib")
    selection = World(5, 500, 0.97, False).selection(True, "label", quotas=quotas)
    promise = selection.certificate()
    numbers = json.loads(json.dumps(selection.report()))
    assert (numbers["certificate"], numbers["labelled"]) == (promise, 500)
    words = "from 500 labelled points: with 95% confidence, the expected gain is at least"
    assert f"certificate {words}" in selection.summary()
    selection.save_report(tmp_path / "page.html")
    assert words in (tmp_path / "page.html").read_text()
    few = World(5, 5, 0.8, False).selection(True, "label", quotas=quotas)
    assert "no certificate: 5 labelled points cannot promise a gain" in few.summary()


def test_without_labelled_points_there_is_no_certificate():
    selection = rad_fast.Selector(20).fit(World(0, 1, 0.9, False).teacher)
    with pytest.raises(ValueError, match="certificate: expected a selection whose correctness came from a Calibrator"):
        selection.certificate()
    assert "certificate" not in selection.report()


@pytest.mark.parametrize("confidence", [0, 1, 1.5, float("nan"), "95%", None])
def test_a_confidence_is_between_0_and_1(confidence):
    with pytest.raises(ValueError, match="confidence: expected a number between 0 and 1"):
        World(0, 40, 0.9, False).selection(True, "label").certificate(confidence)


def test_a_selection_in_stages_has_one_too():
    world = World(7, 500, 0.97, False)
    first = world.selection(True, "label")
    second = first.extend(2 * BUDGET)
    assert second.certificate() < world.real(second)


def test_it_is_the_same_after_saving_and_on_every_backend(tmp_path, kernels):
    world = World(9, 200, 0.9, False)
    selection = world.selection(True, "label")
    selection.save(tmp_path / "selection.npz")
    assert rad_fast.Selection.load(tmp_path / "selection.npz").certificate() == selection.certificate()
    calibrator = rad_fast.Calibrator(backend=kernels.name)
    calibrator.fit(world.teacher[POOL:], world.truth[POOL:], world.student[POOL:])
    other = rad_fast.Selector(BUDGET, backend=kernels.name, quotas="auto").fit(
        world.teacher[:POOL], student_logits=world.student[:POOL], gain="label", correctness=calibrator
    )
    assert other.certificate() == pytest.approx(selection.certificate(), rel=1e-3)


@pytest.mark.parametrize("left_out", ["most that are right", "rounds before"])
def test_it_is_kept_of_what_is_left_when_others_were_left_out(left_out):
    """The labelled points are a sample of all: of what is left they may say too much."""
    kept = 0
    for seed in range(60):
        world = World(seed, 100, 0.9, False, pool=300)
        held, pool = slice(300, None), slice(0, 300)
        calibrator = rad_fast.Calibrator().fit(world.teacher[held], world.truth[held])
        rng = np.random.default_rng(seed)
        gone = ~world.wrong[pool] & (rng.random(300) < 0.8) if left_out.startswith("most") else np.zeros(300, bool)
        selector = rad_fast.Selector(30, quotas=None, mistakes=0)
        if left_out == "rounds before":
            for _ in range(5):
                gone[selector.fit(world.teacher[pool], correctness=calibrator, exclude=gone).indices] = True
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            selection = selector.fit(world.teacher[pool], correctness=calibrator, exclude=gone)
        there = ~gone
        right = np.where(world.wrong[pool], -1.0, 1.0)
        real = float((selection.probabilities * np.nan_to_num(selection.gain) * right)[there].sum())
        kept += selection.certificate() <= real + 1e-9
    assert kept >= 0.95 * 60
