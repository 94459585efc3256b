"""Select with the rad_fast that is installed, and see that its CUDA module is there and says what it finds."""

from __future__ import annotations

import sys

import numpy as np

import rad_fast
from rad_fast.device import arrays


def main() -> str:
    logits = 5 * np.random.default_rng(0).normal(size=(1000, 10)).astype(np.float32)
    indices = rad_fast.select(logits, 50)
    if len(set(indices.tolist())) != 50:
        return f"expected 50 distinct indices, got {indices}"
    module = arrays.kernels()
    if not module.architectures:
        return "the CUDA module was built for nothing"
    try:
        found = f"{len(module.devices())} devices"
    except RuntimeError as error:
        found = str(error)
        if not found.startswith("no CUDA device: "):
            return found
    sys.stdout.write(f"{rad_fast.__version__}, CUDA for {module.architectures}: {found}\n")
    return ""


if __name__ == "__main__":
    sys.exit(main() or 0)  # a message, and status 1, where there is one
