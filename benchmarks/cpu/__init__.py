"""Speed and memory on the processor, as ratios within one run."""
