"""Specs read back what they print, and refuse what they cannot read."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repflow.core import BadFile, BadSpec, UnknownName
from repflow.models.spec import SCHEMES, Ablation, Init, SubjectSpec, parse_config_source, source_kind

_word = st.text("abcdefgXYZ0123456789_.-", min_size=1, max_size=12)
_source = st.one_of(
    st.builds("{}/{}".format, _word, _word),
    st.builds("/nowhere-{}/{}".format, _word, _word),
    st.builds("/nowhere-{}@{}".format, _word, _word),
    st.builds(
        "config:{},{}={}".format, _word, _word, st.sampled_from(["1", "[1,2]", '[["global","local"],2]', "1e-3"])
    ),
    st.builds("zoo:{}".format, _word),
)
_init = st.builds(Init, st.sampled_from(SCHEMES), st.integers(0, 10**12), st.booleans())
_argument = st.one_of(st.none(), st.text("abc0123456789.:,=[]", min_size=1, max_size=8))
_specs = st.builds(
    SubjectSpec,
    _source,
    st.one_of(st.none(), _init),
    st.lists(st.builds(Ablation, _word, _argument), max_size=3).map(tuple),
    st.one_of(st.none(), _word),
)


@given(_specs)
def test_a_spec_reads_back_as_itself(spec: SubjectSpec) -> None:
    assert SubjectSpec.parse(str(spec)) == spec
    assert spec.label == str(spec)


def test_every_part_is_read_in_any_order() -> None:
    spec = SubjectSpec.parse("EleutherAI/pythia-160m@revision=step1000@ablate=cut:0.5@init=normal@ablate=flat")
    assert spec.source == "EleutherAI/pythia-160m"
    assert spec.init == Init("normal", 0)
    assert spec.ablations == (Ablation("cut", "0.5"), Ablation("flat"))
    assert str(spec) == "EleutherAI/pythia-160m@init=normal:0@ablate=cut:0.5@ablate=flat@revision=step1000"


def test_an_existing_path_wins_over_the_separator(tmp_path: Path) -> None:
    folder = tmp_path / "odd@init=normal"
    folder.mkdir()
    assert SubjectSpec.parse(str(folder)) == SubjectSpec(str(folder))
    assert SubjectSpec.parse(f"{folder}@init=xavier:3") == SubjectSpec(str(folder), Init("xavier", 3))


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("", BadSpec, "no source"),
        ("@init=normal", BadSpec, "no source"),
        ("gpt2@init=", BadSpec, "no value"),
        ("gpt2@init=normal:x", BadSpec, "whole number"),
        ("gpt2@init=normal:-1", BadSpec, "whole number"),
        ("gpt2@init=normal@init=xavier", BadSpec, "2 times"),
        ("gpt2@init=nrmal", UnknownName, "did you mean normal"),
        ("gpt2@inti=normal", UnknownName, "did you mean init"),
        ("gpt2@ablate=:3", BadSpec, "names no intervention"),
    ],
)
def test_what_cannot_be_read_is_refused(text: str, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says) as caught:
        SubjectSpec.parse(text)
    assert "\n" not in str(caught.value)


def test_config_values_keep_their_types_and_inner_commas() -> None:
    family, options = parse_config_source(
        'config:gpt_neo,layers=4,dropout=0.5,tie=true,flag=False,none=null,types=[[["global","local"],2]],act="a,b",name=gelu'
    )
    assert family == "gpt_neo"
    assert options == {
        "layers": 4,
        "dropout": 0.5,
        "tie": True,
        "flag": False,
        "none": None,
        "types": [[["global", "local"], 2]],
        "act": "a,b",
        "name": "gelu",
    }


@pytest.mark.parametrize(
    "source", ["config:", "config:gpt2,layers", "config:gpt2,=3", "config:gpt2,a=1,a=2", "config:gpt2,a=[1,2"]
)
def test_config_sources_that_cannot_be_read(source: str) -> None:
    with pytest.raises(BadSpec):
        parse_config_source(source)


def test_the_kind_of_a_source(tmp_path: Path) -> None:
    gguf = tmp_path / "m.gguf"
    gguf.write_bytes(b"GGUF")
    kinds = {"config:gpt2": "config", "zoo:x": "zoo", str(gguf): "gguf", str(tmp_path): "directory", "org/name": "hub"}
    assert {source: source_kind(source) for source in kinds} == kinds


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("/no/such/folder", BadFile),
        ("./none", BadFile),
        ("none.gguf", BadFile),
        ("what is this", BadSpec),
        ("a/b/c", BadFile),
    ],
)
def test_sources_that_are_nothing(source: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        source_kind(source)


def test_a_file_that_is_no_model(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("hello")
    with pytest.raises(BadFile, match=r"neither a \.gguf file nor a directory"):
        source_kind(str(file))


def test_what_a_scheme_has_no_rule_for_can_be_kept() -> None:
    spec = SubjectSpec.parse("gpt2@init=normal:2+keep")
    assert spec.init == Init("normal", 2, keep=True)
    assert str(spec) == "gpt2@init=normal:2+keep"
    assert SubjectSpec.parse("gpt2@init=xavier+keep").init == Init("xavier", 0, keep=True)
    with pytest.raises(BadSpec, match=r"drop \+recurrence"):
        SubjectSpec.parse("gpt2@init=normal:2+recurrence")
