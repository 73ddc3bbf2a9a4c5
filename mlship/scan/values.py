"""What stands for values while a pickle is followed: names that it looked up, and what calling them would have made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

#: Attributes of estimators that name a method to be called on another object, and the methods that may be.
METHOD_NAMES = ("stack_method_", "response_method")
METHODS = {"predict", "predict_proba", "predict_log_proba", "decision_function", "transform", "score_samples", "auto"}
#: Items that are kept of a tuple or list, and half the entries of a dictionary.
WIDEST = 64


@dataclass(frozen=True, slots=True)
class Name:
    """A name that was looked up, and stands for what it names."""

    module: str
    name: str


@dataclass(slots=True)
class Made:
    """The result of calling `by`."""

    by: Name | None
    arguments: tuple[Any, ...] = ()
    state: Any = None


#: Stands on the stack where a collection begins.
MARK = object()
#: Stands for a key of a dictionary that is not known before everything runs.
COMPUTED = object()
#: What joblib writes instead of an array; the array's bytes follow the instruction that sets its state.
ARRAY = Name("joblib.numpy_pickle", "NumpyArrayWrapper")
#: Calls whose result is an instance of their first argument.
MAKERS = {Name("copyreg", name) for name in ("_reconstructor", "__newobj__", "__newobj_ex__")}


def of_sklearn(made: Any) -> bool:
    """Whether it is an instance of one of scikit-learn's classes."""
    return isinstance(made, Made) and made.by is not None and made.by.module.partition(".")[0] == "sklearn"
