"""An attribution run: what it measures is a flow of each draw, what it says is right on planted models."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from attribute_tools import QUICK, TINY, saved

import repflow
from repflow.core import BadSetting, UnknownName
from repflow.models import Init, reinitialised
from repflow.models.facts import weights_sha256
from repflow.report.run import Run
from repflow.store import compare
from repflow.studies.attribute import subject as attribute_subject
from repflow.studies.attribute.rows import SchemeRow, ShareRow
from repflow.studies.attribute.settings import AttributeSettings, AttributionSettings
from repflow.studies.attribute.share import Case, verdict_of
from repflow.studies.flow.run import load_as
from repflow.studies.kit.fields import flat, from_flat
from repflow.studies.kit.thirds import third_means

SCHEMES = ["config", "normal", "permuted"]
DRAWN = ["config", "normal", "normal+matched", "permuted"]
VARIANTS = 3


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module", params=sorted(TINY))
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("attribute")
    source = saved(folder / "model", f"{TINY[request.param]}@init=config:7")
    return repflow.attribute(source, schemes=SCHEMES, seeds=2, out=folder / "run", **QUICK)


def rows(frame: pd.DataFrame, kind: type[Any]) -> list[Any]:
    return [kind(**{str(name): value for name, value in line.items()}) for line in frame.to_dict("records")]


def of_scheme(label: str, row: Any) -> bool:
    """Whether a subject is a draw of a row's scheme."""
    scheme, _, scale = row.scheme.partition("+")
    return label.startswith(f"{row.subject}@init={scheme}:") and label.endswith("+matched") == bool(scale)


def test_the_rows_are_those_of_a_fresh_flow(run: Run, tmp_path: Path) -> None:
    """Same numbers and replicates, to the bit, as `flow` on each draw loaded by itself."""
    source = run.subjects[0]["label"]
    wanted = [source, f"{source}@init=config:1", f"{source}@init=normal:0", f"{source}@init=permuted:1"]
    fresh = repflow.flow(wanted, metrics=["inter_token_cosine"], permutations=0, out=tmp_path / "flow", **QUICK)
    assert list(run.layers["subject"].unique()) == [
        source,
        *(f"{source}@init={s.partition('+')[0]}:{k}{'+matched' * ('+' in s)}" for s in DRAWN for k in (0, 1)),
    ]
    kept = run.layers["subject"].isin(wanted).to_numpy()
    pd.testing.assert_frame_equal(run.layers[kept].reset_index(drop=True), fresh.layers)
    assert np.array_equal(run.replicates["layers"][kept], fresh.replicates["layers"])
    facts = {s["label"]: s for s in run.subjects}
    for told in fresh.subjects:
        mine = facts[told["label"]]
        apart = {"warnings": [], "variant_of": None}
        assert mine | apart == told | apart
    comparison = compare(run, run, subject_a=wanted[0], subject_b=wanted[1])
    assert comparison["difference_low"].notna().any(), "draws read the same examples, so their differences are paired"


def test_the_facts_of_a_draw(run: Run) -> None:
    source, *draws = run.subjects
    assert source["variant_of"] is None
    assert all(draw["variant_of"] == source["label"] for draw in draws)
    assert all(draw["reinitialised"] for draw in draws)
    assert all(len(draw["scales"]) == ("matched" in draw["init"]) * 3 for draw in draws)
    assert len({draw["weights_sha256"] for draw in draws}) == len(draws)
    assert {task["subject"] for task in run.info["tasks"]} == {s["label"] for s in run.subjects}
    assert len({task["examples_sha256"] for task in run.info["tasks"]}) == 1


def test_shares_by_hand(run: Run) -> None:
    """Thirds, means over draws and shares from the plain rows of the flow."""
    shares, layers = run.table("shares"), run.layers
    assert list(shares) == [f.name for f in dataclasses.fields(ShareRow)]
    assert len(shares) == 3 * len(DRAWN) * VARIANTS * 2, "thirds, schemes, variants, policies"
    blocks = layers[layers["site"].str.startswith("block.")]
    of_third = {"block.0": "early", "block.1": "middle", "block.2": "late"}
    for row in rows(shares, ShareRow):
        here = blocks[(blocks["variant"] == row.variant) & (blocks["tokens"] == row.tokens)]
        here = here[here["site"].map(of_third) == row.third]
        trained = float(here[here["subject"] == row.subject]["value"].iloc[0])
        drawn = here[here["subject"].map(lambda label, row=row: of_scheme(label, row))]["value"]
        assert len(drawn) == row.seeds == 2
        assert row.trained == pytest.approx(trained)
        assert row.random == pytest.approx(drawn.mean())
        assert row.difference == pytest.approx(drawn.mean() - trained)
        assert row.seed_spread == pytest.approx(drawn.std())
        assert (row.trainings, row.n_units) == (1, row.n_examples)
        if row.trained_low > 0:
            assert row.share == pytest.approx(drawn.mean() / trained)
        assert row.verdict == row.uncorrected == "undecided", "two draws"
        assert row.reason == "2 draws, needs 3"


