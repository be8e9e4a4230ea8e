"""The folder of one training: what it is of, how far it is, its checkpoints and snapshots."""

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from repflow.core import BadFile, StoreConflict
from repflow.store import locked, write_file
from repflow.training.zoo import contents
from repflow.training.zoo.contents import MARKER

State = Literal["new", "resumed", "finished", "replaced"]
_FACTS = ("status", "model", "settings", "corpus", "config")
_REPLACED = "replaced"
"""The status of a training whose files are being deleted to make room for the one that the marker describes."""
_MOST_NAMED = 4


@dataclass(frozen=True, slots=True)
class Training:
    """A folder with the training of one model."""

    path: Path

    @property
    def model(self) -> Path:
        """The trained model in Hugging Face format, bfloat16."""
        return self.path / "model"

    @property
    def snapshots(self) -> Path:
        return self.path / "snapshots"

    def steps(self) -> dict[int, Path]:
        """The snapshots by optimiser step."""
        return _numbered(self.snapshots, "step")

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @contextmanager
    def claimed(self, facts: dict[str, Any], *, resume: bool, overwrite: bool) -> Iterator[State]:
        """Hold the folder for the training that `facts` describe; no other process trains in it meanwhile.

        With `overwrite` the files of another training are deleted; what is not a training's is not.
        Raises StoreConflict when the folder holds something else, another training, this one and neither `resume` nor
        `overwrite` is said, or when another process holds it.
        """
        self._state(facts, resume=resume, overwrite=overwrite)
        missing = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            with locked(self.path):
                # The one who held it before may have changed what is there.
                state = self._state(facts, resume=resume, overwrite=overwrite)
                if state == "replaced":
                    self.mark(facts, _REPLACED)
                    contents.remove(self.path)
                if state != "finished":
                    self.mark(facts, "running")
                yield state
        finally:
            with suppress(OSError):
                for folder in missing:
                    folder.rmdir()

    def _state(self, facts: dict[str, Any], *, resume: bool, overwrite: bool) -> State:
        """What stands in the folder, and what may be done about it. Changes nothing."""
        _refuse_links(self)
        if contents.is_empty(self.path):
            return "new"
        marker = self.path / MARKER
        if not marker.is_file():
            raise StoreConflict(f"{self.path} holds something else than a training; choose another --out")
        if not overwrite:
            known = _read(marker)
            _refuse_other(self.path, known, facts)
            if not resume:
                raise StoreConflict(f"{self.path} holds this training; go on with --resume, or --overwrite it")
            if known["status"] == "finished":
                return "finished"
            if known["status"] != _REPLACED:
                # Trainer deletes whole checkpoints, whatever else is in them.
                self._refuse(name for name in contents.strangers(self.path) if name.startswith("checkpoints/"))
                return "resumed"
        nothing_known = not _is_marker(marker) and not contents.own(self.path)
        self._refuse([*([MARKER] if nothing_known else []), *contents.strangers(self.path)])
        return "replaced"

    def _refuse(self, strangers: Iterable[str]) -> None:
        foreign = list(strangers)
        if foreign:
            named = ", ".join(foreign[:_MOST_NAMED]) + (", ..." if len(foreign) > _MOST_NAMED else "")
            raise StoreConflict(
                f"{self.path} holds what no training wrote ({named}), nothing is deleted; move it away, or choose "
                "another --out"
            )

    def mark(self, facts: dict[str, Any], status: str, **more: Any) -> None:
        """Writes what is trained here, and how far it is. Raises BadFile when the disk refuses."""
        content = {"status": status, **facts, **more}
        write_file(self.path / MARKER, (json.dumps(content, indent=2) + "\n").encode())

    def newest_checkpoint(self) -> Path | None:
        """The newest whole checkpoint; those cut short by a full disk or a kill are deleted."""
        for _, checkpoint in sorted(_numbered(self.checkpoints, "checkpoint").items(), reverse=True):
            if _is_whole(checkpoint):
                return checkpoint
            contents.remove(self.path, f"checkpoints/{checkpoint.name}")
        return None


def _numbered(folder: Path, word: str) -> dict[int, Path]:
    """The folders WORD-NUMBER in a folder, by number, ascending."""
    found = folder.iterdir() if folder.is_dir() else ()
    matches = [(re.fullmatch(rf"{word}-(\d+)", path.name), path) for path in found if path.is_dir()]
    return dict(sorted((int(match[1]), path) for match, path in matches if match))


def _refuse_links(training: Training) -> None:
    """Trainer deletes old checkpoints, and would do so behind a link."""
    for path in (training.path, training.model, training.snapshots, training.checkpoints):
        if path.is_symlink():
            raise StoreConflict(
                f"{path} is a link, needed the folder itself; put it in its place, or choose another --out"
            )
    if training.path.exists() and not training.path.is_dir():
        raise StoreConflict(f"{training.path} is a file, needed a folder; choose another --out")


def _is_marker(marker: Path) -> bool:
    with suppress(BadFile):
        _read(marker)
        return True
    return False


def _read(marker: Path) -> dict[str, Any]:
    try:
        known = json.loads(marker.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BadFile(f"cannot read {marker}: {error}; train anew with --overwrite") from error
    if not isinstance(known, dict) or not all(name in known for name in _FACTS):
        raise BadFile(f"cannot read {marker}: it is no marker of a training; train anew with --overwrite")
    return known


def _refuse_other(path: Path, known: dict[str, Any], facts: dict[str, Any]) -> None:
    """A checkpoint goes on only under the settings, the data and the configuration it was begun with."""
    plain = json.loads(json.dumps(facts))
    for part, asked in plain.items():
        held = known.get(part)
        if held == asked:
            continue
        if isinstance(held, dict) and isinstance(asked, dict):
            name = next(n for n in {**held, **asked} if held.get(n) != asked.get(n))
            part, held, asked = f"{part} {name}", held.get(name), asked.get(name)
        raise StoreConflict(
            f"{path} holds another training: its {part} is {held!r}, asked for is {asked!r}; "
            "choose another --out, or --overwrite"
        )


def _is_whole(checkpoint: Path) -> bool:
    """Whether the files that Trainer writes last, and the weights, can be read."""
    from safetensors import SafetensorError, safe_open

    with suppress(OSError, ValueError, SafetensorError):
        json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
        with safe_open(str(checkpoint / "model.safetensors"), framework="pt"):
            return True
    return False
