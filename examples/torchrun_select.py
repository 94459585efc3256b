"""Many processes, each with its own shard of the points: together they select what one process would.

Every rank scores its shard, only sums and samples travel, and every rank gets the indices within its own shard.

    torchrun --nproc-per-node 4 examples/torchrun_select.py
    torchrun --nproc-per-node 2 examples/torchrun_select.py --files logits/ --budget 0.01 --out picked

Without --files it makes shards of 100,000 points, uneven on purpose. With them, rank r of R reads the r-th of R equal
stretches of all rows. A rank that fails, or is given bad input, ends all of them with an error that says which and why.
"""

import argparse
import datetime
import gc
import os
import sys
from pathlib import Path

import numpy as np
import torch.distributed as dist

import rad_fast
from rad_fast.game.group import group_of
from rad_fast.readers import open_shards

POINTS, CLASSES, STEP = 100_000, 10, 50_000


def made(rank: int, ranks: int) -> np.ndarray:
    """This rank's part of points that anyone can make again."""
    logits = np.random.default_rng(0).normal(0, 4, (POINTS, CLASSES)).astype(np.float32)
    cuts = (np.linspace(0, 1, ranks + 1) ** 2 * POINTS).astype(int)
    return logits[cuts[rank] : cuts[rank + 1]]


def fill(selector: rad_fast.Selector, files: list[Path], rank: int, ranks: int) -> None:
    """Score this rank's stretch of the files, a chunk at a time."""
    shards = open_shards(files)
    begin, end = (shards.rows * part // ranks for part in (rank, rank + 1))
    selector.partial_fit(shards.read(begin, begin))  # also where there is nothing for this rank
    for at in range(begin, end, STEP):
        selector.partial_fit(shards.read(at, min(end, at + STEP)))


def selected(arguments: argparse.Namespace, rank: int, ranks: int) -> rad_fast.Selection | str:
    """The selection of all ranks, or what went wrong, which every rank hears of."""
    selector = rad_fast.Selector(arguments.budget, process_group=dist.group.WORLD)
    try:
        if arguments.files:
            # What is no call of fit() or finalize() goes through exchange(): all hear of it where one rank fails.
            group_of(dist.group.WORLD).exchange(lambda: fill(selector, arguments.files, rank, ranks))
            return selector.finalize()
        mine = made(rank, ranks)
        if rank == arguments.spoil:
            mine[3, 0] = np.nan
        return selector.fit(mine)
    except (ImportError, OSError, RuntimeError, TypeError, ValueError) as error:
        return str(error)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", nargs="*", type=Path, default=[])
    parser.add_argument("--budget", type=float, default=0.005)
    parser.add_argument("--out", type=Path, help="each rank writes OUT-RANK.npy, the indices among all points")
    parser.add_argument("--spoil", type=int, help="for the test: this rank has a NaN")
    arguments = parser.parse_args()

    timeout = datetime.timedelta(seconds=int(os.environ.get("RAD_FAST_TIMEOUT", "600")))
    dist.init_process_group("gloo", timeout=timeout)  # "nccl" where every rank has a GPU
    rank, ranks = dist.get_rank(), dist.get_world_size()
    selection = selected(arguments, rank, ranks)
    if isinstance(selection, str):
        gc.collect()  # errors hold on to the group, which would end this process with an abort
        dist.destroy_process_group()
        sys.exit(f"rank {rank}: {selection}")
    sizes = [0] * ranks
    dist.all_gather_object(sizes, len(selection.gain))
    indices = selection.indices + sum(sizes[:rank])
    if arguments.out is not None:
        np.save(f"{arguments.out}-{rank}.npy", indices)
    line = f"rank {rank}: {len(indices)} of {len(selection.gain)} points, value of the game {selection.value:.6g}\n"
    sys.stdout.write(line)  # at once, end included: torchrun's processes write unbuffered, to one place
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