def test_sites_by_hand(run: Run) -> None:
    found, layers = run.table("schemes"), run.layers
    assert list(found) == [f.name for f in dataclasses.fields(SchemeRow)]
    assert set(found["site"]) == {"embed", "block.0", "block.1", "block.2", "final_norm"}
    for row in rows(found, SchemeRow):
        same = layers[
            (layers["site"] == row.site) & (layers["variant"] == row.variant) & (layers["tokens"] == row.tokens)
        ]
        drawn = same[same["subject"].map(lambda label, row=row: of_scheme(label, row))]["value"]
        assert row.value == pytest.approx(drawn.mean())
        assert row.ci_low <= row.value <= row.ci_high


def test_findings_name_their_rows(run: Run) -> None:
    assert len(run.findings) == 3 * VARIANTS * 2
    shares = run.table("shares")
    for finding in run.findings:
        assert finding["verdict"] == "undecided"
        assert [e["scheme"] for e in finding["evidence"]] == DRAWN
        assert finding["reason"].startswith("2 draws, needs 3")
        for key in finding["evidence"]:
            table = key.pop("table")
            assert table == "shares"
            row = shares[(shares[list(key)] == pd.Series(key)).all(axis=1)]
            assert len(row) == 1
            if key["scheme"] == "config":
                assert finding["value"] == pytest.approx(row["difference"].iloc[0])
                assert (finding["share"] is None) == row["share"].isna().iloc[0]


def test_weights_equal_to_an_initialisation_are_the_architectures(tmp_path: Path) -> None:
    """A model that was never trained: draw 7, against draws 0 to 4 of the same initialisation."""
    folder = saved(tmp_path / "model", "config:gpt_neox,layers=3,width=768,heads=4,intermediate_size=64@init=config:7")
    run = repflow.attribute(
        folder, schemes="config", seeds=5, examples=10, context=48, tokens="all", calibration=0, out=tmp_path / "run"
    )
    shares = run.table("shares")
    assert shares["uncorrected"].eq("architecture").all(), shares.T.to_string()
    assert shares["family_size"].eq(3).all()
    assert not {f["verdict"] for f in run.findings} & {"training", "reduced by training", "mixed"}
    assert any("raw alone" in line for line in run.info["warnings"])
    assert "5 draws" in run.info["power"]["raw"]


def test_draws_of_one_initialisation_are_seldom_told_apart(tmp_path: Path) -> None:
    """200 choices of 4 among 12 real draws, one in the trained weights' place: a verdict of difference in at most 5%.

    The spread between draws is a third of their value here.
    """
    run = repflow.attribute(
        TINY["mamba2"],
        schemes="config",
        seeds=12,
        examples=16,
        context=32,
        tokens="all",
        calibration=0,
        replicates=100,
        out=tmp_path / "run",
    )
    found = third_means(run.layers, run.replicates)
    assert found.replicates is not None
    values, replicates = found.frame["value"].to_numpy(), found.replicates
    drawn = found.frame["subject"].str.contains("@init=", regex=False) & found.frame["third"].eq("early")
    rng, told = np.random.default_rng(0), 0
    for _ in range(200):
        first, *others = rng.permutation(np.flatnonzero(drawn))[:4]
        case = Case(values[[first]], replicates[[first]], values[others], replicates[others], 16)
        told += verdict_of(case).name in ("training", "mixed", "reduced by training")
    assert told <= 10


def test_what_no_permutation_changes_is_not_the_architectures(tmp_path: Path) -> None:
    """An offset in every embedding makes all tokens alike, and survives every shuffle: values, not arrangement."""
    folder = saved(
        tmp_path / "model",
        "config:gpt_neox,layers=3,width=64@init=config:7",
        lambda model: model.get_input_embeddings().weight.add_(1.0),
    )
    run = repflow.attribute(
        folder,
        schemes=["config", "permuted"],
        seeds=5,
        examples=16,
        context=48,
        tokens="all",
        calibration=0,
        out=tmp_path / "run",
    )
    shares = run.table("shares").set_index(["scheme", "third"])["uncorrected"]
    assert shares["permuted", "early"] == "architecture"
    early = next(f for f in run.findings if f["third"] == "early")
    assert early["uncorrected"] == "training"
    assert "the values training left suffice" in early["reason"]


def test_a_resumed_run_neither_measures_nor_draws_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, out = TINY["gpt_neox"], tmp_path / "run"
    settings: dict[str, Any] = {"schemes": ["config", "permuted"], "seeds": 2, "seed": 3, **QUICK}
    whole = repflow.attribute(source, out=tmp_path / "whole", **settings)
    drawn: list[str] = []

    def counted(subject: Any, init: Init) -> Any:
        drawn.append(str(init))
        if str(init) == "permuted:4" and len(drawn) < 5:
            raise KeyboardInterrupt
        return reinitialised(subject, init)

    monkeypatch.setattr(attribute_subject, "reinitialised", counted)
    with pytest.raises(repflow.RepflowError, match="interrupted"):
        repflow.attribute(source, out=out, **settings)
    resumed = repflow.attribute(source, out=out, resume=True, **settings)
    assert drawn == ["config:3", "config:4", "permuted:3", "permuted:4", "permuted:4"], "seeded from --seed on"
    pd.testing.assert_frame_equal(resumed.table("shares"), whole.table("shares"))
    pd.testing.assert_frame_equal(resumed.layers, whole.layers)
    assert resumed.subjects == whole.subjects
    assert np.array_equal(resumed.replicates["layers"], whole.replicates["layers"])


