"""Many wrong command lines: each ends with exit code 2 and one line on stderr, and leaves nothing behind."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_tools import TINY, only_line

from repflow.cli import main

HUGE = ("1000000000", "100000000000", str(10**20), str(10**30), "9" * 5000)
NO_NUMBER = ("x", "1.5", "1e3", "", "0x10", "ten")
SHARED = {"batch-tokens": "-1", "shard": "-1"}
LEAST = {
    "flow": {"examples": "0", "context": "3", "positions": "1", "items": "1", "replicates": "38", "permutations": "5",
             "gram-tokens": "3", "calibration": "1", "seed": "-1"},
    "probe": {"examples": "0", "context": "3", "positions": "1", "items": "0", "seeds": "0", "new-tokens": "0"},
    "attribute": {"examples": "0", "context": "3", "seeds": "0", "replicates": "3", "calibration": "1", "seed": "-5"},
    "ablate": {"examples": "-1", "windows": "0", "new-tokens": "0", "replicates": "1", "seed": "-1"},
    "dynamics": {"examples": "0", "influence-tokens": "-1", "directions": "0", "max-distance": "-2", "replicates": "0"},
}  # fmt: skip
"""By command and setting, a number that is one too small."""
HUGE_IS_FINE = {"seed", "batch-tokens", "context", "max-distance", "windows"}
"""Settings for which 10^9 is no mistake of size, or is one of the model's."""
WORDS = {
    "flow": [
        "--task tex", "--task", "--tokens some", "--metrics cosine", "--metrics", "--sites hidden",
        "--dtype int8", "--device tpu", "--keys hex5", "--sink-factor nan", "--sink-factor inf", "--sink-factor -3",
        "--pack maybe",
        "--pack --no-pack", "--report --no-report", "--resume --overwrite", "--resume --no-resume", "--text",
        "--column",
        "--sink-factor 5 --tokens all", "--out", "--seed 1 --seed 2", "--context 8 8", "--exmples 3", "-x", "--=3",
        "--",
        "--config", "--config a.yaml --config b.yaml", "--data x.jsonl", "--task kvpr --text a.txt", "--keys",
        "--allow-extrapolation yes", "--task text kvpr text", "--column body --task kvpr",
        "--column text", "--column body --no-pack",
    ],
    "probe": [
        "--task text", "--places middle", "--places even:0", "--places even:100000", "--places last last", "--places",
        "--solver sgd", "--baseline random", "--task kvpr mdqa --data a.jsonl", "--task mdqa --keys hex4",
        "--no-generate --new-tokens 5", "--control --no-control", "--keep-features no",
    ],
    "attribute": ["--schemes gauss", "--schemes", "--schemes config config", "--tokens sinks", "--metrics norm"],
    "ablate": [
        "--what norm", "--what norm_reset norm_reset", "--what attention_window:x", "--windows 8 8", "--windows",
        "--what attention_window:8 --windows 8", "--no-generate --new-tokens 5", "--what residual_scaled:inf",
        "--what ssm_clamp_a:1", "--what norm_reset,block.5-2 --each-block", "--metrics flow",
    ],
    "dynamics": [
        "--influence-tokens 0 --directions 3", "--influence-tokens 0 --max-distance 9", "--places last",
    ],
}  # fmt: skip
OTHER = [
    "", "flwo", "--flow", "show", "show nowhere", "show a b c", "show --all", "report", "report nowhere",
    "report --figures", "report nowhere --figures --no-figures", "compare", "compare a", "compare a b",
    "compare a b c", "compare a b --metric", "compare a b --csv", "doctor now", "doctor --fast", "train",
    "train zooo", "train card", "train zoo nobody", "train zoo --preset tpu", "train zoo --tokens -1",
    "train zoo --minutes -1", "train zoo --minutes x", "train zoo --learning-rate 2", "train zoo --lengths 1",
    "train zoo --seed -1", "train zoo --resume --overwrite", "train zoo --data nowhere",
    "train card zoo:mamba-tiny --data nowhere", "train zoo mamba-tiny mamba-tiny",
]  # fmt: skip
QUIET = {"", "train"}
"""These print what there is to run."""


