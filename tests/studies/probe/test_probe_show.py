"""The screenful of a probe run: a peak where there is one, and else why there is none."""

import io
import math
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from rich.console import Console

from repflow.report.show import summary
from repflow.store import Run, RunWriter, open_run
from repflow.studies.probe.rows import ProbeRow, ProbeSummaryRow
from repflow.studies.probe.shown import judged
from repflow.studies.probe.verdicts import ABOVE, LEVEL, UNKNOWN

PEAK = ProbeSummaryRow(
    "m", "gpt2", "trained", "kvpr", 300, "last", "adam",
    peak_site="block.21", peak_site_index=22, peak_depth=0.7, peak_from="block.19", peak_to="block.21",
    peak_depth_low=0.6, peak_depth_high=0.7, peak=0.957, peak_low=0.911, peak_high=0.982, embed=0.2,
    last=0.667, last_low=0.589, last_high=0.746, final_norm=0.643, final_norm_low=0.56, final_norm_high=0.72,
    gap=0.29, gap_low=0.191, gap_high=0.371, relative_gap=0.3, relative_gap_low=0.2, relative_gap_high=0.4,
    norm_gap=0.31, norm_gap_low=0.2, norm_gap_high=0.4,
    relative_norm_gap=0.3, relative_norm_gap_low=0.2, relative_norm_gap_high=0.4,
    chance=0.2, majority=0.2, length=0.21, length_low=0.15, length_high=0.28,
    answered=0.11, answered_low=0.059, answered_high=0.178, n_examples=300, n_groups=60,
    verdict=ABOVE, highest=0.957, highest_low=0.911, highest_high=0.982, n_sites=31, n_units=41,
    capacity=0.72, capacity_low=0.66, capacity_high=0.78,
)  # fmt: skip
NOISE = replace(
    PEAK, subject="n", position="mean", peak_site=None, peak_site_index=None, peak_from=None, peak_to=None,
    verdict=LEVEL, highest=0.241, highest_low=0.17, highest_high=0.31, last=0.18, last_low=0.12, last_high=0.25,
    **dict.fromkeys(("peak_depth", "peak", "peak_low", "peak_high", "gap", "gap_low", "gap_high"), math.nan),
    capacity=math.nan,
)  # fmt: skip


def site_row(row: ProbeSummaryRow, site: str, accuracy: float, control: float) -> ProbeRow:
    shared = {"control_low": 0.1, "control_high": 0.3, "selectivity": 0.0, "selectivity_low": 0.0}
    shared |= {"selectivity_high": 0.0, "abs_error": 1.0, "abs_error_low": 0.9, "abs_error_high": 1.1}
    shared |= {"ci_low": 0.1, "ci_high": 0.3, "n_train": 9, "n_test": 9, "n_groups": 9, "classes": 5, "seeds": 5}
    known = {n: v for n, v in asdict(row).items() if n in ProbeRow.__dataclass_fields__} | shared
    place = {"share": 1.0, "site": site, "site_index": 1, "depth": 0.5, "strength": math.nan}
    return ProbeRow(**known | place | {"accuracy": accuracy, "control": control})


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
