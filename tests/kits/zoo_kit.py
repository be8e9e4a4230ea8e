"""Small data folders, small recipes and small trainings of the zoo."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from torch import Tensor
from transformers import GPTNeoXConfig, MambaConfig

from repflow.cli import main
from repflow.tasks.files import shipped
from repflow.training.zoo import evaluate, run, trainer
from repflow.training.zoo.recipes import RECIPES, VOCABULARY, Recipe
from repflow.training.zoo.vocabulary import make_tokenizer

NAME, SSM_NAME = "pythia-tiny", "mamba-tiny"
SHORT = ("--tokens", "512", "--batch-tokens", "64", "--lengths", "16", "32", "--device", "cpu")
"""Eight steps, of four rows of 16 tokens and then of two of 32."""
STEPS = 8


class Quiet:
    """Progress that remembers what it was told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, line: str) -> None:
        self.notes.append(line)

    def begin(self, title: str, total: int, unit: str = "example") -> None: ...

    def advance(self, done: int, tokens: int) -> None: ...


def prose() -> str:
    return shipped("prose.txt").read_text(encoding="utf-8")


def questions(count: int) -> list[dict[str, Any]]:
    with shipped("mdqa.jsonl").open(encoding="utf-8") as file:
        return [json.loads(line) for line, _ in zip(file, range(count), strict=False)]


def write_jsonl(path: Path, records: Sequence[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")


def data_folder(folder: Path, characters: int = 12_000, held_out: int = 8_000, asked: int = 12) -> Path:
    """Prose to train on, questions, and other prose in wikitext-2/valid.txt."""
    text = prose()
    (folder / "wikitext-2").mkdir(parents=True)
    (folder / "book.txt").write_text(text[:characters], encoding="utf-8")
    (folder / "wikitext-2" / "valid.txt").write_text(text[-held_out:], encoding="utf-8")
    write_jsonl(folder / "mdqa.jsonl", questions(asked))
    return folder


def small_pythia() -> Any:
    return GPTNeoXConfig(
        vocab_size=VOCABULARY, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=1024, bos_token_id=0, eos_token_id=0, pad_token_id=0, tie_word_embeddings=True,
    )  # fmt: skip


def small_mamba() -> Any:
    return MambaConfig(
        vocab_size=VOCABULARY, hidden_size=16, num_hidden_layers=2, state_size=4, bos_token_id=0, eos_token_id=0,
        pad_token_id=0,
    )  # fmt: skip


def make_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two blocks of width 16 under the names of two of the zoo's models, evaluated on little."""
    monkeypatch.setitem(RECIPES, NAME, Recipe(NAME, "a small one", small_pythia))
    monkeypatch.setitem(RECIPES, SSM_NAME, Recipe(SSM_NAME, "a small one", small_mamba))
    monkeypatch.setattr(evaluate, "PAIRS", (4,))
    monkeypatch.setattr(evaluate, "DOCUMENTS", (2,))
    monkeypatch.setattr(evaluate, "EXAMPLES", 2)
    monkeypatch.setattr(evaluate, "blocks", lambda _: [prose()[:8_000]])
    monkeypatch.setattr(run, "make_tokenizer", lambda texts, seed: _vocabulary(tuple(texts), seed))


@cache
def _vocabulary(texts: tuple[str, ...], seed: int) -> Any:
    return make_tokenizer(texts, seed)


def zoo(data: Path, out: Path, *more: object, names: Sequence[str] = (NAME,), flow: bool = False) -> int:
    """`repflow train zoo` of a few steps; its exit code."""
    shown = ["--flow" if flow else "--no-flow"]
    return main(["train", "zoo", *names, "--data", str(data), "--out", str(out), *SHORT, *map(str, more), *shown])


def weights(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / "model.safetensors")


def same_files(a: Path, b: Path) -> None:
    """The two folders hold the same weights files, byte for byte."""
    mine, theirs = ({p.relative_to(x): p.read_bytes() for p in x.rglob("*.safetensors")} for x in (a, b))
    assert mine, f"no weights in {a}"
    assert mine == theirs


def said(capsys: pytest.CaptureFixture[str]) -> str:
    """The last line on stderr, which is the error's; there is no traceback."""
    text = capsys.readouterr().err
    assert "Traceback" not in text
    line = text.splitlines()[-1]
    assert line.startswith("repflow: "), text
    return line


@contextmanager
def at_step(monkeypatch: pytest.MonkeyPatch, step: int, do: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Inside, the loss of this step (from 1) of the next training is what `do` makes of it."""
    loss, steps = trainer.token_loss, count(1)

    def changed(logits: Tensor, targets: Tensor, n: Any) -> Tensor:
        found = loss(logits, targets, n)
        return do(found) if next(steps) == step else found

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "token_loss", changed)
        yield


def interrupt(_: Tensor) -> Tensor:
    raise KeyboardInterrupt
