"""What was measured on: python -m benchmarks.gpu.machine --device cuda --out FILE

GPU, driver, versions, commit, and the clocks as they were found; nothing is set.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from rad_fast.bench.machine import installed
from rad_fast.device import backends

from .parts import write_json

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("rad_fast", "kernels", "csrc", "benchmarks")
ASKED = {
    "driver": "driver_version",
    "clock of the multiprocessors": "clocks.sm",
    "at most": "clocks.max.sm",
    "clock of the memory": "clocks.mem",
    "temperature": "temperature.gpu",
    "power": "power.draw",
    "power limit": "power.limit",
    "memory used": "memory.used",
}
PACKAGES = {
    "torch": ("torch",),
    "Triton": ("triton",),
    "CuPy": ("cupy-cuda13x", "cupy-cuda12x", "cupy"),
    "NumPy": ("numpy",),
    "quack": ("quack-kernels",),
    "Liger": ("liger-kernel",),
}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    arguments.add_argument("--out", type=Path, required=True)
    given = arguments.parse_args()
    found = machine(given.device)
    write_json(given.out, found)
    if given.device == "cuda" and not found["gpu"]:
        raise SystemExit("torch sees no CUDA device")


def machine(device: str) -> dict[str, Any]:
    """Everything by name; what cannot be found out says so."""
    return {
        "gpu": gpu() if device == "cuda" else {},
        "state": state() if device == "cuda" else {},
        "versions": {
            "Python": platform.python_version(),
            **{name: version(names) for name, names in PACKAGES.items()},
            "CUDA of torch": cuda_of_torch(),
        },
        "compiled modules": modules(),
        "backends": {one.name: one.why or "usable" for one in (backends.triton(), backends.cuda())},
        "commit": commit(),
        "sources": digest(),
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
    }


def gpu() -> dict[str, Any]:
    import torch

    if not torch.cuda.is_available():
        return {}
    seen = torch.cuda.get_device_properties(0)
    return {
        "GPU": seen.name,
        "compute capability": f"{seen.major}.{seen.minor}",
        "multiprocessors": seen.multi_processor_count,
        "memory, GiB": round(seen.total_memory / 2**30, 1),
        "L2, MiB": round(getattr(seen, "L2_cache_size", 0) / 2**20, 1),
        "GPUs seen": torch.cuda.device_count(),
    }


def state() -> dict[str, str]:
    """Driver and clocks, by nvidia-smi; empty where that is missing or says nothing."""
    first = (os.environ.get("CUDA_VISIBLE_DEVICES") or "0").partition(",")[0]
    command = ["nvidia-smi", f"--query-gpu={','.join(ASKED.values())}", "--format=csv,noheader", f"--id={first}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return {}
    values = [value.strip() for value in done.stdout.strip().split(",")]
    return dict(zip(ASKED, values, strict=True)) if len(values) == len(ASKED) else {}


def version(names: tuple[str, ...]) -> str:
    """Of the one of these packages that is installed: CuPy's name depends on CUDA's version."""
    found = [installed(name) for name in names]
    return next((one for one in found if one != "not installed"), found[0])


def cuda_of_torch() -> str:
    try:
        import torch
    except ImportError:
        return "not installed"
    return str(torch.version.cuda or "none")


def modules() -> dict[str, str]:
    """What of the compiled modules can be imported, and for what they were built."""
    found = {}
    for name, attribute in (("_cuda", "architectures"), ("_cpu", "")):
        try:
            module = importlib.import_module(f"rad_fast.{name}")
            found[name] = str(getattr(module, attribute)) if attribute else "built"
        except (ImportError, RuntimeError) as error:
            found[name] = f"none: {error}"
    return found


def commit() -> str:
    """The commit, and whether the files differ from it."""
    try:
        named = git("rev-parse", "HEAD")
        return named[:12] + (", with changes" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return "not known: no git, or no repository"


def git(*words: str) -> str:
    command = ["git", "-C", str(ROOT), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout.strip()


def digest() -> str:
    """Of every source file: the same for the same code, with or without a repository."""
    found = hashlib.sha256()
    for folder in SOURCES:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and path.suffix in (".py", ".cu", ".cuh", ".hpp", ".cpp", ".txt", ".cmake"):
                found.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    return found.hexdigest()[:16]


if __name__ == "__main__":
    main()
