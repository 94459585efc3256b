"""The report's page, and rad-fast report through its command line."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
import webbrowser
from html.parser import HTMLParser

import numpy as np
import pytest

import rad_fast
from rad_fast import cli
from rad_fast.report.figures import figures
from rad_fast.report.words import sentences

from .sizes import BUDGET, MISTAKES, C, N

# -------------------------------------------------------------------------------------------------------- the page


class Page(HTMLParser):
    """Tags, ids, and everything that could lead elsewhere."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.ids, self.links, self.words = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            if name in ("src", "href", "xlink:href", "srcset", "data", "action"):
                self.links.append(value)

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture(scope="module")
def page(selection, calibrator, tmp_path_factory):
    """The page of a selection that has everything."""
    pytest.importorskip("matplotlib")
    pytest.importorskip("jinja2")
    path = tmp_path_factory.mktemp("page") / "report.html"
    dataclasses.replace(selection, calibrator=calibrator).save_report(path, title="A <b>bold</b> & 'quoted' title")
    return path.read_text(encoding="utf-8")


def test_the_page_has_all_figures_with_captions_and_the_words(selection, drawn, page):
    parsed = Page(page)
    assert parsed.tags.count("figure") == parsed.tags.count("figcaption") == parsed.tags.count("svg") == 7
    assert parsed.tags.count("h1") == 1
    assert parsed.tags.count("h2") == 8
    words = " ".join(" ".join(parsed.words).split())
    for line in sentences(selection.report(), drawn):
        assert line[1:] in words
    assert "Calibration" in words
    assert len(page) < 400_000


def test_the_page_needs_no_network_and_runs_nothing(page):
    parsed = Page(page)
    assert "script" not in parsed.tags
    assert "link" not in parsed.tags
    for link in parsed.links:
        assert link.startswith(("#", "data:image/png;base64,")), link
    assert "http" not in page
    assert "@import" not in page
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", page))


def test_references_within_the_page_lead_somewhere(page):
    parsed = Page(page)
    assert len(parsed.ids) == len(set(parsed.ids)), "figures must not share ids"
    targets = [link[1:] for link in parsed.links if link.startswith("#")]
    targets += re.findall(r"url\(#([^)]*)\)", page) + re.findall(r'aria-labelledby="([^"]*)"', page)
    assert targets
    assert set(targets) <= set(parsed.ids)


def test_the_page_is_light_and_dark(page):
    """Both have every colour, and the figures have none of their own."""
    assert "prefers-color-scheme: dark" in page
    light, dark = (set(re.findall(r"(--\w+):", part)) for part in re.findall(r":root \{(.*?)\}", page, re.DOTALL)[:2])
    used = set(re.findall(r"var\((--\w+)\)", page))
    assert used <= light
    assert used - dark == {"--text"}
    figures_alone = "".join(re.findall(r"<svg.*?</svg>", page, re.DOTALL))
    assert re.findall(r"#[0-9a-f]{6}\b", figures_alone) == []


def test_what_the_user_wrote_is_escaped(page):
    assert "<b>" not in page
    assert page.count("A &lt;b&gt;bold&lt;/b&gt; &amp; &#39;quoted&#39; title") == 2


def test_the_same_selection_gives_the_same_bytes(logits, selection, tmp_path):
    matplotlib = pytest.importorskip("matplotlib")
    again = rad_fast.Selector(BUDGET, mistakes=MISTAKES, quotas=None).fit(logits, exclude=np.arange(10))
    selection.save_report(tmp_path / "a.html")
    with matplotlib.rc_context({"font.size": 20, "svg.hashsalt": "other", "axes.facecolor": "red"}):
        again.save_report(tmp_path / "b.html")
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


@pytest.mark.filterwarnings("ignore::rad_fast.UnreliableTeacherWarning")
@pytest.mark.parametrize(
    ("rows", "classes", "settings"),
    [
        (1, 2, {"budget": 1}),
        (40, 3, {"budget": 40, "mistakes": 0}),
        (300, 2, {"budget": 5, "mistakes": 300}),
        (300, 400, {"budget": 50}),
        (300, 3, {"budget": 5, "mistakes": 0}),
    ],
)
def test_unusual_selections_can_be_drawn(tmp_path, rows, classes, settings):
    pytest.importorskip("matplotlib")
    logits = np.random.default_rng(0).normal(0, 3, (rows, classes))
    made = rad_fast.Selector(**settings, quotas=None).fit(logits)
    json.dumps(figures(made._drawn), allow_nan=False)
    made.save_report(tmp_path / "r.html")
    assert Page((tmp_path / "r.html").read_text()).tags.count("svg") == 6


