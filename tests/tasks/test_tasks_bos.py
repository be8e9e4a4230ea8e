"""BOS before every example, when asked for."""

import json
from typing import Any

import pytest
from tokenizers import processors
from transformers import PreTrainedTokenizerFast

from repflow.core import BadSetting
from repflow.tasks import KvprTask, MdqaTask, TextTask, make_task

BOS = 0


@pytest.fixture(scope="module")
def bare(fast) -> Any:
    """The same tokenizer, but one that has a BOS and never puts it."""
    core = type(fast.backend_tokenizer).from_str(fast.backend_tokenizer.to_str())
    core.post_processor = processors.ByteLevel(trim_offsets=False)
    return PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>")


TASKS = [
    (TextTask, 64),
    (KvprTask, 500),
    (MdqaTask, 600),
]


@pytest.mark.parametrize(("task", "context"), TASKS)
def test_every_example_begins_with_one_bos_within_its_context(fast, bare, task, context):
    for tokenizer in (fast, bare):
        examples = task(bos=True).build(tokenizer, n=8, context=context, seed=0)
        assert len(examples) == 8
        for example in examples:
            assert example.ids[0] == BOS
            assert BOS not in example.ids[1:]
            assert len(example.ids) <= context
    assert task(bos=True).describe()["bos"] is True
    assert task().describe()["bos"] is False


def test_pieces_are_cut_for_the_bos_before_them(bare):
    plain = TextTask().build(bare, n=20, context=63, seed=0)
    led = TextTask(bos=True).build(bare, n=20, context=64, seed=0)
    assert [e.ids for e in led] == [(BOS, *e.ids) for e in plain]
    assert [e.unit for e in led] == [e.unit for e in plain]
    assert {len(e.ids) for e in led} == {64}


def test_documents_begin_with_it(tmp_path, bare):
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(json.dumps({"text": f"row {i} has a few words"}) for i in range(9)))
    plain = TextTask((str(path),), pack=False).build(bare, n=9, context=30, seed=0)
    led = TextTask((str(path),), pack=False, bos=True).build(bare, n=9, context=30, seed=0)
    assert [e.ids for e in led] == [(BOS, *e.ids) for e in plain]


@pytest.mark.parametrize(("task", "context"), TASKS[1:])
def test_prompts_are_those_of_a_tokenizer_that_puts_it_itself(fast, bare, task, context):
    own = task().build(fast, n=6, context=context, seed=0)
    assert task(bos=True).build(bare, n=6, context=context, seed=0) == own
    assert task(bos=True).build(fast, n=6, context=context, seed=0) == own
    assert task().build(bare, n=6, context=context, seed=0)[0].ids[0] != BOS


@pytest.mark.parametrize("name", ["text", "kvpr", "mdqa"])
def test_a_tokenizer_without_bos_is_refused(words, name):
    with pytest.raises(BadSetting, match="--bos: the model's tokenizer has no BOS token"):
        make_task(name, bos=True).build(words, n=1, context=600, seed=0)
