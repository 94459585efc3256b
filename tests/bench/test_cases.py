"""What is measured is what it is called: inputs, contenders and their traffic; on the CPU in the GPU's place too."""

import importlib.util
import math
import os
import subprocess
import sys
from functools import partial

import numpy as np
import pytest

from rad_fast.bench import cpu, cuda, peers, timing
from rad_fast.device import backends
from rad_fast.kernels.reference.sample import start

POINTS = 2000
torch = pytest.importorskip("torch")


@pytest.fixture(autouse=True)
def eagerly(monkeypatch):
    """torch.compile takes seconds, and a compiler: here it does nothing."""
    monkeypatch.setattr(peers, "compiled", lambda work: work)


CPU_CASES = {
    **{f"scoring {dtype}": partial(cpu.scoring, 5, dtype, 5 * POINTS) for dtype in cpu.DTYPES},
    "game": partial(cpu.game, POINTS),
    "select": partial(cpu.whole, 5, 5 * POINTS),
    "every dtype": partial(cpu.every_dtype, 5, 5 * POINTS),
}
TINY = {"device": "cpu", "between": 100_000}
CUDA_CASES = {
    **{f"scoring {dtype}": partial(cuda.scoring, 5, dtype, 40_000, **TINY) for dtype in cpu.DTYPES},
    "memory": partial(cuda.bandwidth, 40_000, **TINY),
    "game": partial(cuda.game, POINTS, **TINY),
    "select": partial(cuda.whole, 5, "float32", 40_000, **TINY),
    "small": partial(cuda.small_call, POINTS, 5, **TINY),
}


@pytest.mark.parametrize("name", CPU_CASES)
def test_cpu_cases_run_and_count_their_bytes(name):
    case = CPU_CASES[name]()
    check(case)
    assert next(iter(case.contenders)).startswith(peers.OURS)
    assert case.points == POINTS


@pytest.mark.parametrize("name", CUDA_CASES)
def test_gpu_cases_run_on_the_cpu_in_its_place(name):
    check(CUDA_CASES[name]())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")
@pytest.mark.parametrize("name", CUDA_CASES)
def test_gpu_cases_run_on_a_gpu(name):
    made = CUDA_CASES[name]
    case = made.func(*made.args, device="cuda", between=100_000)
    assert name == "memory" or any(cuda.ours(backend) in case.contenders for backend in cuda.usable())
    check(case, cuda.clock())


def check(case, clock=timing.wall):
    """Every contender runs, more often than there are inputs, and its bytes are known."""
    seconds = timing.measure(case, 5, 1, clock)
    assert list(seconds) == list(case.contenders)
    assert all(value > 0 for taken in seconds.values() for value in taken)
    assert case.sparing <= set(case.contenders)
    if case.about:
        assert set(case.traffic) == set(case.contenders)
        assert all(isinstance(count, int) and count > 0 for count in case.traffic.values())
        assert case.about["device"] in ("CPU", "GPU")


def test_a_case_has_the_contenders_that_are_promised():
    assert set(CPU_CASES["scoring float32"]().contenders) >= {peers.OURS, peers.TORCH, peers.COMPILED}
    ours = cuda.ours(backends.backend("auto").name)
    expected = {ours, peers.READ, peers.TORCH, peers.COMPILED}
    assert set(CUDA_CASES["scoring bfloat16"]().contenders) == expected
    assert set(CUDA_CASES["select"]().contenders) == {*expected, peers.MARGIN}
    assert set(CUDA_CASES["game"]().contenders) >= {f"{ours}, the game alone", f"{ours}, the sample alone"}
    assert set(CUDA_CASES["memory"]().contenders) == {peers.READ, peers.COPY}
    asked = cuda.scoring(5, "float32", 4000, ["reference"], **TINY)
    assert cuda.ours("reference") in asked.contenders
    assert ours not in asked.contenders


def test_traffic_is_the_least_that_must_move():
    case = CPU_CASES["scoring bfloat16"]()
    assert case.traffic[peers.READ] == 2 * 5 * POINTS
    assert case.traffic[peers.OURS] == 2 * 5 * POINTS + 12 * POINTS
    game = CPU_CASES["game"]()
    assert game.traffic[cpu.GAME] == 8 * POINTS
    assert game.traffic[peers.OURS] == 16 * POINTS + 8 * POINTS // 100


def test_the_same_logits_in_every_dtype():
    single = cpu.logits("float32", 5, 5 * POINTS)
    bits = cpu.logits("bfloat16", 5, 5 * POINTS)
    assert bits.dtype == np.uint16
    np.testing.assert_allclose(cpu.tensor(bits).float().numpy(), single, rtol=2**-7)
    for dtype in ("float16", "float64"):
        assert cpu.logits(dtype, 5, 5 * POINTS).dtype == dtype
        np.testing.assert_allclose(cpu.logits(dtype, 5, 5 * POINTS), single, rtol=2**-10, atol=1e-6)
    assert single.std() > 1


def test_without_torch_its_contenders_are_absent(monkeypatch):
    monkeypatch.setattr(peers, "torch", lambda: None)
    for name, make in CPU_CASES.items():
        assert not any("torch" in contender for contender in make().contenders), name


def test_without_the_extension_there_is_no_streaming_read(monkeypatch):
    monkeypatch.setattr(cpu, "compiled", lambda: None)
    case = cpu.whole(5, 5 * POINTS, backend="reference")
    assert peers.READ not in case.contenders
    assert set(case.traffic) == set(case.contenders)


