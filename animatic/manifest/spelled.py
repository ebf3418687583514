"""Columns of any Arrow type, spelled out: how long each cell would be as text, and the cells without dictionaries.

One dictionary entry can stand for a million long cells, at any depth: in structs, lists and maps too. So the length is
worked out from the entries before anything is spelled out.
"""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

pc: Any = pyarrow.compute  # its functions are made at import, where a type checker cannot see them

_BETWEEN = 4
"""Characters of JSON around a value inside another: comma and blank, brackets, `null`."""


def cell_bytes(cells: pa.Array) -> NDArray[np.int64]:
    """Return about how many bytes each cell takes as text, or in memory where that is more.

    Raises:
        TypeError: no file of ours can hold such a type.
    """
    sizes = _bytes_of(cells)
    if cells.null_count:
        sizes = np.where(cells.is_valid().to_numpy(zero_copy_only=False), sizes, 0)
    return sizes


def spelled_out(cells: pa.Array) -> pa.Array:
    """Return the cells without dictionaries, however deep they are. Judge `cell_bytes` first."""
    arrow_type = cells.type
    if not has_dictionary(arrow_type):
        return cells
    if pa.types.is_dictionary(arrow_type):
        return spelled_out(cells.dictionary_decode())
    mask = cells.is_null() if cells.null_count else None
    if pa.types.is_struct(arrow_type):
        children = [spelled_out(cells.field(index)) for index in range(arrow_type.num_fields)]
        fields = [arrow_type.field(index).with_type(child.type) for index, child in enumerate(children)]
        return pa.StructArray.from_arrays(children, fields=fields, mask=mask)
    if pa.types.is_fixed_size_list(arrow_type):
        values = spelled_out(_values_of(cells))
        listed = pa.list_(arrow_type.value_field.with_type(values.type), arrow_type.list_size)
        return pa.FixedSizeListArray.from_arrays(values, type=listed, mask=mask)
    return _lists_spelled_out(cells, mask)


def _lists_spelled_out(cells: pa.Array, mask: pa.Array | None) -> pa.Array:
    arrow_type = cells.type
    offsets = cells.offsets.to_numpy()
    first, last = (int(offsets[0]), int(offsets[-1])) if len(offsets) else (0, 0)
    moved = pa.array(offsets - first, cells.offsets.type)
    if pa.types.is_map(arrow_type):
        keys, items = (spelled_out(each.slice(first, last - first)) for each in (cells.keys, cells.items))
        named = pa.map_(arrow_type.key_field.with_type(keys.type), arrow_type.item_field.with_type(items.type))
        return pa.MapArray.from_arrays(moved, keys, items, type=named, mask=mask)
    values = spelled_out(cells.values.slice(first, last - first))
    field = arrow_type.value_field.with_type(values.type)
    if pa.types.is_large_list(arrow_type):
        return pa.LargeListArray.from_arrays(moved, values, type=pa.large_list(field), mask=mask)
    return pa.ListArray.from_arrays(moved, values, type=pa.list_(field), mask=mask)


def has_dictionary(arrow_type: pa.DataType) -> bool:
    """Tell a type that is a dictionary, or holds one."""
    return pa.types.is_dictionary(arrow_type) or any(has_dictionary(inner) for inner in inner_types(arrow_type))


def inner_types(arrow_type: pa.DataType) -> list[pa.DataType]:
    """Return the types right below a nested one; none of any other."""
    if isinstance(arrow_type, pa.BaseExtensionType):
        return [arrow_type.storage_type]
    return (
        [arrow_type.field(index).type for index in range(arrow_type.num_fields)]
        if pa.types.is_nested(arrow_type)
        else []
    )


def _bytes_of(cells: pa.Array) -> NDArray[np.int64]:
    """Return the sizes, those of nulls not to be relied on."""
    arrow_type = cells.type
    types = pa.types
    if isinstance(arrow_type, pa.BaseExtensionType):
        return _bytes_of(cells.storage)
    if types.is_dictionary(arrow_type):
        entries = np.append(cell_bytes(cells.dictionary), 0)
        return entries[pc.fill_null(cells.indices.cast(pa.int64()), len(entries) - 1).to_numpy()]
    if types.is_struct(arrow_type):
        names = sum(len(arrow_type.field(index).name.encode()) + _BETWEEN for index in range(arrow_type.num_fields))
        inner = (cell_bytes(cells.field(index)) for index in range(arrow_type.num_fields))
        return sum(inner, np.full(len(cells), names + _BETWEEN, np.int64))
    if types.is_fixed_size_list(arrow_type):
        inner_sizes = cell_bytes(_values_of(cells)) + _BETWEEN
        return inner_sizes.reshape(len(cells), arrow_type.list_size).sum(axis=1) + _BETWEEN
    if types.is_map(arrow_type) or types.is_list(arrow_type) or types.is_large_list(arrow_type):
        parts = (cells.keys, cells.items) if types.is_map(arrow_type) else (cells.values,)
        nothing = np.zeros(len(parts[0]), np.int64)
        return _summed(cells.offsets, sum((cell_bytes(part) + _BETWEEN for part in parts), nothing))
    return _flat_bytes(cells)


def _values_of(cells: pa.FixedSizeListArray) -> pa.Array:
    """Return the values of lists of one size, those of nulls too."""
    size = cells.type.list_size
    return cells.values.slice(cells.offset * size, len(cells) * size)


def _summed(offsets: pa.Array, sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each list the sum of the sizes of its values."""
    ends = np.concatenate([[0], np.cumsum(sizes)])[offsets.to_numpy().astype(np.int64)]
    return np.diff(ends) + _BETWEEN


def _flat_bytes(cells: pa.Array) -> NDArray[np.int64]:
    arrow_type, types = cells.type, pa.types
    if types.is_string_view(arrow_type) or types.is_binary_view(arrow_type):
        lengths = [0 if cell is None else len(cell.as_buffer()) for cell in cells]
        sizes = np.asarray(lengths, np.int64)
    elif (
        types.is_string(arrow_type)
        or types.is_large_string(arrow_type)
        or types.is_binary(arrow_type)
        or types.is_large_binary(arrow_type)
    ):
        sizes = pc.fill_null(pc.binary_length(cells), 0).to_numpy().astype(np.int64)
    elif types.is_null(arrow_type):
        return np.zeros(len(cells), np.int64)
    else:
        try:
            width = max(arrow_type.bit_width // 8, 1)
        except ValueError:
            raise TypeError(f"cells of the type {arrow_type} cannot be carried into a table") from None
        sizes = np.full(len(cells), width, np.int64)
    is_hex = types.is_binary(arrow_type) or types.is_large_binary(arrow_type) or types.is_binary_view(arrow_type)
    return sizes * 2 if is_hex or types.is_fixed_size_binary(arrow_type) else sizes
