"""A whole paper run: its parts are ordinary runs, and every verdict is what other code makes of the parquet files."""

import io
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from paper_twins import NEED, Part, is_curve, of_curve, records, stored, together, verdict
from rich.console import Console

import repflow
from repflow.core import CallerError, Interrupted
from repflow.report.reading import read
from repflow.report.run import Run
from repflow.report.show import print_summary
from repflow.studies.paper.papers import claims_files

NEOX, LLAMA, MAMBA = (f"config:{name},layers=6,width=32" for name in ("gpt_neox", "llama", "mamba2"))
SMALL: dict[str, Any] = {
    "context": 48, "examples": 9, "sets": 16, "kvpr_contexts": 220, "mdqa_contexts": 40, "progress": False,
}  # fmt: skip


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    torch.set_num_threads(1)
    return repflow.paper([NEOX, LLAMA, MAMBA], out=tmp_path_factory.mktemp("paper") / "run", **SMALL)


@pytest.fixture(scope="module")
def claims(run: Run) -> pd.DataFrame:
    return run.table("claims")


@pytest.fixture(scope="module")
def parts(run: Run) -> dict[str, Part]:
    return {name: Part(run.directory / name) for name in run.parts}


def test_every_part_is_an_ordinary_run(run: Run) -> None:
    assert list(run.parts) == ["flow", "flow-hf", "probe-kvpr", "attribute", "ablate", "dynamics"]
    for name, part in run.parts.items():
        assert repflow.open(run.directory / name).info == part.info
    assert [subject["label"] for subject in run.subjects] == [NEOX, LLAMA, MAMBA]
    assert run.info["command"] == "paper"


def test_a_part_that_cannot_be_made_is_left_out_and_its_claims_say_so(run: Run, claims: pd.DataFrame) -> None:
    (warning,) = [line for line in run.info["warnings"] if line.startswith("probe-mdqa is left out")]
    assert "raise --context" in warning
    assert not claims["part"].eq("probe-mdqa").any()


def test_every_number_and_verdict_of_a_model_follows_from_the_files(
    claims: pd.DataFrame, parts: dict[str, Part]
) -> None:
    seen = set[str]()
    for row in records(claims[claims["subject"].notna()]):
        if is_curve(row):
            value, low, high = of_curve(parts, row)
        elif row["claim"] in ("C1", "C2", "C3", "D1", "D2"):
            value, low, high = stored(parts, row)
        else:
            continue
        if not np.isnan(row["value"]):
            np.testing.assert_allclose(
                [row["value"], row["ci_low"], row["ci_high"]], [value, low, high], rtol=1e-6, atol=1e-9
            )
        need = NEED.get((row["claim"], row["statistic"]))
        if row["claim"] == "C3" and value == low == high == 0:
            assert row["verdict"] in ("", "not testable here"), "a change that changes nothing"
        elif row["verdict"] and need is not None:
            assert row["verdict"] == verdict(value, low, high, need), row
            seen.add(row["claim"])
    assert seen == {"A1", "A2", "B1", "B2", "C1", "C2", "C3", "F1"}


def test_the_same_decision_with_other_choices_follows_too(claims: pd.DataFrame, parts: dict[str, Part]) -> None:
    told = 0
    for row in records(claims[claims["subject"].notna() & claims["part"].eq("flow")]):
        if not is_curve(row):
            continue
        need = NEED.get((row["claim"], row["statistic"]))
        for name, how in (("hf", {"hf": True}), ("all_tokens", {"tokens": "all"}), ("centred", {"variant": "centred"})):
            if name == "centred" and np.isnan(row["centred_value"]):
                continue
            value, low, high = of_curve(parts, row, **how)  # pyright: ignore[reportArgumentType]
            assert row[f"{name}_value"] == pytest.approx(value)
            if row["verdict"] and need is not None:
                assert row[name] == verdict(value, low, high, need)
                told += 1
    assert told > 20


def test_models_of_a_kind_are_counted(claims: pd.DataFrame) -> None:
    keys = ["claim", "statistic", "detail", "task", "context"]
    for key, rows in claims.groupby(keys, sort=False):
        single, whole = rows[rows["subject"].notna()], rows[rows["subject"].isna()]
        if single.empty or " and " in whole["kind"].iloc[0]:
            continue
        assert dict(together(single)) == dict(zip(whole["kind"], whole["verdict"], strict=True)), key
        for row in records(whole):
            mine = single[(single["kind"] == row["kind"]) & single["verdict"].isin(["holds", "fails", "undecided"])]
            assert row["models"] == len(mine)


