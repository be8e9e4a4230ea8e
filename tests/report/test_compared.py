"""Comparisons: subjects by short names, the clear differences first, folded lines, a page that stands alone."""

import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from scipy import stats
from store_rows import MakeRun, layer_row, pair_row, run_info

import repflow
from repflow.cli import main
from repflow.core import BadFile, BadSetting, UnknownName
from repflow.report.compared import Comparison, placed, subject_of
from repflow.report.comparison import lines_of, print_comparison
from repflow.report.depth_svg import Curve, Point, depth_svg
from repflow.report.differences import clear, differences, headline
from repflow.report.run import Run

B = 200
RISE = (0.0, 0.0, 0.3, -0.1)


def two(make_run: MakeRun, **changes: object) -> tuple[Run, Run]:
    """The cosine of two runs, apart at block.1 and block.2, clearly as the noise is small."""
    noise = np.random.default_rng(0).normal(0, 0.005, (2, 4, B))
    runs = []
    for name, move, wobble in (("a", (0.0,) * 4, noise[0]), ("b", RISE, noise[1])):
        values = [0.4 + x for x in move]
        rows = [layer_row("zoo:pythia-tiny", i + 1, x, n_units=30, n_examples=30, **changes) for i, x in
                enumerate(values)]  # fmt: skip
        replicates = {"layers": np.array(values)[:, None] + (wobble if name == "b" else noise[0])}
        runs.append(Run.of(make_run(name, rows, run_info("zoo:pythia-tiny"), replicates=replicates)))
    return runs[0], runs[1]


def test_p_values_of_paired_rows_by_other_means(make_run: MakeRun) -> None:
    frame = repflow.compare(*two(make_run))
    half = np.where(
        frame["difference"] > 0,
        frame["difference"] - frame["difference_low"],
        frame["difference_high"] - frame["difference"],
    )
    t = frame["difference"].abs() / (half / stats.t.ppf(0.975, 29))
    wanted = np.where(frame["difference"] == 0, 1.0, 2 * stats.t.sf(t, 29))
    np.testing.assert_allclose(frame["p"], wanted, rtol=1e-6)
    order = frame["p"].sort_values().index
    corrected = np.maximum.accumulate([min(1.0, p * (4 - i)) for i, p in enumerate(frame["p"].loc[order])])
    np.testing.assert_allclose(frame["p_holm"].loc[order], corrected)


def test_the_headline_tells_the_largest_clear_difference_with_its_interval(make_run: MakeRun) -> None:
    frame = repflow.compare(*two(make_run))
    (only,) = differences(frame)
    assert headline(frame, [only]) == "a and b differ clearly in 1 of 1 quantities"
    row = frame.loc[frame["difference"].abs().idxmax()]
    assert only.said.startswith("Inter-token cosine: b is higher by 0.30")
    assert f"at {row['site']} (0.700 against 0.400); clear at 2 of 4 sites (1 higher, 1 lower)." in only.said
    limits = re.findall(r"\[(.+?), (.+?)\]", only.said)[0]
    assert [float(x) for x in limits] == pytest.approx([row["difference_low"], row["difference_high"]], abs=5e-4)


def test_differences_by_chance_are_not_told(make_run: MakeRun) -> None:
    draws = np.random.default_rng(3)
    noise, wobble = draws.normal(0, 0.02, (2, 40, B))
    values = 0.4 + draws.normal(0, 0.028, 40)
    rows = [layer_row("m", 1 + i % 4, 0.4, metric=f"m{i}", n_units=30, n_examples=30) for i in range(40)]
    moved = [layer_row("m", 1 + i % 4, x, metric=f"m{i}", n_units=30, n_examples=30) for i, x in enumerate(values)]
    a = make_run("a", rows, run_info("m"), replicates={"layers": 0.4 + noise})
    b = make_run("b", moved, run_info("m"), replicates={"layers": values[:, None] + wobble})
    frame = repflow.compare(Run.of(a), Run.of(b))
    assert (frame["p"] <= 0.05).any(), "one of forty is past 5% by itself"
    assert not clear(frame).any()
    assert headline(frame, differences(frame)) == "Nothing differs clearly between a and b"
    same = repflow.compare(Run.of(a), Run.of(a))
    assert headline(same, differences(same)).startswith("Every number of")


def test_offsets_and_equal_policies_are_one_line(make_run: MakeRun) -> None:
    rows = [layer_row(site_index=1, metric="offset_cosine", variant=f"k={k}", tokens=t) for k in (1, 2, 4) for t in
            ("all", "no_sink")]  # fmt: skip
    rows += [layer_row(site_index=2, tokens=t) for t in ("all", "no_sink")]
    run = Run.of(make_run("r", rows, run_info("m")))
    lines = [line[0] for line in lines_of(repflow.compare(run, run))]
    assert lines == ["offset_cosine k=1..4 all/no_sink", "inter_token_cosine raw all/no_sink"]


def test_subjects_have_short_names(make_run: MakeRun) -> None:
    labels = ("zoo:mamba-tiny", "zoo:pythia-tiny", "one/model", "two/model")
    run = Run.of(make_run("r", [layer_row(label) for label in labels], run_info(*labels)))
    assert subject_of(run, "mamba-tiny") == "zoo:mamba-tiny"
    assert subject_of(run, "two/model") == "two/model"
    assert subject_of(run, None) is None
    with pytest.raises(BadSetting, match="may be one/model or two/model"):
        subject_of(run, "model")
    with pytest.raises(UnknownName, match="did you mean pythia-tiny"):
        subject_of(run, "pythia-tin")
    frame = repflow.compare(run, run, subject_a="mamba-tiny", subject_b="pythia-tiny")
    assert frame[["subject_a", "subject_b"]].to_numpy().tolist() == [["zoo:mamba-tiny", "zoo:pythia-tiny"]]


