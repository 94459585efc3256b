"""Two models: what is sent to the large one, how often, and what that is worth on real digits."""

from __future__ import annotations

import numpy as np
import pytest

import rad_fast
from rad_fast.stream import Cascade


def logits_of(points: int, seed: int = 0, scale: float = 3.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, scale, (points, 5)).astype(np.float32)


class Model:
    """Looks its logits up by the number of the query, and counts what it was asked."""

    def __init__(self, logits: np.ndarray) -> None:
        self.logits, self.asked = logits, 0

    def __call__(self, queries: np.ndarray) -> np.ndarray:
        self.asked += len(queries)
        return self.logits[queries]


def test_the_large_model_is_asked_within_the_rate_and_for_the_least_certain():
    small, large = Model(logits_of(5000)), Model(logits_of(5000, seed=1))
    cascade = Cascade(small, large, 0.1)
    parts = [cascade(part) for part in np.array_split(np.arange(5000), 23)]
    by_large = np.concatenate([part.by_large for part in parts])
    certainty = np.concatenate([part.certainty for part in parts])
    assert np.abs(np.cumsum(by_large) - 0.1 * np.arange(1, 5001)).max() <= cascade.slack + 1e-9
    assert large.asked == cascade.asked == by_large.sum()
    assert (small.asked, cascade.seen) == (5000, 5000)
    assert certainty[by_large].mean() < 0.2 * certainty[~by_large].mean()
    answers = np.concatenate([part.answers for part in parts])
    assert np.array_equal(answers, np.where(by_large, large.logits.argmax(1), small.logits.argmax(1)))


def test_routing_does_not_depend_on_the_batches():
    rows = logits_of(3000)
    whole = Cascade(None, None, 0.2).route(rows)
    cascade = Cascade(None, None, 0.2)
    assert np.array_equal(np.concatenate([cascade.route(part) for part in np.array_split(rows, 411)]), whole)


def test_a_cascade_goes_on_where_its_state_was_taken():
    rows = logits_of(2000)
    whole = Cascade(None, None, 0.2).route(rows)
    first, again = Cascade(None, None, 0.2), Cascade(None, None, 0.2)
    head = first.route(rows[:777])
    again.load_state_dict(first.state_dict())
    assert np.array_equal(np.concatenate([head, again.route(rows[777:])]), whole)
    with pytest.raises(ValueError, match=r"state: expected one of a stream with rate=0.5, got rate=0.2"):
        Cascade(None, None, 0.5).load_state_dict(first.state_dict())


def test_watched_queries_give_a_threshold_to_the_first_one():
    rows = logits_of(2000)
    warm = Cascade(None, None, 0.05, slack=5.0).watch(rows)
    assert warm.seen == 0
    assert warm.route(rows[:10]).sum() <= 2
    least = np.argsort(np.sort(rows, axis=1)[:, -1] - np.sort(rows, axis=1)[:, -2])[:3]
    assert Cascade(None, None, 0.05, slack=5.0).watch(rows).route(rows[least]).any()


def test_calibrated_correctness_routes_and_equal_levels_go_by_the_margin():
    rows, truth = logits_of(3000), np.arange(3000) % 5
    noisy = np.where(np.arange(3000) % 3, rows.argmax(1), truth)
    calibrator = rad_fast.Calibrator().fit(rows, noisy)
    answer = Cascade(Model(rows), Model(rows), 0.1, calibrator, slack=4.0)(np.arange(3000))
    assert answer.certainty == pytest.approx(calibrator.predict(rows), abs=2e-3)
    assert len(np.unique(answer.certainty)) > 10 * len(np.unique(calibrator.predict(rows)))
    assert answer.certainty[answer.by_large].mean() < answer.certainty[~answer.by_large].mean()


def test_language_models_answer_with_text_and_route_by_their_first_token():
    rows = logits_of(400)
    top = np.argsort(-rows, axis=1)[:, :3]

    def small(prompts: list[str]) -> tuple[list[str], rad_fast.TopKLogits]:
        at = np.array([int(prompt) for prompt in prompts])
        values = np.take_along_axis(rows, top, axis=1)
        return [f"small {i}" for i in at], rad_fast.TopKLogits(values[at], top[at], 5)

    cascade = Cascade(small, lambda prompts: [f"large {prompt}" for prompt in prompts], 0.25, window=64)
    answer = cascade([str(i) for i in range(400)])
    assert abs(answer.by_large.sum() - 100) <= cascade.slack
    for i, (text, by_large) in enumerate(zip(answer.answers, answer.by_large, strict=True)):
        assert text == f"{'large' if by_large else 'small'} {i}"


def test_torch_models_and_batches_as_dictionaries():
    torch = pytest.importorskip("torch")
    rows = torch.from_numpy(logits_of(300))

    def model(batch):
        return rows[batch["ids"]]

    answer = Cascade(model, model, 0.2, window=64)({"ids": torch.arange(300)})
    assert np.array_equal(answer.answers, rows.argmax(1).numpy())
    assert abs(answer.by_large.sum() - 60) <= 8


def test_a_batch_without_a_query_for_the_large_model_makes_no_call():
    def never(queries):
        raise AssertionError("asked for nothing")

    answer = Cascade(Model(logits_of(5)), never, 0.05)(np.arange(5))
    assert not answer.by_large.any()


# ------------------------------------------------------------------------------------------------------------ the table


