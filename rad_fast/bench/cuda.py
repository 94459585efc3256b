"""What is measured on a GPU: cases over torch tensors, rad_fast's backends and their peers beside one another.

A case holds its inputs: make one, measure it, let it go. Inputs are random, and so many, taken in turn by all
contenders together, that the last-level cache has lost each when its turn comes again. Every function takes a torch
device; on "cpu" rad_fast's CPU kernels stand in, for tests.

    from rad_fast.bench import cuda, timing
    case = cuda.scoring(10, "float32", 1 << 30)
    seconds = timing.measure(case, 40, 5, cuda.clock(), failed={})
    timing.each_faster(seconds, cuda.ours("triton"), cuda.READ)  # of the speed of a streaming read
"""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, cast

import numpy as np

import rad_fast
from rad_fast.device import backends as on_host
from rad_fast.game.pool import ArrayPool
from rad_fast.game.solver import solve as solve_on_host
from rad_fast.inputs.typed import BackendName
from rad_fast.kernels.reference.sample import start
from rad_fast.kernels.reference.score import Points, Rule

from . import peers
from .cpu import INDEX_BYTES, MISTAKES, PAIR_BYTES, POINT_BYTES, SHARE
from .peers import COMPILED, COPY, CUPY, CUPY_SORT, MARGIN, OURS, READ, TORCH, TORCH_SORT, case_of
from .timing import Case, Clock, Work, cuda_events, wall

MOST_ROWS = 1 << 26  # where rows are short what is written a row outweighs what is read: no need for more
UNKNOWN_BETWEEN = 256 << 20  # bytes read between two turns of an input where torch does not know how large the cache is
# Seconds that the device is kept busy while the host launches what is timed: a game takes some eighty launches, each of
# up to 50 microseconds of the host's time.
LAUNCHES = 4e-3


def usable(device: str = "cuda") -> tuple[str, ...]:
    """Names of rad_fast's backends that can serve tensors on this device."""
    if not on_gpu(device):
        return (on_host.backend("auto").name,)
    return tuple(found.name for found in (on_host.triton(), on_host.cuda()) if found.usable)


def routes(device: str = "cuda") -> tuple[str, ...]:
    """The same for whole selections: what takes its stages from two of them is among them."""
    pair = on_host.both(on_host.triton(), on_host.cuda()) if on_gpu(device) else None
    return (*usable(device), *([pair.name] if pair and pair.usable else []))


def ours(backend: str) -> str:
    """What the contender is called that is this backend."""
    return f"{OURS} {backend}"


