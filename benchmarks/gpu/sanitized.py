"""Small selections of every kind of kernel, to be run by compute-sanitizer: python -m benchmarks.gpu.sanitized

One game and with quotas; rows short, whole-tile and long, lengths that no vector divides. torch's allocator has to hand
out every array by itself (PYTORCH_NO_CUDA_MEMORY_CACHING=1), or what lies beyond one array is another, and no error.
"""

from __future__ import annotations

import argparse

import rad_fast
from rad_fast.bench import cuda

SHAPES = (
    (30_001, 10, "bfloat16"),
    (20_011, 33, "float16"),
    (3_001, 1_000, "float32"),
    (401, 20_003, "bfloat16"),
    (53, 131_075, "float32"),
    (70_001, 10, "bfloat16"),  # more than one block takes
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backend", choices=("cuda", "triton"), help="this one alone")
    parser.add_argument("--shapes", type=int, default=len(SHAPES), help="so many of them")
    given = parser.parse_args()
    for backend in [given.backend] if given.backend else cuda.usable():
        for points, classes, dtype in SHAPES[: given.shapes]:
            x = cuda.logits(points, classes, dtype, "cuda", 0)
            budget = points // 20
            for quotas in (None, "auto"):
                indices = rad_fast.select(x, budget, quotas=quotas, backend=backend)
                if len(indices.unique()) != budget:
                    raise SystemExit(f"{backend}, {points} x {classes}: expected {budget} distinct indices")
            print(f"{backend}, {points:,} x {classes:,}, {dtype}", flush=True)


if __name__ == "__main__":
    main()
