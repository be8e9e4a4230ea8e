"""The screenful: right numbers, whole at 80 columns, nothing read as markup."""

import io
import math

from rich.console import Console
from store_rows import MakeRun, layer_row, path_row, run_info

from repflow.report.run import Run as ReportRun
from repflow.report.show import summary
from repflow.store import Run, warning_lines


def text_of(run: Run, width: int = 80) -> str:
    stream = io.StringIO()
    summary(run, console=Console(file=stream, width=width))
    return stream.getvalue()


def rich_run(
    make_run: MakeRun, label: str = "config:mamba2,hidden_size=768,n_layer=24@init=normal:0", **info: object
) -> Run:
    layers = [layer_row(label, i, 0.1 * i) for i in range(6)]
    adjacent = {1: 0.9, 2: 0.7, 3: 0.8, 4: 0.95, 5: 0.05}
    layers += [layer_row(label, i, value, metric="adjacent_cosine") for i, value in adjacent.items()]
    layers += [layer_row(label, i, 9.0, variant="standardised") for i in range(6)]
    paths = [
        path_row(label, "v_loc", 2e-5),
        path_row(label, "v_glob", 0.4),
        path_row(label, "v_loc", 7.0, variant="raw"),
    ]
    facts = run_info(label, **info)
    facts["subjects"][0] |= {"n_parameters": 134_515_008, "width": 576, "warnings": ["slow kernels"]}
    findings = [{"id": "somebodys", "subject": label, "verdict": "fires", "claim": "0.8 in the last quarter"}]
    return make_run("r", layers, facts, paths=paths, findings=findings)


def line_with(text: str, words: str) -> str:
    (line,) = [line for line in text.splitlines() if words in line]
    return " ".join(line.split())


def test_the_headline_numbers(make_run: MakeRun) -> None:
    text = text_of(rich_run(make_run))
    assert line_with(text, "cosine, 1/3 of depth").endswith("0.100 0.000 to 0.200 block.0")
    assert line_with(text, "cosine, middle").endswith("0.200 0.100 to 0.300 block.1")
    assert line_with(text, "cosine, last block").endswith("0.400 0.300 to 0.500 block.3")
    assert line_with(text, "adjacent cosine, least") == "adjacent cosine, least 0.700 0.600 to 0.800 block.1"
    assert line_with(text, "v_loc (rms)") == "v_loc (rms) 2.0e-05 1.8e-05 to 2.2e-05"
    assert "135M" in text
    assert "text, 128 tokens" in text
    assert "Tokens counted: all." in text


def test_it_fits_80_columns(make_run: MakeRun) -> None:
    text = text_of(rich_run(make_run, "config:" + "x" * 150))
    head, *rest = text.splitlines()
    assert head.startswith("flow run in ")
    commands = [line for line in rest if line.startswith("  next: ")]
    assert commands, "a command is one line, whatever its length, to be copied"
    assert max(len(line) for line in rest[:-1] if line not in commands) <= 80
    assert text.count("x") >= 150


def test_the_hidden_states_list_leaves_out_its_ends(make_run: MakeRun) -> None:
    rows = [layer_row("m", i, 0.1 * i, tokens="no_sink", site=f"hf.{i}", depth=i / 4) for i in range(5)]
    text = text_of(make_run("a", rows, run_info("m")), width=200)
    (line,) = [line for line in text.splitlines() if "cosine, last block" in line]
    assert line.split()[-1] == "hf.3"


def test_warnings_that_subjects_share_are_said_once() -> None:
    labels = ["m", "m@init=normal:0", "config:x,width=8"]
    shared = [f"{label}, text at 8 tokens: few examples" for label in labels]
    info = {
        "subjects": [{"label": labels[0], "warnings": ["slow"]}, {"label": labels[1], "warnings": ["slow"]}],
        "warnings": [*shared[:2], "text at 8 tokens: rough", "m: odd", shared[2], "text at 8 tokens: rough"],
    }
    assert warning_lines(info) == [
        "text at 8 tokens: few examples (m; m@init=normal:0)",
        "text at 8 tokens: rough",
        "m: odd",
        "config:x,width=8, text at 8 tokens: few examples",
        "slow (m; m@init=normal:0)",
    ]
    assert warning_lines({}) == []


def test_warnings_findings_and_the_report_are_named(make_run: MakeRun) -> None:
    run = rich_run(make_run, warnings=["2 examples were dropped"])
    text = text_of(run, width=200)
    assert "warning: 2 examples were dropped" in text
    assert f"warning: {run.subjects[0]['label']}: slow kernels" in text
    assert "finding: somebodys" in text
    assert f"no report yet: repflow report {run.directory}" in text
    (run.directory / "report.html").write_text("x")
    assert f"report: {run.directory / 'report.html'}" in text_of(run)


def test_brackets_are_not_markup(make_run: MakeRun) -> None:
    text = text_of(rich_run(make_run, "dir/[bold]m[/bold]", warnings=["[/red] odd"]), width=200)
    assert "dir/[bold]m[/bold]" in text
    assert "[/red] odd" in text


def test_a_notebook_shows_the_same(make_run: MakeRun) -> None:
    run = rich_run(make_run, "dir/<b>m</b>")
    shown = ReportRun.of(run)._repr_html_()
    assert shown.startswith("<pre")
    assert "<b>" not in shown
    assert "dir/&lt;b&gt;m&lt;/b&gt;" in shown
    for words in ("flow run in", "v_loc (rms)", "2.0e-05", "finding: somebodys", "no report yet: repflow report"):
        assert words in shown
    (run.directory / "report.html").write_text("x")
    assert "report: " in ReportRun.of(run)._repr_html_()


def test_no_sink_is_preferred(make_run: MakeRun) -> None:
    run = make_run("r", [layer_row(), layer_row(tokens="no_sink", value=0.25)], run_info("m"))
    text = text_of(run)
    assert "Tokens counted: no_sink." in text
    assert "0.250" in text
    assert "0.500" not in text


def test_what_was_not_measured_is_left_out(make_run: MakeRun) -> None:
    assert "quantity" not in text_of(make_run("a", [], run_info()))
    assert "quantity" not in text_of(make_run("b", [layer_row(metric="norm")], run_info("m")))
    nothing = make_run("c", [layer_row(value=math.nan)], run_info("m"), paths=[path_row(ci_low=math.nan)])
    text = text_of(nothing)
    assert "inter-token" not in text
    assert line_with(text, "v_loc (rms)") == "v_loc (rms) 0.020 -"


def test_subjects_are_called_by_short_names_while_these_tell_them_apart(make_run: MakeRun) -> None:
    labels = ["zoo:mamba-tiny", "one/model", "two/model"]
    info = run_info() | {"subjects": [{"label": label} for label in labels]}
    text = text_of(make_run("r", [layer_row(label, i) for label in labels for i in range(3)], info))
    lines = [line.strip() for line in text.splitlines()]
    assert [name for name in ("mamba-tiny", "one/model", "two/model", "model", "1") if name in lines] == [
        "mamba-tiny", "one/model", "two/model"
    ]  # fmt: skip
