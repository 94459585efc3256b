"""The kernels of csrc/cuda as machine code: compiled here, or in the objects of a build. Needs nvcc, no GPU."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.gpu import sass
from benchmarks.gpu.sass import Kernel

ROOT = Path(__file__).resolve().parents[2]
CUDA = ROOT / "csrc" / "cuda"
CODES = {"float32": "f", "bfloat16": "8BFloat16", "float16": "7Float16", "float64": "d"}  # as C++ mangles them
STAGES = ("score", "game", "classes", "sample", "order", "keys")


def built(arch: int, folder: Path) -> dict[str, Kernel]:
    """The kernels in the objects of a build by CMake, by their symbols."""
    found = [sass.read(folder / f"{name}.cu.o", arch) for name in STAGES]
    return {symbol: kernel for part in found for symbol, kernel in part.items()}


def compiled(arch: int, names: tuple[str, ...] = STAGES) -> dict[str, Kernel]:
    """The kernels of csrc/cuda, by their symbols."""
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        raise FileNotFoundError("no nvcc on the path: install a CUDA toolkit, or nvidia-cuda-nvcc")
    digest = hashlib.sha256(str(arch).encode())
    for source in sorted([*CUDA.iterdir(), CUDA.parent / "constants.hpp"]):
        digest.update(source.read_bytes())
    folder = ROOT / "build" / "counted" / digest.hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)

    def one(name: str) -> dict[str, Kernel]:
        to = folder / f"{name}.cubin"
        if not to.exists():
            made = folder / f"{name}-{os.getpid()}.cubin"
            flags = ["-std=c++17", "-O3", "-DNDEBUG", f"-arch=sm_{arch}", "-cubin"]
            subprocess.run([nvcc, *flags, "-o", made, CUDA / f"{name}.cu"], check=True, capture_output=True)
            made.replace(to)
        return sass.read(to)

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(one, names))
    return {symbol: kernel for part in found for symbol, kernel in part.items()}


def named(kernels: dict[str, Kernel], name: str, *arguments: object) -> Kernel:
    """A kernel by its name and, of a template, its arguments as they are mangled."""
    pattern = f"{len(name)}{name}"
    if arguments:
        mangled = (
            f"L{'b' if isinstance(given, bool) else 'i'}{int(given)}E"
            if isinstance(given, int)
            else f"(?:NS0_)?{CODES[str(given)]}E?"
            for given in arguments
        )
        pattern += "I" + "".join(mangled) + "E"
    found = [kernel for symbol, kernel in kernels.items() if re.search(pattern, symbol)]
    if len(found) != 1:
        raise LookupError(f"{name}{arguments}: {len(found)} kernels match {pattern}")
    return found[0]
