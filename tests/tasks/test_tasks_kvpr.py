import gzip
import itertools
import json

import pytest

from repflow.core import BadFile, BadSetting, NotEnoughData, UnknownName
from repflow.tasks import KvprTask, examples_sha256, longest

PINNED = ("31569046-bbaf-4475-b717-d721fe958617", "49a42c25-3710-405d-a111-e2e0b20d056b")


def pairs_of(example):
    body = example.prompt.split("JSON data:\n")[1].split("\n\nKey: ")[0]
    return json.loads(body, object_pairs_hook=list)


def asked(example):
    return json.loads(example.prompt.split("\n\nKey: ")[1].split("\n")[0])


def decoded(tokenizer, example):
    return tokenizer.decode(example.ids[slice(*example.gold_span)])


def test_prompt_is_valid_json_with_unique_keys_one_pair_a_line(tokenizer):
    for example in KvprTask().build(tokenizer, n=6, context=700, seed=3):
        pairs = pairs_of(example)
        strings = [text for pair in pairs for text in pair]
        assert len(set(strings)) == len(strings)
        assert len(pairs) == example.n_positions
        assert pairs[example.gold_position] == (asked(example), example.answers[0])
        assert example.prompt.count('": "') == example.prompt.count("\n") - 5
        assert example.prompt.endswith("\nCorresponding value:")


def test_gold_span_holds_the_gold_pair_and_no_other(tokenizer):
    for example in KvprTask(positions=3).build(tokenizer, n=6, context=600, seed=0):
        found = decoded(tokenizer, example)
        assert asked(example) in found
        assert example.answers[0] in found
        for key, value in pairs_of(example):
            if key != asked(example):
                assert value not in found


@pytest.mark.parametrize("crossed", [False, True])
@pytest.mark.parametrize("context", [400, 1000])
def test_context_is_kept_and_one_more_pair_would_not_fit(tokenizer, context, crossed):
    task = KvprTask(positions=4, crossed=crossed)
    examples = task.build(tokenizer, n=8, context=context, seed=1)
    assert longest(examples) <= context
    for group, members in itertools.groupby(examples, lambda e: e.group):
        members = list(members)
        style = "uuid" if len(members[0].answers[0]) == 36 else f"hex{len(members[0].answers[0])}"
        question = task._generated(style, 1, group)
        more = [question.tokens(tokenizer, e.n_positions + 1, e.gold_class) for e in members]
        assert max(more) > context


def test_all_positions_of_a_group_have_the_same_pairs_in_the_same_order_but_the_gold(fast):
    examples = KvprTask(crossed=True).build(fast, n=10, context=900, seed=0)
    assert [e.group for e in examples] == [0] * 5 + [1] * 5
    assert [e.gold_class for e in examples] == [0, 1, 2, 3, 4] * 2
    for members in (examples[:5], examples[5:]):
        others = [[pair for pair in pairs_of(e) if pair[0] != asked(e)] for e in members]
        assert all(other == others[0] for other in others)
        positions = [e.gold_position for e in members]
        assert positions[0] == 0
        assert positions[-1] == members[0].n_positions - 1
        assert positions == sorted(set(positions))


def test_gold_goes_round_the_positions_or_stays_where_it_is_told(words):
    spread = KvprTask(positions=3).build(words, n=7, context=200, seed=0)
    assert [e.gold_class for e in spread] == [0, 1, 2, 0, 1, 2, 0]
    assert [e.group for e in spread] == [e.id for e in spread] == list(range(7))
    fixed = KvprTask(positions=3, gold=1).build(words, n=4, context=200, seed=0)
    assert {e.gold_class for e in fixed} == {1}
    assert all(abs(e.gold_position / (e.n_positions - 1) - 0.5) <= 1 / (e.n_positions - 1) for e in fixed)


def test_a_smaller_prompt_is_the_larger_one_with_distractors_removed(tokenizer):
    task = KvprTask(keys="hex8")
    by_context = [task.build(tokenizer, n=5, context=c, seed=0) for c in (300, 1000, 2000)]
    for small, large in itertools.pairwise(by_context):
        for a, b in zip(small, large, strict=True):
            assert asked(a) == asked(b)
            assert a.n_positions < b.n_positions
            kept = set(pairs_of(a))
            assert [pair for pair in pairs_of(b) if pair in kept] == pairs_of(a)