def test_the_table_is_what_routing_the_least_certain_gives():
    small, large, truth = logits_of(500), logits_of(500, seed=1), np.arange(500) % 5
    small[np.arange(500), truth] += 2.0
    large[np.arange(500), truth] += 6.0
    curve = Cascade(None, None, 0.2).table(small, large, truth, rates=(0.0, 0.3, 1.0), cost=(0.1, 2.0))
    assert curve.cost.tolist() == pytest.approx([0.1, 0.7, 2.1])
    right = [(logits.argmax(1) == truth) for logits in (small, large)]
    p = np.exp(small.astype(np.float64))
    p = np.sort(p / p.sum(1, keepdims=True), axis=1)
    sent = np.argsort(p[:, -1] - p[:, -2], kind="stable")[:150]
    mixed = right[0].copy()
    mixed[sent] = right[1][sent]
    assert curve.accuracy.tolist() == pytest.approx([right[0].mean(), mixed.mean(), right[1].mean()])
    assert curve.random[1] == pytest.approx(0.7 * right[0].mean() + 0.3 * right[1].mean())
    best = np.argsort(-(right[1].astype(int) - right[0].astype(int)), kind="stable")[:150]
    mixed = right[0].copy()
    mixed[best] = right[1][best]
    assert curve.best[1] == pytest.approx(mixed.mean())
    assert str(curve).splitlines()[0].split() == ["rate", "cost", "accuracy", "random", "best"]
    assert len(str(curve).splitlines()) == 4


def test_the_curve_is_drawn():
    pytest.importorskip("matplotlib")
    curve = Cascade(None, None, 0.2).table(logits_of(50), logits_of(50, seed=1), np.arange(50) % 5)
    axes = curve.plot().axes[0]
    assert {line.get_label() for line in axes.lines} == {"least certain first", "random", "best"}


def test_real_digits_are_answered_better_than_by_sending_at_random():
    datasets = pytest.importorskip("sklearn.datasets")
    linear = pytest.importorskip("sklearn.linear_model")
    pixels, labels = datasets.load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))
    x, y = pixels[order] / 16.0, labels[order]
    small = linear.LogisticRegression(max_iter=500).fit(x[:60], y[:60])
    large = linear.LogisticRegression(max_iter=2000, C=10.0).fit(x[:700], y[:700])
    calibrator = rad_fast.Calibrator().fit(small.decision_function(x[700:900]), y[700:900])
    test, truth = x[900:], y[900:]
    weak, strong = (float((model.predict(test) == truth).mean()) for model in (small, large))
    for given in (None, calibrator):
        cascade = Cascade(small.decision_function, large.decision_function, 0.2, given)
        cascade.watch(small.decision_function(x[700:900]))
        right = float((cascade(test).answers == truth).mean())
        assert right > weak + 0.2 * (strong - weak) + 0.03


# ------------------------------------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((None, None, 0.0), ValueError, "rate: expected"),
        (("small", None, 0.1), TypeError, "small: expected a callable of a batch of queries, got str"),
        ((None, None, 0.1, "calibrator"), TypeError, "calibrator: expected a Calibrator, got str"),
        ((None, None, 0.1, rad_fast.Calibrator()), ValueError, "expected a fitted Calibrator"),
    ],
)
def test_arguments_that_cannot_be_meant_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        Cascade(*arguments)


def test_a_calibrator_of_two_models_is_refused():
    rows = logits_of(100)
    labels = np.where(np.arange(100) % 4, rows.argmax(1), 0)
    with pytest.raises(ValueError, match="calibrator: expected one fitted with the small model's logits alone"):
        Cascade(None, None, 0.1, rad_fast.Calibrator().fit(rows, labels, logits_of(100, seed=1)))


def test_models_that_answer_wrongly_are_named():
    rows = logits_of(100)
    with pytest.raises(ValueError, match="small: expected a callable"):
        Cascade(None, None, 0.5)(np.arange(3))
    with pytest.raises(ValueError, match=r"large: expected an answer for each of \d+ queries, got 1"):
        Cascade(Model(rows), lambda queries: ["one"], 0.5, window=16)(np.arange(100))
    with pytest.raises(ValueError, match="small: expected an answer for each of 100 queries, got 1"):
        Cascade(lambda queries: (["one"], rows), Model(rows), 0.5)(np.arange(100))
    with pytest.raises(TypeError, match="small: expected logits"):
        Cascade(lambda queries: ["text"] * len(queries), Model(rows), 0.5)(np.arange(100))
    rows[3] = np.nan
    with pytest.raises(ValueError, match="logits: expected rows of finite numbers"):
        Cascade(Model(rows), Model(rows), 0.5)(np.arange(100))


def test_a_table_of_unequal_parts_is_refused():
    cascade = Cascade(None, None, 0.1)
    with pytest.raises(ValueError, match="large_logits: expected a row for every row of small_logits, 9, got 8"):
        cascade.table(logits_of(9), logits_of(8), np.zeros(9, int))
    with pytest.raises(ValueError, match="rates: expected shares"):
        cascade.table(logits_of(9), logits_of(9), np.zeros(9, int), rates=(20,))
    with pytest.raises(ValueError, match="cost: expected two finite numbers"):
        cascade.table(logits_of(9), logits_of(9), np.zeros(9, int), cost=(-1, 2))
    with pytest.raises(ValueError, match="cost: expected two finite numbers of at least 0, for small and large, got 3"):
        cascade.table(logits_of(9), logits_of(9), np.zeros(9, int), cost=3)
