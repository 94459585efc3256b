"""The same 100,000 points through memory, chunks, files, ranks and Ray: the same indices, whichever way they come. Of
these as many as they can bear through the kernels of devices, emulated and interpreted."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import rad_fast
from rad_fast import cli

from .cuda.conftest import compiler, emulated, on_emulator  # noqa: F401 - fixtures

N, C, BUDGET = 100_000, 10, 500
EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "torchrun_select.py"


@pytest.fixture(scope="module")
def logits() -> np.ndarray:
    """Those that examples/torchrun_select.py makes."""
    return np.random.default_rng(0).normal(0, 4, (N, C)).astype(np.float32)


@pytest.fixture(scope="module")
def expected(logits: np.ndarray) -> np.ndarray:
    return rad_fast.select(logits, BUDGET)


def chunked(logits: np.ndarray, cuts: list[int]) -> np.ndarray:
    selector = rad_fast.Selector(BUDGET)
    for chunk in np.split(logits, cuts):
        selector.partial_fit(chunk)
    return selector.finalize().indices


def from_files(path: Path, folder: Path) -> np.ndarray:
    command = ["select", str(path), "--budget", str(BUDGET), "--workdir", str(folder / "work")]
    assert cli.main(command) == 0
    return np.load(folder / "work" / "selected.npy")


def as_npy(logits: np.ndarray, folder: Path) -> Path:
    (folder / "shards").mkdir()
    for number, part in enumerate(np.array_split(logits, 12)):
        np.save(folder / "shards" / f"s{number}.npy", part)
    return folder / "shards"


def as_safetensors(logits: np.ndarray, folder: Path) -> Path:
    numpy = pytest.importorskip("safetensors.numpy")
    for number, part in enumerate(np.array_split(logits, 3)):
        numpy.save_file({"logits": np.ascontiguousarray(part)}, folder / f"s{number}.safetensors")
    return folder / "s*.safetensors"


def as_parquet(logits: np.ndarray, folder: Path) -> Path:
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    lists = pa.FixedSizeListArray.from_arrays(pa.array(logits.reshape(-1)), C)
    parquet.write_table(pa.table({"logits": lists}), folder / "all.parquet", row_group_size=7001)
    return folder / "all.parquet"


def as_zarr(logits: np.ndarray, folder: Path) -> Path:
    zarr = pytest.importorskip("zarr")
    array = zarr.create_array(str(folder / "all.zarr"), shape=logits.shape, chunks=(9999, C), dtype=logits.dtype)
    array[:] = logits
    return folder / "all.zarr"


def environment() -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1", "RAD_FAST_THREADS": "1", "RAD_FAST_TIMEOUT": "90"}


def torchrun(folder: Path, ranks: int, *arguments: str | Path) -> np.ndarray:
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}", str(EXAMPLE)]
    done = subprocess.run(
        [*launch, "--out", str(folder / "rank"), *map(str, arguments)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return np.concatenate([np.load(folder / f"rank-{rank}.npy") for rank in range(ranks)])


def over_ray(logits: np.ndarray) -> np.ndarray:
    ray = pytest.importorskip("ray", reason='Ray is not installed: pip install "rad_fast[ray]"')
    pytest.importorskip("ray.data")
    import rad_fast.ray

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    try:
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        rows = ray.data.range(N, override_num_blocks=9)
        said = rows.map_batches(lambda batch: {"id": batch["id"], "logits": logits[batch["id"]]}, batch_size=5000)
        return np.array([row["id"] for row in rad_fast.ray.select(said, BUDGET).take_all()])
    finally:
        ray.shutdown()


WAYS = {
    "memory": lambda logits, folder: rad_fast.Selector(BUDGET, scores=folder / "scores").fit(logits).indices,
    "chunks of 100": lambda logits, folder: chunked(logits, list(range(100, N, 100))),
    "chunks of 33,333": lambda logits, folder: chunked(logits, list(range(33_333, N, 33_333))),
    "uneven chunks": lambda logits, folder: chunked(logits, [0, 1, 65_000, 65_000, 65_017, N]),
    ".npy": lambda logits, folder: from_files(as_npy(logits, folder), folder),
    ".safetensors": lambda logits, folder: from_files(as_safetensors(logits, folder), folder),
    "Parquet": lambda logits, folder: from_files(as_parquet(logits, folder), folder),
    "Zarr": lambda logits, folder: from_files(as_zarr(logits, folder), folder),
    "2 ranks": lambda logits, folder: torchrun(folder, 2),
    "4 ranks": lambda logits, folder: torchrun(folder, 4),
    "2 ranks, files": lambda logits, folder: torchrun(folder, 2, "--files", as_npy(logits, folder)),
    "Ray": lambda logits, folder: over_ray(logits),
}


@pytest.mark.filterwarnings("ignore")  # Ray's and torch's own
@pytest.mark.parametrize("way", WAYS)
def test_the_indices_are_the_same(way, logits, expected, tmp_path):
    if "ranks" in way:
        pytest.importorskip("torch.distributed")
    np.testing.assert_array_equal(WAYS[way](logits, tmp_path), expected)


# ---------------------------------------------------------------------------------------------------------- on a device

FEW, FEW_CHOSEN = 3_000, 100


@pytest.fixture(scope="module")
def few(logits: np.ndarray) -> dict[str, np.ndarray]:
    """Points with given scores: computed ones differ by roundings between processors. Of half the classes few points
    are likely right, so that others get their shares."""
    rng, z = np.random.default_rng(1), logits[:FEW]
    rare = (z.argmax(axis=1) % 2 == 0) & (rng.random(FEW) < 0.99)
    gain = (rng.integers(0, 2**24 + 1, FEW) / 2**24).astype(np.float32)
    correctness = np.where(rare, 0.4, 0.5 + rng.integers(0, 2**24, FEW) / 2**25).astype(np.float32)
    return {"logits": z, "gain": gain, "correctness": correctness}


def emulated_cuda(few: dict[str, np.ndarray], chunk: int, _folder: Path, request: pytest.FixtureRequest) -> np.ndarray:
    from rad_fast.device.arrays import Memory

    request.getfixturevalue("on_emulator")
    selector = rad_fast.Selector(FEW_CHOSEN, backend="cuda")
    if chunk >= FEW:
        selection = selector.fit(**{name: Memory.of(array) for name, array in few.items()})
        assert selection.backend == "cuda"
    else:
        for begin in range(0, FEW, chunk):
            selector.partial_fit(**{name: Memory.of(array[begin : begin + chunk]) for name, array in few.items()})
        selection = selector.finalize()
    indices: np.ndarray = selection.indices.numpy()
    return indices


def interpreted_triton(
    few: dict[str, np.ndarray], chunk: int, folder: Path, _request: pytest.FixtureRequest
) -> np.ndarray:
    pytest.importorskip("triton.language")
    np.savez(folder / "few.npz", **few)  # type: ignore[arg-type]
    script = Path(__file__).parent / "triton_kernels" / "select_some.py"
    command = [sys.executable, script, folder / "few.npz", str(FEW_CHOSEN), str(chunk), folder / "selected.npy"]
    done = subprocess.run(
        list(map(str, command)),
        env=environment() | {"TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    indices: np.ndarray = np.load(folder / "selected.npy")
    return indices


@pytest.mark.parametrize("chunk", [FEW, 1_300], ids=["whole", "in chunks"])
@pytest.mark.parametrize("device", [emulated_cuda, interpreted_triton])
def test_on_a_device_the_indices_are_those_of_the_host(device, chunk, few, tmp_path, request):
    expected = rad_fast.Selector(FEW_CHOSEN).fit(**few)
    positive = np.bincount(few["logits"].argmax(axis=1)[few["correctness"] > 0.5], minlength=C)
    assert (expected.quotas == positive).sum() > 1
    assert (expected.quotas <= positive).all()
    np.testing.assert_array_equal(device(few, chunk, tmp_path, request), expected.indices)


def processes(ranks: int, *arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    """The example's ranks without torchrun, which would end those that have not failed yet."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for rank in range(ranks):
        meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "RANK": str(rank), "WORLD_SIZE": str(ranks)}
        command = [sys.executable, str(EXAMPLE), *map(str, arguments)]
        yield subprocess.Popen(command, env=environment() | meeting, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("ranks", [2, 4])
def test_a_rank_that_fails_is_a_clear_error_on_every_rank(ranks):
    pytest.importorskip("torch.distributed")
    started = list(processes(ranks, "--spoil", "1"))
    errors = [process.communicate(timeout=120)[1] for process in started]
    assert all(process.returncode == 1 for process in started)
    for rank, text in enumerate(errors):
        assert f"rank {rank}: " in text, text
        assert "logits: expected rows of finite numbers or -inf; 1 row has NaN" in text, text
        assert ("process_group: rank 1 failed: ValueError" in text) == (rank != 1)
        assert "Traceback" not in text


def test_files_that_cannot_be_read_are_a_clear_error_on_every_rank(tmp_path):
    pytest.importorskip("torch.distributed")
    started = list(processes(2, "--files", tmp_path / "nowhere.npy"))
    for process in started:
        text = process.communicate(timeout=120)[1]
        assert process.returncode == 1
        assert "nowhere.npy" in text
        assert "Traceback" not in text
