"""Trusted names that a model's file only names, and never calls: called, some would reach into memory, or run more."""

from __future__ import annotations

_PLAIN = (
    "set", "frozenset", "bytearray", "bytes", "complex", "slice", "range", "xrange", "object", "list", "dict", "tuple",
)  # fmt: skip
#: Module -> the names that files of models do call; everything else there is only named.
_CALLED: dict[str, tuple[str, ...]] = {
    "numpy": ("dtype",),
    "numpy.ma": (),
    "builtins": (
        "set",
        "frozenset",
        "bytearray",
        "bytes",
        "complex",
        "slice",
        "range",
        "object",
        "list",
        "dict",
        "tuple",
    ),
    "__builtin__": (
        "set",
        "frozenset",
        "bytearray",
        "bytes",
        "complex",
        "slice",
        "xrange",
        "object",
        "list",
        "dict",
        "tuple",
    ),
    "scipy.special": (),
    "scipy.special._ufuncs": (),
    "scipy.special._special_ufuncs": (),
    "scipy._lib.array_api_compat.numpy._aliases": (),
}
_CALLED["numpy.ma.core"] = ("_mareconstruct",)
#: Classes of these packages are made without their constructor (NEWOBJ); what they compile calls functions of its own.
_COMPILED = ("newObj", "__pyx_unpickle_")


def only_named(module: str, name: str) -> bool:
    """Whether no honest writer calls this, besides making an instance without calling its constructor."""
    if module in _CALLED:
        return name not in _CALLED[module]
    if module.partition(".")[0] != "sklearn" or name.startswith(_COMPILED):
        return False
    last = module.rpartition(".")[2]
    compiled = last.startswith("_") and (name.endswith(("32", "64")) or name.startswith("Cy"))
    return not compiled and module not in _EXTENSIONS


_EXTENSIONS = {
    "sklearn.linear_model._sgd_fast", "sklearn.neighbors._kd_tree", "sklearn.neighbors._ball_tree",
    "sklearn.neighbors._quad_tree", "sklearn.tree._tree", "sklearn._loss._loss", "sklearn.metrics._dist_metrics",
}  # fmt: skip
