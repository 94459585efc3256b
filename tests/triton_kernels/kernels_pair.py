"""backend="triton+cuda": Triton's scores, interpreted, and the compiled game and sample on the emulator; no GPU.

What it selects is, index for index, what the specification selects from the same points.
"""

from __future__ import annotations

import inspect
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from public_cases import BUDGET, DOUBTED, GIVEN, MARGIN, STUDENT, TEACHER, WRONG, C, N, called

import rad_fast
from rad_fast import inputs
from rad_fast.device import arrays, on_triton_cuda, route, to_host, warm_up

from ..cuda.conftest import compiler, emulated, on_emulator  # noqa: F401  # fixtures

PAIR = "triton+cuda"


def of_host_memory(_name: str, tensor: torch.Tensor, _torch: object) -> arrays.CudaArray:
    dtype = str(tensor.dtype).removeprefix("torch.")
    return arrays.CudaArray(tensor.data_ptr(), dtype, tuple(tensor.shape), tensor.stride(), 0, 0, tensor)


@pytest.fixture
def waits(on_emulator: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[str]:  # noqa: F811
    """Every tensor stands for one on the device. What is waited for: "both" for the copy of two accounts."""
    for module in (inputs, route, to_host):
        monkeypatch.setattr(module, "is_cuda", lambda value: isinstance(value, torch.Tensor))
    monkeypatch.setattr(arrays, "of_torch", of_host_memory)
    found: list[str] = []
    both = on_triton_cuda.both

    class Counted:
        def __getattr__(self, name: str) -> Any:
            if name == "copy_out":
                found.append(name)
            return getattr(on_emulator, name)

    monkeypatch.setattr(arrays, "MODULE", [Counted()])
    monkeypatch.setattr(on_triton_cuda, "both", lambda *given: (found.append("both"), both(*given))[1])
    return found


def there(value: Any) -> Any:
    return torch.from_numpy(value) if isinstance(value, np.ndarray) else value


def test_without_the_compiled_kernels_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "MODULE", [])
    monkeypatch.setitem(__import__("sys").modules, "rad_fast._cuda", None)
    monkeypatch.setattr(route, "is_cuda", lambda _: True)
    with pytest.raises(ValueError, match=r"there are no kernels here for a .*Tensor on a CUDA device .triton\+cuda: "):
        route.route(PAIR, there(TEACHER))


def test_its_selection_takes_the_arguments_of_the_others() -> None:
    from rad_fast.device import cuda
    from rad_fast.kernels.triton.select import select as by_triton

    taken = [list(inspect.signature(one).parameters) for one in (on_triton_cuda.select, cuda.select, by_triton)]
    assert taken[0] == taken[1] == taken[2][:-1]  # Triton's takes its shape besides


@pytest.mark.parametrize("quotas", ["auto", None])
@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"student_logits": STUDENT, "exclude": np.arange(N) % 5 == 0},
        {"chosen": np.arange(N) % 9 == 0, "correctness": GIVEN},
        {"correctness": DOUBTED, "invalid": "exclude"},
    ],
    ids=called,
)
def test_the_same_points_give_the_same_indices(arguments: dict[str, Any], quotas: str | None, waits: list[str]) -> None:
    arguments = dict(arguments)
    settings = {"quotas": quotas, "invalid": arguments.pop("invalid", "raise")}
    logits = TEACHER
    if settings["invalid"] == "exclude":
        logits = TEACHER.copy()
        logits[[5, 70]] = np.nan
    given = {name: there(value) for name, value in arguments.items()}
    got = rad_fast.Selector(BUDGET, backend=PAIR, **settings).fit(there(logits), **given)
    assert waits == (["both"] if quotas is None else ["both", "copy_out"])
    assert got.backend == PAIR
    points = {"gain": got.gain.nan_to_num().numpy(), "correctness": got.correctness.nan_to_num().numpy()}
    wanted = rad_fast.Selector(BUDGET, backend="reference", **settings).fit(logits, **{**arguments, **points})
    np.testing.assert_array_equal(got.indices.numpy(), wanted.indices)
    np.testing.assert_array_equal(got.labels.numpy()[wanted.indices], wanted.labels[wanted.indices])
    assert got.value == pytest.approx(wanted.value, rel=1e-9)
    assert (got.mistakes, got.n_excluded, got.n_invalid) == (wanted.mistakes, wanted.n_excluded, wanted.n_invalid)
    np.testing.assert_allclose(got.weights, 1 / got.probabilities[got.indices], rtol=1e-12)
    alone = rad_fast.Selector(BUDGET, backend="triton", **settings).fit(there(logits), **given)
    assert torch.equal(got.gain.nan_to_num(), alone.gain.nan_to_num())
    assert torch.equal(got.indices, alone.indices)


@pytest.mark.usefixtures("waits")
@pytest.mark.parametrize(("arguments", "fragments"), WRONG)
def test_wrong_input_is_named(arguments: dict[str, Any], fragments: list[str]) -> None:
    given = {"logits": TEACHER, "budget": BUDGET, "quotas": None, "backend": PAIR, **MARGIN, **arguments}
    with pytest.raises(ValueError, match=r"\S") as raised:
        rad_fast.select(**{name: there(value) for name, value in given.items()})
    assert all(fragment in str(raised.value) for fragment in fragments), raised.value


@pytest.mark.usefixtures("waits")
def test_a_search_that_does_not_settle_is_driven_from_the_host() -> None:
    """Five levels of gain: no box makes such a pool smaller."""
    levels = np.array([[k, 0] for k in range(5)], np.float32)[np.random.default_rng(3).integers(0, 5, 20_000)]
    for quotas in (None, "equal"):
        settings = {"quotas": quotas, "mistakes": 0.05}
        got = rad_fast.Selector(10_000, backend=PAIR, **settings).fit(there(levels), **MARGIN)
        wanted = rad_fast.Selector(10_000, **settings).fit(levels, **MARGIN)
        assert got.value == pytest.approx(wanted.value, rel=1e-6)
        assert len(got.indices.unique()) == 10_000


@pytest.mark.usefixtures("waits")
def test_chunks_select_as_the_whole() -> None:
    whole = rad_fast.Selector(BUDGET, backend=PAIR).fit(there(TEACHER))
    selector = rad_fast.Selector(BUDGET, backend=PAIR)
    for begin in range(0, N, 1300):
        selector.partial_fit(there(TEACHER[begin : begin + 1300]))
    assert torch.equal(selector.finalize().indices, whole.indices)


@pytest.mark.usefixtures("waits")
def test_a_warm_up_goes_through_every_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm_up, "DEVICE", "cpu")
    assert warm_up.warm_up(C, "bfloat16", backend=PAIR) == PAIR