def test_alike_points_can_be_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    made = rad_fast.Selector(5, mistakes=0, quotas=None).fit(np.tile([2.0, 0.0], (50, 1)))
    made.save_report(tmp_path / "r.html")


def test_a_part_of_a_selection_has_no_curves(selection, tmp_path):
    """A rank holds only some of the points: the game is not to be solved on them alone."""
    pytest.importorskip("matplotlib")
    part = dataclasses.replace(selection, n_points=10 * N)
    assert figures(part._drawn)["curves"] is None
    part.save_report(tmp_path / "r.html")
    assert Page((tmp_path / "r.html").read_text()).tags.count("svg") == 4


# ------------------------------------------------------------------------------------------------ the command line


@pytest.fixture
def result(logits, calibrator, tmp_path):
    """What rad-fast select wrote."""
    np.save(tmp_path / "logits.npy", logits)
    arguments = ["--budget", str(BUDGET), "--mistakes", str(MISTAKES), "--out", str(tmp_path / "picked.npy")]
    assert cli.main(["select", str(tmp_path / "logits.npy"), *arguments, "--quotas", "none"]) == 0
    return tmp_path / "picked.json"


@pytest.mark.parametrize("given", ["picked.json", "picked.npy"])
def test_select_then_report(result, given):
    pytest.importorskip("jinja2")
    here = result.parent
    command = [sys.executable, "-m", "rad_fast.cli", "report", given]
    done = subprocess.run(command, cwd=here, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    numbers = json.loads(result.read_text())
    words = sentences(numbers, numbers["figures"])
    assert done.stdout.splitlines() == [*words, "the page is picked.html"]
    page = (here / "picked.html").read_text()
    assert all(line[1:] in page for line in words)
    assert "<h1>Selection picked</h1>" in page
    assert str(here) not in page, "a page says nothing about the machine's directories"
    assert sorted(path.name for path in here.iterdir()) == ["logits.npy", "picked.html", "picked.json", "picked.npy"]


def test_the_file_holds_what_the_selection_counts(result, logits):
    made = rad_fast.Selector(BUDGET, mistakes=MISTAKES, quotas=None).fit(logits)
    assert json.loads(result.read_text())["figures"] == figures(made._drawn)
    assert result.read_text().count("\n") < 100, "thousands of counts are on one line"


def test_a_page_of_a_working_folder_stands_beside_it(logits, tmp_path, capsys):
    pytest.importorskip("jinja2")
    np.save(tmp_path / "logits.npy", logits)
    folder = tmp_path / "work.1"
    select = ["select", str(tmp_path / "logits.npy"), "--budget", str(BUDGET), "--workdir", str(folder)]
    assert cli.main(select) == 0
    for given in (folder, folder / "selected.json", folder / "selected.npy"):
        assert cli.main(["report", str(given)]) == 0
        (tmp_path / "work.1.html").unlink()
    assert cli.main([*select, "--seed", "3"]) == 0, "the folder still serves"
    capsys.readouterr()
    (folder / "selected.json").unlink()
    assert cli.main(["report", str(folder)]) == 1
    assert "that rad-fast select has finished" in capsys.readouterr().err


def test_out_title_and_open(result, tmp_path, monkeypatch):
    pytest.importorskip("jinja2")
    shown = []
    monkeypatch.setattr(webbrowser, "open", shown.append)
    out = tmp_path / "a page.html"
    assert cli.main(["report", str(result), "--out", str(out), "--title", "<i>Mine</i>", "--open"]) == 0
    assert shown == [out.as_uri()]
    assert "<h1>&lt;i&gt;Mine&lt;/i&gt;</h1>" in out.read_text()


def refused(capsys, *arguments):
    capsys.readouterr()
    assert cli.main(["report", *map(str, arguments)]) == 1
    message = capsys.readouterr()
    assert message.out == ""
    assert message.err.startswith("rad-fast: ")
    assert message.err.count("\n") == 1
    return message.err


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "it cannot be read as JSON"),
        ("{", "it cannot be read as JSON"),
        ("[" * 100_000, "it cannot be read as JSON"),
        ("\xff", "it cannot be read as JSON"),
        ("[1, 2]", "got other JSON"),
        ('{"points": 3}', "got other JSON"),
    ],
    ids=["empty", "broken", "deep", "binary", "list", "foreign"],
)
def test_what_is_no_report_is_refused(tmp_path, capsys, text, part):
    (tmp_path / "r.json").write_bytes(text.encode("latin-1"))
    assert part in refused(capsys, tmp_path / "r.json")
    assert [path.name for path in tmp_path.iterdir()] == ["r.json"]