def test_a_clock_with_cold_caches_times_only_the_work():
    assert 0 <= cpu.uncached(4000)(lambda: None) < 60
    assert timing.measure(timing.only(CPU_CASES["game"](), [cpu.OURS]), 1, 1, cpu.uncached(0))[cpu.OURS][0] > 0


# -------------------------------------------------------------------------------------------------------------- rotated


def test_as_many_inputs_as_bytes_must_lie_between():
    made = []
    inputs = cuda.rotated(lambda seed: made.append(seed) or cuda.logits(10, 10, "float32", "cpu", seed), "cpu", 1000)
    assert len(inputs) == 1 + math.ceil(1000 / 400)
    assert made == list(range(len(inputs)))
    assert len({float(x[0, 0]) for x in inputs}) == len(inputs)  # different ones
    assert len(cuda.rotated(lambda seed: cuda.scores(10, "cpu", seed), "cpu", 0)) == 1


def test_contenders_share_the_rotation(monkeypatch):
    """Else what one has read would lie in the cache for the next."""
    seen = []
    monkeypatch.setattr(peers, "scores", lambda x: seen.append(x.data_ptr()))
    monkeypatch.setattr(cuda, "total", lambda x: seen.append(x.data_ptr()))
    case = cuda.scoring(5, "float32", 4000, **TINY)
    timing.measure(timing.only(case, [peers.READ, peers.TORCH]), 2, 2)
    assert len(seen) == 6
    assert len(set(seen)) == 6


def test_an_unknown_cache_is_taken_for_a_large_one(monkeypatch):
    class Properties:
        L2_cache_size = 10

    assert cuda.four_caches("cpu") == cuda.UNKNOWN_BETWEEN
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: Properties())
    assert cuda.four_caches("cuda") == 40
    del Properties.L2_cache_size
    assert cuda.four_caches("cuda") == cuda.UNKNOWN_BETWEEN


def test_backends_of_a_device(monkeypatch):
    assert cuda.routes("cpu") == cuda.usable("cpu") == (backends.backend("auto").name,)
    assert set(cuda.usable("cuda")) <= {"triton", "cuda"}
    for present in (("triton",), ("cuda",), ("triton", "cuda")):
        for name in ("triton", "cuda"):
            why = "" if name in present else "absent"
            monkeypatch.setattr(backends, name, lambda name=name, why=why: backends.Finding(name, not why, why))
        assert cuda.usable("cuda") == present
        assert cuda.routes("cuda") == (*present, *(["triton+cuda"] if len(present) == 2 else []))


# ---------------------------------------------------------------------------------------------------------------- peers


@pytest.mark.parametrize("dtype", cpu.DTYPES)
def test_the_stand_in_scores_what_the_reference_scores(dtype):
    x = cuda.logits(50, 7, dtype, "cpu", 0)
    found, expected = (cuda.stages(name).appraise(x) for name in (backends.backend("auto").name, "reference"))
    np.testing.assert_allclose(found.gain, expected.gain, atol=1e-6)
    np.testing.assert_array_equal(found.label, expected.label)
    assert float(found.gain.min()) < 0.5 < float(found.gain.max())


INTERPRETED = """
from rad_fast.bench import cuda, timing
from rad_fast.kernels.reference.sample import start
for case in (cuda.scoring(5, "bfloat16", 4000, ["triton"], "cpu", 0), cuda.game(3000, ["triton"], "cpu", 50_000)):
    mine = [name for name in case.contenders if name.startswith(cuda.ours("triton"))]
    assert mine
    timing.measure(timing.only(case, mine), 2, 1)
pair = cuda.scores(3000, "cpu", 0)
sampled = []
for backend in ("triton", "reference"):
    by = cuda.stages(backend)
    answer = by.solve(*pair, 30, 150.0)
    sampled.append([int(index) for index in by.sample(*pair, answer, start(0, 30, 3000), 30)])
assert sampled[0] == sampled[1], sampled
"""


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")
def test_triton_is_called_as_it_wants_to_be():
    """Its stages, interpreted, in a process of their own: Triton asks once whether it is to interpret."""
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run([sys.executable, "-c", INTERPRETED], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("points", [1000, 50_000])
def test_the_game_by_a_sort_finds_the_same_points_worth_a_query(points):
    """Where no probability reaches 1, which the test sees to."""
    gain, correctness = cuda.scores(points, "cpu", 0)
    budget, mistakes = points // 100, cuda.MISTAKES * points
    by = cuda.stages("reference")
    answer = by.solve(gain, correctness, budget, mistakes)
    worth = (2 * correctness - 1) * gain > answer.threshold
    assert float((answer.price / gain[worth]).max()) < 1
    picked = peers.game(gain, correctness, budget, mistakes)
    assert len(set(picked.tolist())) == budget
    assert bool(worth[picked].all())
    sampled = by.sample(gain, correctness, answer, start(0, budget, points), budget)
    assert bool(worth[torch.from_numpy(sampled)].all())
    assert abs(float(gain[picked].mean()) - float(gain[sampled].mean())) < 0.1


def test_peers_choose_as_many_points_as_asked_for():
    x = cuda.logits(POINTS, 5, "float32", "cpu", 0)
    for chosen in (peers.whole(x, 20, cuda.MISTAKES * POINTS), peers.smallest_margins(x, 20)):
        assert len(set(chosen.tolist())) == 20
    top = x.softmax(1).sort(1).values
    margin = top[:, -1] - top[:, -2]
    assert float(margin[peers.smallest_margins(x, 20)].max()) <= float(margin.sort().values[20])
