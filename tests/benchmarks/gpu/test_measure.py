"""One group of measurements: what fails or is left out is said, what was measured is kept; and what only a GPU runs,
on a stand-in for torch that writes down what it is asked for."""

from __future__ import annotations

import copy
import gc
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("torch")

from benchmarks.gpu import cases as gpu_cases
from benchmarks.gpu import measure as gpu_measure
from benchmarks.gpu.measure import DEVICE, HOST, Plan, carry_out
from benchmarks.gpu.results import Measured
from rad_fast.bench import cuda, peers
from rad_fast.bench.timing import Case


def plan(name: str, work: Any = lambda: None, least: float = 0.0, clock: str = DEVICE) -> Plan:
    return Plan(name, least, lambda: [(Case(name, 7, {"one": work}, about={"stage": "x"}), clock)], 3, 3)


def raising(kind: type[Exception]) -> Any:
    def work() -> None:
        raise kind("as the\nlibrary has it")

    return work


def broken() -> Any:
    raise MemoryError("no room")


def carried(
    *plans: Plan, seconds: float = 100.0, now: Any = lambda: 0.0
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    written: list[dict[str, Any]] = []
    found = carry_out(plans, "cpu", seconds, lambda found: written.append(copy.deepcopy(found)), now)
    return found, written


def test_what_was_measured_is_written_before_the_next_begins() -> None:
    found, written = carried(plan("first"), plan("second", clock=HOST))
    assert [len(state["cases"]) for state in written] == [0, 1, 2]
    first = Measured(**found["cases"][0])
    assert (first.name, first.points, len(first.seconds["one"])) == ("first", 7, 3)
    assert [case["about"]["clock"] for case in found["cases"]] == [DEVICE, HOST]


def test_a_case_that_cannot_be_made_leaves_the_others() -> None:
    found, _ = carried(Plan("large", 0.0, broken, 1, 1), plan("small"))
    assert found["failed"] == [{"what": "large", "why": "MemoryError: no room"}]
    assert [case["name"] for case in found["cases"]] == ["small"]


def test_a_contender_that_fails_is_left_out_of_its_case() -> None:
    found, _ = carried(plan("one", raising(RuntimeError)))
    assert found["cases"][0]["left_out"] == {"one": "RuntimeError: as the"}
    assert found["cases"][0]["seconds"] == {}


def test_what_there_is_no_time_for_is_left_out() -> None:
    ticks = iter([0.0, 10.0, 90.0, 95.0])
    found, _ = carried(
        plan("first", least=50), plan("second", least=20), plan("third", least=2), now=lambda: next(ticks)
    )
    assert found["dropped"] == [{"what": "second", "why": "it needs some 20 s, 10 s were left"}]
    assert [case["name"] for case in found["cases"]] == ["first", "third"]


def test_after_the_device_is_lost_nothing_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_measure, "cleared", lambda device: "AcceleratorError: an illegal address")
    found, _ = carried(plan("first"), plan("second"))
    assert found["lost"] == "AcceleratorError: an illegal address"
    assert [item["what"] for item in found["dropped"]] == ["second"]


@pytest.mark.parametrize("group", list(gpu_measure.GROUPS))
@pytest.mark.parametrize("size", list(gpu_cases.SIZES.values()), ids=list(gpu_cases.SIZES))
def test_no_plan_takes_more_than_its_group_is_given(group: str, size: gpu_cases.Size) -> None:
    from benchmarks.gpu.report import GROUP_SECONDS

    plans = list(gpu_measure.GROUPS[group](size, "cuda"))
    assert len({one.name for one in plans}) == len(plans)
    if size.name != "rehearsal":
        assert max((one.least for one in plans), default=0.0) <= GROUP_SECONDS[group][size.name][1] - 10


def test_every_class_and_dtype_of_the_goals_is_planned() -> None:
    names = [one.name for one in gpu_measure.GROUPS["scores"](gpu_cases.FULL, "cuda")]
    for classes in (10, 32, 100, 1000, 4096, 32768, 131072):
        for dtype in ("bfloat16", "float16", "float32"):
            assert f"scoring, {classes:,} classes, {dtype}" in names
    assert gpu_cases.FULL.games == (10**5, 10**6, 10**7, 10**8)


def test_stand_ins_have_the_contenders_that_a_gpu_has() -> None:
    found, _ = carried(next(iter(gpu_measure.GROUPS["games"](gpu_cases.REHEARSAL, "cpu"))))
    assert not found["failed"]
    (name,) = cuda.usable("cpu")
    assert {cuda.ours(name), peers.READ, peers.TORCH, peers.MARGIN} <= set(found["cases"][0]["seconds"])
    found, _ = carried(next(iter(gpu_measure.GROUPS["stages"](gpu_cases.REHEARSAL, "cpu"))))
    assert not found["failed"]
    stages = {gpu_cases.SCORE, gpu_cases.GAME, gpu_cases.SAMPLE, gpu_cases.WHOLE, gpu_cases.BY_CLASS}
    assert set(found["cases"][0]["seconds"]) == stages