def test_without_replicates_the_numbers_are_the_same(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"schemes": ["config"], "seeds": 2, **QUICK}
    kept = repflow.attribute(TINY["gpt_neox"], out=tmp_path / "kept", **settings)
    bare = repflow.attribute(TINY["gpt_neox"], out=tmp_path / "bare", keep_replicates=False, **settings)
    pd.testing.assert_frame_equal(bare.table("shares"), kept.table("shares"))
    pd.testing.assert_frame_equal(bare.layers, kept.layers)
    assert not bare.replicates
    assert not (tmp_path / "bare" / "replicates.safetensors").exists()


def test_a_draw_that_breaks_is_left_out_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(subject: Any, init: Init) -> Any:
        context = reinitialised(subject, init)
        if str(init) == "normal:1":
            monkeypatch.setattr(subject.model.base_model.layers[1], "forward", _nan(subject.model.base_model.layers[1]))
        return context

    monkeypatch.setattr(attribute_subject, "reinitialised", broken)
    run = repflow.attribute(TINY["gpt_neox"], schemes="normal", seeds=2, matched=False, out=tmp_path / "run", **QUICK)
    assert set(run.table("shares")["seeds"]) == {1}
    assert set(run.table("shares")["reason"]) == {"1 draw, needs 3"}
    assert {f["verdict"] for f in run.findings} == {"undecided"}
    assert any("normal:1: non-finite states" in line and "left out" in line for line in run.info["warnings"])


def _nan(block: torch.nn.Module) -> Any:
    plain = block.forward

    def forward(*args: Any, **more: Any) -> Any:
        out = plain(*args, **more)
        return (out[0] * torch.nan, *out[1:]) if isinstance(out, tuple) else out * torch.nan

    return forward


def test_interventions_stay_in_place(tmp_path: Path) -> None:
    """A subject with an intervention is drawn anew below it, and is what a fresh load of its label is."""
    source = f"{TINY['gpt_neox']}@ablate=norm_reset"
    run = repflow.attribute(source, schemes="permuted", seeds=1, out=tmp_path / "run", **QUICK)
    drawn = f"{TINY['gpt_neox']}@init=permuted:0@ablate=norm_reset"
    assert [s["label"] for s in run.subjects] == [source, drawn]
    assert all(s["interventions"] for s in run.subjects)
    fresh = repflow.flow(drawn, metrics=["inter_token_cosine"], permutations=0, out=tmp_path / "flow", **QUICK)
    mine = run.layers[run.layers["subject"] == drawn].reset_index(drop=True)
    assert np.allclose(mine["value"], fresh.layers["value"], atol=1e-6)


def test_settings_read_back() -> None:
    settings = from_flat(
        AttributeSettings, ("zoo:mamba-tiny",), {"schemes": ["normal"], "seeds": 5, "keep": True, "seed": 4}
    )
    values = flat(settings)
    subjects = tuple(values.pop("subjects"))
    assert from_flat(AttributeSettings, subjects, json.loads(json.dumps(values))) == settings
    asked = AttributionSettings(schemes=("config", "xavier"), seeds=1, keep=True, seed=4)
    assert [str(init) for init in asked.inits] == ["config:4+keep", "xavier:4+keep", "xavier:4+keep+matched"]
    assert AttributionSettings().seeds == 5


@pytest.mark.parametrize(
    ("settings", "error", "said"),
    [
        ({"schemes": ["kaimin"]}, UnknownName, "did you mean kaiming"),
        ({"schemes": ["config", "config"]}, BadSetting, "names config twice"),
        ({"schemes": []}, BadSetting, "--schemes needs at least one"),
        ({"seeds": 0}, BadSetting, "--seeds must be at least 1"),
        ({"tokens": ["some"]}, UnknownName, "token policy"),
        ({"calibration": 1}, BadSetting, "--calibration"),
        ({"metrics": ["norm"]}, UnknownName, "unknown setting 'metrics'"),
        ({"same_architecture": True}, BadSetting, "takes two or more trainings together, got 1"),
    ],
)
def test_settings_refused(settings: dict[str, Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        from_flat(AttributeSettings, ("zoo:mamba-tiny",), settings)


def test_a_subject_drawn_already_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="attribute draws the weights itself; name config:gpt_neox"):
        repflow.attribute(f"{TINY['gpt_neox']}@init=normal:0", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_model_is_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[Any] = []

    def kept(spec: Any, settings: Any) -> Any:
        held.append(load_as(spec, settings))
        return held[-1]

    monkeypatch.setattr(attribute_subject, "load_as", kept)
    repflow.attribute(TINY["mamba2"], schemes="normal", seeds=1, out=tmp_path / "run", **QUICK)
    assert weights_sha256(held[0].model) == held[0].facts.weights_sha256
