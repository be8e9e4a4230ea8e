"""Which type each column of a table has, and whether a file keeps to it."""

import dataclasses
import types
import typing
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repflow.core import BadFile
from repflow.store.seal import ADVICE

if TYPE_CHECKING:
    import pyarrow as pa


@cache
def column_types(row_type: type) -> dict[str, type]:
    """Field name -> str, int, float or bool, in order."""
    hints = typing.get_type_hints(row_type)
    return {field.name: _plain_type(hints[field.name], field.name) for field in dataclasses.fields(row_type)}


@cache
def nullable(row_type: type) -> frozenset[str]:
    """The fields that may be None."""
    hints = typing.get_type_hints(row_type)
    return frozenset(name for name, kind in column_types(row_type).items() if hints[name] is not kind)


def _plain_type(hint: Any, name: str) -> type:
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        options = [option for option in typing.get_args(hint) if option is not types.NoneType]
        hint = options[0] if len(options) == 1 else hint
    if hint not in (str, int, float, bool):
        raise TypeError(f"column {name!r} is {hint}; a table holds str, int, float and bool")
    return hint


def check_columns(table: "pa.Table", row_type: type, path: Path) -> None:
    """Raises BadFile for a column that is there twice, of another type than its field, or null where that has a value.

    A float may be null (NaN), and whole numbers stand for floats.
    """
    names = table.schema.names
    may_be_null = nullable(row_type)
    for name, kind in column_types(row_type).items():
        if names.count(name) > 1:
            raise BadFile(f"{path} has the column {name} {names.count(name)} times; {ADVICE}")
        if name not in names:
            continue
        column = table.column(name)
        if not _fits(column.type, kind) and column.null_count < len(column):
            raise BadFile(f"{path} holds {column.type} in the column {name}, needed {kind.__name__}; {ADVICE}")
        if column.null_count and kind is not float and name not in may_be_null:
            raise BadFile(f"{path} has no value in {column.null_count} rows of the column {name}; {ADVICE}")


def _fits(found: "pa.DataType", kind: type) -> bool:
    import pyarrow.types as is_a

    if is_a.is_dictionary(found):
        found = found.value_type
    if kind is str:
        return is_a.is_string(found) or is_a.is_large_string(found)
    if kind is bool:
        return is_a.is_boolean(found)
    return is_a.is_integer(found) or (kind is float and is_a.is_floating(found))
