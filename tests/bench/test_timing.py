"""Contenders take turns, fail without stopping the rest, and their ratios are what they are said to be."""

import math

import pytest

from rad_fast.bench import timing
from rad_fast.bench.timing import Case, Spread


def counting(calls, name):
    return lambda: calls.append(name)


def failing():
    raise RuntimeError("\n  no compiler  \nand a page of why")


def test_contenders_take_turns_and_the_first_is_not_counted():
    calls = []
    case = Case("case", 1, {name: counting(calls, name) for name in "abc"}, frozenset("c"))
    seconds = timing.measure(case, 3, 1)
    assert "".join(calls) == "abc" + "abc" + "ab" + "ab"
    assert {name: len(taken) for name, taken in seconds.items()} == {"a": 3, "b": 3, "c": 1}


def test_the_clock_decides_what_a_turn_took():
    def clock(work):
        work()
        return 7.0

    assert timing.measure(Case("case", 1, {"a": int}), 2, 1, clock) == {"a": [7.0, 7.0]}


def test_a_contender_that_fails_is_left_out_and_the_rest_goes_on():
    calls, failed = [], {}
    case = Case("case", 1, {"a": counting(calls, "a"), "bad": failing, "b": counting(calls, "b")})
    seconds = timing.measure(case, 2, 1, failed=failed)
    assert {name: len(taken) for name, taken in seconds.items()} == {"a": 2, "b": 2}
    assert failed == {"bad": "RuntimeError: no compiler"}
    assert "".join(calls) == "ababab"


def test_a_failure_is_not_hidden_where_nobody_asks_for_it_or_in_a_counted_turn():
    with pytest.raises(RuntimeError, match="no compiler"):
        timing.measure(Case("case", 1, {"bad": failing}), 2, 1)
    turns = iter([0, 1])  # then StopIteration, in the second counted turn
    with pytest.raises(StopIteration):
        timing.measure(Case("case", 1, {"a": lambda: next(turns)}), 2, 1, failed={})


def test_a_reason_is_one_line_and_not_long():
    assert timing.reason(ValueError()) == "ValueError"
    assert timing.reason(ValueError("a\nb")) == "ValueError: a"
    assert len(timing.reason(ValueError("x" * 1000))) < 200


def test_spread_is_the_median_and_the_fifths():
    assert timing.spread([float(k) for k in range(11)]) == Spread(5.0, 2.0, 8.0)
    assert timing.spread([3.0]) == Spread(3.0, 3.0, 3.0)
    assert all(math.isnan(value) for value in timing.spread([]))


def test_each_faster_compares_turn_by_turn_as_far_as_both_have_turns():
    found = timing.each_faster({"ours": [1.0, 2.0, 5.0], "peer": [4.0, 2.0]}, "ours", "peer")
    assert found.median == 2.5
    assert found.low == pytest.approx(1.6)


@pytest.mark.parametrize("seconds", [{"ours": [1.0]}, {"peer": [1.0]}, {"ours": [1.0], "peer": []}])
def test_ratios_with_an_absent_peer_are_nan(seconds):
    assert math.isnan(timing.each_faster(seconds, "ours", "peer").median)


def test_only_keeps_the_named_contenders_in_their_order():
    case = Case("case", 1, {"a": int, "b": int, "c": int}, frozenset("b"))
    kept = timing.only(case, {"c", "a", "none"})
    assert list(kept.contenders) == ["a", "c"]
    assert (kept.name, kept.sparing) == ("case", case.sparing)


def test_absent_contenders_are_not_present():
    assert timing.present({"a": int, "b": None}) == {"a": int}
