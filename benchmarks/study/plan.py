"""What is run: blocks of units, the most important first, so that a run that is cut short reports what it has.

A unit is one problem, one budget, one kind of labels and one student with the arms of a block. All arms of a problem
begin with the same student, so that blocks can be compared.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from rad_fast.distill import STRATEGIES

from . import data, held, made, real
from .early import EARLY
from .losses import LOSSES
from .runs import Arm
from .subclasses import KINDS
from .variants import PARTS, PLAIN, VARIANTS

Key = tuple[str, str]  # a strategy and a loss
MULTIPLES = (1, 2, 4)  # of the number of classes: a round's budget on real sets
SEEDS = 20
DEFAULT = "rad"
BASE = "labels' shares, shrunk"  # the default again, by the other implementation
BEFORE = "rad-2026-11"  # the default before quotas
RIVALS = ("uniform", "margin", "balanced-greedy", "balanced-top-confidence", "llkd", BEFORE, "badge", "balanced",
          "confident-learning", "conformal", "learnability", "learnability-top", "m-raru", "top-confidence", "entropy",
          "least-confidence", "coreset", "pcoreset")  # fmt: skip
MAIN = (DEFAULT, "rad-prior", *RIVALS)
OWN = ("rad-average", "rad-raw", "rad-teacher", "rad-both", "proportional")
ARMS = {
    "main": MAIN,
    "old": (*MAIN, "cluster-margin", "unixkd"),
    "own": OWN,
}
EIGHT = (
    *(("banking77", name) for name in ("qwen3-8b", "gpt-4", "minilm")),
    *(("policy-en", name) for name in ("gpt-4o", "74 votes")),
    *(("policy-da", name) for name in ("gpt-4o", "74 votes")),
    ("clinc150", "word vectors"),
)
FOUR = (("banking77", "qwen3-8b"), ("policy-en", "gpt-4o"), ("policy-da", "74 votes"), ("clinc150", "word vectors"))
HEADS = (("banking77", "qwen3-8b"), ("banking77", "gpt-4"), ("banking77", "minilm"))


@dataclass(frozen=True)
class Unit:
    """``size`` is which of the three budgets."""

    block: str
    source: str
    teacher: str
    seed: int
    size: int
    labels: str = "hard"
    student: str = "tfidf"

    @property
    def key(self) -> str:
        return "|".join(str(value) for value in vars(self).values())

    @property
    def problem(self) -> tuple[str, str, int, str]:
        return self.source, self.teacher, self.seed, self.student


def arms(block: str) -> list[Arm]:
    if block in ARMS:
        return [Arm(name, STRATEGIES[name]) for name in ARMS[block]]
    if block == "made":
        named = {name: STRATEGIES[name] for name in ("uniform", "margin", "balanced-greedy", BEFORE, DEFAULT)}
        return [Arm(name, choose) for name, choose in (named | PLAIN).items()]
    if block == "early":
        return [Arm(name, choose) for name, choose in EARLY.items()]
    if block == "held":
        return held.ARMS
    if block == "losses":
        two = [Arm(name, STRATEGIES[name]) for name in ("uniform", DEFAULT)]
        return [Arm(arm.strategy, arm.choose, loss) for loss in LOSSES for arm in two]
    if block == "going on":
        return [Arm(f"{name}, going on", STRATEGIES[name], restart=False) for name in ("uniform", DEFAULT)]
    return [Arm(name, choose) for name, choose in VARIANTS.items() if (name in PARTS) == (block == "parts")]


def lacking(unit: Unit, done: set[Key]) -> set[Key]:
    """The arms of a unit that are not done; LELP's are all or none."""
    if unit.block == "subclasses":
        return set() if done else {("uniform", "")}
    return {(arm.strategy, arm.loss) for arm in arms(unit.block)} - done


def units(seeds: int = SEEDS) -> Iterator[Unit]:
    """The whole study. The main strategies get all three budgets on every seed of a real set, with every student and
    kind of labels; elsewhere the budgets rotate: seed and teacher say whose turn it is."""
    there = [pair for pair in real.TEACHERS if real.is_there(pair[0])]
    some = (EIGHT, FOUR, real.SOFT, HEADS)
    eight, four, soft, heads = ([pair for pair in pairs if pair in there] for pairs in some)

    def main(seed: int, pairs: list[tuple[str, str]], **others: str) -> Iterator[Unit]:
        for pair in pairs:
            for size in range(len(MULTIPLES)):
                yield Unit("main", *pair, seed, size, **others)

    def of(seed: int, blocks: str, pairs: list[tuple[str, str]], **others: str) -> Iterator[Unit]:
        for pair in pairs:
            for block in blocks.split(","):
                yield Unit(block, *pair, seed, (seed + real.TEACHERS.index(pair)) % 3, **others)

    for seed in range(seeds):
        yield from main(seed, there)
    for seed in range(seeds):
        for setup in data.SETUPS.values():
            for at, quality in enumerate(data.QUALITIES if setup.is_there() else ()):
                labels = ("soft", "hard")[(seed + at) % 2]
                yield Unit("old", setup.name, quality, seed, (at + seed) % 3, labels)
    for seed in range(seeds):
        yield from main(seed, soft, labels="soft")
    for seed in range(seeds if real.is_there(made.SOURCE) else 0):
        for at, pair in enumerate(made.TEACHERS):
            yield Unit("made", *pair, seed, (at // 2 + seed) % 3)
    for seed in range(seeds):
        yield from of(seed, "held,parts,own,early", eight)
        yield from of(seed, "losses", four)
        yield from of(seed, "losses", soft, labels="soft")
    for seed in range(math.ceil(seeds / 2)):
        yield from of(seed, "variants,going on", eight)
        for kind in KINDS if real.is_there("banking77") else ():
            yield Unit("subclasses", "banking77", kind, seed, 0, labels="soft", student="64 units")
    for seed in range(seeds):
        for student in ("minilm-linear", "minilm-128"):
            yield from main(seed, heads, student=student)


def quick(seeds: int = 2) -> Iterator[Unit]:
    """The digits, which come with scikit-learn, and one real teacher where it is there: under a minute."""
    for seed in range(seeds):
        for block in ("old", "own", "held", "losses", "early", "parts", "variants", "going on"):
            yield Unit(block, "digits", data.QUALITIES[seed % 3], seed, 1 - seed % 2, ("hard", "soft")[seed % 2])
    if real.is_there("policy-en"):
        yield Unit("main", "policy-en", "gpt-4o", 0, 0)


def missing() -> list[str]:
    """Names of the sets that are not there."""
    old = [setup.name for setup in data.SETUPS.values() if not setup.is_there()]
    return old + sorted({source for source, _ in real.TEACHERS if not real.is_there(source)})
