"""A run that holds other runs has one page: one overview, one bar, a section for each part's studies."""

from dataclasses import replace
from pathlib import Path

import pytest
from page_kit import panels, unpacked
from synthetic import TRIO, FakeRun, make_run

from repflow.core import UnknownName
from repflow.report import html, write_figures, write_report
from repflow.report.answers import first_screen, folded
from repflow.report.reading import read_all, subjects_of
from repflow.studies.kit.saying import care
from repflow.studies.kit.study import Answer

EARLY = (TRIO[1], ("zoo:pythia-tiny", "gpt_neox", "TBM", 3, "trained"))


class Whole(FakeRun):
    """A run with parts, as `Run.parts` gives them."""

    parts: dict[str, FakeRun]


@pytest.fixture
def whole(tmp_path: Path) -> Whole:
    flow = make_run(tmp_path / "flow", TRIO[:2], scenes=(("text", 64),))
    probe = make_run(tmp_path / "probe", EARLY, scenes=(("kvpr", 128),))
    probe.info["command"] = "probe"
    probe.info["warnings"] = ["of the second part alone"]
    run = make_run(tmp_path, TRIO[:1])
    made = Whole(run.layers.iloc[:0], run.pairs.iloc[:0], run.paths.iloc[:0], {"command": "paper"}, [], tmp_path)
    made.parts = {"flow": flow, "probe": probe}
    return made


@pytest.fixture(autouse=True)
def without_plotly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("repflow.report.html.get_plotlyjs", lambda: "var Plotly = {};")


def test_a_subject_has_one_look_and_one_name_in_all_parts(whole: Whole) -> None:
    parts = read_all(whole)
    assert [name for name, _ in parts] == ["", "flow", "probe"]
    joined = subjects_of(parts)
    assert [s.label for s in joined] == [TRIO[0][0], TRIO[1][0], "zoo:pythia-tiny"]
    assert len({s.style for s in joined}) == 3
    shared = [next(s for s in source.subjects if s.label == TRIO[1][0]) for _, source in parts[1:]]
    assert shared[0] == shared[1]


def test_sections_have_the_name_of_their_part_before_them(whole: Whole) -> None:
    text = write_report(whole).read_text(encoding="utf-8")
    assert {"flow-likeness", "flow-layers", "flow-paths"} <= set(unpacked(text))
    assert 'id="flow-likeness-inter_token_cosine"' in text
    assert 'href="#flow-likeness-inter_token_cosine"' in text, "the overview opens it"
    assert not [key for key in panels(text) if key.startswith("probe-")], "what every run has is shown once"
    assert text.count('class="chip key"') == 3
    assert "of the second part alone" in text


def test_traces_are_numbered_within_a_part_and_told_apart_on_the_page(whole: Whole) -> None:
    whole.parts = {"probe": whole.parts["probe"]}
    found = unpacked(write_report(whole).read_text(encoding="utf-8"))["probe-likeness"]
    assert found["subjects"] == [0, 1]
    whole.parts = {"flow": whole.parts["probe"], "other": whole.parts["probe"]}
    assert [label.label for label in subjects_of(read_all(whole))] == [subject[0] for subject in EARLY]


def test_its_own_answers_come_first_then_the_first_of_each_study(whole: Whole, monkeypatch: pytest.MonkeyPatch) -> None:
    def said_by(name: str):
        def answers(_, source):
            rows = [{"site": "embed", "value": 0.5}]
            here = source.info["command"]
            return [
                *(Answer(f"{name} {n} of {here}", "so it is", rows=rows) for n in range(3)),
                care(f"care of {here}"),
            ]

        return answers

    for name in ("Paper", "Flow", "Probe"):
        monkeypatch.setattr(f"repflow.studies.{name.lower()}.study.{name}.answers", said_by(name.lower()))
    whole.parts["flow-hf"] = replace(whole.parts["flow"])
    whole.parts["flow-hf"].info = {**whole.parts["flow"].info, "settings": {"sites": "hf"}}
    text = html.render(read_all(whole))
    firsts = ("paper 0 of paper", "paper 1 of paper", "paper 2 of paper", "flow 0 of flow", "probe 0 of probe")
    told = [text.index(f"<b>{name}</b>") for name in firsts]
    caution, folded = text.index("care of paper"), text.index('<details class="more">')
    assert told == sorted(told)
    assert told[-1] < caution < folded < text.index("<b>flow 1 of flow</b>") < text.index("<b>probe 2 of probe</b>")
    assert text.count("<b>flow 1 of flow</b>") == 1, "what was read for parity says nothing"
    assert "more answers (6)" in text
    assert "<summary>rows</summary>" in text


def test_an_open_question_is_not_asked_where_a_part_answers_it(whole: Whole, monkeypatch: pytest.MonkeyPatch) -> None:
    asks = [
        Answer("first", "yes"),
        Answer("which block", "a guess", "repflow probe m"),
        Answer("why", "", "repflow ablate m"),
    ]
    monkeypatch.setattr("repflow.studies.flow.study.Flow.answers", lambda *_: asks)
    monkeypatch.setattr("repflow.studies.probe.study.Probe.answers", lambda *_: [])
    _, more = first_screen(read_all(whole))
    assert [each.headline for each in more] == ["why"]


def test_a_run_without_parts_has_no_names_of_parts(tmp_path: Path) -> None:
    text = write_report(replace(make_run(tmp_path, TRIO[:1]))).read_text(encoding="utf-8")
    assert "likeness" in unpacked(text)
    assert 'class="of"' not in text


def test_long_evidence_is_cut_at_a_clause_and_kept_in_full() -> None:
    names = ", ".join(f"model-{n} 0.{n} [0.1, 0.9]" for n in range(10, 40))
    short, more = folded(f"Highest of any block: {names}.")
    assert more
    assert len(short) <= 300
    assert short.endswith(" …")
    assert names.startswith(short.removeprefix("Highest of any block: ").removesuffix(" …"))
    assert folded("Short.") == ("Short.", False)


def test_figures_of_parts_carry_their_names(whole: Whole, tmp_path: Path) -> None:
    written = write_figures(whole, ("svg",), tmp_path / "out", only="inter_token_cosine")
    assert [path.name for path in written if path.suffix == ".svg"] == ["flow_inter_token_cosine_text-64.svg"]
    with pytest.raises(UnknownName):
        write_figures(whole, ("svg",), tmp_path / "out", only="no_such")
