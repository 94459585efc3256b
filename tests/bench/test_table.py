"""The table and the figure show what the record holds."""

import math

import pytest

from rad_fast.bench import roofline, table
from rad_fast.bench.record import Change, compare
from rad_fast.bench.timing import Spread

from .records import TURNS, played, record, scored


def line_with(lines, *parts):
    (found,) = [line for line in lines if all(part in line for part in parts)]
    return found


def test_ratios_come_first_then_times_then_notes():
    lines = table.lines(record(scored(), notes=["the note"]))
    ratios, times = (next(k for k, line in enumerate(lines) if part in line) for part in ("Scoring, CPU", "Times and"))
    assert 0 < ratios < times < len(lines) - 1
    assert lines[-1] == "the note"
    assert "a processor" in lines[0]


def test_ratios_are_shares_of_the_streaming_read_and_times_as_fast_as_peers():
    peers = {"torch eager": [8.0], "torch compiled": [6.0, 7.0]}
    lines = table.ratios(record(scored(ours=2.0, **peers)))
    assert lines[1].split("  ")[0] == "classes"
    row = line_with(lines, "float32")
    assert row.split() == ["10", "float32", "1,000", "rad_fast", "50.0%", "4.00", "3.25", "(3.10", "to", "3.40)"]
    heads = line_with(lines, "dtype")
    assert heads.index("of the streaming read") < heads.index("x torch eager") < heads.index("x torch compiled")


def test_a_peer_that_one_case_lacks_is_a_dash_there():
    lines = table.ratios(record(scored(10), scored(100, **{"torch eager": [8.0]})))
    assert line_with(lines, "10       float32").split()[-1] == "-"
    assert line_with(lines, "100      float32").split()[-1] == "4.00"


def test_stages_and_devices_are_apart():
    lines = table.ratios(record(scored(), scored(device="GPU"), played(**{"numpy.sort": [3.0]})))
    titles = [line.split(":")[0] for line in lines if ":" in line]
    assert titles == ["Scoring, CPU", "The game and the sample, CPU", "Scoring, GPU"]


def test_parts_of_a_stage_have_rows_of_their_own():
    lines = table.ratios(record(played(**{"rad_fast, the game alone": [0.5], "numpy.sort": [3.0]})))
    assert line_with(lines, "1,000   rad_fast ").split()[-1] == "3.00"
    assert line_with(lines, "the game alone").split()[-1] == "6.00"


def test_times_and_bandwidths_have_their_spread_and_turns():
    case = scored()
    case.seconds["rad_fast"] = [0.001 * k for k in range(10, 21)]
    row = line_with(table.times(record(case)), "rad_fast")
    assert row.split("  ")[0] == case.name
    assert "15.0  (12.0 to 18.0)" in row
    assert f"{4 / 0.015:.0f}  (222 to 333)" in row
    assert row.split()[-1] == "11"


def test_a_contender_without_known_traffic_or_turns():
    case = scored(**{"torch eager": [1.0], "torch compiled": []})
    del case.traffic["torch eager"]
    lines = table.times(record(case))
    assert line_with(lines, "torch eager").split()[-2:] == ["-", "1"]
    assert not any("torch compiled" in line for line in lines)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.012345, "0.0123"),
        (0.5, "0.500"),
        (1.0, "1.00"),
        (12.34, "12.3"),
        (123.4, "123"),
        (123456.0, "123,456"),
        (0.0, "0"),
    ],
)
def test_numbers_have_three_digits(value, text):
    assert table.short(value) == text


def test_a_comparison_says_what_changed_and_that_the_machine_is_another():
    now, then = record(scored(ours=1.0)), record(scored(ours=2.0), scored(100), threads=4)
    lines = table.comparison(compare(now, then), now, then, "old.json")
    assert "old.json" in lines[0]
    assert then.when in lines[0]
    assert "threads: 2, then 4" in lines[1]
    assert line_with(lines, "rad_fast").split()[-4:] == ["2.00", "faster", "2.00", "faster"]
    same = table.comparison(compare(now, now), now, now, "old.json")
    assert not any("not the same machine" in line for line in same)


def test_a_comparison_counts_the_cases_that_are_not_in_both():
    now, then = record(scored(), scored(100)), record(scored())
    assert table.comparison(compare(now, then), now, then, "old")[-1].startswith("1 of 2 cases")
    assert "nothing to compare" in table.comparison([], now, record(), "old")[-1]


def test_few_turns_are_called_that():
    few = Change("case", "torch eager", Spread(2.0, 2.0, 2.0), "few turns", Spread(math.nan, math.nan, math.nan), "")
    assert "few turns" in "\n".join(table.comparison([few], record(scored()), record(scored()), "old"))


# -------------------------------------------------------------------------------------------------------------- figure


def test_the_figure_has_a_line_for_each_dtype_and_ticks_at_the_classes():
    pytest.importorskip("matplotlib")
    cases = [scored(classes, dtype) for dtype in ("float32", "bfloat16") for classes in (1000, 10, 32768)]
    drawn = roofline.figure(record(*cases))
    (ax,) = drawn.axes
    assert [text.get_text() for text in ax.get_xticklabels()] == ["10", "1,000", "32,768"]
    lines = {line.get_label(): line for line in ax.get_lines()}
    assert list(lines[roofline.READ_LABEL].get_ydata()) == [4.0, 4.0]
    (legend,) = drawn.legends
    assert [text.get_text() for text in legend.get_texts()] == [roofline.READ_LABEL, "float32", "bfloat16"]
    (first, second) = ax.containers
    for container in (first, second):
        assert list(container.lines[0].get_ydata()) == [2.0, 2.0, 2.0]
    assert first.lines[0].get_color() != second.lines[0].get_color()


def test_each_backend_has_a_panel_and_those_of_a_device_one_scale():
    pytest.importorskip("matplotlib")
    gpu = scored(device="GPU")
    gpu.seconds = {"rad_fast triton": [1.0] * TURNS, "rad_fast cuda": [0.1] * TURNS}
    gpu.traffic = dict.fromkeys(gpu.seconds, 4_000_000_000)
    drawn = roofline.figure(record(scored(), gpu, GPU="a GPU"))
    titles = [ax.get_title(loc="left") for ax in drawn.axes]
    assert titles == ["a processor, 2 threads", "a GPU, triton", "a GPU, cuda"]
    assert drawn.axes[1].get_ylim() == drawn.axes[2].get_ylim() != drawn.axes[0].get_ylim()
    assert drawn.axes[2].get_ylim()[1] > 40


def test_nothing_is_drawn_where_no_scoring_was_measured():
    pytest.importorskip("matplotlib")
    assert roofline.figure(record(played())) is None