def test_a_run_and_a_subject_in_one_word(make_run: MakeRun) -> None:
    run = Run.of(make_run("r", [layer_row("zoo:m"), layer_row("n")], run_info("zoo:m", "n")))
    where = str(run.directory)
    assert [placed(f"{where}{end}")[1] for end in ("", ":m", ":zoo:m")] == [None, "m", "zoo:m"]
    other, subject = placed("m", run)
    assert (other.directory, subject) == (run.directory, "m")
    with pytest.raises(BadFile, match="does not exist"):
        placed("nothing-here", run)
    assert placed("zoo:training:zoo:mamba-tiny")[1] == "zoo:mamba-tiny"


class Page(HTMLParser):
    """What a page loads, and its words."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loaded += [value or "" for name, value in attrs if name in ("src", "href", "data", "srcset")]
        if tag in ("script", "iframe", "object"):
            self.loaded.append(tag)

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_the_page_stands_alone_and_has_every_row(make_run: MakeRun, tmp_path: Path) -> None:
    frame = repflow.compare(*two(make_run))
    path = frame.write_html(tmp_path / "out.html")
    text = path.read_text()
    page = Page(text)
    assert page.loaded == []
    assert "url(" not in text
    words = " ".join(" ".join(page.words).split())
    assert differences(frame)[0].said in words
    assert text.count('<svg class="depth"') == 2
    assert words.count("inter_token_cosine raw all") == 1 + len(frame)


def test_a_hostile_name_is_shown_not_run(make_run: MakeRun, tmp_path: Path) -> None:
    rows = [layer_row("<script>x</script>", i) for i in (1, 2)]
    run = Run.of(make_run("r", rows, run_info("<script>x</script>")))
    other = Run.of(make_run("s", [layer_row('"><img src=x>', i) for i in (1, 2)], run_info('"><img src=x>')))
    text = repflow.compare(run, other).write_html(tmp_path / "x.html").read_text()
    assert Page(text).loaded == []


def test_a_notebook_shows_the_headline_and_parts_are_plain_frames(make_run: MakeRun) -> None:
    frame = repflow.compare(*two(make_run))
    assert isinstance(frame, Comparison)
    shown = frame._repr_html_()
    assert "a and b differ clearly in 1 of 1 quantities" in shown
    assert "<svg" in shown
    assert type(frame[frame["difference"] > 0]) is not Comparison


def test_the_command_prints_writes_the_page_and_the_csv(
    make_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = two(make_run)
    page = tmp_path / "page.html"
    assert main(["compare", f"{a.directory}:pythia-tiny", str(b.directory), "--html", str(page)]) == 0
    printed = capsys.readouterr().out
    assert "differ clearly in 1 of 1" in printed
    assert str(page) in printed.replace("\n", "")
    table = tmp_path / "rows.csv"
    assert main(["compare", str(a.directory), str(b.directory), "--csv", str(table)]) == 0
    assert "p_holm" in table.read_text().splitlines()[0]


def test_cka_is_told_unpaired(make_run: MakeRun) -> None:
    import dataclasses

    info = run_info("m")
    pairs = [dataclasses.replace(pair_row(value=x), ci_low=x - 0.01, ci_high=x + 0.01, n_examples=30) for x in
             (0.9, 0.5)]  # fmt: skip
    runs = [Run.of(make_run(name, [], info, pairs=[pair])) for name, pair in zip("ab", pairs, strict=True)]
    (only,) = differences(repflow.compare(*runs))
    assert "lower by 0.400, not paired, at embed ~ block.0" in only.said
    out = io.StringIO()
    print_comparison(repflow.compare(*runs), console=Console(file=out, width=80))
    assert max(map(len, out.getvalue().splitlines())) <= 80


def test_a_figure_keeps_the_final_norm_apart_and_draws_what_is_there() -> None:
    points = [Point(i / 4, 0.1 * i, 0.1 * i - 0.05, 0.1 * i + 0.05) for i in range(5)]
    text = depth_svg('a "b" <c>', [Curve("x", "of-a", [*points, Point(1, 2.0, 1.5, 2.5, final=True)])])
    assert 'aria-label="a &quot;b&quot; &lt;c&gt;"' in text
    (line,) = re.findall(r'class="d-line of-a" d="(M[^"V]+)"', text)
    assert line.count("L") == 4, "no line leads to the final norm"
    heights = [float(y) for y in re.findall(r'cy="([\d.]+)"', text)]
    assert heights == sorted(heights, reverse=True)
    assert depth_svg("t", [Curve("x", "of-a", [Point(0, float("nan"), 0, 0)])]) == ""
    powers = depth_svg("t", [Curve("x", "of-a", [Point(0, 0.02, 0.01, 0.03), Point(1, 20, 19, 21)])], logarithmic=True)
    assert [label for label in ("0.01", "0.1", "10", "100") if f">{label}</text>" in powers] == [
        "0.01",
        "0.1",
        "10",
        "100",
    ]
