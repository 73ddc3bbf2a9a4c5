"""Named tensors of the Open Inference Protocol: read from JSON with every claim checked, and written for answers."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

_NUMBER: frozenset[type] = frozenset({float, int, type(None)})
_INTEGER: frozenset[type] = frozenset({int})

#: Datatype of the protocol -> (numpy dtype, JSON types of its elements). A missing float or text is null: an extension.
DATATYPES: Mapping[str, tuple[str, frozenset[type]]] = {
    "BOOL": ("bool", frozenset({bool})),
    **{f"{sign}INT{bits}": (f"{sign.lower()}int{bits}", _INTEGER) for sign in ("", "U") for bits in (8, 16, 32, 64)},
    **{f"FP{bits}": (f"float{bits}", _NUMBER) for bits in (16, 32, 64)},
    "BYTES": ("object", frozenset({str, type(None)})),
}
MAX_DIMENSIONS = 32


class Refused(ValueError):
    """The caller's request is wrong; the message says where."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """One input."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: Sequence[Any]
    """Row-major, flat; the elements have a JSON type of the datatype."""

    @property
    def per_row(self) -> int:
        """Elements in one row, a row being one step along the first axis."""
        return math.prod(self.shape[1:])

    def array(self) -> np.ndarray[Any, Any]:
        """The tensor as numpy has it; raises `Refused` for a number outside its datatype."""
        import numpy as np

        try:
            return np.array(self.data, dtype=DATATYPES[self.datatype][0]).reshape(self.shape)
        except (OverflowError, ValueError) as raised:
            raise Refused(f"input {self.name!r}: {raised}") from None


@dataclass(frozen=True, slots=True)
class Inference:
    """One request, checked against the protocol; not yet against the model."""

    inputs: tuple[Tensor, ...]
    id: str | None
    outputs: tuple[str, ...] | None
    """Names of the outputs that are wanted; None: all."""
    parameters: Mapping[str, Any]


def parse(body: bytes) -> Inference:
    """Read the body of an inference request; raises `Refused`."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as fault:
        raise Refused(f"the body is not JSON: {fault}" if body else "the body is empty") from None
    if not isinstance(document, dict):
        raise Refused("the body must be a JSON object with `inputs`")
    inputs = document.get("inputs")
    if not isinstance(inputs, list) or not inputs:
        raise Refused("`inputs` must be a list with at least one tensor")
    tensors = tuple(_tensor(one, f"inputs[{position}]") for position, one in enumerate(inputs))
    if len({tensor.name for tensor in tensors}) < len(tensors):
        raise Refused("two inputs have the same name")
    given = document.get("id")
    if given is not None and not isinstance(given, str):
        raise Refused("`id` must be a string")
    parameters = document.get("parameters")
    if parameters is not None and not isinstance(parameters, dict):
        raise Refused("`parameters` must be an object")
    return Inference(tensors, given, _outputs(document.get("outputs")), parameters or {})


def _outputs(wanted: Any) -> tuple[str, ...] | None:
    if wanted is None or wanted == []:
        return None
    if not isinstance(wanted, list) or not all(isinstance(o, dict) and isinstance(o.get("name"), str) for o in wanted):
        raise Refused("`outputs` must be a list of objects with a `name`")
    return tuple(output["name"] for output in wanted)


def _tensor(one: Any, where: str) -> Tensor:
    if not isinstance(one, dict):
        raise Refused(f"{where} must be an object with name, shape, datatype and data")
    name, shape, datatype, data = (one.get(key) for key in ("name", "shape", "datatype", "data"))
    if not isinstance(name, str) or not name:
        raise Refused(f"{where}: `name` must be a string")
    parameters = one.get("parameters")
    if isinstance(parameters, dict) and "binary_data_size" in parameters:
        raise Refused(f"input {name!r} is binary, which is not supported; send it as JSON (binary_data=False)")
    if not isinstance(datatype, str) or datatype not in DATATYPES:
        raise Refused(f"input {name!r}: `datatype` must be one of {', '.join(DATATYPES)}")
    if not isinstance(shape, list) or not 0 < len(shape) <= MAX_DIMENSIONS:
        raise Refused(f"input {name!r}: `shape` must be a list of 1 to {MAX_DIMENSIONS} sizes")
    if not all(type(size) is int and 0 <= size < 2**31 for size in shape):
        raise Refused(f"input {name!r}: a size in `shape` is no number of elements")
    if not isinstance(data, list):
        raise Refused(f"input {name!r}: `data` must be a list of elements in row-major order")
    flat = _flat(data)
    if len(flat) != math.prod(shape):
        raise Refused(f"input {name!r}: `data` has {len(flat)} elements, `shape` {shape} has {math.prod(shape)}")
    if not DATATYPES[datatype][1].issuperset(map(type, flat)):
        raise Refused(f"input {name!r}: an element of `data` is not of datatype {datatype}")
    return Tensor(name, datatype, tuple(shape), flat)


def _flat(data: list[Any]) -> list[Any]:
    """Elements of lists in lists, as deep as they are all lists."""
    for _ in range(MAX_DIMENSIONS):
        if not data or not all(type(part) is list for part in data):
            break
        data = [element for part in data for element in part]
    return data


def outputs(values: Any, names: Sequence[str]) -> list[dict[str, Any]]:
    """Predictions as output tensors.

    Parameters
    ----------
    values
        Predictions as JSON has them, one a row: numbers, texts, lists, or objects with the same keys (then one output
        a key); or an object of such, one output a key.
    names
        What the signature calls the outputs; a lone output without a name is `predictions`.
    """
    if isinstance(values, dict):
        columns = {str(key): part if isinstance(part, list) else [part] for key, part in values.items()}
    elif not isinstance(values, list):
        columns = {"predictions": [values]}
    elif values and all(isinstance(row, dict) and row.keys() == values[0].keys() for row in values) and values[0]:
        columns = {str(key): [row[key] for row in values] for key in values[0]}
    else:
        columns = {"predictions": values}
    if len(columns) == 1 and len(names) == 1:
        columns = {names[0]: next(iter(columns.values()))}
    return [_output(name, data) for name, data in columns.items()]


def _output(name: str, rows: list[Any], *, plain: bool = False) -> dict[str, Any]:
    shape, data = [len(rows)], rows
    while data and all(type(part) is list and len(part) == len(data[0]) for part in data):
        shape.append(len(data[0]))
        data = [element for part in data for element in part]
    datatype = _datatype(data)
    if datatype is None and not plain:
        return _output(name, _plain(rows), plain=True)
    if datatype is None:
        shape, datatype = [len(rows)], "BYTES"
        data = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    elif datatype == "FP64":  # JSON has no NaN and no infinity
        data = [None if type(value) is float and not math.isfinite(value) else value for value in data]
    return {"name": name, "datatype": datatype, "shape": shape, "data": data}


def _plain(rows: list[Any]) -> list[Any]:
    """The same rows without numpy's scalars and the like; raises `TypeError` for what is not JSON."""
    from mlflow.utils.proto_json_utils import NumpyEncoder

    made: list[Any] = json.loads(json.dumps(rows, cls=NumpyEncoder))
    return made


def _datatype(data: list[Any]) -> str | None:
    """The datatype of what a model returned; None when it is no tensor of anything."""
    kinds = set(map(type, data))
    if kinds == {bool}:
        return "BOOL"
    if kinds == {int} and all(-(2**63) <= value < 2**63 for value in data):
        return "INT64"
    if kinds <= _NUMBER and len(kinds - {type(None)}) > 0 and kinds != {int}:
        return "FP64"
    return "BYTES" if kinds <= {str} else None