def test_kinds_are_compared_over_whole_intervals(claims: pd.DataFrame) -> None:
    compared = claims[claims["kind"].str.contains(" and ") & claims["rule"].ne("")]
    assert set(compared["statistic"]) >= {"v_loc (rms)", "v_glob (rms)", "path energy (rms)"}
    for row in records(compared):
        rows = claims[claims["statistic"].eq(row["statistic"]) & claims["subject"].notna()]
        tbm, ssm = rows[rows["kind"] == "TBM"], rows[rows["kind"] == "SSM"]
        one, other = (ssm, tbm) if row["claim"] == "D1" else (tbm, ssm)
        lower, upper = (one, other) if row["claim"] == "D1" else (other, one)
        holds = lower["ci_high"].max() < upper["ci_low"].min()
        fails = lower["ci_low"].min() > upper["ci_high"].max()
        assert row["verdict"] == ("holds" if holds else "fails" if fails else "undecided")
        assert row["reason"].startswith("2 against 1 models" if row["claim"] != "D1" else "1 against 2 models")


def test_contraction_is_read_of_the_bounds(claims: pd.DataFrame, parts: dict[str, Part]) -> None:
    bounds = parts["dynamics"].table("bounds")
    rho = claims[claims["statistic"].str.startswith("1 less") & claims["subject"].eq(MAMBA)].iloc[0]
    assert rho["value"] == pytest.approx(1 - bounds.query("name == 'rho'")["measured"].max())
    assert rho["verdict"] == "holds"


def test_probes_decide_only_above_chance(claims: pd.DataFrame, parts: dict[str, Part]) -> None:
    summary_rows = parts["probe-kvpr"].table("probe_summary")
    rows = claims[claims["claim"].isin(["E1", "E2"]) & claims["subject"].notna() & claims["verdict"].ne("")]
    assert len(rows)
    for row in records(rows):
        target, _, place = row["detail"].partition(", read at ")
        wanted = pd.Series({"subject": row["subject"], "target": target, "position": place})
        (found,) = records(summary_rows[(summary_rows[wanted.index] == wanted).all(axis=1)])
        if found["verdict"] != "above chance" or not found["answered_low"] > 0:
            assert row["verdict"] == "not testable here"
            assert np.isnan(row["value"])


def test_it_is_shown_drawn_and_written_for_papers(run: Run) -> None:
    console = Console(width=160, record=True, file=io.StringIO())
    print_summary(run, console=console)
    text = console.export_text()
    assert "of the paper's 13 claims" in text
    assert "D2  Path energy" in text
    page = run.write_report().read_text(encoding="utf-8")
    assert 'id="claims"' in page
    assert "flow-hf" in page
    names = [path.name for path in run.write_figures(("svg",), only="inter_token_cosine")]
    assert names == ["flow_inter_token_cosine_text-48.svg", "flow-hf_inter_token_cosine_text-48.svg", "captions.md"]
    files = claims_files(read(run))
    assert files["claims.csv"].count("\n") == 1 + len(run.table("claims"))
    tex = files["claims.tex"]
    assert tex.count(r" \\") == 1 + len(run.table("claims").query("subject.isna()"))


