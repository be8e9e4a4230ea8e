"""Is the last block worth its cost, and what moves early likeness: decided by whole intervals, corrected for many."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from repflow.report.reading import read
from repflow.report.run import Run
from repflow.store import RunWriter
from repflow.studies.ablate.answers import answers
from repflow.studies.ablate.rows import AblationRow
from repflow.studies.kit.saying import CARE
from repflow.studies.kit.study import Answer


def row(what: str, blocks: str, move: float, spare: float = 0.002, **more: Any) -> AblationRow:
    given = {"subject": "m", "metric": "next_token_loss", "variant": "nats", "tokens": "all", "scope": "all"} | more
    changed = f"{given['subject']}@ablate={what},{blocks}"
    return AblationRow(
        given["subject"], changed, "f", what, blocks, "text", 64, given["metric"], given["variant"], given["tokens"],
        given["scope"], 2.5, 2.4, 2.6, 2.5 + move, 2.4, 2.6, move, move - spare, move + spare, 40,
    )  # fmt: skip


def early(what: str, move: float, spare: float = 0.002, blocks: str = "all", **more: Any) -> AblationRow:
    held = {"metric": "inter_token_cosine", "variant": "raw", "tokens": "no_sink", "scope": "early"}
    return row(what, blocks, move, spare, **(held | more))


def told(directory: Path, *rows: AblationRow, subjects: tuple[str, ...] = ("m",)) -> list[Answer]:
    facts = [{"label": label, "kind": "TBM", "init": "trained", "n_blocks": 12} for label in subjects]
    with RunWriter.create(directory, {}, "ablate") as writer:
        writer.write_table("ablations", list(rows), AblationRow)
        writer.finish([], [], [], {"subjects": facts, "tasks": [{"name": "text", "context": 64}]})
    made = answers(read(Run.load(directory)))
    assert made[-1].headline == CARE
    return made[:-1]


def test_a_last_block_is_worth_it_or_not_by_the_whole_interval(tmp_path: Path) -> None:
    for name, move, spare, headline in (
        ("a", 0.48, 0.1, "The last block is worth its cost"),
        ("b", 0.004, 0.003, "The last block is not worth its cost"),
        ("c", 0.012, 0.005, "Whether the last block is worth it: undecided"),
        ("d", -0.2, 0.05, "The last block is not worth its cost"),
    ):
        made = told(tmp_path / name, row("residual_scaled:0", "block.11", move, spare))
        assert made[0].headline == headline
        assert "Without block.11 of 12" in made[0].evidence
        assert len(made) == 1


def test_several_models_are_counted(tmp_path: Path) -> None:
    rows = [row("residual_scaled:0", "block.11", move, subject=name) for name, move in
            (("m", 0.5), ("n", 0.001), ("o", 0.0101))]  # fmt: skip
    (made,) = told(tmp_path / "r", *rows, subjects=("m", "n", "o"))
    assert made.headline == "The last block is worth it in 1 of 3"
    assert "Unused (wholly below 0.01): n." in made.evidence
    assert "Not told, the interval is too wide: o." in made.evidence
    assert {each["subject"] for each in made.rows} == {"m", "n", "o"}


def test_only_a_run_of_blocks_that_ends_with_the_last_is_meant(tmp_path: Path) -> None:
    for name, what, blocks in (
        ("a", "residual_scaled:0.5", "block.11"),
        ("b", "residual_cut", "block.11"),
        ("c", "residual_scaled:0", "block.3"),
        ("d", "residual_scaled:0", "all"),
        ("e", "residual_scaled:0", "block.0-11"),
    ):
        made = told(tmp_path / name, row(what, blocks, 0.5))
        assert made[0].headline == "Is the last block worth it? Not measured"
        assert made[0].next == "repflow ablate m --context 64 --what residual_scaled:0,block.-1"
    many = told(tmp_path / "f", row("residual_scaled:0.0", "block.9-11", 0.5))
    assert "Without block.9-11 of 12" in many[0].evidence


def test_without_intervals_nothing_is_told(tmp_path: Path) -> None:
    lost = replace(row("residual_scaled:0", "block.11", 0.5), difference_low=math.nan, difference_high=math.nan)
    (made,) = told(tmp_path / "r", lost)
    assert made.headline == "What the last block does is not told"
    assert "0.5" not in made.evidence


def test_the_largest_clear_change_and_what_weakens_it(tmp_path: Path) -> None:
    rows = [early("norm_removed", -0.2), early("attention_window:16", 0.01, 0.02), early("ssm_no_conv", 0.3)]
    _, moved, weak = told(tmp_path / "r", *rows)
    assert moved.headline == "ssm_no_conv moves early likeness most"
    assert "m +0.300 by ssm_no_conv" in moved.evidence
    assert weak.headline == "Without norms early likeness is weaker"
    assert "norm_removed in m −0.200" in weak.evidence
    assert [each["changed"] for each in weak.rows] == ["m@ablate=norm_removed,all"]


def test_one_of_many_at_the_edge_is_chance(tmp_path: Path) -> None:
    edge = early("norm_reset", -0.0101, 0.01)
    _, alone, weak = told(tmp_path / "a", edge)
    assert alone.headline == "norm_reset moves early likeness most"
    assert weak.headline.startswith("Without norms")
    quiet = [early("attention_self", 0.001 * i, 0.05, f"block.{i}") for i in range(10)]
    _, many, none = told(tmp_path / "b", edge, *quiet)
    assert many.headline == "No change clearly moves early likeness"
    assert none.headline == "No change of norms or attention weakens it"
