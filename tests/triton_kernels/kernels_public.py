"""The public interface on the device: the same selection as the specification's, and the same errors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from cases import DEVICE
from public_cases import ARGUMENTS, BUDGET, MARGIN, RULE, STUDENT, TEACHER, TRUTH, WRONG, N, called

import rad_fast
from rad_fast import inputs
from rad_fast.device import route, to_host, warm_up


@pytest.fixture(autouse=True)
def device_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Interpreted kernels read host memory: every tensor stands for one on the device."""
    if torch.device(DEVICE).type == "cpu":
        for module in (inputs, route, to_host):
            monkeypatch.setattr(module, "is_cuda", lambda value: isinstance(value, torch.Tensor))


def there(value):
    return torch.from_numpy(value).to(DEVICE) if isinstance(value, np.ndarray) else value


@pytest.mark.usefixtures("few_looks")
@pytest.mark.parametrize("arguments", ARGUMENTS, ids=called)
def test_selects_as_the_specification_does(arguments):
    given = {name: there(value) for name, value in arguments.items()}
    chosen = rad_fast.Selector(BUDGET, quotas=None, backend="triton").fit(there(TEACHER), **MARGIN, **given)
    wanted = rad_fast.Selector(BUDGET, quotas=None, backend="reference").fit(TEACHER, **MARGIN, **arguments)
    assert chosen.indices.device.type == torch.device(DEVICE).type
    assert chosen.backend == "triton"
    # Scores differ by roundings: at most a point or two fall on the other side of a whole number.
    both = np.intersect1d(chosen.indices.cpu().numpy(), wanted.indices)
    assert len(both) >= BUDGET - 2, np.setxor1d(chosen.indices.cpu().numpy(), wanted.indices)
    assert chosen.value == pytest.approx(wanted.value, rel=1e-5)
    assert chosen.mistakes == wanted.mistakes
    assert chosen.n_excluded == wanted.n_excluded
    np.testing.assert_allclose(chosen.weights.cpu(), 1 / chosen.probabilities[chosen.indices].cpu(), rtol=1e-12)
    assert float(chosen.probabilities.sum()) == pytest.approx(BUDGET, rel=1e-12)
    assert chosen.report()["budget"] == BUDGET
    assert "100 of 3,000" in chosen.summary()


def test_chunks_select_as_the_whole():
    selector = rad_fast.Selector(BUDGET, quotas=None, backend="triton")
    for begin in range(0, N, 1300):
        selector.partial_fit(there(TEACHER[begin : begin + 1300]))
    whole = rad_fast.Selector(BUDGET, quotas=None, backend="triton").fit(there(TEACHER))
    chunked = selector.finalize()
    assert chunked.indices.device.type == torch.device(DEVICE).type
    assert torch.equal(chunked.indices, whole.indices)


@pytest.mark.parametrize("budget", [50, 0.1])  # a count is known at once, a fraction once the valid rows are counted
def test_invalid_rows_are_left_out_when_asked(budget):
    poisoned = TEACHER.copy()
    poisoned[[5, 70]] = np.nan
    chosen = rad_fast.Selector(budget, quotas=None, invalid="exclude", backend="triton").fit(
        there(poisoned), exclude=[9]
    )
    assert chosen.n_invalid == 2
    assert chosen.n_excluded == 1
    assert len(chosen.indices) == (50 if budget == 50 else 300)
    assert not set(chosen.indices.tolist()) & {5, 9, 70}


@pytest.mark.parametrize(("arguments", "fragments"), WRONG)
def test_wrong_input_is_named(arguments, fragments):
    given = {"logits": TEACHER, "budget": BUDGET, "quotas": None, "backend": "triton", **MARGIN, **arguments}
    with pytest.raises(ValueError, match=r"\S") as raised:
        rad_fast.select(**{name: there(value) for name, value in given.items()})
    missing = [fragment for fragment in fragments if fragment not in str(raised.value)]
    assert not missing, f"{missing} not in: {raised.value}"


