"""The machine that measurements are taken on, in words and numbers."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

import numpy as np

import rad_fast
from rad_fast.device import backends

from . import peers

LOAD = "load before"  # of other work


def machine() -> dict[str, Any]:
    """The processor and the software."""
    module = compiled()
    return {
        "processor": processor(),
        "last cache, MiB": last_cache(),
        "threads": backends.threads(),
        "SIMD level": module.level() if module else "none: no compiled extension",
        LOAD: round(os.getloadavg()[0], 1),  # near 0, or the figures are worth little
        "backend": backends.backend("auto").name,
        "rad_fast": rad_fast.__version__,
        "Python": platform.python_version(),
        "NumPy": np.__version__,
        "torch": installed("torch"),
    }


def compiled() -> Any:
    """The compiled extension, or None: without it there is no streaming read to compare with."""
    try:
        return importlib.import_module("rad_fast._cpu")
    except ImportError:
        return None


def gpu() -> dict[str, Any]:
    """The GPU that torch uses; nothing where it sees none."""
    torch = peers.torch()
    if torch is None or not torch.cuda.is_available():
        return {}
    properties = torch.cuda.get_device_properties(torch.cuda.current_device())
    return {
        "GPU": properties.name,
        "GPU memory, GiB": round(properties.total_memory / (1 << 30)),
        "CUDA of torch": torch.version.cuda,
        "Triton": installed("triton"),
    }


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def last_cache() -> float | None:
    sizes = sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"))
    return max((int(path.read_text().strip().removesuffix("K")) / 1024 for path in sizes), default=None)


def installed(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
