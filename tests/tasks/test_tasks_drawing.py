"""Where the examples of a text come from, and which of them are resampled together."""

import itertools
import json
import random
from pathlib import Path

import numpy as np
import pytest

from repflow.tasks import TextTask, sources
from repflow.tasks import held as held_module
from repflow.tasks.blocks import CELL, LEAST_BLOCKS, block_length, blocks_of
from repflow.tasks.held import hold_rows, hold_text
from repflow.tasks.spread import fractions, nearest
from repflow.tasks.text import SHIPPED

VOCABULARY = [f"w{i}" for i in range(400)]


def plain(n_words, seed=0):
    """Words drawn independently of each other: a text without any structure."""
    return " ".join(random.Random(seed).choices(VOCABULARY, k=n_words))


def drifting(n_words, stretch, seed=0):
    """Stretches of words that alternate, at random, between a loud and a quiet manner."""
    rng = random.Random(seed)
    loud = [w.upper() + "!" for w in VOCABULARY]
    parts = [rng.choices(rng.choice([loud, VOCABULARY]), k=stretch) for _ in range(n_words // stretch)]
    return " ".join(itertools.chain.from_iterable(parts))


def put(path, text):
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    """A file of numbered words, so that each piece says where it comes from."""
    return put(tmp_path_factory.mktemp("book") / "book.txt", " ".join(f"{i:06d}" for i in range(20_000)))


def places(examples):
    """The number of the first word of each piece of `book`."""
    return [int(e.prompt.split()[0]) for e in examples]


def test_the_first_examples_do_not_depend_on_how_many(tokenizer):
    whole = TextTask().build(tokenizer, n=1000, context=64, seed=0)
    assert len(whole) > 100
    for n in (1, 5, 40):
        assert TextTask().build(tokenizer, n=n, context=64, seed=0) == whole[:n]


def test_no_piece_is_drawn_twice_and_in_the_end_all_are(book, words):
    whole = TextTask((book,)).build(words, n=10**6, context=50, seed=3)
    starts = places(whole)
    assert len(set(starts)) == len(starts)
    assert {start % 50 for start in places(TextTask((book,)).build(words, n=300, context=50, seed=1))} == {0}
    assert sorted(starts) == list(range(0, 20_000, 50))


@pytest.mark.parametrize("n", [8, 40, 120])
def test_the_pieces_are_spread_over_the_whole(book, words, n):
    for seed in range(3):
        starts = sorted(places(TextTask((book,)).build(words, n=n, context=50, seed=seed)))
        gaps = np.diff([0, *starts, 20_000])
        assert gaps.max() < 4 * 20_000 / n + 100


def test_calibration_comes_from_between_the_measured_pieces(book, words):
    built = TextTask((book,)).build(words, n=40, context=50, seed=0)
    measured, calibration = places(built[:32]), places(built[32:])
    assert not set(measured) & set(calibration)
    assert max(calibration) - min(calibration) > 10_000


def test_any_two_seeds_draw_other_pieces(book, words):
    drawn = [places(TextTask((book,)).build(words, n=12, context=50, seed=seed)) for seed in range(6)]
    for a, b in itertools.combinations(drawn, 2):
        assert len(set(a) & set(b)) <= 4


def test_seeds_draw_other_documents_too(tmp_path, words):
    path = put(tmp_path / "a.jsonl", "\n".join(json.dumps({"text": f"row {i} has words"}) for i in range(300)))
    drawn = [TextTask((path,), pack=False).build(words, n=10, context=9, seed=seed) for seed in range(4)]
    numbers = [sorted(int(e.prompt.split()[2]) for e in examples) for examples in drawn]
    assert len({tuple(found) for found in numbers}) == 4
    assert all(found[0] < 60 and found[-1] > 240 for found in numbers)
    assert all(len(set(found)) == 10 for found in numbers)


def test_sources_are_drawn_from_in_turn(tmp_path, words):
    sizes = {"a": 40, "b": 8, "c": 40}
    files = tuple(put(tmp_path / f"{k}.txt", " ".join([k] * 4 * n)) for k, n in sizes.items())
    examples = TextTask(files).build(words, n=100, context=4, seed=0)
    assert [e.prompt[0] for e in examples[:6]] == ["a", "b", "c"] * 2
    assert [e.prompt[0] for e in examples[24:30]] == ["a", "c"] * 3
    assert len(examples) == 88
    assert {e.source for e in examples} == set(files)


def test_six_examples_of_the_shipped_texts_name_all_of_them(tokenizer):
    examples = TextTask().build(tokenizer, n=max(6, len(SHIPPED)), context=64, seed=0)
    assert {e.source for e in examples} == {f"built in: {name}" for name in SHIPPED}
    assert [d["file"] for d in TextTask().describe()["text"]] == [f"built in: {name}" for name in SHIPPED]


def units_by_place(task, tokenizer, context, n=10**4, seed=0):
    return {e.ids: e.unit for e in task.build(tokenizer, n=n, context=context, seed=seed)}


def test_units_are_the_same_for_every_number_and_seed(tokenizer):
    whole = units_by_place(TextTask(), tokenizer, 64)
    for n, seed in ((7, 0), (30, 1), (60, 2)):
        assert units_by_place(TextTask(), tokenizer, 64, n, seed).items() <= whole.items()


def test_units_are_the_same_for_two_tokenizers_and_contexts(book, fast, words):
    def unit_of(tokenizer, context, n=10**4):
        examples = TextTask((book,)).build(tokenizer, n=n, context=context, seed=0)
        return {int(e.prompt.split()[len(e.prompt.split()) // 2]): e.unit for e in examples}

    of_words, of_bytes, longer = unit_of(words, 50), unit_of(fast, 300), unit_of(words, 200)
    ends = blocks_of(Path(book).read_text(encoding="utf-8")).ends
    for found in (of_words, of_bytes, longer):
        expected = {place: np.searchsorted(ends, place * 7, side="right") for place in found}
        assert np.mean([abs(expected[place] - unit) == 0 for place, unit in found.items()]) > 0.9
        assert max(abs(expected[place] - unit) for place, unit in found.items()) <= 1


def test_the_same_places_are_drawn_whatever_the_tokenizer(book, fast, words):
    of_words = places(TextTask((book,)).build(words, n=60, context=50, seed=0))
    middles = [
        int(e.prompt.split()[len(e.prompt.split()) // 2])
        for e in TextTask((book,)).build(fast, n=60, context=200, seed=0)
    ]
    assert np.median(np.abs(np.array(of_words) + 25 - middles)) < 60


def test_consecutive_pieces_share_a_unit_and_units_follow_the_text(book, words):
    examples = TextTask((book,)).build(words, n=10**6, context=10, seed=0)
    in_order = [e.unit for e in sorted(examples, key=lambda e: e.ids[0])]
    assert in_order == sorted(in_order)
    by_place = [unit for _, unit in sorted(zip(places(examples), [e.unit for e in examples], strict=True))]
    assert by_place == sorted(by_place)
    runs = [len(list(run)) for _, run in itertools.groupby(by_place)]
    assert min(runs[:-1]) > 10


def test_units_of_two_sources_are_different(tmp_path, words):
    files = tuple(put(tmp_path / f"{i}.txt", plain(9000, i)) for i in range(2))
    examples = TextTask(files).build(words, n=200, context=20, seed=0)
    units = [{e.unit for e in examples if e.source == name} for name in files]
    assert not units[0] & units[1]
    assert len(units[0] | units[1]) > 20


def test_blocks_are_as_long_as_a_text_stays_like_itself():
    assert block_length(plain(30_000)) <= 3 * CELL
    short, long = (drifting(100_000, stretch) for stretch in (1_000, 4_000))
    for text, stretch in ((short, 1_000), (long, 4_000)):
        characters = stretch * len(text) / 100_000
        assert 0.7 * characters < block_length(text) < 3 * characters
    assert blocks_of(long).length > 2 * blocks_of(short).length


def test_neighbouring_blocks_are_hardly_correlated():
    found = []
    for seed in range(6):
        text = drifting(60_000, 1_000, seed)
        ends = [0, *blocks_of(text).ends.tolist()]
        shares = [text[a:b].count("!") / (b - a) for a, b in itertools.pairwise(ends)]
        centred = np.array(shares) - np.mean(shares)
        found.append((centred[1:] * centred[:-1]).sum() / np.square(centred).sum())
    assert np.mean(found) < 0.25


def test_blocks_cover_the_text_and_none_is_shorter_than_said():
    text = drifting(80_000, 2_000)
    blocks = blocks_of(text)
    sizes = np.diff([0, *blocks.ends])
    assert blocks.ends[-1] == len(text)
    assert sizes.min() >= blocks.length - 1
    assert [blocks.at(0), blocks.at(len(text) + 5)] == [0, len(sizes) - 1]


def test_documents_are_units_and_a_document_of_most_of_the_text_is_cut():
    texts = [plain(1_500, seed) for seed in range(12)]
    held = hold_rows(texts)
    assert blocks_of(held.text, held.starts.tolist()).ends.tolist() == [*held.starts[1:].tolist(), len(held.text)]
    held = hold_rows([plain(30_000, 99), *texts[:3]])
    blocks = blocks_of(held.text, held.starts.tolist())
    assert len(blocks.ends) > 3 + LEAST_BLOCKS
    assert set(held.starts[1:].tolist()) <= set(blocks.ends.tolist())


def test_short_documents_are_taken_together():
    held = hold_rows([plain(20, seed) for seed in range(1_000)])
    blocks = blocks_of(held.text, held.starts.tolist())
    assert np.diff([0, *blocks.ends])[:-1].min() >= blocks.length
    assert set(blocks.ends.tolist()) <= {*held.starts.tolist(), len(held.text)}


def test_rows_that_are_examples_are_units(tmp_path, words):
    path = put(tmp_path / "a.jsonl", "\n".join(json.dumps({"text": f"row {i} has words"}) for i in range(50)))
    examples = TextTask((path,), pack=False).build(words, n=99, context=9, seed=0)
    assert len({e.unit for e in examples}) == 50
    assert all(e.unit == int(e.prompt.split()[2]) for e in examples)


def test_paragraphs_of_a_running_text_share_the_units_of_its_blocks(tmp_path, words):
    text = "\n\n".join(plain(30, seed) for seed in range(400))
    path = put(tmp_path / "a.txt", text)
    examples = TextTask((path,), pack=False).build(words, n=999, context=40, seed=0)
    assert len(examples) == 400
    assert len({e.unit for e in examples}) == len(blocks_of(text).ends) < 100


@pytest.mark.parametrize("text", [plain(1_000), drifting(40_000, 10_000, seed=1), "one line of words\n" * 30])
def test_a_text_of_few_blocks_says_that_it_has_no_interval(tmp_path, text):
    (note,) = TextTask((put(tmp_path / "a.txt", text),)).describe()["notes"]
    assert "no interval on it is worth the name" in note


def test_many_short_files_and_long_texts_need_no_note(tmp_path):
    files = tuple(put(tmp_path / f"{i}.txt", plain(300, i)) for i in range(10))
    assert TextTask(files).describe()["notes"] == []
    assert TextTask((put(tmp_path / "long.txt", plain(30_000)),)).describe()["notes"] == []
    uneven = (put(tmp_path / "b.txt", plain(30_000)), files[0])
    assert "the text has 4 blocks" in TextTask(uneven).describe()["notes"][0]


def test_describe_says_what_was_read(tmp_path):
    path = put(tmp_path / "a.jsonl", "\n".join(json.dumps({"text": plain(300, i)}) for i in range(30)))
    (facts,) = TextTask((path,)).describe()["text"]
    assert facts["documents"] == 30
    assert facts["blocks"] > 5
    assert facts["block_characters"] >= 1_000
    assert "characters_held" not in facts


def test_only_the_chunks_of_the_pieces_are_tokenised(tmp_path, words):
    path = put(tmp_path / "long.txt", " ".join(f"w{i}" for i in range(400_000)))
    few = TextTask((path,)).build(words, n=3, context=50, seed=0)
    assert len(words.words) < 20_000
    assert TextTask((path,)).build(words, n=50, context=50, seed=0)[:3] == few


def test_chunks_are_cut_where_something_ends_and_lose_nothing(monkeypatch):
    monkeypatch.setattr(held_module, "CHUNK", 40)
    monkeypatch.setattr(held_module, "_LEAST_CHUNK", 40)
    text = "aa bb\ncc dd\n\nee ff gg hh\n\n" * 20 + "x" * 100
    chunks = hold_text([text]).chunks(1)
    parts = [text[start:end] for start, end in chunks]
    assert "".join(parts) == text
    assert all(0 < len(part) <= 40 for part in parts)
    assert all(part.endswith("\n\n") for part in parts[:10])


@pytest.mark.parametrize("rows", [False, True])
def test_of_too_large_a_source_an_even_part_is_held(monkeypatch, rows):
    monkeypatch.setattr(held_module, "STRETCH", 1_000)
    monkeypatch.setattr(held_module, "MOST", 10_000)
    lines = [f"line {i:05d} of the source" for i in range(10_000)]
    held = hold_rows(lines) if rows else hold_text(f"{line}\n" for line in lines)
    assert 4_000 < len(held.text) <= 10_000
    assert held.characters == sum(len(line) + (2 if rows else 1) for line in lines)
    numbers = [int(part.split()[1]) for part in held.text.split("line")[1:] for part in [f"line{part}"]]
    assert max(np.diff([0, *numbers, 10_000])) < 4_000
    assert held.seams[-1] == len(held.text)
    if rows:
        assert all(held.text.startswith("line", start) for start in held.starts)
    for start, end in held.chunks(4):
        assert not any(start < seam < end for seam in held.seams)


def test_of_a_stream_the_beginning_is_read_and_said(monkeypatch):
    asked = []

    def stream(source, column):
        for i in range(1_000):
            asked.append(i)
            yield f"document {i} of {source} by {column}, with some words"

    monkeypatch.setattr(sources, "column_of", stream)
    monkeypatch.setattr(sources, "STREAMED", 2_000)
    (facts,) = TextTask(("hf:org/endless",)).describe()["text"]
    assert len(asked) < 50
    assert facts["read"] == "the first 2,000 characters of the stream"
    assert facts["documents"] == len(asked)


def test_each_part_of_the_whole_has_one_of_the_first_places():
    for seed in ("a", "b"):
        found = list(itertools.islice(fractions(seed), 1_024))
        for n in (4, 32, 1_024):
            assert sorted(int(place * n) for place in found[:n]) == list(range(n))
    assert not set(itertools.islice(fractions("a"), 1_024)) & set(itertools.islice(fractions("b"), 1_024))


def test_places_are_even_within_their_parts():
    places = [next(fractions(str(seed))) for seed in range(400)]
    assert abs(np.mean(places) - 0.5) < 0.06
    assert 0.25 < np.std(places) < 0.33


@pytest.mark.parametrize(("wanted", "found"), [(-3, 0), (0, 0), (4, 1), (5, 1), (6, 2), (11, 2)])
def test_nearest(wanted, found):
    assert nearest([0, 3, 7], wanted) == found
