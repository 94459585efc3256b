"""What the backends leave on the device: no wait, CUDA graphs; and arrays of other libraries."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import rad_fast  # noqa: E402
from rad_fast import inputs  # noqa: E402
from rad_fast.kernels.reference.sample import start  # noqa: E402
from rad_fast.kernels.reference.score import Kind, Rule  # noqa: E402

DEVICE = "cuda"
MANY = 10_000_000  # points
STEPS = Rule(Kind.STEPS, steps=(0.2, 0.5, 0.9), levels=(0.5, 0.6, 0.8, 0.95))


class Stages:
    """A backend's functions, and the rule of STEPS with its table on the device."""

    def __init__(self, backend: str, like: torch.Tensor) -> None:
        if backend == "triton+cuda":
            from rad_fast.device import cuda, on_triton_cuda
            from rad_fast.kernels.triton import score

            self.appraise, self.score = score.appraise, score.score
            self.select, self.read = on_triton_cuda.select, on_triton_cuda.read
            self.solve, self.equilibrium = cuda.solve, cuda.equilibrium
            self.pool: Any = cuda.DevicePool
            self.steps: Any = score.prepare(STEPS, like.device)
        elif backend == "triton":
            from rad_fast.kernels.triton import equilibrium, game, score, select

            self.appraise, self.score = score.appraise, score.score
            self.select, self.read = select.select, select.read
            self.solve, self.equilibrium = equilibrium.solve, equilibrium.read
            self.pool = game.DevicePool
            self.steps = score.prepare(STEPS, like.device)
        else:
            from rad_fast.device import arrays, cuda

            self.appraise, self.score = cuda.appraise, cuda.score
            self.select, self.read = cuda.select, cuda.read
            self.solve, self.equilibrium = cuda.solve, cuda.equilibrium
            self.pool = cuda.DevicePool
            self.steps = cuda.prepare(STEPS, arrays.described("logits", like))


@pytest.mark.parametrize(("classes", "with_steps"), [(10, True), (50257, False)])
def test_a_captured_selection_follows_its_input(backend: str, classes: int, with_steps: bool) -> None:
    rows, budget = 20000 if classes < 5000 else 500, 100
    running = start(0, budget, rows)
    z = torch.randn((rows, classes), device=DEVICE, dtype=torch.bfloat16)
    stages = Stages(backend, z)
    rule = stages.steps if with_steps else None
    stages.select(z, budget, running, 10.0, rule=rule)  # compiles
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        chosen = stages.select(z, budget, running, 10.0, rule=rule)
    for _ in range(3):
        z.copy_(torch.randn((rows, classes), device=DEVICE) * 3)  # rounded to the dtype of z
        graph.replay()
        account = stages.read(chosen)
        want = stages.select(z, budget, running, 10.0, rule=rule)
        assert stages.read(want) == account
        assert account.outcome == "solved"
        assert torch.equal(chosen.indices, want.indices)


@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype")
def test_nothing_waits_for_the_device() -> None:
    """Triton's kernels; torch knows of no waits but its own."""
    z = torch.randn((50000, 10), device=DEVICE, dtype=torch.bfloat16)
    stages, given = Stages("triton", z), torch.zeros(50000, dtype=torch.int32, device=DEVICE)
    try:
        for _ in range(2):  # the first round compiles
            stages.score(z, given)
            stages.appraise(z, z)
            stages.select(z, 100, start(0, 100, 50000), 0.0, 0.05)
            torch.cuda.set_sync_debug_mode("error")
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_the_device_and_the_host_driven_solver_agree_on_ten_million_points(backend: str) -> None:
    from rad_fast.game import solver

    generator = torch.Generator(DEVICE).manual_seed(0)
    stages = Stages(backend, torch.zeros(1, device=DEVICE))
    for turn in range(8):
        gain = torch.randint(0, 1 << 24, (MANY,), generator=generator, device=DEVICE).float() / (1 << 24)
        correctness = torch.rand(MANY, generator=generator, device=DEVICE)
        if turn % 2:
            correctness = correctness * 0.5 + 0.5
        budget, mistakes = [(100_000, 500_000.0), (5_000_000, 10_000.0), (9_000_000, 1e6), (1000, 0.0)][turn // 2]
        want = solver.solve(stages.pool(gain, correctness), budget, mistakes)
        got = stages.equilibrium(stages.solve(gain, correctness, budget, mistakes))
        assert got is not None, f"budget {budget}, mistakes {mistakes}: not solved on the device"
        for mine, theirs in zip(got, want, strict=True):
            assert mine == pytest.approx(theirs, rel=1e-13, abs=1e-13)


def test_both_backends_select_the_same_from_the_same_points() -> None:
    """Their scores may differ in the last bit; given the same ones, equilibrium and indices do not."""
    from rad_fast.device import backends

    if not all(found.usable for found in backends.findings() if found.name in inputs.ON_DEVICE):
        pytest.skip("one of the backends is not there")
    generator = torch.Generator(DEVICE).manual_seed(1)
    z = torch.randn((300_000, 10), generator=generator, device=DEVICE) * 3
    compiled, triton = Stages("cuda", z), Stages("triton", z)
    points = triton.appraise(z)
    mine = compiled.equilibrium(compiled.solve(points.gain, points.correctness, 3000, 15000.0))
    theirs = triton.equilibrium(triton.solve(points.gain, points.correctness, 3000, 15000.0))
    assert mine == pytest.approx(theirs, rel=1e-13)
    from rad_fast.device import cuda
    from rad_fast.kernels.triton.sample import sample

    running = start(0, 3000, 300_000)
    both = [draw(points.gain, points.correctness, theirs, running, 3000) for draw in (cuda.sample, sample)]
    assert torch.equal(*both)


def test_jax_arrays_on_the_device(backend: str) -> None:
    jax = pytest.importorskip("jax")
    if backend != "cuda":
        pytest.skip("Triton's kernels take torch and CuPy arrays")
    if jax.default_backend() != "gpu":
        pytest.skip("JAX sees no CUDA device")
    z = np.random.default_rng(0).normal(0, 3, (20_000, 10)).astype(np.float32)
    mine = jax.numpy.asarray(z)
    got = rad_fast.Selector(300, quotas=None).fit(mine)
    assert got.backend == "cuda"
    assert isinstance(got.indices, jax.Array)
    want = rad_fast.select(torch.from_numpy(z).to(DEVICE), 300, quotas=None, backend="cuda")
    assert np.array_equal(np.asarray(got.indices), want.cpu().numpy())
    np.testing.assert_allclose(
        np.asarray(got.weights) * np.asarray(got.probabilities)[np.asarray(got.indices)], 1, 1e-6
    )
