"""The Open Inference Protocol against one model's signature: what its tensors are called, and how they become rows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mlship.serving.blocks import Block
from mlship.serving.protocol import Answer, Asked, Request
from mlship.serving.rows import Lane, Rows
from mlship.serving.tensors import DATATYPES, Inference, Refused, Tensor, outputs, parse

if TYPE_CHECKING:
    from mlflow.models import Model

PLATFORM = "mlflow_pyfunc"
#: MLflow type -> datatype of the protocol; what is not here travels as text (dates as ISO 8601, bytes as base64).
_DATATYPES = {"double": "FP64", "float": "FP32", "long": "INT64", "integer": "INT32", "boolean": "BOOL"}
_FROM_NUMPY = {dtype: datatype for datatype, (dtype, _) in DATATYPES.items() if datatype != "BYTES"}


@dataclass(frozen=True, slots=True)
class Direct:
    """One request as the model's input, for a call of its own."""

    data: Any
    params: dict[str, Any] | None
    inference: Inference


class Reader:
    """Reads requests for one model.

    Parameters
    ----------
    metadata
        The model's, with its signature if it has one.
    lane
        How rows are joined; None: every request has a call of its own.
    """

    def __init__(self, metadata: Model, lane: Lane | Block | None) -> None:
        self._lane = lane
        self._schema: Any = metadata.get_input_schema()  # type: ignore[no-untyped-call]  # mlflow is partly typed
        self._output: Any = metadata.get_output_schema()  # type: ignore[no-untyped-call]  # the same
        params = metadata.get_params_schema()  # type: ignore[no-untyped-call]  # the same
        self._params = frozenset(param.name for param in params.params) if params else frozenset()
        self._tensors = bool(self._schema and self._schema.is_tensor_spec())
        self._columns: dict[str, Any] = {}
        if self._schema and self._schema.has_input_names():
            self._columns = {str(spec.name): spec for spec in self._schema.inputs}
        self._names = tuple(str(spec.name) for spec in self._output.inputs if spec.name) if self._output else ()

    def describe(self, asked: Asked) -> Answer:
        """The model's metadata: inputs and outputs with datatypes and shapes, -1 for any number of rows."""
        described = {
            "name": asked.model,
            "versions": [asked.version],
            "platform": PLATFORM,
            "inputs": _described(self._schema, "input"),
            "outputs": _described(self._output, "predictions"),
        }
        return Answer(200, json.dumps(described).encode())

    def read(self, request: Request) -> tuple[Rows | Direct, Inference]:
        """Rows that may share a call where every tensor has its column's own type, else a call of its own.

        Raises
        ------
        Refused
            The request does not fit the protocol or the signature.
        """
        inference = parse(request.body)
        params = {name: value for name, value in inference.parameters.items() if name in self._params} or None
        if isinstance(self._lane, Block) and params is None and len(inference.inputs) == 1:
            rows = self._lane.typed({inference.inputs[0].name: inference.inputs[0]})
            if rows:
                return rows, inference
        if self._tensors or not self._columns:
            return Direct(self._arrays(inference), params, inference), inference
        tensors = self._by_column(inference)
        rows = self._lane.typed(tensors) if self._lane and params is None else None
        return rows or Direct(self._frame(tensors), params, inference), inference

    def direct(self, inference: Inference) -> Direct:
        """A request whose rows did not fit together, for a call of its own; raises `Refused`."""
        return Direct(self._frame(self._by_column(inference)), None, inference)

    def accepted(
        self, inference: Inference, asked: Asked, values: Any, features: Mapping[str, Sequence[Any]] | None
    ) -> Answer:
        """The answer with predictions as output tensors; raises `Refused` for an output that there is not."""
        made = outputs(values, self._names)
        if inference.outputs is not None:
            by_name = {output["name"]: output for output in made}
            if unknown := [name for name in inference.outputs if name not in by_name]:
                raise Refused(f"there is no output {unknown[0]!r}, only {', '.join(by_name)}")
            made = [by_name[name] for name in inference.outputs]
        document: dict[str, Any] = {"model_name": asked.model, "model_version": asked.version}
        if inference.id is not None:
            document["id"] = inference.id
        body = json.dumps({**document, "outputs": made}).encode()
        return Answer(200, body, predictions=values if isinstance(values, list) else None, features=features)

    def _by_column(self, inference: Inference) -> dict[str, Tensor]:
        """One tensor a column of the signature, all with as many rows."""
        tensors = {tensor.name: tensor for tensor in inference.inputs}
        if len(tensors) == 1 and not tensors.keys() <= self._columns.keys():
            tensors = self._cut(inference.inputs[0])
        if unknown := [name for name in tensors if name not in self._columns]:
            raise Refused(f"the model has no input {unknown[0]!r}; it has {', '.join(self._columns)}")
        absent = [name for name, spec in self._columns.items() if spec.required and name not in tensors]
        if absent:
            raise Refused(f"the input {absent[0]!r} is missing; the model has {', '.join(self._columns)}")
        sizes = {name: tensor.shape[0] for name, tensor in tensors.items()}
        if len(set(sizes.values())) != 1 or 0 in sizes.values():
            raise Refused(f"the inputs must have the same number of rows, one at least: {sizes}")
        return tensors

    def _cut(self, tensor: Tensor) -> dict[str, Tensor]:
        """The columns of one two-dimensional tensor, for a model whose columns all have the same type."""
        width = len(self._columns)
        if len(tensor.shape) != 2 or len({str(spec.type) for spec in self._columns.values()}) > 1:
            raise Refused(
                f"the model has no input {tensor.name!r}; it has {', '.join(self._columns)}. One tensor for all of "
                f"them needs the shape [rows, {width}], and columns of one type"
            )
        if tensor.shape[1] != width:
            raise Refused(f"input {tensor.name!r} has {tensor.shape[1]} columns, the model {width}")
        rows = (tensor.shape[0],)
        return {
            name: replace(tensor, name=name, shape=rows, data=tensor.data[position::width])
            for position, name in enumerate(self._columns)
        }

    def _frame(self, tensors: Mapping[str, Tensor]) -> Any:
        import pandas as pd
        from mlflow.types.schema import DataType
        from mlflow.utils.proto_json_utils import cast_df_types_according_to_schema

        frame = pd.DataFrame({name: _cells(tensor) for name, tensor in tensors.items()})
        read = [name for name in tensors if self._columns[name].type in (DataType.datetime, DataType.binary)]
        if read:
            from mlflow.exceptions import MlflowException

            try:
                converted = cast_df_types_according_to_schema(frame[read], self._schema)  # type: ignore[no-untyped-call]  # mlflow is partly typed
            except MlflowException as raised:
                raise Refused(raised.message) from None
            frame[read] = converted
        return frame

    def _arrays(self, inference: Inference) -> Any:
        """What a model of tensors, or one without a signature, is given."""
        import pandas as pd

        tensors = inference.inputs
        if self._columns:
            return {tensor.name: tensor.array() for tensor in tensors}
        if self._tensors and len(tensors) > 1:
            raise Refused(f"the model has one input, the request {len(tensors)}")
        if self._tensors or (len(tensors) == 1 and len(tensors[0].shape) > 1):
            return tensors[0].array()
        if len({tensor.shape[0] for tensor in tensors}) > 1:
            raise Refused("the inputs must have the same number of rows")
        return pd.DataFrame({tensor.name: _cells(tensor) for tensor in tensors})


def _cells(tensor: Tensor) -> Any:
    """The cells of a column: scalars, or one list a row."""
    if tensor.per_row != 1:
        return tensor.array().tolist()
    if tensor.datatype == "BYTES":
        return list(tensor.data)
    return tensor.array().reshape(-1)


def _described(schema: Any, default: str) -> list[dict[str, Any]]:
    if schema is None:
        return []
    return [
        {"name": str(spec.name or default), **(_tensor(spec) if schema.is_tensor_spec() else _column(spec))}
        for spec in schema.inputs
    ]


def _tensor(spec: Any) -> dict[str, Any]:
    return {"datatype": _FROM_NUMPY.get(str(spec.type), "BYTES"), "shape": list(spec.shape)}


def _column(spec: Any) -> dict[str, Any]:
    from mlflow.types.schema import Array

    inner, shape = spec.type, [-1]
    while isinstance(inner, Array):
        inner, shape = inner.dtype, [*shape, -1]
    return {"datatype": _DATATYPES.get(getattr(inner, "name", ""), "BYTES"), "shape": shape}