def test_first_examples_do_not_depend_on_how_many(tokenizer):
    for task in (KvprTask(), KvprTask(crossed=True)):
        few = task.build(tokenizer, n=3, context=500, seed=0)
        assert few == task.build(tokenizer, n=8, context=500, seed=0)[:3]
        assert [e.id for e in few] == [0, 1, 2]


def test_seed_decides(words):
    task = KvprTask()
    first, again, other = (task.build(words, n=3, context=100, seed=s) for s in (0, 0, 1))
    assert examples_sha256(first) == examples_sha256(again)
    assert examples_sha256(first) != examples_sha256(other)


def test_generated_keys_stay_the_same_from_version_to_version(words):
    example = KvprTask().build(words, n=1, context=60, seed=0)[0]
    assert (asked(example), example.answers[0]) == PINNED


def test_keys_shorten_where_the_context_is_small(fast):
    lengths = []
    for context in (900, 250, 140):
        example = KvprTask().build(fast, n=1, context=context, seed=0)[0]
        assert example.n_positions >= 4
        lengths.append(len(example.answers[0]))
    assert lengths == [36, 8, 4]


def test_too_small_a_context_says_how_many_pairs_fit(fast):
    task = KvprTask(keys="uuid")
    with pytest.raises(NotEnoughData, match="a context of 300 tokens holds 2 pairs; kvpr needs 4, which take") as e:
        task.build(fast, n=1, context=300, seed=0)
    needed = int(str(e.value).split("take ")[1].split()[0])
    assert task.build(fast, n=1, context=needed, seed=0)[0].n_positions == 4
    with pytest.raises(NotEnoughData):
        task.build(fast, n=1, context=needed - 1, seed=0)


def test_crossed_needs_a_pair_for_each_position(fast):
    with pytest.raises(NotEnoughData, match="kvpr needs 9"):
        KvprTask(positions=9, crossed=True, keys="uuid").build(fast, n=1, context=400, seed=0)


@pytest.mark.parametrize("items", [2, 7])
def test_items_fixes_the_number_of_pairs(tokenizer, items):
    exact = KvprTask(keys="hex4", items=items).build(tokenizer, n=5, context=700, seed=1)
    assert {e.n_positions for e in exact} == {items} == {len(pairs_of(e)) for e in exact}
    assert len({e.gold_position for e in exact}) == min(items, 5)


def test_items_that_do_not_fit_are_refused_with_the_number_that_does(words):
    with pytest.raises(NotEnoughData, match=r"holds \d+ pairs; kvpr needs 40, which take \d+ tokens"):
        KvprTask(keys="hex4", items=40).build(words, n=1, context=64, seed=0)
    with pytest.raises(BadSetting, match="at least 2"):
        KvprTask(items=1)
    with pytest.raises(BadSetting, match="5 positions need as many"):
        KvprTask(items=3, crossed=True)


def test_four_digit_keys_run_out_without_hanging(words):
    example = KvprTask(keys="hex4").build(words, n=1, context=200_000, seed=0)[0]
    assert example.n_positions == 1 << 14


def test_more_items_than_a_context_or_a_style_can_give_are_refused_without_hanging(words):
    with pytest.raises(NotEnoughData, match="512 tokens holds fewer pairs than items 70000"):
        KvprTask(items=70_000).build(words, n=1, context=512, seed=0)
    with pytest.raises(BadSetting, match="items 70000: there are 16384 pairs of hex4 keys at most"):
        KvprTask(keys="hex4", items=70_000).build(words, n=1, context=1 << 20, seed=0)


def test_many_long_prompts_take_few_tokenisations(words):
    calls = 0
    plain = words.encode

    def counted(text, *, add_special_tokens=True):
        nonlocal calls
        calls += 1
        return plain(text, add_special_tokens=add_special_tokens)

    words.encode = counted
    KvprTask(keys="uuid").build(words, n=50, context=1000, seed=0)
    assert calls < 50 * 8


@pytest.mark.parametrize(
    "settings",
    [{"positions": 1}, {"gold": 5}, {"gold": -1}, {"gold": 1, "crossed": True}, {"data": "x", "keys": "hex8"}],
)
def test_settings_that_make_no_sense_are_refused(settings):
    with pytest.raises(BadSetting):
        KvprTask(**settings)


