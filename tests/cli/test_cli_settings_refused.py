"""Names and settings that cannot be: exit code 2, one line with what was given and what to do, nothing written."""

import pytest
import torch
from cli_tools import QUICK, TINY, Refusal, only_line

from repflow.cli import main


@pytest.mark.parametrize(
    ("subject", "said"),
    [
        ("nobody/nothing", ["nobody/nothing", "cannot be reached", "download the model elsewhere"]),
        ("./nowhere", ["no such model directory", "./nowhere"]),
        ("no.gguf", ["no such GGUF file", "no.gguf"]),
        ("config:pithia", ["unknown family 'pithia'", "did you mean pythia"]),
        ("config:pythia,layer=2", ["unknown", "'layer'", "did you mean layers"]),
        ("config:pythia,layers=0", ["whole number of 1 or more", "got 0"]),
        ("zoo:smollm3-135m", ["unknown zoo model 'smollm3-135m'", "did you mean smollm2-135m"]),
        (f"{TINY}@init=xaver", ["unknown initialisation scheme 'xaver'", "did you mean xavier"]),
        (f"{TINY}@init=normal:x", ["seed", "whole number"]),
        (f"{TINY}@inti=normal", ["unknown subject modifier 'inti'", "did you mean init"]),
        (f"{TINY}@ablate=norm_rest", ["unknown intervention 'norm_rest'", "did you mean norm_reset"]),
        (f"{TINY}@revision=main", ["@revision=main", "hub id"]),
        ("", ["no source"]),
        ("a b", ["'a b'", "neither a path that exists nor a hub id"]),
    ],
)
def test_a_subject_that_is_not_there(refused: Refusal, subject: str, said: list[str]) -> None:
    line = refused(*QUICK, subjects=(subject,))
    assert all(text in line for text in said), line


def test_a_slip_in_the_last_subject_is_found_before_the_first_is_measured(refused: Refusal) -> None:
    assert "unknown family 'pithia'" in refused(*QUICK, subjects=(TINY, "config:pithia"))


def test_a_subject_named_twice(refused: Refusal) -> None:
    assert "named twice" in refused(*QUICK, subjects=(TINY, TINY))
    line = refused(*QUICK, subjects=(f"{TINY}@init=normal", f"{TINY}@init=normal:0"))
    assert line == f"repflow: a subject is named twice: {TINY}@init=normal:0"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--task kvp", ["unknown task 'kvp'", "did you mean kvpr"]),
        ("--metrics token_cca", ["unknown metric 'token_cca'", "did you mean token_cka"]),
        ("--tokens no_sinks", ["unknown token policy 'no_sinks'", "did you mean no_sink"]),
        ("--exampless 3", ["unknown option --exampless", "did you mean --examples"]),
        ("--seed 3 other/model", ["cannot place other/model: names come together, before the options"]),
        ("--qqq", ["unknown option --qqq", "repflow flow --help"]),
        ("-q", ["-q", "repflow flow --help"]),
        ("--examples 1.5", ["--examples needs a whole number, got '1.5'"]),
        ("--examples four", ["--examples needs a whole number, got 'four'"]),
        ("--examples -3", ["--examples must be at least 1, got -3"]),
        ("--examples 0", ["--examples must be at least 1, got 0"]),
        ("--examples", ["--examples needs a value"]),
        ("--sink-factor ten", ["--sink-factor needs a number, got 'ten'"]),
        ("--sink-factor 1", ["--sink-factor must be above 1 and finite, got 1"]),
        ("--calibration 1", ["--calibration must be 0 or at least 2, got 1"]),
        ("--permutations 5", ["--permutations must be 0 or at least 19, got 5"]),
        ("--positions 3", ["--positions is for kvpr and mdqa"]),
        ("--context 3", ["--context must be at least 4, got 3"]),
        ("--context 64 sixty", ["--context cannot be read from '64', 'sixty'"]),
        ("--context", ["--context needs at least one value"]),
        ("--dtype float8", ["--dtype must be one of", "'bfloat16'", "got 'float8'"]),
        ("--tokens all --tokens no_sink", ["--tokens is given 2 times", "give it once"]),
        ("--batch-tokens 8 --batch_tokens 9", ["--batch-tokens is given 2 times"]),
        ("--tokens all all", ["--tokens names all twice"]),
        ("--task text text", ["--task names text twice"]),
        ("--context 48 96 48", ["--context names 48 twice"]),
        ("--seed -1", ["--seed must be at least 0, got -1"]),
        (f"--seed {10**30}", ["--seed must be at most"]),
        ("--replicates 2", ["--replicates must be at least 39, got 2"]),
        ("--resume --overwrite", ["--resume and --overwrite", "give one"]),
        ("--text missing.txt", ["there is no file missing.txt"]),
        ("--task kvpr --data missing.jsonl", ["there is no file missing.jsonl"]),
        ("--task kvpr --text book.txt", ["--text is for the task text", "--data"]),
        ("--data pairs.jsonl", ["--data is for kvpr and mdqa", "--text"]),
        ("--task kvpr --context 16", ["a context of 16 tokens", "raise --context"]),
        ("--blocks layer", ["no module 'layer'", "gpt_neox.layers"]),
        ("--metrics example_cka --examples 3", ["example_cka needs at least 4 examples, has 3", "raise --examples"]),
        ("--config missing.yaml", ["missing.yaml", "cannot be read"]),
        ("--config", ["--config needs a YAML file"]),
    ],
)
def test_a_setting_that_cannot_be(refused: Refusal, arguments: str, said: list[str]) -> None:
    line = refused(*arguments.split())
    assert all(text in line for text in said), line


def test_resume_without_a_directory(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["flow", TINY, "--resume"]) == 2
    assert "--resume needs --out" in only_line(capsys)


def test_no_cuda(refused: Refusal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    line = refused("--device", "cuda", *QUICK)
    assert "no CUDA GPU" in line
    assert "--device cpu" in line


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("flwo", ["unknown command 'flwo'", "did you mean flow"]),
        ("--nonsense", ["unknown command '--nonsense'"]),
        ("show", ["PATH", "repflow show --help"]),
        ("show missing", ["missing does not exist", "needed a run directory"]),
        ("show a b", ["cannot place b"]),
        ("report missing", ["missing does not exist"]),
        ("compare missing", ["PATH", "repflow compare --help"]),
        ("compare missing other", ["missing does not exist"]),
        ("doctor me", ["cannot place me"]),
        ("doctor --loud", ["unknown option --loud"]),
    ],
)
def test_a_command_that_cannot_be(capsys: pytest.CaptureFixture[str], arguments: str, said: list[str]) -> None:
    assert main(arguments.split()) == 2
    line = only_line(capsys)
    assert all(text in line for text in said), line
