"""The screenful of a probe run: a peak where there is one, and else why there is none."""

import io
import math
from dataclasses import replace
from pathlib import Path

import pytest
from probe_rows import NOISE, PEAK, site_row
from rich.console import Console

from repflow.report.show import summary
from repflow.store import Run, RunWriter, open_run
from repflow.studies.probe.rows import ProbeRow, ProbeSummaryRow
from repflow.studies.probe.shown import judged
from repflow.studies.probe.verdicts import ABOVE, LEVEL, UNKNOWN


def run_of(directory: Path, *rows: ProbeSummaryRow) -> Run:
    with RunWriter.create(directory, {}, "probe") as writer:
        sites = [site_row(row, site, 0.3, 0.17) for row in rows for site in ("block.0", "block.21")]
        writer.write_table("probes", sites, ProbeRow)
        writer.write_table("probe_summary", list(rows), ProbeSummaryRow)
        info = {"subjects": [{"label": "m"}, {"label": "n"}], "tasks": [], "seed": 0}
        findings = [
            {"id": "probe_depth", "subject": "m", "verdict": ABOVE, "claim": "stands in the table"},
            {"id": "readable_not_said", "subject": "m", "verdict": "readable, not said", "claim": "84.7 points"},
        ]
        writer.finish([], [], [], info, findings)
    return open_run(directory)


def text_of(run: Run) -> str:
    stream = io.StringIO()
    summary(run, console=Console(file=stream, width=80))
    return stream.getvalue()


def line(text: str, start: str) -> list[str]:
    name, place = start.split()
    lines = [found.split() for found in text.splitlines()]
    return next(line for line in lines[lines.index([name]) :] if line[:1] == [place])


def test_a_peak_with_its_interval_control_capacity_and_answers(tmp_path: Path) -> None:
    text = text_of(run_of(tmp_path / "r", PEAK))
    assert "kvpr, 300 tokens, chance 20.0" in text
    assert line(text, "m last")[1:] == [
        "block.21", "95.7", "91.1-98.2", "66.7", "29.0", "17.0", "72.0", "21.0", "11.0"
    ]  # fmt: skip
    assert "above chance" not in text
    assert "readable_not_said" in text
    assert "stands in the table" not in text
    assert max(map(len, text.splitlines()[1:-1])) <= 80, "all but the lines that hold a path"


def test_of_a_probe_at_chance_no_peak_is_printed(tmp_path: Path) -> None:
    text = text_of(run_of(tmp_path / "r", PEAK, NOISE))
    assert line(text, "n mean")[1:] == ["none", "-", "-", "18.0", "-", "-", "-", "21.0", "11.0"]
    assert (
        "n, mean, position: no site is above chance: the highest 24.1% [17.0, 31.0], chance 20.0% (41 sets of pairs, "
        "corrected for choosing among 31 sites)" in " ".join(text.split())
    )


def test_a_majority_above_chance_is_named(tmp_path: Path) -> None:
    text = text_of(run_of(tmp_path / "r", replace(NOISE, majority=0.25, task="mdqa")))
    assert "chance 20.0%, majority 25.0% (41 questions," in " ".join(text.split())


def test_too_few_groups_are_said_to_be(tmp_path: Path) -> None:
    few = replace(NOISE, verdict=UNKNOWN, n_units=5, highest_low=math.nan, highest_high=math.nan)
    text = " ".join(text_of(run_of(tmp_path / "r", few)).split())
    assert "no interval, so nothing is said of a peak: 5 sets of pairs held out, 8 are needed" in text


@pytest.mark.parametrize(
    ("low", "majority", "verdict"), [(0.3, 0.2, ABOVE), (0.19, 0.2, LEVEL), (0.3, 0.4, LEVEL), (math.nan, 0.2, UNKNOWN)]
)
def test_rows_without_a_verdict_are_given_one(tmp_path: Path, low: float, majority: float, verdict: str) -> None:
    """As read from a run made before there were verdicts."""
    unknown = dict.fromkeys(("highest", "highest_low", "highest_high"), math.nan)
    old = replace(PEAK, peak_low=low, majority=majority, verdict="", n_sites=0, n_units=0, **unknown)
    found = judged(run_of(tmp_path / "r", old, NOISE).table("probe_summary"))
    assert found["verdict"].tolist() == [verdict, LEVEL]
    assert found["highest"].tolist() == [0.957, 0.241]
    assert found["n_units"].tolist() == [60, 41]
    assert found[["peak", "peak_site", "gap", "relative_norm_gap_low"]].iloc[0].isna().all() == (verdict != ABOVE)
