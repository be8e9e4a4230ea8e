"""The folder of one training: what it is of, how far it is, its checkpoints and snapshots."""

import json
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from repflow.core import BadFile, StoreConflict
from repflow.store import write_file

MARKER = "training.json"


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
        return {int(p.name.rpartition("-")[2]): p for p in sorted(self.snapshots.glob("step-*"))}

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    def begin(self, facts: dict[str, Any], *, resume: bool, overwrite: bool) -> Literal["new", "resumed", "finished"]:
        """Claims the folder for the training that `facts` describe.

        Raises StoreConflict when it holds another training, or this one and neither `resume` nor `overwrite` is said.
        """
        marker = self.path / MARKER
        state: Literal["new", "resumed", "finished"] = "new"
        if overwrite and marker.is_file():
            shutil.rmtree(self.path)
        elif marker.is_file():
            known = _read(marker)
            _refuse_other(self.path, known, facts)
            if not resume:
                raise StoreConflict(f"{self.path} holds this training; go on with --resume, or --overwrite it")
            state = "finished" if known.get("status") == "finished" else "resumed"
        elif self.path.is_dir() and any(self.path.iterdir()):
            raise StoreConflict(f"{self.path} holds something else than a training; choose another --out")
        if state != "finished":
            self.mark(facts, "running")
        return state

    def mark(self, facts: dict[str, Any], status: str, **more: Any) -> None:
        """Writes what is trained here, and how far it is. Raises BadFile when the disk refuses."""
        content = {"status": status, **facts, **more}
        write_file(self.path / MARKER, (json.dumps(content, indent=2) + "\n").encode())

    def newest_checkpoint(self) -> Path | None:
        """The newest whole checkpoint; those cut short by a full disk or a kill are deleted."""
        found = sorted(self.checkpoints.glob("checkpoint-*"), key=lambda p: int(p.name.rpartition("-")[2]))
        while found:
            newest = found.pop()
            if _is_whole(newest):
                return newest
            shutil.rmtree(newest)
        return None


def _read(marker: Path) -> dict[str, Any]:
    try:
        return json.loads(marker.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadFile(f"cannot read {marker}: {error}; train anew with --overwrite") from error


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
