"""Where dequantised GGUF weights are kept: one directory a file, in Hugging Face format, with a manifest."""

import hashlib
import json
import os
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from repflow.core.abandoned import hold, is_abandoned

FORMAT = 1
"""Raised whenever what is kept changes; older entries are then not found."""

_MANIFEST = "repflow-manifest.json"
_WRITING, _BROKEN = ".writing-", ".broken-"


def cache_root() -> Path:
    """$REPFLOW_CACHE, else repflow under $XDG_CACHE_HOME, else ~/.cache/repflow."""
    if own := os.environ.get("REPFLOW_CACHE"):
        return Path(own).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "repflow"


def entry(digest: str) -> Path:
    """The directory for a GGUF file with this SHA-256."""
    return cache_root() / "gguf" / f"{digest}-{FORMAT}"


def cached_folder(digest: str) -> Path | None:
    """The kept directory, or None where there is none or any of its files is not as it was written."""
    folder = entry(digest)
    try:
        kept = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        return folder if kept and kept == _digests(folder) else None
    except (OSError, ValueError):
        return None


def store(digest: str, model: Any, tokenizer: Any) -> str | None:
    """Keeps a converted model: written beside its place, then moved there whole.

    Returns what went wrong, if anything.
    """
    from safetensors.torch import save_model

    folder = entry(digest)
    scratch = held = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(folder.parent)
        scratch = Path(tempfile.mkdtemp(prefix=_WRITING, dir=folder.parent))
        held = hold(scratch)
        model.config.save_pretrained(scratch)
        save_model(model, str(scratch / "model.safetensors"), metadata={"format": "pt"})
        tokenizer.save_pretrained(scratch)
        (scratch / _MANIFEST).write_text(json.dumps(_digests(scratch)), encoding="utf-8")
        _move(scratch, folder, digest)
    except Exception as error:
        # Whatever fails here, the model in memory is good: the next run converts again.
        reason = " ".join(str(error).split())[:160]
        return f"the converted weights could not be kept in {folder.parent}: {reason}; set REPFLOW_CACHE"
    finally:
        if held is not None:
            os.close(held)
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)
    return None


def _remove_abandoned(folder: Path) -> None:
    """Delete what a process left that was killed while it converted: as much as a model each time."""
    for path in folder.iterdir():
        if path.name.startswith((_WRITING, _BROKEN)) and path.is_dir() and is_abandoned(path):
            shutil.rmtree(path, ignore_errors=True)


def _move(scratch: Path, folder: Path, digest: str) -> None:
    """Puts the directory in place. Another process may have been faster; its good entry stays."""
    if folder.exists() and cached_folder(digest) is None:
        broken = Path(tempfile.mkdtemp(prefix=_BROKEN, dir=folder.parent))
        os.replace(folder, broken / folder.name)
        shutil.rmtree(broken, ignore_errors=True)
    try:
        os.replace(scratch, folder)
    except OSError:
        if cached_folder(digest) is None:
            raise


def _digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file but the manifest, by name."""
    files = sorted(file for file in folder.iterdir() if file.is_file() and file.name != _MANIFEST)
    with ThreadPoolExecutor() as pool:
        return dict(zip((file.name for file in files), pool.map(_sha256, files), strict=True))


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