def test_missing_files_are_named(tmp_path, capsys):
    assert "nowhere.json: No such file" in refused(capsys, tmp_path / "nowhere.json")
    assert "nowhere.json: No such file" in refused(capsys, tmp_path / "nowhere.npy")
    np.save(tmp_path / "alone.npy", np.arange(3))
    assert "no alone.json beside" in refused(capsys, tmp_path / "alone.npy")
    assert "it has no selected.json" in refused(capsys, tmp_path)


def test_a_report_that_was_changed_is_refused_and_nothing_written(result, capsys):
    whole = json.loads(result.read_text())
    before = sorted(path.name for path in result.parent.iterdir())
    changes = {
        "without figures": lambda r: r.pop("figures"),
        "another version": lambda r: r["figures"].update(version=99),
        "figures lost": lambda r: r["figures"].pop("plane"),
        "figures of words": lambda r: r["figures"].update(margin="many"),
        "rows of unequal length": lambda r: r["figures"]["plane"]["pool"][0].pop(),
        "no number": lambda r: r.update(value="high"),
        "no budget": lambda r: r.update(budget=0),
        "mistakes not on the curve": lambda r: r.update(mistakes=7.5),
    }
    for name, change in changes.items():
        report = json.loads(json.dumps(whole))
        change(report)
        result.write_text(json.dumps(report))
        message = refused(capsys, result)
        assert f"{result}: expected" in message, name
        if name in ("without figures", "another version"):
            assert "run rad-fast select again" in message
        assert sorted(path.name for path in result.parent.iterdir()) == before, name
    result.write_text(json.dumps({**whole, "value": float("nan")}))
    assert "cannot be read as JSON" in refused(capsys, result)


def test_places_where_the_page_cannot_be_written(result, tmp_path, capsys):
    before = result.read_bytes()
    assert "a place other than RESULT's" in refused(capsys, result, "--out", result)
    assert "a place other than RESULT's" in refused(capsys, result, "--out", result.with_suffix(".npy"))
    assert "expected an existing directory" in refused(capsys, result, "--out", tmp_path / "nowhere" / "r.html")
    assert result.read_bytes() == before


@pytest.mark.parametrize("missing", ["matplotlib", "jinja2"])
def test_a_missing_library_says_what_to_install(result, capsys, monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    assert f'needs {missing}, which cannot be imported; pip install "rad_fast[report]"' in refused(capsys, result)


def test_the_calibration_reaches_the_page(logits, tmp_path, capsys):
    pytest.importorskip("jinja2")
    rng = np.random.default_rng(4)
    labels = np.where(rng.random(300) < 0.8, logits[:300].argmax(1), rng.integers(0, C, 300))
    for name, array in {"logits": logits, "held": logits[:300], "labels": labels}.items():
        np.save(tmp_path / f"{name}.npy", array)
    arguments = ["--labelled-logits", str(tmp_path / "held.npy"), "--labels", str(tmp_path / "labels.npy")]
    assert cli.main(["select", str(tmp_path / "logits.npy"), "--budget", "50", "--quotas", "none", *arguments]) == 0
    assert cli.main(["report", str(tmp_path / "logits.selected.npy")]) == 0
    assert "of 300 labelled points" in capsys.readouterr().out
    assert Page((tmp_path / "logits.selected.html").read_text()).tags.count("svg") == 7


def test_the_page_says_when_and_with_which_version_it_was_made(selection, tmp_path, monkeypatch):
    pytest.importorskip("jinja2")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    selection.save_report(tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert f"Made on 1970-01-02 with rad_fast {rad_fast.__version__}." in page
    assert "<pre>" not in page, "there was no command"


def test_the_page_of_a_command_repeats_it_without_folders(tmp_path, monkeypatch):
    pytest.importorskip("jinja2")
    monkeypatch.chdir(tmp_path)
    np.save("logits.npy", np.random.default_rng(0).normal(0, 3, (2000, 5)))
    given = ["select", str(tmp_path / "logits.npy"), "--budget", "2%", "--seed", "3", "--out", "the picks.npy"]
    assert cli.main(given) == 0
    assert cli.main(["report", "the picks.npy"]) == 0
    page = (tmp_path / "the picks.html").read_text(encoding="utf-8")
    command = re.search("<pre>(.*)</pre>", page)[1].replace("&#39;", "'")
    assert command.startswith("rad-fast select logits.npy --budget 0.02")
    assert command.endswith("--seed 3")
    assert "--out 'the picks.npy'" in command
    assert "--backend" not in command, "defaults are left out"
    assert str(tmp_path) not in page
