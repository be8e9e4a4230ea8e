"""Parquet tables from frozen rows: explicit types, the same rows always the same bytes."""

import dataclasses
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repflow.core import BadFile
from repflow.store.columns import check_columns, column_types, nullable
from repflow.store.layout import SCHEMA_VERSION
from repflow.store.plain_json import printable
from repflow.store.seal import ADVICE, regular_bytes

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

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


def _values(rows: Sequence[Any], name: str, kind: type) -> list[Any]:
    return [_checked(getattr(row, name), name, kind) for row in rows]


def _checked(value: Any, name: str, kind: type) -> Any:
    """pyarrow alone would cut 1.5 to 1 in a whole-number column without a word."""
    if value is None:
        return None
    if type(value) is kind:
        return printable(value) if kind is str else value
    accepted = {str: str, int: Integral, float: Real, bool: bool}[kind]
    if not isinstance(value, accepted) or (kind is not bool and isinstance(value, bool)):
        raise TypeError(f"column {name!r} holds {kind.__name__} values, got {value!r}")
    return printable(value) if kind is str else kind(value)


def _version(schema: Any) -> int | None:
    try:
        return int((schema.metadata or {})[_VERSION_KEY])
    except (KeyError, ValueError):
        return None


def read_table(path: Path, row_type: type | None = None) -> "pd.DataFrame":
    """The table in a file; see `table_frame`. Raises BadFile for an absent file too."""
    return table_frame(path, regular_bytes(path), row_type)


def table_frame(path: Path, data: bytes, row_type: type | None = None) -> "pd.DataFrame":
    """A table as a frame: the columns of `row_type` first and in order, then any others the file has.

    A column the file lacks takes its field's default. A column of `int | None` is pandas' nullable Int64, missing where
    None. Raises BadFile, with the name `path`, for data that are no table or of a newer schema, for a column of another
    type, and for a lacking column without a default.
    """
    table = _parsed(path, data)
    version = _version(table.schema)
    if version is not None and version > SCHEMA_VERSION:
        raise BadFile(
            f"{path} has schema version {version}, this repflow reads up to {SCHEMA_VERSION}; upgrade repflow"
        )
    if row_type is not None:
        check_columns(table, row_type, path)
    with _told(path):
        frame = table.to_pandas()
        if row_type is None:
            return frame
        for name in _nullable_ints(row_type):
            if name in frame.columns:
                frame[name] = _series(table[name].to_pylist())
    return _completed(frame, row_type, path)


def _parsed(path: Path, data: bytes) -> "pa.Table":
    import pyarrow as pa
    import pyarrow.parquet as pq

    with _told(path), pq.ParquetFile(pa.BufferReader(data)) as stream:
        return stream.read()


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turn what pyarrow makes of broken data into a BadFile."""
    try:
        yield
    except (ArithmeticError, LookupError, MemoryError, OSError, RecursionError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BadFile(f"{path} is not a readable parquet file ({reason}); {ADVICE}") from error


def _nullable_ints(row_type: type) -> list[str]:
    return [name for name, kind in column_types(row_type).items() if kind is int and name in nullable(row_type)]


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
        raise BadFile(f"{path} lacks the column(s) {', '.join(broken)}; {ADVICE}")
    whole = _nullable_ints(row_type)
    for name in lacking:
        frame[name] = _series([defaults[name]] * len(frame)) if name in whole else defaults[name]
    return frame[[*wanted, *(name for name in frame.columns if name not in wanted)]]
