"""The lines of an ablation run: the largest changes first, right numbers, whole at 80 columns."""

import io
from pathlib import Path

from rich.console import Console

from repflow.report.show import summary
from repflow.store import RunWriter, open_run
from repflow.studies.ablate.rows import AblationRow
from repflow.studies.ablate.show import MOST

NAMES = ("config:gpt2", "config:[mamba]")


def row(subject: str, what: str, move: float, metric: str, scope: str, tokens: str) -> AblationRow:
    variant = {"next_token_loss": "nats", "answer_accuracy": "greedy"}.get(metric, "raw")
    limits = (move - 0.001, move + 0.002)
    where = "block.1" if what == "norm_reset" else "all"
    return AblationRow(
        subject, f"{subject}@ablate={what}", "f", what, where, "text", 64, metric, variant, tokens, scope,
        2.5, 2.0, 3.0, 2.5 + move, 2.0, 3.0, move, *limits, 9,
    )  # fmt: skip


def text_of(directory: Path, moves: dict[str, float], metric: str = "next_token_loss") -> str:
    rows = [row(name, what, move, metric, "all", "all") for name in NAMES for what, move in moves.items()]
    rows += [row(NAMES[0], what, move / 2, "inter_token_cosine", s, "all") for what, move in moves.items()
             for s in ("early", "late")]  # fmt: skip
    rows.append(row(NAMES[0], "norm_reset", 9.0, "inter_token_cosine", "late", "no_special"))
    with RunWriter.create(directory, {}, "ablate") as writer:
        writer.write_table("ablations", rows, AblationRow)
        writer.finish([], [], [], {"subjects": [{"label": name} for name in NAMES], "tasks": []})
    stream = io.StringIO()
    summary(open_run(directory), console=Console(file=stream, width=80))
    _, title, table = stream.getvalue().partition("text, 64 tokens: before")
    return title + table


def told(text: str, words: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines() if words in line]


def test_the_largest_changes_come_first_with_paired_intervals(tmp_path: Path) -> None:
    text = text_of(tmp_path / "run", {"norm_reset": 0.1, "attention_self": -0.4})
    lines = [" ".join(line.split()) for line in text.splitlines()]
    for name in ("gpt2", "[mamba]"):
        assert lines[lines.index(name) + 1].startswith("as it is 2.500")
    own, other = told(text, "attention_self")
    assert own.startswith("attention_self -0.400 -0.401 to -0.398")
    assert told(text, "norm_reset, block.1")[0].startswith("norm_reset, block.1 +0.100 0.099 to 0.102")
    assert other == "attention_self -0.400 -0.401 to -0.398"
    assert text.index("attention_self") < text.index("norm_reset")
    assert max(map(len, text.splitlines()[1:-1])) <= 80


def test_few_of_many_are_printed(tmp_path: Path) -> None:
    text = text_of(tmp_path / "run", {f"residual_scaled:0.{i}": i / 10 for i in range(MOST + 3)}, "answer_accuracy")
    assert len(told(text, "residual_scaled")) == 2 * MOST
    assert told(text, "smaller") == ["and 3 smaller", "and 3 smaller"]
    assert "answers" in text