def test_more_rows_wanted_than_are_valid_is_said():
    poisoned = TEACHER.copy()
    poisoned[4] = np.nan
    with pytest.raises(ValueError, match="at most 2999"):
        rad_fast.select(there(poisoned), N, quotas=None, invalid="exclude", backend="triton")


@pytest.mark.usefixtures("few_looks")
@pytest.mark.parametrize("arguments", [{}, *RULE[len(ARGUMENTS) :]], ids=called)
def test_the_rule_selects_as_the_specification_does(arguments):
    given = {name: there(value) for name, value in arguments.items()}
    got = rad_fast.Selector(BUDGET, backend="triton").fit(there(TEACHER), **given)
    wanted = rad_fast.Selector(BUDGET, backend="reference").fit(TEACHER, **arguments)
    # Scores differ by roundings, and so do probabilities in the last digits: few running sums pass at another point.
    assert len(np.intersect1d(got.indices.cpu().numpy(), wanted.indices)) >= BUDGET - 2
    assert got.value == pytest.approx(wanted.value, rel=1e-5)
    assert (got.mistakes, got.n_excluded, got.n_invalid) == (wanted.mistakes, wanted.n_excluded, wanted.n_invalid)
    np.testing.assert_array_equal(got.quotas, wanted.quotas)
    np.testing.assert_allclose(got.gain.cpu(), wanted.gain, atol=1e-6, rtol=0)
    np.testing.assert_allclose(got.correctness.cpu(), wanted.correctness, atol=2e-4, rtol=0)


@pytest.mark.parametrize("beside", [{}, {"student_logits": STUDENT}], ids=called)
def test_agreement_of_neighbours_serves_there_too(beside):
    share = np.random.default_rng(3).integers(0, 11, N) / 10
    fitted = (TEACHER[:500], TRUTH[:500], *(student[:500] for student in beside.values()))
    learned = rad_fast.Calibrator().fit(*fitted, agreement=share[:500])
    asked = {name: there(value) for name, value in beside.items()}
    wanted = rad_fast.Selector(BUDGET, backend="reference").fit(TEACHER, correctness=learned, agreement=share, **beside)
    for given in (share, there(share.astype(np.float32))):
        got = rad_fast.Selector(BUDGET, backend="triton").fit(
            there(TEACHER), correctness=learned, agreement=given, **asked
        )
        np.testing.assert_allclose(got.correctness.cpu(), wanted.correctness, atol=2e-4, rtol=0)
        assert len(np.intersect1d(got.indices.cpu().numpy(), wanted.indices)) >= BUDGET - 2
    wrong = there(np.where(np.arange(N) == 7, 2, share).astype(np.float32))
    with pytest.raises(ValueError, match=r"agreement: expected numbers in \[0, 1\], 1 is not, the first at index 7"):
        rad_fast.select(there(TEACHER), BUDGET, correctness=learned, agreement=wrong, backend="triton", **asked)


def test_a_warm_up_goes_through_every_stage(monkeypatch):
    monkeypatch.setattr(warm_up, "DEVICE", DEVICE)
    assert warm_up.warm_up(5, "bfloat16", backend="triton") == "triton"


def test_probabilities_for_logits_are_refused():
    e = np.exp(TEACHER)
    p = there(e / e.sum(axis=1, keepdims=True))
    for quotas in (None, "auto"):
        settings = {"quotas": quotas, "backend": "triton"}
        with pytest.raises(ValueError, match=r"^logits: expected logits, got probabilities"):
            rad_fast.select(p, BUDGET, **settings)
        with pytest.raises(ValueError, match=r"^student_logits: expected logits, got probabilities"):
            rad_fast.select(there(TEACHER), BUDGET, student_logits=p, **settings)
        mixed = torch.cat([p[:50], there(TEACHER)[50:]])
        with pytest.raises(ValueError, match="got probabilities"):
            rad_fast.select(mixed, 5, exclude=there(np.arange(N) >= 50), **settings)


def test_host_arrays_are_not_for_this_backend():
    with pytest.raises(ValueError, match="host memory"):
        rad_fast.select(TEACHER, BUDGET, backend="triton")
