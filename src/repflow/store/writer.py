"""Writing a run directory: checkpoint parts while it runs, tables and run.json when it is done."""

from collections.abc import Sequence, Set
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from repflow.core import LayerRow, PairRow, PathRow, StoreConflict, local_path
from repflow.store import layout, parts
from repflow.store.atomic import write_bytes_atomic, writing_to
from repflow.store.feature_files import feature_names, features_folder, remove_features
from repflow.store.lock import DirectoryLock
from repflow.store.marker import Plan, listed_tables, new_marker, plan_for, read_marker
from repflow.store.plain_json import plain, to_bytes
from repflow.store.replicates import replicate_bytes
from repflow.store.seal import FILES, SEAL, entry, entry_of, sealed
from repflow.store.tables import table_bytes

_OURS = frozenset(
    {"format", "schema_version", "status", "command", "repflow_version", "settings", "tables", FILES, SEAL}
)


class RunWriter:
    """The one writer of a run directory. Make it with `create`; use it as a context, which lets the directory go.

    Nothing is written or deleted before the first `save_part`, `write_table` or `finish`: a run refused for its input
    leaves the directory, and what an --overwrite would replace, as it was.
    """

    def __init__(self, directory: Path, settings: dict[str, Any], command: str, plan: Plan) -> None:
        self.directory = directory
        self.finished = plan == "finished"
        """The directory holds this very run, complete: there is nothing to write."""
        self._settings = settings
        self._command = command
        self._plan: Plan = plan
        self._begun = False
        self._tables: list[str] = []
        self._files: dict[str, dict[str, Any]] = {}
        self._lock: DirectoryLock | None = None
        self._made: list[Path] = []

    @classmethod
    def create(
        cls,
        directory: str | Path,
        settings: dict[str, Any],
        command: str,
        *,
        resume: bool = False,
        overwrite: bool = False,
        free: Set[str] = frozenset(),
    ) -> Self:
        """Claim `directory` for one run.

        `command` is the study's name; `settings` must have a JSON form; those named in `free` change no number and may
        differ when a run is resumed. An absent or empty directory begins a new run, with `resume` too.
        Raises StoreConflict when the directory holds something else, or another process writes it; BadFile when it
        cannot be written.
        """
        if resume and overwrite:
            raise StoreConflict("--resume and --overwrite contradict each other; give one of them")
        path = local_path(directory)
        with writing_to(path):
            asked = (settings, command, free)
            plan = plan_for(path, *asked, resume=resume, overwrite=overwrite)
            writer = cls(path, plain(settings), command, plan)
            if writer.finished:
                writer._tidy()
                return writer
            writer._claim()
            try:
                # The one who held the lock before us may have changed what the directory holds.
                writer._plan = plan_for(path, *asked, resume=resume, overwrite=overwrite)
            except BaseException:
                writer.close()
                raise
            writer.finished = writer._plan == "finished"
        return writer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let the directory go; folders made for a run that wrote nothing are removed. A second call does nothing."""
        if self._lock is None:
            return
        self._lock.release()
        self._lock = None
        with suppress(OSError):
            for folder in self._made:
                folder.rmdir()

    def read_part(self, key: str) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
        """The arrays and meta saved under `key`, bit for bit (tuples in the meta come back as lists).

        None where there is none, or only a torn one, which is deleted.
        """
        return parts.read_part(self._checkpoint, key) if self._readable_parts() else None

    def save_part(self, key: str, arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
        """Keep a state under `key`, in place of an earlier one. On return it survives a crash.

        Arrays are of whole, real or boolean numbers; `meta` has a JSON form. Raises BadFile when the disk refuses.
        """
        with writing_to(self.directory):
            self._begin()
            parts.write_part(self._checkpoint, key, arrays, meta)

    def features(self) -> Path:
        """The folder for feature files, which outlive a kill and go with --overwrite. Raises BadFile."""
        with writing_to(self.directory):
            self._begin()
        return features_folder(self.directory)

    def found_features(self) -> Path | None:
        """The folder with the feature files of the run that is gone on with; None for a run that begins."""
        folder = features_folder(self.directory)
        return folder if self._readable_parts() and folder.is_dir() else None

    def write_table(self, name: str, rows: Sequence[Any], row_type: type) -> None:
        """Write NAME.parquet from instances of the dataclass `row_type`. A resumed run must write it again."""
        if not layout.is_table_name(name):
            raise ValueError(f"a table's name is lower-case letters, digits and _, got {name!r}")
        data = table_bytes(rows, row_type)
        with writing_to(self.directory):
            self._begin()
            if name not in (*layout.TABLES, *self._tables):
                # Whoever overwrites the run, killed here, must know that this table is the run's.
                self._mark("running", {"tables": sorted([*self._tables, name]), FILES: {}})
            self._write(layout.table_path(self.directory, name).name, data)
        if name not in self._tables:
            self._tables.append(name)

    def finish(
        self,
        layers: Sequence[LayerRow],
        pairs: Sequence[PairRow],
        paths: Sequence[PathRow],
        info: dict[str, Any],
        findings: Sequence[dict[str, Any]] = (),
        *,
        replicates: dict[str, np.ndarray] | None = None,
    ) -> None:
        """Write the results, run.json last, then delete the checkpoint. Killed before the end, --resume finishes it.

        `info` goes into run.json: `subjects` (a list, each with at least `label`), `tasks` (a list with `name`,
        `context`, `examples_sha256` and, where it holds for one subject only, `subject`), `seed`, timings, warnings ...
        `replicates` are bootstrap replicates [rows, B] of a table, by its name, in the order of its rows.
        Raises ValueError for replicates that do not fit and for info that would hide a key of the store's own.
        """
        hidden = _OURS & info.keys()
        if hidden:
            raise ValueError(f"info may not hold {', '.join(sorted(hidden))}: the store writes them")
        counts = {"layers": len(layers), "pairs": len(pairs), "paths": len(paths)}
        kept = replicate_bytes(replicates, counts) if replicates else None
        findings_bytes = to_bytes(list(findings))
        info = plain(info)
        self.write_table("layers", layers, LayerRow)
        self.write_table("pairs", pairs, PairRow)
        self.write_table("paths", paths, PathRow)
        with writing_to(self.directory):
            if kept is not None:
                self._write(layout.REPLICATES, kept)
            self._write(layout.FINDINGS, findings_bytes)
            files = self._files | {name: entry_of(self.directory / name) for name in feature_names(self.directory)}
            self._mark("finished", {"tables": sorted(self._tables), **info, FILES: files})
            self.finished = True
            layout.remove_parts(self.directory)
            with suppress(OSError):
                features_folder(self.directory).rmdir()

    def _write(self, name: str, data: bytes) -> None:
        write_bytes_atomic(self.directory / name, data)
        self._files[name] = entry(data)

    def _mark(self, status: str, more: dict[str, Any]) -> None:
        marker = sealed(new_marker(status, self._command, self._settings) | more)
        write_bytes_atomic(self.directory / layout.RUN, to_bytes(marker))

    @property
    def _checkpoint(self) -> Path:
        return self.directory / layout.CHECKPOINT

    def _readable_parts(self) -> bool:
        """Parts of a run about to be overwritten are not ours to read."""
        return not self.finished and (self._begun or self._plan == "resume")

    def _claim(self) -> None:
        missing = [folder for folder in (self.directory, *self.directory.parents) if not folder.exists()]
        self.directory.mkdir(parents=True, exist_ok=True)
        self._made = missing
        try:
            self._lock = DirectoryLock.acquire(self.directory)
        except BaseException:
            with suppress(OSError):
                for folder in missing:
                    folder.rmdir()
            raise

    def _tidy(self) -> None:
        """Delete the parts of a run killed between its run.json and the end; a folder that cannot be changed stays."""
        if not self._checkpoint.is_dir():
            return
        with suppress(OSError, StoreConflict):
            self._claim()
            if read_marker(self.directory)["status"] == "finished":
                layout.remove_parts(self.directory)
        self.close()

    def _begin(self) -> None:
        """Take possession. Whatever moment this is killed at, run.json and the parts belong to one run."""
        if self.finished or self._lock is None:
            raise RuntimeError(f"the run in {self.directory} is {'finished' if self.finished else 'closed'}")
        if self._begun:
            return
        layout.remove_temporaries(self.directory)
        tables = {*layout.TABLES, *listed_tables(self.directory)}
        if self._plan != "resume":
            layout.remove_parts(self.directory)
            remove_features(self.directory)
        self._mark("running", {FILES: {}})
        layout.remove_results(self.directory, tables)
        self._begun = True