def lines() -> Iterator[list[str]]:
    for command, numbers in LEAST.items():
        for name, low in (numbers | SHARED).items():
            yield [command, TINY, f"--{name}", low]
            for value in NO_NUMBER:
                yield [command, TINY, f"--{name}={value}"]
            for value in HUGE[2:] if name in HUGE_IS_FINE else HUGE:
                yield [command, TINY, f"--{name}", value]
        for words in WORDS[command]:
            yield [command, TINY, *words.split()]
    yield from (line.split(" ") for line in OTHER if line not in QUIET)


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


LINES = list(lines())


def test_there_are_many_of_them() -> None:
    assert len({tuple(line) for line in LINES}) >= 400


@pytest.mark.parametrize("chunk", range(20))
def test_a_wrong_line_is_one_line_and_exit_code_2(chunk: int, empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for line in LINES[chunk::20]:
        capsys.readouterr()
        assert main(line) == 2, line
        said = only_line(capsys)
        assert len(said) < 500, line
        assert list(empty.iterdir()) == [], line


YAML = {
    "twice.yaml": "examples: 3\nexamples: 4\n",
    "twice-otherwise.yaml": "batch-tokens: 3\nbatch_tokens: 4\n",
    "list.yaml": "- examples\n",
    "word.yaml": "examples\n",
    "broken.yaml": "examples: [3\n",
    "tab.yaml": "examples:\n\t- 3\n",
    "number-key.yaml": "3: 4\n",
    "mapping.yaml": "task: {name: text}\n",
    "nested.yaml": "task: [[text]]\n",
    "date.yaml": "examples: 2026-01-01\n",
    "wrong-date.yaml": "examples: 2026-13-41\n",
    "unknown.yaml": "exampels: 3\n",
    "large.yaml": "examples: 99999999999999999999\n",
    "larger.yaml": f"examples: {'9' * 6000}\n",
    "float.yaml": "examples: .inf\n",
    "nan.yaml": "sink_factor: .nan\n",
    "word-number.yaml": "examples: many\n",
    "bool.yaml": "examples: yes\n",
    "object.yaml": "examples: !!python/object/apply:os.getcwd []\n",
    "two.yaml": "examples: 3\n---\nexamples: 4\n",
    "anchor.yaml": "a: &a [x, x]\nb: &b [*a, *a]\ntask: [*b, *b]\n",
    "bomb.yaml": "".join(f"k{i}: &k{i} [{', '.join([f'*k{i - 1}'] * 9 if i else ['x'] * 9)}]\n" for i in range(12)),
    "deep.yaml": "task: " + "[" * 3000 + "]" * 3000 + "\n",
    "deep-mapping.yaml": "{a: " * 3000 + "1" + "}" * 3000,
    "empty-name.yaml": "'': 3\n",
    "null-byte.yaml": 'out: "a\\0b"\n',
    "subjects.yaml": "subjects: 3\n",
    "subjects-list.yaml": "subjects: [1, 2]\n",
    "no-subject.yaml": "subjects: []\n",
    "report.yaml": "report: perhaps\n",
    "both.yaml": "resume: true\noverwrite: true\n",
    "long-line.yaml": "column: [" + "a, " * 20_000 + "b]\n",
    "control.yaml": "task: \x07\n",
}


@pytest.mark.parametrize("name", YAML)
@pytest.mark.parametrize("command", ["flow", "probe"])
def test_a_wrong_settings_file_is_one_line(
    name: str, command: str, empty: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = empty / name
    file.write_text(YAML[name], encoding="utf-8")
    subjects = [] if name in ("subjects.yaml", "subjects-list.yaml", "no-subject.yaml") else [TINY]
    assert main([command, *subjects, "--config", str(file)]) == 2
    assert len(only_line(capsys)) < 600
    assert list(empty.iterdir()) == [file]


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"\x00\x01\x02", "examples: 3".encode("utf-16"), b"\x80abc"])
def test_a_settings_file_that_is_no_text(content: bytes, empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (empty / "a.yaml").write_bytes(content)
    assert main(["flow", TINY, "--config", "a.yaml"]) == 2
    assert "a.yaml" in only_line(capsys)


def test_a_settings_file_too_large_to_be_one(empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (empty / "a.yaml").write_text("# " + "x" * 2_000_000, encoding="utf-8")
    assert main(["flow", TINY, "--config", "a.yaml"]) == 2
    assert "larger than" in only_line(capsys)
