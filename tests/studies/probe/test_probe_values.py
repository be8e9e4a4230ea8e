"""A probe run that looks for values too: where it reads, what it sets beside, and what it says."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from probe_run import write_probe_run

import repflow
from repflow.capture import tapped
from repflow.core import BadSetting
from repflow.models import load
from repflow.report import write_report
from repflow.report.reading import read
from repflow.report.run import Run
from repflow.store import RunWriter
from repflow.studies.probe import subject as probe_subject
from repflow.studies.probe.rows import ProbeClassRow, ProbeRow, ProbeSummaryRow, TellingRow
from repflow.tasks import choices_of, make_task

SUBJECT = "config:gpt2,layers=2,width=32"
GROUPS, POSITIONS, ITEMS = 16, 3, 4
SETTINGS: dict[str, Any] = {
    "context": 300,
    "examples": GROUPS,
    "positions": POSITIONS,
    "items": ITEMS,
    "keys": "hex4",
    "seeds": 5,
    "new_tokens": 3,
}
TABLES = {"probes": ProbeRow, "probe_classes": ProbeClassRow, "probe_summary": ProbeSummaryRow, "telling": TellingRow}


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    torch.set_num_threads(1)
    return repflow.probe(SUBJECT, out=tmp_path_factory.mktemp("values") / "run", keep_features=True, **SETTINGS)


@pytest.fixture(scope="module")
def examples() -> list[Any]:
    task = make_task("kvpr", positions=POSITIONS, items=ITEMS, keys="hex4", crossed=True)
    return task.build(load(SUBJECT).tokenizer, n=GROUPS * POSITIONS, context=300, seed=0)


def test_both_targets_at_both_places(run: Any) -> None:
    found = run.probes[["target", "position"]].drop_duplicates().to_numpy().tolist()
    assert found == [["position", "last"], ["position", "ask"], ["value", "last"], ["value", "ask"]]
    values = run.probes.query("target == 'value'")
    distinct = run.table("probe_summary").query("target == 'value'")["chance"]
    assert (values["solver"] == "ridge").all()
    assert (values["chance"] >= 1 / ITEMS).all()
    assert (distinct >= 1 / ITEMS).all()
    assert values[["lens", "control", "selectivity", "strength"]].notna().all(axis=None)
    assert values[["abs_error", "capacity"]].isna().all(axis=None)
    assert run.probes.query("target == 'position'")["lens"].isna().all()
    assert set(run.table("telling")["target"]) == {"position"}
    classes = run.table("probe_classes").query("target == 'value' and position == 'ask'")
    assert classes["gold_class"].tolist() == list(range(POSITIONS)) * 4


def test_ask_is_read_behind_the_opening_quote(run: Any, examples: list[Any]) -> None:
    states = np.load(run.directory / "features" / "00-kvpr-300.npy")
    subject = load(SUBJECT)
    for example in examples[:4]:
        chosen = choices_of(subject.tokenizer, example)
        assert chosen is not None
        assert bytes(chosen.asked[len(example.ids) :]).decode() == ' "'
        kept: list[np.ndarray] = []
        with torch.no_grad(), tapped(subject.model, subject.taps, lambda _, s, kept=kept: kept.append(s[0].numpy())):
            subject.forward(torch.tensor([chosen.asked]))
        assert np.allclose(states[1, :, example.id], [s[-1] for s in kept], atol=1e-5)
        assert np.allclose(states[0, :, example.id], [s[len(example.ids) - 1] for s in kept], atol=1e-5)


def test_the_lens_at_the_final_norm_is_the_models_own_choice(run: Any, examples: list[Any]) -> None:
    subject, right = load(SUBJECT), []
    for example in examples:
        chosen = choices_of(subject.tokenizer, example)
        assert chosen is not None
        with torch.no_grad():
            logits = subject.model(torch.tensor([chosen.asked])).logits[0, -1]
        best = max(chosen.tokens, key=lambda token: float(logits[token]))
        right.append(best == chosen.tokens[example.gold_position])
    row = run.probes.query("target == 'value' and position == 'ask' and site == 'final_norm'").iloc[0]
    assert row["lens"] == pytest.approx(np.mean(right))
    last = run.probes.query("target == 'value' and position == 'ask' and site == 'block.1'").iloc[0]
    assert last["lens"] == pytest.approx(row["lens"]), "the lens puts the final norm behind the last block"


def test_every_statement_names_its_target(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    from repflow.cli import main

    claims = [f["claim"] for f in run.findings if f["id"] == "probe_depth"]
    assert sum("the gold's position: " in claim for claim in claims) == 2
    assert sum("the gold's value: " in claim for claim in claims) == 2
    assert main(["show", str(run.directory)]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "chance 33.3: the gold's position" in printed
    assert ": the gold's value" in printed
    page = write_report(run).read_text(encoding="utf-8")
    assert "where the answer is asked for, value" in page
    assert "The gold&#39;s value: " in page or "The gold's value: " in page
    ends = {t["uid"] for t in run.plot.probes(position="ask", target="value")["data"]}
    assert "s0-lens" in ends


def test_a_task_without_a_list_is_read_for_positions_alone(tmp_path: Path) -> None:
    options = {"context": 2000, "items": 3, "examples": 7, "positions": 3, "seeds": 1, "generate": False}
    subject = "config:gpt2,layers=1,width=16,positions=2048"
    run = repflow.probe(subject, task="mdqa", out=tmp_path / "run", **options)
    assert run.probes[["target", "position"]].drop_duplicates().to_numpy().tolist() == [["position", "last"]]


def test_values_that_all_begin_alike_cannot_be_told_apart(tmp_path: Path) -> None:
    pairs = [[f"key{i}", "same"] for i in range(4)]
    lines = [{"ordered_kv_records": pairs, "key": f"key{n % 4}", "value": "same"} for n in range(12)]
    data = tmp_path / "same.jsonl"
    data.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    options = {k: v for k, v in SETTINGS.items() if k != "keys"} | {"data": str(data), "examples": 12}
    with pytest.raises(BadSetting, match="--target value needs values of different first tokens in every prompt"):
        repflow.probe(SUBJECT, target="value", out=tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["fit_value", "fit_length"])
def test_stopped_and_resumed(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(probe_subject, name, stop)
        with pytest.raises(repflow.RepflowError, match="interrupted"):
            repflow.probe(SUBJECT, out=out, keep_features=True, **SETTINGS)
    again = repflow.probe(SUBJECT, out=out, resume=True, keep_features=True, **SETTINGS)
    for table in TABLES:
        assert (again.directory / f"{table}.parquet").read_bytes() == (run.directory / f"{table}.parquet").read_bytes()


def test_a_run_made_before_there_were_targets_is_of_positions(tmp_path: Path) -> None:
    """The same tables without the new columns."""
    whole = write_probe_run(tmp_path / "whole")
    with RunWriter.create(tmp_path / "old", {"seed": 0}, "probe") as writer:
        for name, kind in TABLES.items():
            known = [f for f in dataclasses.fields(kind) if f.name != "target" and not f.name.startswith("lens")]
            spec = [(f.name, f.type, dataclasses.field(default=f.default)) for f in known]
            old = dataclasses.make_dataclass(kind.__name__, spec, frozen=True)
            may_lack = {f.name for f in known if "None" in str(f.type)}
            made = [
                old(**{f.name: None if f.name in may_lack and pd.isna(row[f.name]) else row[f.name] for f in known})
                for row in whole.table(name).astype(object).to_dict("records")
            ]
            writer.write_table(name, made, old)
        writer.finish([], [], [], {n: whole.info[n] for n in ("subjects", "tasks", "seed", "timings")})
    found = Run.load(tmp_path / "old")
    assert set(found.probes["target"]) == {"position"}
    assert found.probes["lens"].isna().all()
    probes = read(found).parts["probe"]
    assert probes.targets == ["position"]
    assert [title for _, _, title in probes.readings][:2] == ["last token", "end of the gold"]
    assert set(probes.telling["target"]) == {"position"}
