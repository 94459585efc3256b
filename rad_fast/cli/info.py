"""rad-fast info: what is installed and what this machine offers."""

from __future__ import annotations

import argparse
import importlib
import platform
from typing import Any

import numpy as np

import rad_fast
from rad_fast.device import backends

from .messages import one_line


def add_arguments(_: argparse.ArgumentParser) -> None:
    """It takes none."""


def run(_: argparse.Namespace) -> None:
    """rad-fast info: versions, backends and why others are not usable, threads, SIMD level, GPU."""
    import scipy

    torch, why_no_torch = imported_torch()
    versions = [f"Python {platform.python_version()}", f"NumPy {np.__version__}", f"SciPy {scipy.__version__}"]
    versions.append(f"torch {torch.__version__}" if torch else f"no torch ({why_no_torch})")
    print(f"rad_fast  {rad_fast.__version__}")
    print(f"with      {', '.join(versions)}")
    chosen = backends.backend("auto").name
    for number, finding in enumerate(backends.findings()):
        head = "" if number else "backends"
        state = "usable" if finding.usable else f"not usable: {finding.why}"
        print(f"{head:9} {finding.name:12} {state}{', the default here' if finding.name == chosen else ''}")
    print(f"threads   {backends.threads()} (RAD_FAST_THREADS sets another number)")
    print(f"SIMD      {simd()}")
    print(f"GPU       {gpu(torch)}")


def imported_torch() -> tuple[Any, str]:
    try:
        import torch
    except ImportError as error:
        return None, 'not installed; pip install "rad_fast[torch]"' if error.name == "torch" else one_line(error)
    except OSError as error:  # a library of its own that does not load
        return None, one_line(error)
    return torch, ""


def simd() -> str:
    try:
        cpu = importlib.import_module("rad_fast._cpu")
    except ImportError:
        return "chosen by the compiled extension, which is not installed"
    return f"{cpu.level()} (this processor supports {', '.join(cpu.levels())})"


def gpu(torch: Any) -> str:
    if torch is None:
        return "not looked for: torch, which would see it, is not installed"
    if not torch.cuda.is_available():
        return "none that torch sees"
    return ", ".join(torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count()))
