"""The invariants of DESIGN section 4 through the public interface, on the device."""

from __future__ import annotations

import os
import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import rad_fast  # noqa: E402
from rad_fast.device.backends import load  # noqa: E402
from rad_fast.game import solver  # noqa: E402
from rad_fast.game.pool import ArrayPool  # noqa: E402
from rad_fast.kernels.reference import sample as reference  # noqa: E402
from rad_fast.kernels.reference.game import Equilibrium, probabilities  # noqa: E402

# Games that the adversary wins are among them; select warns of those.
pytestmark = pytest.mark.filterwarnings("ignore::rad_fast.UnreliableTeacherWarning")

DEVICE = "cuda"
DTYPES = (torch.bfloat16, torch.float32, torch.float16, torch.float64)
SOME_CLASSES = (2, 3, 7, 10, 16, 17, 33, 64, 100, 1000, 4097, 16384, 20000, 32768, 131072, 262144)
SHAPES = [(torch.bfloat16, classes) for classes in range(2, 41)]
SHAPES += [(dtype, classes) for dtype in DTYPES for classes in SOME_CLASSES if (dtype, classes) not in SHAPES]
SHAPES.append((torch.bfloat16, 50257))  # rows that begin anywhere
# Triton compiles a kernel for each, for about a second: by default one of each kind.
# The other tests take the same shapes; tests/triton_kernels/test_without_gpu.py counts the kernels of all of them.
FEW = [(torch.bfloat16, c) for c in (10, 100, 1000, 50257)] + [(torch.float32, 10), (torch.float32, 4097)]
EVERY = os.environ.get("RAD_FAST_EVERY_KERNEL") == "1"
ONE_OF_EACH = "one kernel of each kind; RAD_FAST_EVERY_KERNEL=1 for all"


def logits(
    rows: int, classes: int, dtype: torch.dtype = torch.float32, seed: int = 0, scale: float = 3
) -> torch.Tensor:
    generator = torch.Generator(DEVICE).manual_seed(seed)
    return (torch.randn((rows, classes), generator=generator, device=DEVICE) * scale).to(dtype)


def fitted(z: torch.Tensor, backend: str, budget: int | float = 0.1, **arguments: object) -> rad_fast.Selection:
    settings = {key: arguments.pop(key) for key in ("mistakes", "seed", "invalid") if key in arguments}
    return rad_fast.Selector(budget, quotas=None, backend=backend, **settings).fit(z, gain="margin", **arguments)


def select(z: torch.Tensor, budget: int, **arguments: object) -> torch.Tensor:
    """One game on the gain of the margin: what the kernels of a device do from end to end."""
    return rad_fast.select(z, budget, gain="margin", quotas=None, **arguments)


