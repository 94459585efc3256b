"""Select by interpreted Triton kernels, of points in a file: python select_some.py GIVEN.npz BUDGET CHUNK TO.npy

A process of its own, with TRITON_INTERPRET=1: see conftest.py. Arrays of host memory stand for those on a device.
"""

from __future__ import annotations

import sys

import numpy as np
import torch

import rad_fast
from rad_fast import inputs
from rad_fast.device import route, to_host


def main(given: str, budget: str, chunk: str, to: str) -> None:
    for module in (inputs, route, to_host):
        module.is_cuda = lambda value: isinstance(value, torch.Tensor)  # type: ignore[attr-defined]
    arrays = {name: torch.from_numpy(array) for name, array in np.load(given).items()}
    selector, rows, size = rad_fast.Selector(int(budget), backend="triton"), len(arrays["logits"]), int(chunk)
    if size >= rows:
        selection = selector.fit(**arrays)
    else:
        for begin in range(0, rows, size):
            selector.partial_fit(**{name: array[begin : begin + size] for name, array in arrays.items()})
        selection = selector.finalize()
    if selection.backend != "triton" and size >= rows:
        raise RuntimeError(f"expected Triton to select, {selection.backend} did")
    np.save(to, np.asarray(selection.indices))


if __name__ == "__main__":
    main(*sys.argv[1:])
