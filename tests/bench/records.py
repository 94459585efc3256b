"""Records made by hand."""

from rad_fast.bench.record import Measured, Record

TURNS = 6


def scored(classes=10, dtype="float32", *, ours=2.0, device="CPU", **others):
    """Scoring that took rad_fast ``ours`` seconds and the streaming read 1 a turn, of 4 GB."""
    seconds = {"rad_fast": [ours] * TURNS, "streaming read": [1.0] * TURNS, **others}
    about = {"stage": "scoring", "classes": classes, "dtype": dtype, "device": device}
    traffic = dict.fromkeys(seconds, 4_000_000_000)
    return Measured(f"scoring, {classes} classes, {dtype}", 1000, about, traffic, seconds)


def played(**seconds):
    about = {"stage": "game", "device": "CPU"}
    return Measured("game and sample, 1,000 points", 1000, about, {"rad_fast": 16_000}, {"rad_fast": [1.0], **seconds})


def record(*cases, notes=(), **machine):
    about = {"processor": "a processor", "threads": 2, "load before": 0.1, **machine}
    return Record(about, "2026-01-02T03:04:05+00:00", list(cases), list(notes))
