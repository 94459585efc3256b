"""Many ranks, each with its own points: one game, one sample, and never a rank that waits for one that failed.

Everything that ranks tell each other goes through ``exchange``: exact integers, samples of fixed size, error texts.
What goes over the wire does not grow with the number of points, and as all sums are integers and all samples follow the
points' place in the whole, every rank finds the very answer that one process with all the points would.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import repeat
from typing import Any, Protocol, TypeVar

import numpy as np

from rad_fast.device.backends import Float32s
from rad_fast.kernels.reference.game import Box, Equilibrium, Sums

from .pool import ArrayPool, counted, joined, spread
from .solver import Ask, Counts, found_in, narrowing

T = TypeVar("T")


class Group(Protocol):
    """Ranks that answer together."""

    rank: int

    def exchange(self, work: Callable[[], T]) -> list[T]:
        """Do ``work`` on every rank and give every rank all results, by rank; raise on all where one raised."""


class Alone:
    """One process: the group of one."""

    rank = 0

    def exchange(self, work: Callable[[], T]) -> list[T]:
        return [work()]


class TorchGroup:
    """A group of torch.distributed, of any backend that has all_gather (gloo, NCCL)."""

    def __init__(self, process_group: Any) -> None:
        import torch.distributed

        if not torch.distributed.is_available() or not torch.distributed.is_initialized():
            raise ValueError("process_group: expected an initialised group; call torch.distributed.init_process_group")
        self.distributed = torch.distributed
        self.process_group = process_group
        self.rank = torch.distributed.get_rank(process_group)
        self.size = torch.distributed.get_world_size(process_group)
        if self.rank < 0:
            raise ValueError("process_group: expected a group that this process belongs to")

    def exchange(self, work: Callable[[], T]) -> list[T]:
        mine: tuple[str | None, T | None]
        failure: Exception | None = None
        try:
            mine = (None, work())
        except Exception as error:  # noqa: BLE001 - whatever it is, the others must hear of it before it is raised here
            failure, mine = error, (f"{type(error).__name__}: {error}", None)
        everyone: list[Any] = [None] * self.size
        try:
            self.distributed.all_gather_object(everyone, mine, group=self.process_group)
        except RuntimeError as error:
            if failure is not None:
                raise failure from error
            raise RuntimeError(
                "process_group: a rank ended or did not answer within the group's timeout; see the other ranks' errors"
            ) from error
        if failure is not None:
            try:
                raise failure
            finally:
                del failure  # it holds this frame, and through it the group, longer than the group's threads live
        for rank, (text, _) in enumerate(everyone):
            if text is not None:
                raise RuntimeError(f"process_group: rank {rank} failed: {text}")
        return [result for _, result in everyone]


def group_of(process_group: Any) -> Group:
    return Alone() if process_group is None else TorchGroup(process_group)


class GroupPool:
    """The points of all ranks, in the order of the ranks, as the solver wants to see them.

    What it is asked for is ``work`` that every rank does, and what ``joined`` makes of all their results.
    """

    def __init__(self, mine: ArrayPool, group: Group, sizes: Sequence[int] | None = None) -> None:
        self.mine = mine
        self.group = group
        self.sizes = group.exchange(lambda: mine.size) if sizes is None else sizes
        self.size = sum(self.sizes)
        self.undecided: ArrayPool | None = None

    def peek(self, count: int) -> tuple[Float32s, Float32s]:
        return self.asked("peek", count)  # type: ignore[no-any-return]

    def reduce(self, box: Box) -> tuple[Sums, GroupPool]:
        return self.asked("reduce", box)  # type: ignore[no-any-return]

    def distinct(self) -> tuple[Float32s, Float32s, Counts]:
        return self.asked("distinct")  # type: ignore[no-any-return]

    def asked(self, name: str, *arguments: Any) -> Any:
        return self.joined(name, self.group.exchange(lambda: self.work(name, *arguments)))

    def work(self, name: str, *arguments: Any) -> Any:
        """This rank's part of an answer."""
        if name == "peek":
            (count,) = arguments
            begin, places = sum(self.sizes[: self.group.rank]), spread(count, self.size)
            return self.mine.at(places[(places >= begin) & (places < begin + self.mine.size)] - begin)
        if name == "reduce":
            sums, self.undecided = self.mine.reduce(*arguments)
            return sums, self.undecided.size
        return self.mine.distinct()

    def joined(self, name: str, parts: Sequence[Any]) -> Any:
        """The answer, from those of all ranks."""
        if name == "peek":
            return joined([gain for gain, _ in parts]), joined([correctness for _, correctness in parts])
        if name == "reduce" and self.undecided is not None:
            total = Sums()
            for sums, _ in parts:
                total = total.add(sums)
            return total, GroupPool(self.undecided, self.group, [size for _, size in parts])
        return counted(parts)


def solve_together(
    pools: Sequence[GroupPool], budgets: Sequence[float], mistakes: Sequence[float], group: Group
) -> list[Equilibrium]:
    """The equilibria of many games, one on each pool, step by step together: a step is one exchange for all of them."""
    games = [narrowing(*game) for game in zip(pools, repeat(Sums()), repeat(Box()), budgets, mistakes)]
    answers: list[Equilibrium | None] = [None] * len(games)
    asks = {number: next(game) for number, game in enumerate(games)}  # every game asks for points first
    while asks:
        everyone = group.exchange(lambda: [ask.pool.work(ask.name, *ask.arguments) for ask in asks.values()])  # noqa: B023
        going: dict[int, Ask] = {}
        for (number, ask), parts in zip(asks.items(), zip(*everyone, strict=True), strict=True):
            try:
                going[number] = games[number].send(ask.pool.joined(ask.name, parts))
            except StopIteration as done:
                answers[number] = done.value
        asks = going
    return [found_in(answer) for answer in answers]


def common(group: Group, what: str, mine: Any) -> None:
    """Raise on every rank where ranks disagree on what must be the same for all."""
    everyone = group.exchange(lambda: mine)
    for rank, theirs in enumerate(everyone):
        if theirs != everyone[0]:
            raise ValueError(
                f"{what}: expected the same on every rank; rank 0 has {everyone[0]!r}, rank {rank} {theirs!r}"
            )


def place(group: Group, mass: Callable[[], int], start: int) -> int:
    """Where this rank's part of the scan starts: at ``start`` and what the ranks before it add, modulo 2**64."""
    masses = group.exchange(mass)
    return int((start + sum(masses[: group.rank])) % 2**64)


def totals(group: Group, counts: tuple[int, ...]) -> tuple[int, ...]:
    if isinstance(group, Alone):
        return counts
    return tuple(int(total) for total in np.array(group.exchange(lambda: counts), dtype=object).sum(axis=0))
