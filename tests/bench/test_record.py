"""Records survive the disk, say what changed against an earlier one, and refuse what is none."""

import json
import math
import re

import pytest

from rad_fast.bench.record import Change, compare, load, other_machine
from rad_fast.bench.timing import Spread

from .records import TURNS, played, record, scored


@pytest.fixture
def whole(tmp_path):
    """A record on the disk: the file and what it holds as JSON."""
    path = tmp_path / "bench.json"
    text = record(scored(), played(), notes=["a note"]).to_json()
    path.write_text(text)
    return path, json.loads(text)


def test_a_record_is_read_as_it_was_written(tmp_path):
    kept = record(scored(), played(), notes=["a note"])
    kept.cases[0].left_out["torch compiled"] = "RuntimeError: no compiler"
    (tmp_path / "bench.json").write_text(kept.to_json())
    assert load(tmp_path / "bench.json") == kept


def test_the_same_record_shows_no_change():
    found = compare(record(scored()), record(scored()))
    assert [change.contender for change in found] == ["rad_fast", "streaming read"]
    assert all(change.times == Spread(1.0, 1.0, 1.0) for change in found)
    assert {change.verdict for change in found} == {""}


def test_what_takes_half_the_time_is_twice_as_fast():
    ours, read = compare(record(scored(ours=1.0)), record(scored(ours=2.0)))
    assert ours == Change(
        "scoring, 10 classes, float32", "rad_fast", Spread(2, 2, 2), "faster", Spread(2, 2, 2), "faster"
    )
    assert read.times.median == 1.0
    assert math.isnan(read.beside.median)  # it is the yardstick
    ours, _ = compare(record(scored(ours=2.0)), record(scored(ours=1.0)))
    assert (ours.times.median, ours.verdict, ours.beside_verdict) == (0.5, "slower", "slower")


def test_a_machine_that_is_slower_as_a_whole_shows_beside_the_yardstick():
    now, then = scored(ours=4.0), scored(ours=2.0)
    now.seconds["streaming read"] = [2.0] * TURNS
    ours, read = compare(record(now), record(then))
    assert (ours.verdict, read.verdict) == ("slower", "slower")
    assert (ours.beside.median, ours.beside_verdict) == (1.0, "")


def test_the_yardstick_of_a_game_is_the_sort():
    now, then = played(**{"numpy.sort": [2.0]}), played(**{"numpy.sort": [1.0]})
    ours, _ = compare(record(now), record(then))
    assert (ours.times.median, ours.beside.median) == (1.0, 2.0)


def test_what_lies_within_the_spread_is_no_change():
    now, then = scored(), scored()
    now.seconds["rad_fast"] = [1.0, 1.2, 1.4, 1.6, 1.8, 2.0]
    then.seconds["rad_fast"] = [1.1, 1.3, 1.5, 1.7, 1.9, 2.1]
    ours, _ = compare(record(now), record(then))
    assert ours.times.low < 1 < ours.times.median < ours.times.high
    assert ours.verdict == ""


def test_few_turns_decide_nothing():
    now, then = scored(**{"torch eager": [1.0, 1.0]}), scored(**{"torch eager": [9.0, 9.0]})
    (change,) = [change for change in compare(record(now), record(then)) if change.contender == "torch eager"]
    assert (change.times.median, change.verdict) == (9.0, "few turns")


def test_only_what_both_have_measured_alike_is_compared():
    other_size = scored()
    other_size.points = 2000
    assert compare(record(scored()), record(other_size)) == []
    assert compare(record(scored()), record(scored(100))) == []
    with_torch = scored(**{"torch eager": [1.0] * TURNS})
    assert "torch eager" not in {change.contender for change in compare(record(with_torch), record(scored()))}
    nothing = scored()
    nothing.seconds["rad_fast"] = []
    assert [change.contender for change in compare(record(scored()), record(nothing))] == ["streaming read"]


def test_other_machines_are_named_by_what_differs_but_not_by_their_load():
    assert other_machine(record(), record(**{"load before": 9.0})) == []
    assert other_machine(record(), record(threads=4, GPU="one")) == ["threads: 2, then 4", "GPU: none, then one"]


# ------------------------------------------------------------------------------------------------------------ refusals


def message(path):
    with pytest.raises(ValueError, match=re.escape(str(path))) as caught:
        load(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert "\n" not in text
    return text


@pytest.mark.parametrize(
    "content",
    [b"", b"not JSON", b"[" * 100_000, b"\xff\xfe", b"{", b"[]", b"3", b'{"format": "else"}', b'{"format": NaN}'],
    ids=["empty", "text", "nested", "not UTF-8", "cut", "list", "number", "foreign", "NaN"],
)
def test_what_is_no_record_is_refused(tmp_path, content):
    path = tmp_path / "bench.json"
    path.write_bytes(content)
    message(path)


def test_a_record_cut_anywhere_is_refused(whole):
    path, _ = whole
    text = path.read_text().rstrip()
    for length in range(0, len(text), 97):
        path.write_text(text[:length])
        message(path)


def test_another_version_of_the_file_is_refused(whole):
    path, found = whole
    path.write_text(json.dumps({**found, "version": 99}))
    assert "expected version 1 of the file, got 99" in message(path)


@pytest.mark.parametrize("key", ["machine", "when", "cases", "notes"])
def test_a_part_that_is_missing_or_of_another_kind_is_named(whole, key):
    path, found = whole
    path.write_text(json.dumps({name: value for name, value in found.items() if name != key}))
    assert f"'{key}' is missing" in message(path)
    path.write_text(json.dumps({**found, key: 3}))
    assert f"{key}: expected" in message(path)


@pytest.mark.parametrize("key", ["name", "points", "about", "traffic", "seconds", "left_out"])
def test_so_is_one_of_a_case(whole, key):
    path, found = whole
    kept = found["cases"][0].pop(key)
    path.write_text(json.dumps(found))
    assert f"'{key}' is missing" in message(path)
    found["cases"][0][key] = [kept]
    path.write_text(json.dumps(found))
    assert f"{key}: expected" in message(path)


@pytest.mark.parametrize("value", [0, -1.0, "1", None, True, 1e999])
def test_seconds_that_are_none_are_refused(whole, value):
    path, found = whole
    found["cases"][0]["seconds"]["rad_fast"][2] = value
    path.write_text(json.dumps(found))
    message(path)


def test_a_file_that_is_not_there_is_the_systems_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none.json")
