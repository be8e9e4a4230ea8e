"""Which files in the folder of a training are its own: what is deleted when it is trained anew, and nothing else."""

import os
import re
from pathlib import Path

MARKER = "training.json"
_NOTHING = re.compile(r"(?:.*/)?\.repflow(?:\.lock|-\d+-\d+\.tmp)")
"""A lock, or what a killed writer left."""
_WRITTEN = (
    r"(?:config|generation_config|tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab|trainer_state|card|"
    r"model\.safetensors\.index)\.json|model(?:-\d+-of-\d+)?\.safetensors|(?:optimizer|scheduler|scaler)\.pt|"
    r"rng_state(?:_\d+)?\.pth|training_args\.bin|merges\.txt|chat_template\.jinja|README\.md"
)
"""What transformers saves of a model and of a training, and the card."""
_FOLDER = r"model|snapshots/step-\d+|checkpoints/checkpoint-\d+"
_OWN_FILE = re.compile(rf"(?:{_FOLDER})/(?:{_WRITTEN})")
_OWN_FOLDER = re.compile(rf"{_FOLDER}|snapshots|checkpoints")


def is_empty(folder: Path) -> bool:
    """Whether nobody has put anything into a folder, or there is none."""
    return all(_NOTHING.fullmatch(name) for name in _names(folder, ""))


def own(folder: Path) -> list[str]:
    """The files of a training by their names in its folder, without its marker."""
    return [name for name in _walked(folder)[0] if _OWN_FILE.fullmatch(name)]


def strangers(folder: Path) -> list[str]:
    """What is in the folder and no training's, links among it. The marker is passed over."""
    files, folders, links = _walked(folder)
    foreign = [name for name in files if not (_OWN_FILE.fullmatch(name) or _NOTHING.fullmatch(name) or name == MARKER)]
    return sorted([*links, *foreign, *(f"{name}/" for name in folders if not _OWN_FOLDER.fullmatch(name))])


def remove(folder: Path, below: str = "") -> None:
    """Delete the files of a training, all but its marker, or those in one of its folders; then folders left empty.

    What is not its own stays. Raises OSError.
    """
    files, folders, _ = _walked(folder, below)
    for name in files:
        if _OWN_FILE.fullmatch(name) or (_NOTHING.fullmatch(name) and "/" in name):
            (folder / name).unlink(missing_ok=True)
    emptied: list[str] = [*folders, below] if below else list(folders)
    for name in sorted(emptied, key=len, reverse=True):
        if _OWN_FOLDER.fullmatch(name) and not any((folder / name).iterdir()):
            (folder / name).rmdir()


def _walked(folder: Path, below: str = "") -> tuple[list[str], list[str], list[str]]:
    """Files, folders and links by their names. No link is followed, and no folder entered that is not a training's."""
    files: list[str] = []
    folders: list[str] = []
    links: list[str] = []
    for name in _names(folder, below):
        path = folder / name
        if path.is_symlink():
            links.append(name)
        elif path.is_dir():
            found = _walked(folder, name) if _OWN_FOLDER.fullmatch(name) else ([], [], [])
            files, folders, links = files + found[0], [*folders, name, *found[1]], links + found[2]
        else:
            files.append(name)
    return files, folders, links


def _names(folder: Path, below: str) -> list[str]:
    where = folder / below
    return sorted(f"{below}/{name}" if below else name for name in os.listdir(where)) if where.is_dir() else []
