"""Whether a generated answer is right."""

import re
import string

from repflow.core import Example

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalise_answer(text: str) -> str:
    """Lower case, without ASCII punctuation and English articles, single spaces.

    Source: the evaluation of SQuAD (Rajpurkar et al. 2016, arXiv:1606.05250).
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def holds_answer(text: str, answer: str) -> bool:
    """Whether the normalised text contains the normalised answer.

    An answer of which normalisation leaves nothing ("A") must be a word of the text as it stands.
    """
    wanted = normalise_answer(answer)
    if wanted:
        return wanted in normalise_answer(text)
    return bool(answer.strip()) and answer.strip().lower() in text.lower().split()


def kvpr_correct(answer_text: str, example: Example) -> bool:
    """Whether the value asked for is in the answer, case aside."""
    return any(value.lower() in answer_text.lower() for value in example.answers if value)


def mdqa_correct(answer_text: str, example: Example) -> bool:
    """Whether an accepted answer is in the answer up to its first newline, both normalised.

    Source: Liu et al. 2023 (arXiv:2307.03172), best subspan exact match.
    """
    first_line = answer_text.split("\n", 1)[0]
    return any(holds_answer(first_line, answer) for answer in example.answers)