def margin_and_confidence(z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    top = torch.softmax(z, dim=1).topk(2, dim=1).values
    return top[:, 0] - top[:, 1], top[:, 0]


# --------------------------------------------------------------------------------------------------------------- scores


@pytest.mark.parametrize(("dtype", "classes"), SHAPES, ids=str)
def test_scores_err_no_more_than_torch_in_float32(backend: str, dtype: torch.dtype, classes: int) -> None:
    if "triton" in backend and not EVERY and (dtype, classes) not in FEW:
        pytest.skip(ONE_OF_EACH)
    z = logits(max(16, min(20000, (1 << 24) // classes)), classes, dtype)
    z[::5, classes // 2] = z[::5].max(dim=1).values  # ties
    before = z.clone()
    got = fitted(z, backend, 1)
    truth = margin_and_confidence(z.double())
    theirs = margin_and_confidence(z.float())
    mine = 1.0 - got.gain.double(), got.correctness.double()
    for ours, other, true in zip(mine, theirs, truth, strict=True):
        error, allowed = (ours - true).abs(), (other.double() - true).abs()
        # 1 - margin is rounded to 2^-24, which torch's margin is not.
        assert error.mean() <= 1.1 * allowed.mean() + 2**-26, f"mean {error.mean():.2e}, torch {allowed.mean():.2e}"
        assert error.max() <= 1.5 * allowed.max() + 2**-23, f"most {error.max():.2e}, torch {allowed.max():.2e}"
    first = (z == z.max(dim=1, keepdim=True).values).to(torch.uint8).argmax(dim=1)
    assert torch.equal(got.labels.long(), first)
    assert torch.equal(z, before)


@pytest.mark.parametrize(
    ("dtype", "classes"), [(torch.float32, 32768), (torch.bfloat16, 131072), (torch.float32, 50257)]
)
def test_a_long_row_is_the_same_by_a_block_and_by_a_cluster(dtype: torch.dtype, classes: int) -> None:
    """Few rows are shared out to clusters of blocks, many are not: bit for bit the same, and the same label."""
    from rad_fast.device import arrays, cuda

    try:
        arrays.kernels()
    except ImportError as error:
        pytest.skip(str(error))
    rows = 3 * 8 * torch.cuda.get_device_properties(0).multi_processor_count  # above what runs at once
    z = logits(rows, classes, dtype)
    z[::7, classes // 3] = z[::7].max(dim=1).values
    many = cuda.score(z)
    for few in (1, 64, 500, 1000):
        part = cuda.score(z[:few])
        for name in ("margin", "confidence", "label"):
            assert torch.equal(getattr(part, name), getattr(many, name)[:few]), (name, few)


def test_strided_inputs_select_what_their_copies_do(backend: str) -> None:
    wide = logits(4000, 130, torch.bfloat16)
    flat = logits(1, 40001, torch.float32)[0]
    few = (wide[:, :10].T.contiguous().T, flat[1:].view(4000, 10))
    views = (
        wide[:, 3:13],
        wide[:, :100],
        wide[::3, :10],
        wide[5:, 1::7],
        wide.T.contiguous().T,
        wide[:1].expand(500, 130),
    )
    for view in few if "triton" in backend and not EVERY else few + views:
        got, want = fitted(view, backend), fitted(view.contiguous().clone(), backend)
        assert torch.equal(got.indices, want.indices)
        assert torch.equal(got.labels, want.labels)


def test_more_than_2_to_the_31_numbers(backend: str) -> None:
    rows, classes = (1 << 31) // 1000 + 3000, 1000
    if torch.cuda.mem_get_info()[0] < 8 << 30:
        pytest.skip("needs 8 GiB of device memory")
    z = torch.zeros((rows, classes), dtype=torch.bfloat16, device=DEVICE)
    for start in range(0, rows, 1 << 18):
        part = z[start : start + (1 << 18)]
        part.copy_(logits(len(part), classes, torch.bfloat16, start))
    got = fitted(z, backend, 1000)
    tail = fitted(z[-5000:].clone(), backend, 10)
    assert torch.equal(got.gain[-5000:], tail.gain)
    assert torch.equal(got.labels[-5000:], tail.labels)
    z[-2, 999] = float("nan")
    with pytest.raises(ValueError, match=str(rows - 2)):
        select(z, 1000, backend=backend)


@pytest.mark.parametrize("classes", [2, 10, 100, 1000, 50257])
@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_invalid_rows_raise_or_are_left_out(backend: str, classes: int, number: float) -> None:
    dtype = torch.float32 if classes < 50257 else torch.bfloat16
    if "triton" in backend and not EVERY and classes not in (10, 50257):
        pytest.skip(ONE_OF_EACH)
    for place in sorted({0, classes // 2, classes - 1}):
        z = logits(300, classes, dtype)
        z[17, place] = number
        z[203] = -float("inf")
        with pytest.raises(ValueError, match=r"logits.*17"):
            select(z, 20, backend=backend)
        kept = fitted(z, backend, 298, invalid="exclude")
        assert torch.equal(kept.indices, torch.tensor([i for i in range(300) if i not in (17, 203)], device=DEVICE))
    if "triton" in backend and not EVERY and classes > 10:
        return
    z, student = (logits(300, classes, torch.bfloat16, seed) for seed in (0, 1))
    student[5, 0] = number
    with pytest.raises(ValueError, match=r"student_logits.*5"):
        select(z, 20, student_logits=student, backend=backend)


# ----------------------------------------------------------------------------------------------- equilibrium and sample


def hosts_answer(selection: rad_fast.Selection) -> tuple[Equilibrium, np.ndarray, np.ndarray]:
    gain, correctness = selection.gain.cpu().numpy(), selection.correctness.cpu().numpy()
    pool = ArrayPool([(gain, correctness)], load("reference"))
    mistakes = np.floor(selection.mistakes * 2**25 + 0.5) / 2**25  # as the device rounds them
    return solver.solve(pool, selection.budget, mistakes), gain, correctness


@pytest.mark.parametrize("rows", [1, 50, 3000, 200_000])
@pytest.mark.parametrize("classes", [2, 10, 100])
def test_the_equilibrium_and_the_indices_are_the_hosts(backend: str, rows: int, classes: int) -> None:
    if "triton" in backend and not EVERY and classes == 2:
        pytest.skip(ONE_OF_EACH)
    for seed, (budget, mistakes) in enumerate([(0.01, None), (0.3, 0.05), (0.9, 0.2), (1.0, 0), (0.1, 0), (0.05, 3.0)]):
        z = logits(rows, classes, torch.bfloat16, seed)
        got = fitted(z, backend, max(1, int(budget * rows)), mistakes=mistakes, seed=seed)
        answer, gain, correctness = hosts_answer(got)
        assert got.value == pytest.approx(answer.value, rel=1e-9, abs=1e-9)
        q = got.probabilities.cpu().numpy()
        np.testing.assert_allclose(q, probabilities(gain, correctness, answer), atol=1e-9, rtol=0)
        start = reference.start(seed, got.budget, rows)
        mine = Equilibrium(got.price, got.threshold, got.share, got.value)
        want, _ = reference.sample(gain, correctness, mine, start)
        indices = got.indices.cpu().numpy()
        assert np.array_equal(indices, want)
        assert len(np.unique(indices)) == len(indices) == got.budget
        assert (np.diff(indices) > 0).all()
        np.testing.assert_array_equal(got.weights.cpu().numpy(), 1 / q[indices])


def test_a_few_of_millions_are_the_hosts(backend: str) -> None:
    """The budget is less than one point of a sample; the first box may leave more points than there is room for."""
    rows, budget = 5_000_000, 250
    z = logits(rows, 10, torch.bfloat16)
    for mistakes in (0.1 * rows, 0.02 * rows, 0.001 * rows):
        got = fitted(z, backend, budget, mistakes=mistakes)
        gain, correctness = got.gain.cpu().numpy(), got.correctness.cpu().numpy()
        answer = solver.solve(ArrayPool([(gain, correctness)], load("cpp")), budget, mistakes)
        assert got.value == pytest.approx(answer.value, rel=1e-9, abs=1e-9)
        want, _ = reference.sample(gain, correctness, answer, reference.start(0, budget, rows))
        assert np.array_equal(got.indices.cpu().numpy(), want)


def test_inclusion_frequencies_are_the_probabilities(backend: str) -> None:
    z = logits(200, 10)
    first = fitted(z, backend, 40)
    q, seeds = first.probabilities.cpu().numpy(), 4000
    counts = torch.zeros(200, device=DEVICE)
    for seed in range(seeds):
        counts[select(z, 40, seed=seed, backend=backend)] += 1
    inner = (q > 0) & (q < 1)
    found = counts.cpu().numpy()
    assert (found[q == 0] == 0).all()
    assert (found[q == 1] == seeds).all()
    chi = ((found - seeds * q)[inner] ** 2 / (seeds * q * (1 - q))[inner]).sum()
    # A systematic sample's counts vary less than independent ones would.
    assert chi <= inner.sum() + 5 * np.sqrt(2 * inner.sum())


def test_a_hundred_million_points(backend: str) -> None:
    if torch.cuda.mem_get_info()[0] < 16 << 30:
        pytest.skip("needs 16 GiB of device memory")
    rows = 100_000_000
    z = torch.empty((rows, 10), dtype=torch.bfloat16, device=DEVICE)
    for start in range(0, rows, 1 << 24):
        z[start : start + (1 << 24)] = logits(min(1 << 24, rows - start), 10, torch.bfloat16, seed=start)
    got = fitted(z, backend, 1_000_000)
    assert len(got.indices) == 1_000_000
    assert bool((got.indices[1:] > got.indices[:-1]).all())
    assert float(got.probabilities.sum()) == pytest.approx(1_000_000, abs=1e-3)


# ------------------------------------------------------------------------------------------------------- a game a class


@pytest.mark.parametrize(
    ("rows", "classes", "budget"),
    [
        (300, 10, 300),  # all
        (5000, 10, 7),  # more classes than budget
        (1_000_000, 10, 20_000),  # classes that have a box
        (300, 5, 300),
        (5000, 3000, 200),
        (300_000, 2, 20_000),
        (1_000_000, 100, 10_000),  # keys of two digits
        (2_000_000, 1000, 20_000),
    ],
)
def test_games_by_class_are_the_hosts_on_the_same_points(backend: str, rows: int, classes: int, budget: int) -> None:
    """Chunks are scored on the device and play in host memory: the same indices, bit for bit."""
    if "triton" in backend and not EVERY and classes != 10:
        pytest.skip(ONE_OF_EACH)
    teacher, student = logits(rows, classes, torch.bfloat16), logits(rows, classes, torch.bfloat16, seed=1)
    teacher[:, 0] += 3  # one class has many points
    some = torch.arange(0, rows, 9, device=DEVICE) if budget < rows else None
    asked = {"student_logits": student, "chosen": some}
    there = rad_fast.Selector(budget, backend=backend).fit(teacher, **asked)
    here = rad_fast.Selector(budget, backend=backend).partial_fit(teacher, **asked).finalize()
    assert torch.equal(there.indices, here.indices)
    assert np.array_equal(there.quotas, here.quotas)
    assert there.value == pytest.approx(here.value, rel=1e-9)
    q = there.probabilities
    by_class = torch.zeros(classes, dtype=torch.float64, device=DEVICE)
    by_class.index_add_(0, there.labels.clamp(min=0).long(), torch.as_tensor(q))
    assert np.allclose(by_class.cpu().numpy(), there.quotas, atol=1e-6)
    assert torch.allclose(torch.as_tensor(there.weights), 1 / torch.as_tensor(q)[there.indices], rtol=1e-12)


def test_a_hundred_million_points_by_class(backend: str) -> None:
    if torch.cuda.mem_get_info()[0] < 16 << 30:
        pytest.skip("needs 16 GiB of device memory")
    rows = 100_000_000
    z = torch.empty((rows, 10), dtype=torch.bfloat16, device=DEVICE)
    for start in range(0, rows, 1 << 24):
        z[start : start + (1 << 24)] = logits(min(1 << 24, rows - start), 10, torch.bfloat16, seed=start)
    got = rad_fast.Selector(1_000_000, backend=backend).fit(z)
    assert len(got.indices) == 1_000_000
    assert bool((got.indices[1:] > got.indices[:-1]).all())
    assert float(torch.as_tensor(got.probabilities).sum()) == pytest.approx(1_000_000, abs=1e-3)


# --------------------------------------------------------------------------------------------------- the rest of select


def test_students_calibrators_and_exclusions(backend: str) -> None:
    teacher, student = logits(5000, 10, torch.bfloat16, 1), logits(5000, 10, torch.bfloat16, 2, 1)
    labels = teacher.argmax(1)
    labels[::4] = (labels[::4] + 1) % 10
    alone = rad_fast.Calibrator().fit(teacher.cpu()[:1000], labels.cpu()[:1000])
    both = rad_fast.Calibrator().fit(teacher.cpu()[:1000], labels.cpu()[:1000], student.cpu()[:1000])
    mask = torch.zeros(5000, dtype=torch.bool, device=DEVICE)
    mask[:1000] = True
    given = torch.rand(5000, device=DEVICE)
    for correctness in (
        (None, given, alone, both) if "triton" in backend and not EVERY else (None, 0.8, given, alone, both)
    ):
        beside = student if correctness is both or correctness is None else None
        for exclude in (None, mask, torch.arange(1000, device=DEVICE), mask.cpu()):
            got = fitted(teacher, backend, 100, student_logits=beside, correctness=correctness, exclude=exclude)
            if isinstance(correctness, torch.Tensor):
                correctness_host: object = correctness.cpu()
            else:
                correctness_host = correctness
            want = rad_fast.Selector(100, quotas=None).fit(
                teacher.cpu(),
                gain="margin",
                student_logits=None if beside is None else beside.cpu(),
                correctness=correctness_host,
                exclude=None if exclude is None else exclude.cpu(),
            )
            assert (got.n_excluded, got.n_invalid) == (want.n_excluded, want.n_invalid)
            assert got.mistakes == pytest.approx(want.mistakes, rel=1e-6)
            assert got.value == pytest.approx(want.value, rel=1e-3, abs=1e-3)
            torch.testing.assert_close(got.correctness.cpu(), want.correctness, atol=1e-4, rtol=0, equal_nan=True)
            torch.testing.assert_close(got.gain.cpu(), want.gain, atol=2e-6, rtol=0, equal_nan=True)
            if exclude is not None:
                assert int(got.indices.min()) >= 1000


def test_indices_come_back_on_the_device(backend: str) -> None:
    indices = select(logits(100, 10), 10, backend=backend)
    assert indices.dtype == torch.int64
    assert indices.is_cuda


def test_no_points_are_refused(backend: str) -> None:
    with pytest.raises(ValueError, match="logits"):
        select(torch.empty((0, 10), device=DEVICE), 1, backend=backend)


# ---------------------------------------------------------------------------------------- streams, graphs, memory, CuPy


def test_work_runs_on_the_current_stream(backend: str) -> None:
    want = select(logits(100_000, 100, torch.bfloat16), 1000, backend=backend)
    stream = torch.cuda.Stream()
    for _ in range(5):
        source = logits(100_000, 100, torch.bfloat16)
        torch.cuda.synchronize()
        with torch.cuda.stream(stream):
            late = torch.zeros_like(source)
            torch.cuda._sleep(50_000_000)  # the logits are there only long after select was called
            late.copy_(source)
            got = select(late, 1000, backend=backend)
        stream.synchronize()
        assert torch.equal(got, want)


def test_two_streams_at_once(backend: str) -> None:
    inputs = [logits(200_000, 100, torch.bfloat16, seed) for seed in (1, 2)]
    want = [select(z, 2000, backend=backend) for z in inputs]
    streams = [torch.cuda.Stream(), torch.cuda.Stream()]
    torch.cuda.synchronize()
    for _ in range(10):
        got = []
        for z, stream in zip(inputs, streams, strict=True):
            with torch.cuda.stream(stream):
                got.append(select(z, 2000, backend=backend))
        torch.cuda.synchronize()
        assert all(torch.equal(mine, theirs) for mine, theirs in zip(got, want, strict=True))


def test_one_wait_for_the_device(backend: str) -> None:
    if backend == "cuda":
        pytest.skip("torch knows of no waits but its own; tests/cuda counts the compiled kernels'")
    z = logits(300_000, 10)
    select(z, 1000, backend=backend)
    torch.cuda.synchronize()
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")  # warns, once, that it is a prototype
        try:
            select(z, 1000, backend=backend)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    waits = [str(warning.message) for warning in seen if "called a synchronizing" in str(warning.message)]
    assert len(waits) <= 1, waits


@pytest.mark.filterwarnings("ignore:The CUDA Graph is empty")  # so it is, when select has refused
def test_a_capture_is_refused_before_anything_runs(backend: str) -> None:
    z = logits(1000, 10)
    select(z, 10, backend=backend)
    graph = torch.cuda.CUDAGraph()
    with pytest.raises(RuntimeError, match="captured"), torch.cuda.graph(graph):
        select(z, 10, backend=backend)
    torch.cuda.synchronize()


@pytest.mark.parametrize("quotas", ["auto", None])
def test_extra_memory_is_24_bytes_a_point(backend: str, quotas: str | None) -> None:
    rows = 20_000_000
    z = logits(rows, 10, torch.bfloat16)
    rad_fast.select(z, 1000, quotas=quotas, backend=backend)
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    rad_fast.select(z, 1000, quotas=quotas, backend=backend)
    extra = torch.cuda.max_memory_allocated() - before
    assert extra <= 24 * rows, f"{extra / rows:.1f} bytes per point"


def test_cupy_arrays_on_cupys_stream(backend: str) -> None:
    cupy = pytest.importorskip("cupy")
    z = logits(50_000, 10)
    want = fitted(z, backend, 500)
    mine = cupy.from_dlpack(z)
    got = fitted(mine, backend, 500)
    assert isinstance(got.indices, cupy.ndarray)
    assert isinstance(got.gain, cupy.ndarray)
    assert np.array_equal(cupy.asnumpy(got.indices), want.indices.cpu().numpy())
    with cupy.cuda.Stream(non_blocking=True) as stream:
        late = cupy.empty_like(mine)
        late[...] = mine
        again = select(late, 500, backend=backend)
        stream.synchronize()
    assert np.array_equal(cupy.asnumpy(again), want.indices.cpu().numpy())


def test_cupys_default_stream_is_torchs() -> None:
    cupy = pytest.importorskip("cupy")
    on_triton = pytest.importorskip("rad_fast.device.on_triton")
    with on_triton.Kernels().current_stream(cupy.zeros((2, 2), dtype=cupy.float32)):
        assert torch.cuda.current_stream() == torch.cuda.default_stream()
