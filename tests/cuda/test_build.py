"""The CUDA sources compiled by nvcc, what its assembler reports of them, and the module where there is no GPU."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest

from . import wheel

pytestmark = pytest.mark.slow  # what is first to want the CUDA build

# A few blocks of a game for microseconds, nearly alone on their multiprocessors: some registers too many are no loss
# there. All others read every point.
NOT_HOT = ("estimate", "finish", "estimate_classes", "estimate_few", "finish_classes")
HOT = (
    "look_at_rows", "score_tile", "score_warp", "score_block", "score_cluster",
    "reduce_points", "reduce_level", "add_stretches",
    "take_indices", "sample_few", "write_probabilities",
    "count_points", "place_games", "sample_classes", "cut_classes", "reduce_classes", "reduce_few", "reduce_again",
    "group_classes", "group_locally", "rate_keys", "add_keys", "scan_keys", "begin_keys", "take_keys",
    "rate_classes", "write_class_probabilities",
    "count_taken", "list_taken", "scan_counts", "count_digits", "scan_digits", "move_digits",
    "add_ordered", "scan_ordered",
    "mark_taken", "count_marked", "list_marked", "sample_few_by_class",
)  # fmt: skip


REPORTED = (r"Used (\d+) registers", r"(\d+) bytes stack", r"(\d+) bytes spill stores", r"(\d+) bytes smem")


class Kernel(NamedTuple):
    name: str
    registers: int
    stack: int
    spilled: int
    shared: int


def report(log: str, generation: int) -> list[Kernel]:
    """The kernels of a generation in what ``ptxas -v`` prints."""
    kernels = []
    for part in log.split("Compiling entry function")[1:]:
        _, symbol, _, code, *_ = part.split("'")
        if code != f"sm_{generation}":
            continue
        name = next((name for name in HOT + NOT_HOT if f"{len(name)}{name}" in symbol), symbol)  # as C++ mangles them
        numbers = [re.search(pattern, part) for pattern in REPORTED]
        kernels.append(Kernel(name, *(int(found[1]) if found else 0 for found in numbers)))
    return kernels


@pytest.fixture(scope="module", params=wheel.GENERATIONS, ids=lambda generation: f"sm_{generation}")
def compiled(request: pytest.FixtureRequest) -> list[Kernel]:
    """The kernels of a generation, as the assembler reports them."""
    built = wheel.built()
    if request.param not in built.generations:
        pytest.skip(f"{wheel.nvcc()} does not know sm_{request.param}")
    logs = sorted(built.objects.glob("*.cu.o.log"))
    return [kernel for log in logs for kernel in report(log.read_text(), request.param)]


def test_no_hot_kernel_spills(compiled: list[Kernel]) -> None:
    assert {kernel.name for kernel in compiled} == {*HOT, *NOT_HOT}
    assert len(compiled) == 4 * 26 + 4 + 5 + 16 + 5 + 16
    for kernel in compiled:
        if kernel.name in NOT_HOT:
            assert kernel.spilled <= 128, kernel
        else:
            assert (kernel.stack, kernel.spilled) == (0, 0), kernel
        # 128: two blocks of 256 threads a multiprocessor; 168: three of 128, with 12 or 16 loads a thread in flight.
        # A game's blocks have a multiprocessor each, of 256 threads in a cluster, of 384 alone.
        assert kernel.registers <= (168 if kernel.name in ("score_warp", "estimate", "finish") else 128), kernel
        assert kernel.shared <= 48 << 10, kernel


def test_module_imports_without_a_driver(tmp_path: Path) -> None:
    """Also where there is one: no device is visible to the process that tries."""
    with zipfile.ZipFile(wheel.built().wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.startswith("rad_fast/_cuda.") and name.endswith(".so"))
        module = archive.extract(name, tmp_path)
    symbols = wheel.run(["nm", "-D", "--defined-only", module]).stdout
    assert " cuda" not in symbols, "the static runtime's symbols are visible"
    code = f"""
import importlib.util
spec = importlib.util.spec_from_file_location("_cuda", {module!r})
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
calls = (
    lambda: module.devices(),
    lambda: module.score((64, 1, 3, 3, 1), 4, 0, 0, 64, 64, 64, 0, 64, 0, 0),
    lambda: module.reduce(64, 64, 4, (0.0, 1.0, -1.0, 1.0), 64, 64, 64, 4, 0, 0),
    lambda: module.solve(64, 64, 4, 1, 0.0, 0.0, 256, module.solve_workspace(4), 64, 0, 0),
    lambda: module.sample(64, 64, 4, (0.5, 0.5, 0.0), 0, 0, 64, 4, 64, 64, 0, 0),
    lambda: module.allocate(16, 0, 0),
)
for call in calls:
    try:
        call()
    except RuntimeError as error:
        print(error)
"""
    hidden = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1"}
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=hidden, check=True).stdout
    lines = said.splitlines()
    assert len(lines) == 6, said
    for line in lines:
        assert re.match(r"no CUDA device: cuda\w+\(.*\): .+ \(cudaError\w+\)", line), line