def clock(device: str = "cuda") -> Clock:
    """Time on the device, the host's launches hidden behind work that is not timed; on "cpu" the wall's.

    For ``small_call`` take ``timing.wall``: what the host waits for is what is asked there.
    """
    if not on_gpu(device):
        return wall
    scratch = peers.torch().rand(UNKNOWN_BETWEEN // 4, device=device)
    plain = cuda_events()
    taken = min(plain(scratch.sum) for _ in range(4))
    passes = max(1, math.ceil(LAUNCHES / taken))
    return cuda_events(lambda: [scratch.sum() for _ in range(passes)])


# -------------------------------------------------------------------------------------------------------------- cases


def bandwidth(nbytes: int = 1 << 30, device: str = "cuda", between: int | None = None) -> Case:
    """The memory: a sum over ``nbytes`` of float32 (READ), and a copy of them (COPY)."""
    turn = itertools.cycle(rotated(lambda seed: logits(nbytes // 4, 1, "float32", device, seed), device, between))
    target = peers.torch().empty_like(next(turn))
    size = int(target.nbytes)
    contenders: dict[str, Work] = {READ: one(total, turn), COPY: one(target.copy_, turn)}
    about = {"stage": "bandwidth", "device": kind(device)}
    return Case(f"memory, {kind(device)}", len(target), contenders, traffic={READ: size, COPY: 2 * size}, about=about)


def scoring(
    classes: int,
    dtype: str,
    nbytes: int = 1 << 30,
    backends: Sequence[str] | None = None,
    device: str = "cuda",
    between: int | None = None,
) -> Case:
    """The scoring pass of select: some ``nbytes`` of logits read once, gain, correctness and label written.

    ``backends``: of rad_fast; all usable ones where None. ``between``: bytes read before an input's turn comes again;
    four times the cache where None. Contenders: ``ours(backend)``, READ, TORCH, COMPILED, CUPY.
    """
    rows = rows_of(classes, dtype, nbytes)
    turn = itertools.cycle(rotated(lambda seed: logits(rows, classes, dtype, device, seed), device, between))
    size = int(next(turn).nbytes)
    contenders: dict[str, Work | None] = {}
    for name in chosen(backends, device):
        contenders[ours(name)] = one(stages(name).appraise, turn)
    contenders[READ] = one(total, turn)
    contenders[TORCH] = one(peers.scores, turn)
    contenders[COMPILED] = one(peers.compiled(peers.scores), turn)
    if cupy_serves(dtype, device):
        contenders[CUPY] = one(lambda x: peers.cupy_scores(to_cupy(x)), turn)
    name = f"scoring, {classes} classes, {dtype}, {kind(device)}"
    traffic = {**dict.fromkeys(contenders, size + POINT_BYTES * rows), READ: size}
    about: dict[str, str | int] = {"stage": "scoring", "classes": classes, "dtype": dtype, "device": kind(device)}
    return case_of(name, rows, contenders, traffic, about)


def game(points: int, backends: Sequence[str] | None = None, device: str = "cuda", between: int | None = None) -> Case:
    """The game and the sample, budget 1% and mistakes 5%, on scores as they come out of scoring.

    Contenders: ``ours(backend)``, and it with ", the game alone" and ", the sample alone"; READ; TORCH_SORT, MARGIN and
    CUPY_SORT, which are less than the game; TORCH and COMPILED, the game by a sort and running sums, and a sample.
    """
    pairs = rotated(lambda seed: scores(points, device, seed), device, between)
    turn = itertools.cycle(pairs)
    budget, mistakes = max(1, round(SHARE * points)), MISTAKES * points
    running = start(0, budget, points)
    read, write = PAIR_BYTES * points, INDEX_BYTES * budget
    traffic = {READ: read, TORCH: 2 * read + write, COMPILED: 2 * read + write}
    traffic |= dict.fromkeys((TORCH_SORT, CUPY_SORT), read) | {MARGIN: read // 2 + write}
    contenders: dict[str, Work | None] = {}
    for name in chosen(backends, device):
        works = played(stages(name), pairs, turn, budget, mistakes, running)
        bytes_moved = (2 * read + write, read, read + write)
        for part, work, moved in zip(("", ", the game alone", ", the sample alone"), works, bytes_moved, strict=True):
            contenders[ours(name) + part], traffic[ours(name) + part] = work, moved
    by_sort = peers.compiled(peers.game)
    contenders[READ] = one(lambda pair: [total(part) for part in pair], turn)
    contenders[TORCH_SORT] = one(lambda pair: pair[0].sort(), turn)
    contenders[MARGIN] = one(lambda pair: pair[0].topk(budget), turn)
    contenders[TORCH] = one(lambda pair: peers.game(pair[0], pair[1], budget, mistakes), turn)
    contenders[COMPILED] = one(lambda pair: by_sort(pair[0], pair[1], budget, mistakes), turn)
    if cupy_serves("float32", device):
        contenders[CUPY_SORT] = one(lambda pair: importlib.import_module("cupy").sort(to_cupy(pair[0])), turn)
    name = f"game and sample, {points:,} points, {kind(device)}"
    return case_of(name, points, contenders, traffic, {"stage": "game", "device": kind(device)})


def whole(
    classes: int,
    dtype: str = "float32",
    nbytes: int = 1 << 30,
    backends: Sequence[str] | None = None,
    device: str = "cuda",
    between: int | None = None,
) -> Case:
    """rad_fast.select, from the logits to the indices, budget 1%.

    Contenders: ``ours(backend)``; READ, of the logits; TORCH and COMPILED, scores and ``peers.game``; MARGIN.
    """
    rows = rows_of(classes, dtype, nbytes)
    inputs = rotated(lambda seed: logits(rows, classes, dtype, device, seed), device, between)
    return selecting(f"select, {classes} classes, {dtype}", inputs, backends, device, lambda: None)


def small_call(
    points: int = 10_000,
    classes: int = 10,
    backends: Sequence[str] | None = None,
    device: str = "cuda",
    between: int | None = None,
) -> Case:
    """rad_fast.select on few points, where launches and waiting are all: to be timed by the wall, device waited for."""
    finish = peers.torch().cuda.synchronize if on_gpu(device) else lambda: None
    inputs = rotated(lambda seed: logits(points, classes, "float32", device, seed), device, between)
    return selecting(f"select, {points:,} points of {classes} classes", inputs, backends, device, finish)


def selecting(
    name: str, inputs: list[Any], backends: Sequence[str] | None, device: str, finish: Callable[[], object]
) -> Case:
    turn = itertools.cycle(inputs)
    points, classes = inputs[0].shape
    budget, mistakes = max(1, round(SHARE * points)), MISTAKES * points
    by_sort = peers.compiled(peers.whole)

    def done(function: Callable[[Any], object]) -> Work:
        return one(lambda x: (function(x), finish()), turn)

    contenders: dict[str, Work | None] = {
        ours(backend): done(selected(backend, budget)) for backend in (routes(device) if backends is None else backends)
    }
    contenders[READ] = done(total)
    contenders[TORCH] = done(lambda x: peers.whole(x, budget, mistakes))
    contenders[COMPILED] = done(lambda x: by_sort(x, budget, mistakes))
    contenders[MARGIN] = done(lambda x: peers.smallest_margins(x, budget))
    size = int(inputs[0].nbytes)
    least = size + (POINT_BYTES + 2 * PAIR_BYTES) * points + INDEX_BYTES * budget
    dtype = str(inputs[0].dtype).removeprefix("torch.")
    about = {"stage": "select", "classes": classes, "dtype": dtype, "device": kind(device)}
    traffic = {**dict.fromkeys(contenders, least), READ: size}
    # MARGIN is slow here: its scores are the eager ones.
    return case_of(f"{name}, {kind(device)}", points, contenders, traffic, about, (MARGIN,))


def selected(backend: str, budget: int, quotas: str | None = None) -> Callable[[Any], object]:
    named = cast(BackendName, backend)
    return lambda x: rad_fast.select(x, budget, quotas=quotas, backend=named)


# ------------------------------------------------------------------------------------------------------------- inputs


def rotated(make: Callable[[int], Any], device: str, between: int | None) -> list[Any]:
    """As many inputs as it takes for ``between`` bytes of others to be read before one is read again."""
    first = make(0)
    size = sum(int(part.nbytes) for part in first) if isinstance(first, tuple) else int(first.nbytes)
    more = math.ceil((four_caches(device) if between is None else between) / size)
    return [first, *(make(seed) for seed in range(1, 1 + more))]


def four_caches(device: str) -> int:
    if not on_gpu(device):
        return UNKNOWN_BETWEEN
    properties = peers.torch().cuda.get_device_properties(device)
    return 4 * int(getattr(properties, "L2_cache_size", 0)) or UNKNOWN_BETWEEN


def rows_of(classes: int, dtype: str, nbytes: int) -> int:
    return min(MOST_ROWS, nbytes // (classes * int(getattr(peers.torch(), dtype).itemsize)))


def logits(rows: int, classes: int, dtype: str, device: str, seed: int) -> Any:
    torch = peers.torch()
    generator = torch.Generator(device).manual_seed(seed)
    drawn = torch.randn(rows, classes, dtype=getattr(torch, dtype), device=device, generator=generator)
    return drawn.mul_(4)


def scores(points: int, device: str, seed: int) -> tuple[Any, Any]:
    """Gain and correctness of a pool: most points are easy, and the harder the likelier mislabelled."""
    torch = peers.torch()
    generator = torch.Generator(device).manual_seed(seed)
    gain = 1.0 - torch.rand(points, device=device, generator=generator).pow_(0.25)
    return gain, 1.0 - gain * torch.rand(points, device=device, generator=generator)


# --------------------------------------------------------------------------------------------------------- contenders


class Stages(NamedTuple):
    """A backend's stages, of torch tensors; nothing is waited for where it need not be."""

    appraise: Callable[[Any], Any]  # logits
    solve: Callable[[Any, Any, int, float], Any]  # gain, correctness, budget, mistakes
    sample: Callable[[Any, Any, Any, int, int], Any]  # gain, correctness, what solve gave, running, budget


def stages(backend: str) -> Stages:
    """The stages of "triton", "cuda", the pair of them or one of the CPU backends."""
    if backend == "triton":
        score, equilibrium, sample = (
            importlib.import_module(f"rad_fast.kernels.triton.{name}") for name in ("score", "equilibrium", "sample")
        )
        return Stages(
            score.appraise,
            equilibrium.solve,
            lambda gain, correctness, found, *rest: sample.sample(gain, correctness, found.equilibrium, *rest),
        )
    if backend == "cuda":
        compiled: Any = importlib.import_module("rad_fast.device.cuda")
        return Stages(compiled.appraise, compiled.solve, compiled.sample)
    if backend == "triton+cuda":
        return stages("cuda")._replace(appraise=stages("triton").appraise)
    return host_stages(backend)


def host_stages(backend: str) -> Stages:
    kernels = on_host.backend(backend)

    def appraise(x: Any) -> Points:
        torch = peers.torch()
        array = x.view(torch.int16).numpy().view(np.uint16) if x.dtype == torch.bfloat16 else x.numpy()
        rows = len(array)
        out = Points(np.empty(rows, np.float32), np.empty(rows, np.float32), np.empty(rows, np.int32))
        kernels.appraise(array, None, Rule(), None, out)
        return out

    def solve(gain: Any, correctness: Any, budget: int, mistakes: float) -> Any:
        return solve_on_host(ArrayPool([(gain.numpy(), correctness.numpy())], kernels), budget, mistakes)

    def sample(gain: Any, correctness: Any, found: Any, running: int, _: int) -> Any:
        return kernels.sample(gain.numpy(), correctness.numpy(), found, running)[0]

    return Stages(appraise, solve, sample)


def played(
    by: Stages,
    pairs: list[tuple[Any, Any]],
    turn: Iterator[tuple[Any, Any]],
    budget: int,
    mistakes: float,
    running: int,
) -> tuple[Work, Work, Work]:
    """The game and the sample, the game alone, the sample alone."""
    found: dict[int, Any] = {}

    def solve(pair: tuple[Any, Any]) -> Any:
        gain, correctness = pair
        return by.solve(gain, correctness, budget, mistakes)

    def sample(pair: tuple[Any, Any], answer: Any) -> object:
        gain, correctness = pair
        return by.sample(gain, correctness, answer, running, budget)

    def sample_alone(pair: tuple[Any, Any]) -> object:
        if not found:  # all of them, in the turn that is not counted
            found.update((id(other), solve(other)) for other in pairs)
        return sample(pair, found[id(pair)])

    return one(lambda pair: sample(pair, solve(pair)), turn), one(solve, turn), one(sample_alone, turn)


def one(function: Callable[[Any], object], turn: Iterator[Any]) -> Work:
    """``function`` of whichever input is next."""
    return lambda: function(next(turn))


def total(x: Any) -> Any:
    """A streaming read: a sum over the same bytes as float32."""
    flat = x.reshape(-1)
    return flat[: flat.nbytes // 4 * 4 // flat.itemsize].view(peers.torch().float32).sum()


def chosen(backends: Sequence[str] | None, device: str) -> Sequence[str]:
    return usable(device) if backends is None else backends


def to_cupy(x: Any) -> Any:
    """The same memory. Both libraries work on the default stream as long as neither is told otherwise."""
    return importlib.import_module("cupy").from_dlpack(x)


def cupy_serves(dtype: str, device: str) -> bool:
    return on_gpu(device) and dtype != "bfloat16" and importlib.util.find_spec("cupy") is not None


def on_gpu(device: str) -> bool:
    return bool(peers.torch().device(device).type == "cuda")


def kind(device: str) -> str:
    return "GPU" if on_gpu(device) else "CPU"
