"""What a new metric, family, study and panel cost: each is added here from outside, in a few lines."""
# ruff: noqa: ARG002

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import pytest
import torch
from rich.console import Console
from torch import Tensor

import repflow
from repflow.cli import main
from repflow.core import UnknownName
from repflow.core.quantities import QUANTITIES, Quantity
from repflow.drawing.panel import Panel, Section, View
from repflow.drawing.plotly import axis, figure, trace
from repflow.metrics import registry
from repflow.metrics.metric import PerSite
from repflow.models import families
from repflow.report.reading import read
from repflow.store import Run as StoredRun
from repflow.studies import catalogue
from repflow.studies.flow import page
from repflow.studies.flow.run import run_flow
from repflow.studies.kit.settings import FlowSettings
from repflow.studies.kit.study import Shown, Study

TINY = "config:gpt_neox,layers=2,width=32"
QUICK = {"context": 40, "examples": 9, "calibration": 0, "permutations": 0, "replicates": 40}


@dataclass(frozen=True)
class Largest:
    """The largest absolute number in a token's state, mean over tokens."""

    name: str = "largest"
    variants: tuple[str, ...] = ("raw",)

    def collect(self, view: Any) -> dict[str, Tensor]:
        return {}

    def values(self, collected: Mapping[str, Tensor], trace: Any) -> dict[str, Tensor]:
        return {"raw": torch.ones_like(trace.keep.sum(-1), dtype=torch.float64)}


def test_a_metric_is_a_class_a_line_in_the_registry_and_its_texts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(registry.METRICS, "largest", PerSite(Largest()))
    monkeypatch.setitem(QUANTITIES, "largest", Quantity("largest", "Largest", "size", "How large.", "Read it.", "max"))
    monkeypatch.setattr(page, "_CURVES", (*page._CURVES, ("largest", {"largest": ""}, "half")))
    run = repflow.flow(TINY, metrics=["largest"], out=tmp_path / "run", **QUICK)
    assert set(run.layers["metric"]) == {"largest"}
    assert set(run.layers["value"]) == {1.0}
    assert "How large." in run.write_report().read_text()
    assert run.plot.layers("largest").data
    assert next(path.stem for path in run.write_figures(("svg",), only="largest")) == "largest_text-40"


def test_a_family_is_an_entry_in_the_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "starcoder2"
    assert name not in families.FAMILIES
    with pytest.raises(UnknownName):
        repflow.flow(f"config:{name},layers=2,width=32", out=tmp_path / "run", **QUICK)
    entry = families.Family(name, "TBM", "layers", "norm", lambda shape: {"intermediate_size": 2 * shape.width})
    monkeypatch.setitem(families.FAMILIES, name, entry)
    run = repflow.flow(f"config:{name},layers=2,width=32", metrics=["norm"], out=tmp_path / "run", **QUICK)
    assert run.layers["site"].unique().tolist() == ["embed", "block.0", "block.1", "final_norm"]
    (facts,) = run.subjects
    assert (facts["family"], facts["kind"], facts["width"], facts["n_blocks"]) == (name, "TBM", 32, 2)


@dataclass(frozen=True)
class WordRow:
    """A line of words.parquet."""

    subject: str
    words: int | None


class Words(Study):
    """A study that measures the flow, and writes a table beside it."""

    name = "words"
    purpose = "count words"
    tables: ClassVar[Mapping[str, type]] = {"words": WordRow}

    def settings(self) -> type[FlowSettings]:
        return FlowSettings

    def run(self, settings: Any, progress: Any = None) -> StoredRun:
        return run_flow(settings, progress)

    def read(self, run: Any, rows: Any) -> pd.DataFrame | None:
        return pd.DataFrame({"words": [3, 4]})

    def sections(self, source: Any) -> list[Section]:
        drawn = figure(300, [trace("scatter", uid="w", x=[0, 1], y=[3, 4])], xaxis=axis("x"), yaxis=axis("words"))
        texts = Quantity("", "Words", "", "How many words.", "", "")
        return [
            Section("words", "All the words", "Words", [Panel("words", "Words", texts, (View("all", "", (drawn,)),))])
        ]

    def show(self, run: Any, shown: Shown, out: Console) -> None:
        out.print("seven words")


@pytest.fixture
def words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "STUDIES", (*catalogue.STUDIES, Words()))


@pytest.mark.usefixtures("words")
def test_a_study_is_a_package_and_a_line_in_the_catalogue(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = [f"--{name}={value}" for name, value in QUICK.items()]
    assert main(["words", TINY, "--out", str(tmp_path / "run"), "--metrics", "norm", *flags]) == 0
    assert "seven words" in capsys.readouterr().out
    text = (tmp_path / "run" / "report.html").read_text()
    assert "All the words" in text
    assert "How many words." in text
    run = repflow.open(tmp_path / "run")
    assert "words" in read(run).parts
    assert run.plot.words().data[0].y == (3, 4)
    assert any(path.name == "words.svg" for path in run.write_figures(("svg",)))
    assert run.table("words", WordRow).empty, "no run wrote it"
    assert catalogue.tables()["words"] is WordRow


def test_every_metric_has_its_texts_and_a_panel() -> None:
    shown = {metric for _, metrics, _ in page._CURVES for metric in metrics} | {"offset_cosine"}
    for metric in registry.SITE_METRICS:
        assert metric.name in QUANTITIES, f"{metric.name} needs an entry in core/quantities.py"
        assert metric.name in shown, f"{metric.name} needs a panel in studies/flow/page.py"


def test_no_file_is_longer_than_300_lines() -> None:
    files = sorted(Path(repflow.__file__).parent.rglob("*.py"))
    assert len(files) > 300
    long = {path.name: n for path in files if (n := len(path.read_text(encoding="utf-8").splitlines())) > 300}
    assert not long
