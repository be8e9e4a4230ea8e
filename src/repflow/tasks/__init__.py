"""Tasks: settings in, tokenised examples out."""

from repflow.tasks._digest import examples_sha256, longest
from repflow.tasks._make import TASKS, make_task
from repflow.tasks.choices import Choices, choices_of
from repflow.tasks.kvpr import KvprTask
from repflow.tasks.mdqa import MdqaTask
from repflow.tasks.scoring import kvpr_correct, mdqa_correct, normalise_answer
from repflow.tasks.text import TextTask

__all__ = [
    "TASKS",
    "Choices",
    "KvprTask",
    "MdqaTask",
    "TextTask",
    "choices_of",
    "examples_sha256",
    "kvpr_correct",
    "longest",
    "make_task",
    "mdqa_correct",
    "normalise_answer",
]
