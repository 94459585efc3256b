"""What the Triton backend leaves on the device: no wait, and CUDA graphs."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from rad_fast.kernels.reference.sample import start  # noqa: E402
from rad_fast.kernels.reference.score import Kind, Rule  # noqa: E402

DEVICE = "cuda"
STEPS = Rule(Kind.STEPS, steps=(0.2, 0.5, 0.9), levels=(0.5, 0.6, 0.8, 0.95))


@pytest.mark.parametrize("classes", [10, 1000, 20000])
def test_a_captured_selection_follows_its_input(classes: int) -> None:
    from rad_fast.kernels.triton.score import prepare
    from rad_fast.kernels.triton.select import read, select

    rows, budget = 20000 if classes < 5000 else 500, 100
    running = start(0, budget, rows)
    z = torch.randn((rows, classes), device=DEVICE)
    rule = prepare(STEPS, z.device)
    select(z, budget, running, 10.0, rule=rule)  # compiles
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        chosen = select(z, budget, running, 10.0, rule=rule)
    for _ in range(3):
        z.copy_(torch.randn((rows, classes), device=DEVICE) * 3)
        graph.replay()
        account = read(chosen)
        want = select(z, budget, running, 10.0, rule=rule)
        assert read(want) == account
        assert account.outcome == "solved"
        assert torch.equal(chosen.indices, want.indices)


def test_nothing_waits_for_the_device() -> None:
    from rad_fast.kernels.triton.score import appraise, score
    from rad_fast.kernels.triton.select import select

    z = torch.randn((50000, 100), device=DEVICE, dtype=torch.bfloat16)
    for _ in range(2):  # the first round compiles
        score(z)
        appraise(z, z)
        select(z, 100, start(0, 100, 50000), 0.0, 0.05)
        torch.cuda.set_sync_debug_mode("error")
    torch.cuda.set_sync_debug_mode("default")


def test_the_device_and_the_host_driven_solver_agree_on_ten_million_points() -> None:
    from rad_fast import game
    from rad_fast.kernels.triton.equilibrium import read, solve
    from rad_fast.kernels.triton.game import DevicePool

    generator = torch.Generator(DEVICE).manual_seed(0)
    for turn in range(8):
        gain = torch.randint(0, 1 << 24, (10_000_000,), generator=generator, device=DEVICE).float() / (1 << 24)
        correctness = torch.rand(10_000_000, generator=generator, device=DEVICE)
        if turn % 2:
            correctness = correctness * 0.5 + 0.5
        budget, mistakes = [(100_000, 500_000.0), (5_000_000, 10_000.0), (9_000_000, 1e6), (1000, 0.0)][turn // 2]
        want = game.solve(DevicePool(gain, correctness), budget, mistakes)
        got = read(solve(gain, correctness, budget, mistakes))
        assert got is not None, f"budget {budget}, mistakes {mistakes}: not solved on the device"
        for mine, theirs in zip(got, want, strict=True):
            assert mine == pytest.approx(theirs, rel=1e-13, abs=1e-13)