def test_unknown_style_of_keys():
    with pytest.raises(UnknownName, match="hex8"):
        KvprTask(keys="hex9")


@pytest.mark.parametrize("sizes", [{"n": 0, "context": 100}, {"n": 1, "context": 0}])
def test_sizes_of_nothing_are_refused(words, sizes):
    with pytest.raises(BadSetting):
        KvprTask().build(words, seed=0, **sizes)


def record(pairs=6, **changes):
    kv = [[f"k{i}", f"v{i}"] for i in range(pairs)]
    return {"ordered_kv_records": kv, "key": "k2", "value": "v2"} | changes


def write(path, *records):
    text = "".join(json.dumps(r) + "\n" for r in records)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return str(path)


@pytest.mark.parametrize("name", ["kv.jsonl", "kv.jsonl.gz"])
def test_records_of_a_file_keep_their_order_but_the_gold(tmp_path, words, name):
    data = write(tmp_path / name, record(), record(pairs=9, key="k8", value="v8"))
    examples = KvprTask(data, gold=4).build(words, n=5, context=500, seed=0)
    assert [e.n_positions for e in examples] == [6, 9]
    assert [k for k, _ in pairs_of(examples[0])] == ["k0", "k1", "k3", "k4", "k5", "k2"]
    assert examples[0].answers == ("v2",)


def test_text_of_a_record_is_escaped(words, tmp_path):
    kv = [['a"b', "c\\d"], ["ü\n", "x"], ["e", "f"], ["g", "h"]]
    data = write(tmp_path / "kv.jsonl", record(ordered_kv_records=kv, key='a"b', value="c\\d"))
    example = KvprTask(data).build(words, n=1, context=99, seed=0)[0]
    assert sorted(pairs_of(example)) == sorted(map(tuple, kv))
    assert asked(example) == 'a"b'


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"key": "k9"}, "not in ordered_kv_records"),
        ({"value": "v3"}, "not in ordered_kv_records"),
        ({"ordered_kv_records": [["k2", "v2"], ["k2", "v3"]]}, "a key twice"),
        ({"ordered_kv_records": {"k2": "v2"}}, "list of"),
        ({"ordered_kv_records": [["k2", 2]]}, "strings"),
    ],
)
def test_bad_records_name_file_and_line(tmp_path, words, changes, said):
    data = write(tmp_path / "kv.jsonl", record(), record(**changes))
    with pytest.raises(BadFile, match=rf"kv\.jsonl line 2: .*{said}"):
        KvprTask(data).build(words, n=2, context=500, seed=0)


def test_wrong_fields_are_named(tmp_path, words):
    data = write(tmp_path / "kv.jsonl", {"question": "q", "answers": ["a"]})
    with pytest.raises(BadFile, match="needs the fields ordered_kv_records, key, value; found question, answers"):
        KvprTask(data).build(words, n=1, context=500, seed=0)


def test_record_of_too_few_pairs(tmp_path, words):
    data = write(tmp_path / "kv.jsonl", record(pairs=3))
    with pytest.raises(NotEnoughData, match="3 pairs; kvpr needs 4"):
        KvprTask(data).build(words, n=1, context=500, seed=0)


@pytest.mark.parametrize("pairs", [75, 140])
def test_published_records(published, fast, pairs):
    task = KvprTask(str(published / f"kv-retrieval-{pairs}_keys.jsonl.gz"))
    whole = task.build(fast, n=6, context=100_000, seed=0)
    assert {e.n_positions for e in whole} == {pairs}
    small = task.build(fast, n=6, context=1000, seed=0)
    assert longest(small) <= 1000
    for a, b in zip(small, whole, strict=True):
        assert a.answers[0] in decoded(fast, a)
        kept = set(pairs_of(a))
        assert [pair for pair in pairs_of(b) if pair in kept] == pairs_of(a)


def test_describe_names_the_file_without_its_folder(tmp_path):
    data = write(tmp_path / "kv.jsonl", record())
    facts = KvprTask(data).describe()
    assert facts["data"]["file"] == "kv.jsonl"
    assert len(facts["data"]["sha256"]) == 64
    assert str(tmp_path) not in json.dumps(facts)
    assert json.loads(json.dumps(KvprTask().describe()))["keys"] == "auto"
