"""The whole of `train zoo` on the real architecture in a minute: it learns something, and says what."""

import json
from pathlib import Path

import pytest
from zoo_kit import prose

from repflow.cli import main
from repflow.store import open_run
from repflow.tasks.files import shipped
from repflow.training.zoo import evaluate, flow
from repflow.training.zoo.trainer import log_steps

NAME = "pythia-tiny"


def data_folder(folder: Path) -> Path:
    """The package's prose, its last tenth held out, and the package's questions."""
    text = prose()
    cut = len(text) * 9 // 10
    (folder / "wikitext-2").mkdir(parents=True)
    (folder / "prose.txt").write_text(text[:cut], encoding="utf-8")
    (folder / "wikitext-2" / "valid.txt").write_text(text[cut:], encoding="utf-8")
    (folder / "mdqa.jsonl").write_bytes(shipped("mdqa.jsonl").read_bytes())
    return folder


@pytest.fixture
def little_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The training is whole; its card asks few questions, and its flow is measured on short texts."""
    monkeypatch.setattr(evaluate, "PAIRS", (4, 8))
    monkeypatch.setattr(evaluate, "DOCUMENTS", (2,))
    monkeypatch.setattr(evaluate, "EXAMPLES", 4)
    monkeypatch.setattr(evaluate, "blocks", lambda _: [prose()[:30_000]])
    monkeypatch.setattr(flow, "CONTEXT", 64)


@pytest.mark.slow
@pytest.mark.usefixtures("little_is_read")
def test_a_minutes_training_beats_the_tokens_frequencies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, out = data_folder(tmp_path / "data"), tmp_path / "out"
    command = ["train", "zoo", NAME, "--preset", "smoke", "--device", "cpu", "--data", str(data), "--out", str(out)]
    command += ["--tokens", "80000", "--batch-tokens", "256"]
    assert main(command) == 0
    said = capsys.readouterr()
    assert said.out.splitlines() == [str(out / NAME / "model"), str(out / "flow" / "report.html")]

    numbers = json.loads((out / NAME / "model" / "card.json").read_text())
    assert numbers["text"]["nats"] < numbers["text"]["unigram_nats"]
    told = (out / NAME / "model" / "README.md").read_text()
    assert f"| {numbers['text']['nats']:.3f} | {numbers['text']['bits_per_byte']:.3f} |" in told

    run = open_run(out / "flow")
    assert run.layers["step"].unique().tolist() == list(log_steps(312))
    assert run.layers["subject"].unique().tolist() == [f"zoo:{NAME}"]
    assert run.layers["site"].nunique() == 14
    assert (out / "flow" / "report.html").stat().st_size > 10_000