def test_what_is_there_is_not_measured_again(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = tmp_path / "run"
    shutil.copytree(run.directory, whole)
    (whole / "run.json").unlink()
    shutil.rmtree(whole / "dynamics")
    with pytest.raises(CallerError, match="holds other files"):
        repflow.paper([NEOX, LLAMA, MAMBA], out=whole, resume=True, **SMALL)
    shutil.rmtree(whole)
    stopped = _stopped_before("dynamics", whole, monkeypatch)
    kept = {name: (stopped / name / "run.json").stat().st_mtime_ns for name in ("flow", "attribute")}
    again = repflow.paper([NEOX, LLAMA, MAMBA], out=whole, resume=True, **SMALL)
    assert kept == {name: (stopped / name / "run.json").stat().st_mtime_ns for name in kept}
    pd.testing.assert_frame_equal(again.table("claims"), run.table("claims"))


def _stopped_before(part: str, directory: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that was interrupted at the beginning of a part."""

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(f"repflow.studies.{part}.run.run_{part}", stop)
        with pytest.raises(Interrupted) as caught:
            repflow.paper([NEOX, LLAMA, MAMBA], out=directory, **SMALL)
    assert caught.value.directory == str(directory)
    return directory


def test_a_part_of_other_settings_is_replaced(tmp_path: Path) -> None:
    settings = {**SMALL, "parts": ["flow"]}
    first = repflow.paper([MAMBA], out=tmp_path / "run", **settings)
    assert first.table("claims")["context"].max() == 48
    with pytest.raises(CallerError, match="--overwrite"):
        repflow.paper([MAMBA], out=tmp_path / "run", **{**settings, "context": 32})
    second = repflow.paper([MAMBA], out=tmp_path / "run", overwrite=True, **{**settings, "context": 32})
    assert second.table("claims")["context"].max() == 32
    assert second.parts["flow"].layers["context"].unique().tolist() == [32]


def test_where_nothing_can_be_made_the_first_reason_is_given(tmp_path: Path) -> None:
    with pytest.raises(CallerError, match="raise --context"):
        repflow.paper([MAMBA], out=tmp_path / "run", **{**SMALL, "parts": ["probe-mdqa"]})


def test_a_claim_without_its_part_says_that_it_was_not_run(tmp_path: Path) -> None:
    run = repflow.paper([MAMBA], out=tmp_path / "run", **{**SMALL, "parts": ["dynamics"]})
    told = run.table("claims").set_index("claim")["reason"]
    assert set(told["A1"]) == {"flow was not run"}
    assert "probe-kvpr and probe-mdqa was not run" in set(told["E1"])


def test_what_cannot_be_run_leaves_what_is_to_be_replaced(tmp_path: Path) -> None:
    settings = {**SMALL, "parts": ["flow"]}
    repflow.paper([MAMBA], out=tmp_path / "run", **settings)
    with pytest.raises(CallerError, match="no-such-file"):
        repflow.paper([MAMBA], out=tmp_path / "run", overwrite=True, **settings, text="no-such-file.txt")
    assert len(repflow.open(tmp_path / "run").table("claims"))
    with pytest.raises(CallerError, match="no-such-file"):
        repflow.paper([MAMBA], out=tmp_path / "new", **settings, text="no-such-file.txt")
    assert not (tmp_path / "new").exists()


def test_an_overwrite_that_was_stopped_makes_the_other_parts_anew_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {**SMALL, "parts": ["flow", "ablate"]}
    repflow.paper([MAMBA], out=tmp_path / "run", **settings)
    old = (tmp_path / "run" / "ablate" / "run.json").stat().st_mtime_ns

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("repflow.studies.ablate.run.run_ablate", stop)
        with pytest.raises(Interrupted):
            repflow.paper([MAMBA], out=tmp_path / "run", overwrite=True, **settings)
    done = (tmp_path / "run" / "flow" / "run.json").stat().st_mtime_ns
    repflow.paper([MAMBA], out=tmp_path / "run", resume=True, **settings)
    assert (tmp_path / "run" / "ablate" / "run.json").stat().st_mtime_ns > old
    assert (tmp_path / "run" / "flow" / "run.json").stat().st_mtime_ns == done


def test_a_linked_part_is_refused(tmp_path: Path) -> None:
    own = repflow.flow([MAMBA], context=32, examples=9, out=tmp_path / "own", progress=False)
    before = (own.directory / "run.json").read_bytes()
    settings = {**SMALL, "parts": ["flow"]}
    repflow.paper([MAMBA], out=tmp_path / "run", **settings)
    shutil.rmtree(tmp_path / "run" / "flow")
    (tmp_path / "run" / "flow").symlink_to(own.directory)
    with pytest.raises(CallerError, match="is a link"):
        repflow.paper([MAMBA], out=tmp_path / "run", overwrite=True, **settings)
    assert (own.directory / "run.json").read_bytes() == before


def test_too_few_blocks_are_not_a_failure(tmp_path: Path) -> None:
    models = [f"config:{name},layers=4,width=32" for name in ("gpt_neox", "mamba2")]
    run = repflow.paper(models, out=tmp_path / "run", **{**SMALL, "parts": ["flow", "ablate"], "context": 24})
    claims = run.table("claims")
    varied = claims[claims["claim"].eq("A2") & claims["subject"].isna()].iloc[0]
    assert varied["verdict"] == "not testable here"
    assert "too few blocks" in varied["reason"]
    idle = claims[claims["detail"].eq("attention_window:32") & claims["subject"].isna()].iloc[0]
    assert idle["verdict"] == "not testable here", "the window is longer than the text"
