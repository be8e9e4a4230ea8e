"""The feature file: the states a probe is trained on, written piece by piece and read through a memory map."""

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from repflow.core import BadFile, BadSetting, StoreConflict
from repflow.store import FEATURES_FORMAT, replacing, write_file, writing_to

DTYPE = np.dtype("<f4")


@dataclass(frozen=True, slots=True)
class FeatureFacts:
    """What a feature file holds: one state a place, site and example. Kept as JSON beside it."""

    subject: str
    weights_sha256: str
    task: str
    context: int
    examples_sha256: str
    states_dtype: str
    """Precision the model ran in; the file itself is float32."""
    places: tuple[str, ...]
    sites: tuple[str, ...]
    width: int
    example_ids: tuple[int, ...]
    labels: tuple[int, ...]
    """Class of each example: where its gold stands."""
    groups: tuple[int, ...]
    """Question, or set of pairs, of each example."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Places, sites, examples, width."""
        return len(self.places), len(self.sites), len(self.example_ids), self.width


@dataclass(eq=False)
class FeatureFile:
    """`NAME.npy`, a float32 array [places, sites, examples, width], and `NAME.json`, its facts.

    Examples are written in order. `done` of them are there; after a kill the file goes on from that many.
    """

    path: Path
    facts: FeatureFacts
    done: int = 0

    @classmethod
    def create(cls, path: Path, facts: FeatureFacts) -> "FeatureFile":
        """A new file of full size, its values yet to come. Replaces one that stands there. Raises BadFile.

        The file appears under its name whole, and after its facts: a run killed here leaves nothing that is not known
        for its own.
        """
        found = cls(path, facts)
        with writing_to(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            found._save()
            with replacing(path) as stream:
                np.lib.format.write_array_header_1_0(
                    stream, {"descr": DTYPE.str, "fortran_order": False, "shape": facts.shape}
                )
                stream.truncate(stream.tell() + _bytes(facts.shape))
        return found

    @staticmethod
    def exists(path: Path) -> bool:
        """Whether a file was begun at `path`."""
        return path.is_file() and path.with_suffix(".json").is_file()

    @classmethod
    def open(cls, path: Path, facts: FeatureFacts | None = None) -> "FeatureFile":
        """The file at `path`; with `facts` it must be the very one they describe.

        Raises BadFile where it is absent, broken or cut short, StoreConflict where it holds something else.
        """
        found = cls(path, *_read_facts(path.with_suffix(".json")))
        if facts is not None:
            _check_same(path, found.facts, facts)
        shape, dtype, start = _header(path)
        if dtype != DTYPE or shape != found.facts.shape:
            raise BadFile(
                f"{path} holds {dtype} of shape {list(shape)}, its facts say {DTYPE} of {list(found.facts.shape)}; "
                "run again with --overwrite"
            )
        size, needed = path.stat().st_size, start + _bytes(shape)
        if size != needed:
            what = "cut short" if size < needed else "too long"
            raise BadFile(f"{path} is {what}: {size:,} bytes, needs {needed:,}; run again with --overwrite")
        return found

    def write(self, start: int, states: np.ndarray) -> None:
        """Write the states [places, sites, n, width] of the examples from number `start` on; they survive a crash then.

        Raises BadFile when the disk refuses.
        """
        places, sites, n, width = states.shape
        if start > self.done or (places, sites, width) != (*self.facts.shape[:2], self.facts.width):
            raise ValueError(f"{self.path}: states {states.shape} from {start} on do not follow {self.done} examples")
        ordered = np.ascontiguousarray(states, DTYPE)
        with writing_to(self.path.parent), self.path.open("r+b") as stream:
            _, _, begin = _header(self.path)
            for row, block in enumerate(ordered.reshape(places * sites, n, width)):
                stream.seek(begin + (row * self.facts.shape[2] + start) * width * DTYPE.itemsize)
                stream.write(block.data)
            stream.flush()
            os.fsync(stream.fileno())
        self.done = start + n
        self._save()

    def digest(self, start: int, n: int) -> str:
        """sha256 of the states of `n` examples from number `start` on, as they are in the file."""
        block = np.load(self.path, mmap_mode="r")[:, :, start : start + n]
        return hashlib.sha256(np.ascontiguousarray(block).data).hexdigest()

    def states(self, place: str) -> np.ndarray:
        """The states at a place, [sites, examples, width], mapped into memory and read as they are used.

        Raises BadSetting for a place the file lacks, BadFile for one that is not complete.
        """
        if place not in self.facts.places:
            raise BadSetting(f"{self.path} holds the places {', '.join(self.facts.places)}, asked for {place!r}")
        if self.done < len(self.facts.example_ids):
            raise BadFile(f"{self.path} holds {self.done} of {len(self.facts.example_ids)} examples; --resume its run")
        return np.load(self.path, mmap_mode="r")[self.facts.places.index(place)]

    @staticmethod
    def discard(path: Path) -> None:
        """Delete the file at `path` and its facts, or what is left of them, and the folder once it is empty."""
        for file in (path, path.with_suffix(".json")):
            file.unlink(missing_ok=True)
        with suppress(OSError):
            path.parent.rmdir()

    def _save(self) -> None:
        told = {"format": FEATURES_FORMAT, "dtype": DTYPE.name, "shape": self.facts.shape, "done": self.done}
        write_file(self.path.with_suffix(".json"), json.dumps(told | asdict(self.facts)).encode())


def _bytes(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape, dtype=np.int64)) * DTYPE.itemsize


def _header(path: Path) -> tuple[tuple[int, ...], np.dtype, int]:
    """Shape, dtype and first byte of the values."""
    try:
        with path.open("rb") as stream:
            np.lib.format.read_magic(stream)
            shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
            return shape, dtype, stream.tell()
    except (OSError, ValueError) as error:
        raise BadFile(f"{path} is no feature file ({error}); run again with --overwrite") from error


def _read_facts(path: Path) -> tuple[FeatureFacts, int]:
    try:
        told: dict[str, Any] = json.loads(path.read_bytes())
        if told["format"] != FEATURES_FORMAT:
            raise ValueError(f"its format is {told['format']!r}")
        values: dict[str, Any] = {f.name: told[f.name] for f in fields(FeatureFacts)}
        values |= {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
        return FeatureFacts(**values), int(told["done"])
    except (OSError, ValueError, LookupError, TypeError, OverflowError, RecursionError) as error:
        raise BadFile(f"{path} does not describe a feature file ({error}); run again with --overwrite") from error


def _check_same(path: Path, found: FeatureFacts, wanted: FeatureFacts) -> None:
    for f in fields(FeatureFacts):
        had, needs = getattr(found, f.name), getattr(wanted, f.name)
        if had != needs:
            told = "" if isinstance(needs, tuple) else f": {had}, needed {needs}"
            raise StoreConflict(
                f"{path} holds the features of another run, its {f.name} differs{told}; "
                "use --overwrite or another --out"
            )