def test_inputs_rotate_unless_one_alone_outweighs_the_cache() -> None:
    assert gpu_cases.apart("cpu") == 0
    assert gpu_cases.apart("cuda") is None
    assert gpu_cases.apart("cuda", 2 << 30) is None
    assert gpu_cases.apart("cuda", 20_000_000_000) == 0


def test_softmax_counts_what_it_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(gpu_cases, "libraries", lambda: {gpu_cases.QUACK: lambda x: torch.softmax(x, 1)})
    case = gpu_cases.softmaxes(100, "float32", 40_000, "cpu")
    ours, others = cuda.ours(*cuda.usable("cpu")), (gpu_cases.SOFTMAX, gpu_cases.QUACK)
    assert case.traffic == {ours: 40_000 + 100 * 12, peers.READ: 40_000, **dict.fromkeys(others, 80_000)}
    for work in case.contenders.values():
        work()


# ------------------------------------------------------------------------------------------------- what only a GPU runs


class Graph:
    def __init__(self, log: list[str]) -> None:
        self.log = log

    def replay(self) -> None:
        self.log.append("replay")


class Capture:
    def __init__(self, log: list[str]) -> None:
        self.log = log

    def __enter__(self) -> None:
        self.log.append("begin")

    def __exit__(self, *_: object) -> None:
        self.log.append("end")


class Torch:
    """Writes down what is asked of torch.cuda."""

    def __init__(self) -> None:
        log: list[str] = []
        self.log = log
        peaks = iter([1000, 1000 + 24 * 50])
        self.cuda = SimpleNamespace(
            CUDAGraph=lambda: Graph(log), graph=lambda graph: Capture(log), synchronize=lambda: log.append("wait"),
            empty_cache=lambda: log.append("empty"), memory_allocated=lambda: next(peaks),
            max_memory_allocated=lambda: next(peaks), reset_peak_memory_stats=lambda: log.append("reset"),
        )  # fmt: skip


@pytest.fixture
def torch_on_paper(monkeypatch: pytest.MonkeyPatch) -> Torch:
    stand_in = Torch()
    monkeypatch.setattr(peers, "torch", lambda: stand_in)
    return stand_in


def test_a_graph_is_captured_once_and_its_answer_looked_at(
    torch_on_paper: Torch, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = torch_on_paper.log
    monkeypatch.setattr(gpu_cases, "check", lambda out, backend: log.append(f"check {out} {backend}"))

    def enqueue() -> str:
        log.append("enqueue")
        return "answer"

    replay = gpu_cases.captured(enqueue, "triton")
    replay()
    first = ["enqueue", "wait", "begin", "enqueue", "end", "replay", "wait", "check answer triton", "replay"]
    assert log == first
    replay()
    assert log == [*first, "replay"]


def test_the_peak_is_of_one_selection_beyond_the_logits(torch_on_paper: Torch, monkeypatch: pytest.MonkeyPatch) -> None:
    log = torch_on_paper.log
    monkeypatch.setattr(cuda, "logits", lambda *_: "logits")
    monkeypatch.setattr(cuda, "selected", lambda *asked: lambda x: log.append(f"{asked} {x}"))
    assert gpu_cases.extra_memory(50, 10, "bfloat16", "triton", "cuda") == 24.0
    once = "('triton', 1, 'auto') logits"  # with quotas it takes the most
    assert log == [once, "wait", "empty", "reset", once, "wait"]


def test_the_hosts_clock_waits_before_and_after(torch_on_paper: Torch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "on_gpu", lambda device: True)
    log = torch_on_paper.log
    assert gpu_cases.awaited("cuda")(lambda: log.append("work")) > 0
    assert log == ["wait", "work", "wait"]


def test_the_devices_clock_keeps_the_device_busy_first(torch_on_paper: Torch, monkeypatch: pytest.MonkeyPatch) -> None:
    log = torch_on_paper.log
    scratch = SimpleNamespace(sum=lambda: log.append("read"))
    monkeypatch.setattr(torch_on_paper, "rand", lambda size, device: scratch, raising=False)
    monkeypatch.setattr(cuda, "on_gpu", lambda device: True)

    def cuda_events(ahead: Any = None) -> Any:
        def clock(work: Any) -> float:
            if ahead is not None:
                ahead()
            work()
            return cuda.LAUNCHES / 2.5

        return clock

    monkeypatch.setattr(cuda, "cuda_events", cuda_events)
    clock = cuda.clock("cuda")
    log.clear()
    clock(lambda: log.append("work"))
    assert log == ["read", "read", "read", "work"]


def test_memory_is_given_back_and_a_lost_device_noticed(torch_on_paper: Torch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gc, "collect", lambda: 0)
    assert gpu_measure.cleared("cuda") == ""
    assert torch_on_paper.log == ["wait", "empty"]
    monkeypatch.setattr(torch_on_paper.cuda, "synchronize", raising(RuntimeError))
    assert gpu_measure.cleared("cuda") == "RuntimeError: as the"
