"""Measuring rad_fast on the machine at hand: `rad-fast bench` and what benchmarks/ shares with it."""
