"""Whatever was run, four questions have a sentence or a command on top, and the commands parse."""

import shlex
from pathlib import Path
from typing import Any

import pytest
from attribution_run import attribution_run
from dynamics_run import write_dynamics_run
from probe_run import write_probe_run
from store_rows import layer_row, run_info

from repflow.cli.arguments import parse
from repflow.cli.study import command_of
from repflow.report.answers import answers_of, studies_of
from repflow.report.reading import read
from repflow.report.show import summary_html
from repflow.store import Run, RunWriter, open_run
from repflow.studies.catalogue import study
from repflow.studies.kit.saying import CARE
from repflow.studies.kit.study import Answer

QUESTIONS = {
    "earliest": ("homogenise", "repflow flow "),
    "architecture": ("likeness:", "repflow attribute "),
    "probe": ("Probe ", "Which block to probe", "repflow probe "),
    "last block": ("last block is", "repflow ablate "),
}


def flow_run(directory: Path) -> Run:
    rows = [layer_row("zoo:pythia-tiny", i, 0.2 * i, tokens="no_sink", n_units=40) for i in range(1, 5)]
    with RunWriter.create(directory, {"task": ["text"], "context": [128]}, "flow") as writer:
        writer.finish(rows, [], [], run_info("zoo:pythia-tiny"))
    return open_run(directory)


def of(run: Run) -> list[Answer]:
    return answers_of(read(run), studies_of(run.info))


@pytest.mark.parametrize("made", [flow_run, attribution_run, write_probe_run, write_dynamics_run])
def test_four_questions_are_answered_or_say_which_command_would(made: Any, tmp_path: Path) -> None:
    found = of(made(tmp_path / "r"))
    for question, words in QUESTIONS.items():
        told = [each for each in found if any(word in each.headline or word in each.next for word in words)]
        assert told, f"{question}: neither a sentence nor a command"
    assert [each.headline for each in found].count(CARE) == 1
    assert found[-1].headline == CARE


@pytest.mark.parametrize("made", [flow_run, attribution_run, write_probe_run, write_dynamics_run])
def test_every_command_parses(made: Any, tmp_path: Path) -> None:
    commands = [each.next for each in of(made(tmp_path / "r")) if each.next]
    assert commands
    for each in commands:
        program, verb, *arguments = shlex.split(each)
        assert program == "repflow"
        asked = study(verb)
        kind = command_of(asked)
        settings = parse(kind, verb, arguments)
        assert settings.subjects == tuple(arguments[: len(settings.subjects)])


def test_what_was_measured_comes_first_then_the_questions(tmp_path: Path) -> None:
    found = [each.headline for each in of(attribution_run(tmp_path / "r"))]
    assert found[0].startswith("Early likeness: ")
    open_one = found.index("Is the last block worth it? Not measured")
    assert open_one < found.index(next(name for name in found if "guess" in name))


def test_the_lab_and_trainings_speak_for_themselves() -> None:
    assert not any(each.next for each in of(open_run("zoo:training"))), "its subjects have no specs"


def test_a_notebook_shows_the_same_sentences(tmp_path: Path) -> None:
    run = flow_run(tmp_path / "r")
    shown = summary_html(run)
    for each in of(run)[:3]:
        assert each.headline.split(";")[0].replace("'", "&#x27;") in shown
        assert each.next in shown
