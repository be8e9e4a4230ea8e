"""From the settings of a command to a task."""

from repflow.core import BadSetting, unknown
from repflow.tasks.kvpr import KvprTask
from repflow.tasks.mdqa import MdqaTask
from repflow.tasks.text import TextTask

TASKS = ("text", "kvpr", "mdqa")


def make_task(
    name: str,
    *,
    text: tuple[str, ...] = (),
    data: str | None = None,
    pack: bool = True,
    column: str | None = None,
    keys: str = "auto",
    positions: int = 5,
    gold: int | None = None,
    crossed: bool = False,
    smallest: int | None = None,
    items: int | None = None,
    bos: bool = False,
    divided: bool = False,
) -> TextTask | KvprTask | MdqaTask:
    """The task of that name with the settings that concern it.

    Raises UnknownName for another name and BadSetting for a setting that does nothing for the task.
    """
    if name == "text":
        _refuse(name, data is not None, "data", "name the files with --text")
        _refuse(name, gold is not None or crossed or positions != 5, "positions, gold and crossed", "text has no gold")
        _refuse(name, items is not None, "items", "they are the pairs of kvpr and the documents of mdqa")
        _refuse(name, keys != "auto" or divided, "keys", "they are for kvpr")
        return TextTask(text, pack, column, bos)
    if name not in TASKS:
        raise unknown("task", name, TASKS)
    _refuse(name, bool(text), "text", "name the file with --data")
    _refuse(name, not pack or column is not None, "pack and column", "they are for text")
    if name == "kvpr":
        return KvprTask(data, keys, positions, gold, crossed, items, smallest, bos, divided)
    _refuse(name, keys != "auto" or divided, "keys", "they are for kvpr")
    return MdqaTask(data, positions, gold, crossed, items, bos)


def _refuse(task: str, given: bool, setting: str, advice: str) -> None:
    if given:
        raise BadSetting(f"the task {task} takes no {setting}: {advice}")
