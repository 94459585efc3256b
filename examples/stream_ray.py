"""A stream over Ray Data: batches of logits in their order, decided as they come; nothing waits for the whole dataset.

python examples/stream_ray.py
"""

# ruff: noqa: T201

import logging

import numpy as np
import ray

from rad_fast.stream import StreamSelector

ROWS, RATE = 4_000, 0.02


def teach(batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Your model: logits of every row."""
    logits = [np.random.default_rng(row).normal(0, 4, 10) for row in batch["id"]]
    return {"id": batch["id"], "logits": np.array(logits, np.float32)}


def main() -> None:
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_options.preserve_order = True  # the same order every time: the same decisions
    logging.getLogger("ray.data").setLevel(logging.ERROR)

    stream, taken = StreamSelector(RATE), []
    for batch in ray.data.range(ROWS, override_num_blocks=4).map_batches(teach).iter_batches(batch_size=256):
        taken.extend(batch["id"][stream.offer(batch["logits"])])
    print(stream, "taken:", *taken[:3], "...")
    ray.shutdown()


if __name__ == "__main__":
    main()
