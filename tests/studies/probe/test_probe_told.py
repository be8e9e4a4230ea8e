"""Which block to probe: the peak of probes above chance only, with numbers as in the rows; nothing of noise."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from probe_rows import NOISE, PEAK, site_row
from probe_run import THREE, write_probe_run
from store_rows import MakeRun, run_info

from repflow.report.reading import read
from repflow.report.run import Run
from repflow.store import RunWriter, open_run
from repflow.studies.kit.saying import CARE
from repflow.studies.kit.study import Answer
from repflow.studies.probe.rows import ProbeRow, ProbeSummaryRow
from repflow.studies.probe.told import answers
from repflow.studies.probe.verdicts import UNKNOWN


def told(run: Any) -> list[Answer]:
    return answers(read(run))


def written(directory: Path, *rows: ProbeSummaryRow) -> Run:
    labels = list(dict.fromkeys(row.subject for row in rows))
    sites = [site_row(row, row.peak_site or "block.0", 0.2, 0.2) for row in rows]
    info = run_info(*labels, tasks=[{"name": "kvpr", "context": 300}])
    with RunWriter.create(directory, {}, "probe") as writer:
        writer.write_table("probe_summary", list(rows), ProbeSummaryRow)
        writer.write_table("probes", sites, ProbeRow)
        writer.finish([], [], [], info)
    return Run.load(directory)


def test_the_peak_is_named_and_by_how_much_the_last_block_falls(tmp_path: Path) -> None:
    peak, drop, care = told(written(tmp_path / "r", PEAK))
    assert peak.headline == "Probe block.21 for the gold's position"
    assert "m 95.7% at block.21 (block.19 to block.21)" in peak.evidence
    assert "m [91.1, 98.2]" in peak.small
    assert "corrected for choosing among 31 sites" in peak.small
    assert "29.0 points" in drop.evidence
    assert "By more than 15 points, as a whole interval: m." in drop.evidence
    assert drop.next == "repflow ablate m --task kvpr --context 300 --what residual_scaled:0,block.-1"
    assert care.headline == CARE


def test_a_drop_whose_interval_takes_in_0_is_not_told(tmp_path: Path) -> None:
    _, drop, _ = told(written(tmp_path / "r", replace(PEAK, gap=0.02, gap_low=-0.01, gap_high=0.05)))
    assert drop.headline == "No clear drop of the position at the end"
    assert "points" not in drop.evidence
    _, some, _ = told(written(tmp_path / "s", replace(PEAK, gap=0.2, gap_low=0.1, gap_high=0.3)))
    assert "15 points" not in some.evidence, "the interval is not wholly past 15 points"


def test_nothing_is_said_of_probes_at_chance_but_that_they_are(tmp_path: Path) -> None:
    only, care = told(written(tmp_path / "r", NOISE))
    assert only.headline == "No site is above chance"
    assert "24.1% [17.0, 31.0]" in only.evidence
    assert "--places ask gold" in only.next
    assert care.headline == CARE
    both = told(written(tmp_path / "s", PEAK, replace(NOISE, subject="m"), replace(NOISE, position="last")))
    assert "For n nothing is read above chance." in both[0].evidence
    assert [row["subject"] for row in both[0].rows] == ["m"]


def test_too_few_groups_say_so(tmp_path: Path) -> None:
    few = replace(NOISE, verdict=UNKNOWN, n_units=5, highest_low=float("nan"), highest_high=float("nan"))
    only, _ = told(written(tmp_path / "r", few))
    assert only.headline == "No interval, so no block is told"
    assert "5 sets of pairs held out, 8 are needed" in only.evidence
    assert only.next.endswith("--examples 100")


def test_baselines_are_not_told_of_and_more_read_than_said_is(tmp_path: Path) -> None:
    run = write_probe_run(tmp_path / "r")
    made = told(run)
    assert not [each for each in made if THREE[1][0] in each.evidence]
    telling = run.table("telling")
    mine = telling[(telling["at"] == "peak") & telling["gold_class"].isna() & telling["context"].eq(300)]
    clear = set(mine.loc[mine["difference_low"] > 0, "subject"])
    (said,) = [each for each in made if "say" in each.headline + each.evidence and "telling" in str(each.rows)]
    assert said.headline == ("Nothing is readable and not said" if not clear else said.headline)
    assert bool(clear) == ("points" in said.evidence)


def test_the_shipped_probes_peaks_are_those_of_the_rows(pytestconfig: pytest.Config) -> None:
    run = open_run(pytestconfig.rootpath / "studies/zoo/probe")
    made = told(run)
    summary = run.table("probe_summary")
    above = summary[(summary["highest_low"] > summary[["chance", "majority"]].max(axis=1)) & summary["peak"].notna()]
    assert {row["subject"] for row in made[0].rows} == set(above["subject"])
    assert all(row["position"] == "gold" for row in made[0].rows)
    falls = above[above["gap_low"] > 0]
    assert made[1].headline.startswith(f"In {len(falls)} of {len(above)} ")
    assert f"{100 * falls['gap'].max():.1f} points" in made[1].evidence


def test_a_run_without_probes_leaves_the_guess_to_flow(make_run: MakeRun) -> None:
    (only,) = told(make_run("r", [], run_info("m")))
    assert only.next == "repflow probe m --task kvpr --items 8"
