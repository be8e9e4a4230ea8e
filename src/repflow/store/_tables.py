"""Parquet tables from frozen rows: explicit types, the same rows always the same bytes."""

import dataclasses
import io
import types
import typing
from collections.abc import Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repflow.core import BadFile
from repflow.store._json import printable
from repflow.store._layout import SCHEMA_VERSION

if TYPE_CHECKING:
    import pandas as pd

_VERSION_KEY = b"repflow.schema_version"


def table_bytes(rows: Sequence[Any], row_type: type) -> bytes:
    """A parquet file of `rows`, instances of the dataclass `row_type`; columns in the order of its fields.

    str, int, float and bool fields, each optionally `| None`, become string, int64, float64 and bool columns. NaN
    stays NaN, None is null. Raises TypeError for another row, field type or value.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    for row in rows:
        if type(row) is not row_type:
            raise TypeError(f"expected {row_type.__name__} rows, got {type(row).__name__}")
    arrow = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
    columns = {
        name: pa.array(_values(rows, name, kind), arrow[kind], from_pandas=False)
        for name, kind in column_types(row_type).items()
    }
    table = pa.table(columns).replace_schema_metadata({_VERSION_KEY: str(SCHEMA_VERSION).encode()})
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def column_types(row_type: type) -> dict[str, type]:
    """Field name -> str, int, float or bool, in order."""
    hints = typing.get_type_hints(row_type)
    return {field.name: _plain_type(hints[field.name], field.name) for field in dataclasses.fields(row_type)}


def _plain_type(hint: Any, name: str) -> type:
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        options = [option for option in typing.get_args(hint) if option is not types.NoneType]
        hint = options[0] if len(options) == 1 else hint
    if hint not in (str, int, float, bool):
        raise TypeError(f"column {name!r} is {hint}; a table holds str, int, float and bool")
    return hint


def _values(rows: Sequence[Any], name: str, kind: type) -> list[Any]:
    return [_checked(getattr(row, name), name, kind) for row in rows]


def _checked(value: Any, name: str, kind: type) -> Any:
    """pyarrow alone would cut 1.5 to 1 in a whole-number column without a word."""
    if value is None:
        return None
    accepted = {str: str, int: Integral, float: Real, bool: bool}[kind]
    if not isinstance(value, accepted) or (kind is not bool and isinstance(value, bool)):
        raise TypeError(f"column {name!r} holds {kind.__name__} values, got {value!r}")
    return printable(value) if kind is str else kind(value)


def table_version(path: Path) -> int | None:
    """The schema version a parquet file carries; None for one that is not a table of repflow's."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return int((pq.read_schema(path).metadata or {})[_VERSION_KEY])
    except (OSError, KeyError, ValueError, pa.ArrowException):
        return None


def read_table(path: Path, row_type: type | None = None) -> "pd.DataFrame":
    """A table as a frame: the columns of `row_type` first and in order, then any others the file has.

    A column the file lacks takes its field's default. A column of `int | None` is pandas' nullable Int64, missing where
    None. Raises BadFile for an absent or corrupt file, for one of a newer schema, and for a lacking column without a
    default.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        raise BadFile(f"{path} is absent; the run directory is incomplete, run the study again with --overwrite")
    try:
        with pq.ParquetFile(path) as stream:
            table = stream.read()
    except (OSError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BadFile(f"{path} is not a readable parquet file ({reason}); run again with --overwrite") from error
    version = table_version(path)
    if version is not None and version > SCHEMA_VERSION:
        raise BadFile(
            f"{path} has schema version {version}, this repflow reads up to {SCHEMA_VERSION}; upgrade repflow"
        )
    frame = table.to_pandas()
    if row_type is None:
        return frame
    for name in _nullable_ints(row_type):
        if name in frame.columns:
            frame[name] = _series(table[name].to_pylist())
    return _completed(frame, row_type, path)


def _nullable_ints(row_type: type) -> list[str]:
    hints = typing.get_type_hints(row_type)
    return [name for name, kind in column_types(row_type).items() if kind is int and hints[name] is not int]


def _series(values: list[int | None]) -> "pd.Series":
    """By way of a list: through float64, which pandas takes for gaps, large numbers would lose digits."""
    import pandas as pd

    return pd.Series(values, dtype="Int64")


def _completed(frame: "pd.DataFrame", row_type: type, path: Path) -> "pd.DataFrame":
    wanted = column_types(row_type)
    defaults = {f.name: f.default for f in dataclasses.fields(row_type) if f.default is not dataclasses.MISSING}
    lacking = [name for name in wanted if name not in frame.columns]
    broken = [name for name in lacking if name not in defaults]
    if broken:
        raise BadFile(f"{path} lacks the column(s) {', '.join(broken)}; run again with --overwrite")
    nullable = _nullable_ints(row_type)
    for name in lacking:
        frame[name] = _series([defaults[name]] * len(frame)) if name in nullable else defaults[name]
    return frame[[*wanted, *(name for name in frame.columns if name not in wanted)]]
