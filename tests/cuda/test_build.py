"""The CUDA sources compiled by nvcc, what its assembler reports of them, and the module where there is no GPU."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from . import conftest as build

GENERATIONS = (80, 90, 100)  # Ampere, Hopper, Blackwell; the wheel's other three are variants of these
FLAGS = ["-std=c++17", "-O3", "-DNDEBUG", "-Xptxas=-v", "-Xcompiler=-fPIC,-fvisibility=hidden,-Wall,-Wextra"]
# A block, or four, of a game for microseconds: some registers too many are no loss there. All others read every point.
NOT_HOT = ("estimate", "finish", "estimate_classes", "finish_classes")
HOT = (
    "look_at_rows", "score_tile", "score_warp", "score_block", "score_cluster",
    "reduce_points", "reduce_level", "add_stretches",
    "scan_stretches", "take_indices", "sample_few", "write_probabilities",
    "count_points", "sample_classes", "cut_classes", "reduce_classes", "group_classes",
    "rate_classes", "write_class_probabilities",
    "count_taken", "list_taken", "scan_counts", "count_digits", "move_digits", "add_ordered", "scan_ordered",
    "mark_taken", "count_marked", "list_marked", "sample_few_by_class",
)  # fmt: skip


REPORTED = (r"Used (\d+) registers", r"(\d+) bytes stack", r"(\d+) bytes spill stores", r"(\d+) bytes smem")


class Kernel(NamedTuple):
    name: str
    registers: int
    stack: int
    spilled: int
    shared: int


def report(log: str) -> list[Kernel]:
    """The kernels in what ``ptxas -v`` prints."""
    kernels = []
    for part in log.split("Compiling entry function")[1:]:
        symbol = part.split("'")[1]
        name = next((name for name in HOT + NOT_HOT if f"{len(name)}{name}" in symbol), symbol)  # as C++ mangles them
        numbers = [re.search(pattern, part) for pattern in REPORTED]
        kernels.append(Kernel(name, *(int(found[1]) if found else 0 for found in numbers)))
    return kernels


class Objects(NamedTuple):
    objects: list[Path]
    kernels: list[Kernel]


@pytest.fixture(scope="module", params=GENERATIONS, ids=lambda generation: f"sm_{generation}")
def compiled(request: pytest.FixtureRequest, nvcc: tuple[str, dict[str, str]], compiler: list[str]) -> Objects:
    path, environment = nvcc
    version = build.run([path, "--version"], env=environment).stdout
    known = build.run([path, "--list-gpu-code"], env=environment).stdout
    if f"sm_{request.param}\n" not in known:
        pytest.skip(f"{path} does not know sm_{request.param}")
    arch = f"-gencode=arch=compute_{request.param},code=sm_{request.param}"

    def compile_one(source: Path) -> tuple[Path, Path]:
        command = [path, "-ccbin", compiler[0], *FLAGS, arch, "-c", str(source)]

        def make(to: Path) -> None:
            done = build.run([*command, "-o", str(to)], env=environment)
            to.with_name(f"{source.stem}.log").write_text(done.stdout + done.stderr)

        made = build.cached(f"{source.stem}.o", command, version, make=make)
        return made, made.with_name(f"{source.stem}.log")

    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(compile_one, build.SOURCES))
    return Objects([pair[0] for pair in made], [kernel for pair in made for kernel in report(pair[1].read_text())])


def test_no_hot_kernel_spills(compiled: Objects) -> None:
    assert {kernel.name for kernel in compiled.kernels} == {*HOT, *NOT_HOT}
    assert len(compiled.kernels) == 4 * 14 + 4 + 5 + 8 + 13
    for kernel in compiled.kernels:
        if kernel.name in NOT_HOT:
            assert kernel.spilled <= 128, kernel
        else:
            assert (kernel.stack, kernel.spilled) == (0, 0), kernel
        # 128: two blocks of 256 threads a multiprocessor; 168: three of 128, with 12 or 16 loads a thread in flight.
        assert kernel.registers <= (168 if kernel.name == "score_warp" else 128), kernel
        assert kernel.shared <= 48 << 10, kernel


def test_module_imports_without_a_driver(
    compiled: Objects, nvcc: tuple[str, dict[str, str]], compiler: list[str]
) -> None:
    """Also where there is one: no device is visible to the process that tries."""
    path, environment = nvcc
    bound = []
    for source in (*build.BINDINGS[:2], build.ARRAYS):
        command = [*compiler, "-O1", "-fvisibility=hidden", "-c", str(source)]
        bound.append(build.cached(f"{source.stem}.o", command, make=partial(build.run_to, command)))
    link = [path, "-ccbin", compiler[0], "-shared", "-cudart=static", "-Xlinker=--exclude-libs=ALL"]
    link += map(str, bound)
    link += map(str, compiled.objects)
    if "LIBRARY_PATH" in environment:
        link += [f"-L{part}" for part in environment["LIBRARY_PATH"].split(":") if part]
    module = build.cached("_cuda.so", link, make=partial(build.run_to, link, env=environment))
    symbols = build.run(["nm", "-D", "--defined-only", str(module)]).stdout
    assert " cuda" not in symbols, "the static runtime's symbols are visible"
    code = f"""
import importlib.util
spec = importlib.util.spec_from_file_location("_cuda", {str(module)!r})
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
