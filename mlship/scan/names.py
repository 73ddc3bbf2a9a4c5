"""Which names a pickle or skops file may reach: a short list of harmless ones, and what is dangerous by any name.

The list is of names that libraries write into the files of fitted estimators, not of libraries: most packages hold
something that runs what it is given (`numpy.f2py`, `scipy.stats` distributions, `pandas.eval`), and trusting
`numpy.*` would trust that too. Each name here is a class or function that only makes data out of its arguments.
"""

from __future__ import annotations

import io
import logging
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from mlship.policy.gates import SecurityGate
from mlship.scan.findings import Kind

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

_BUILTINS = (
    "complex set frozenset bytearray bytes slice range xrange object list dict tuple int long float str unicode bool "
    "Ellipsis NotImplemented"
)
_PANDAS = (
    "DataFrame Series Index MultiIndex RangeIndex DatetimeIndex TimedeltaIndex PeriodIndex IntervalIndex "
    "CategoricalIndex Categorical CategoricalDtype DatetimeTZDtype IntervalDtype PeriodDtype StringDtype BooleanDtype "
    "Int8Dtype Int16Dtype Int32Dtype Int64Dtype UInt8Dtype UInt16Dtype UInt32Dtype UInt64Dtype Float32Dtype "
    "Float64Dtype DateOffset NA"
)
#: Module -> names that only make data.
_HARMLESS: dict[str, str] = {
    "builtins": _BUILTINS,
    "__builtin__": _BUILTINS,
    "copyreg": "_reconstructor __newobj__ __newobj_ex__",
    "copy_reg": "_reconstructor __newobj__ __newobj_ex__",
    "_codecs": "encode",
    "collections": "OrderedDict defaultdict deque Counter",
    "datetime": "date datetime time timedelta timezone",
    "dateutil.relativedelta": "relativedelta",
    "decimal": "Decimal",
    "fractions": "Fraction",
    "pathlib": "PurePath PurePosixPath",
    "types": "SimpleNamespace GenericAlias",
    "typing": "Any Optional Union List Dict Tuple Set FrozenSet Callable Sequence Mapping Iterable Literal",
    "numpy": "dtype ndarray bool bool_ int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 "
    "complex64 complex128 str_ bytes_ datetime64 timedelta64 object_ void mean median sum std var min max",
    "numpy.core.multiarray": "_reconstruct scalar",
    "numpy._core.multiarray": "_reconstruct scalar",
    "numpy.core.numeric": "_frombuffer",
    "numpy._core.numeric": "_frombuffer",
    "numpy.ma": "MaskedArray",
    "numpy.ma.core": "MaskedArray _mareconstruct",
    "numpy.random": "RandomState Generator MT19937 PCG64 PCG64DXSM Philox SFC64 SeedSequence",
    "numpy.random._pickle": "__bit_generator_ctor __generator_ctor __randomstate_ctor",
    "numpy.random._mt19937": "MT19937",
    "numpy.random._pcg64": "PCG64 PCG64DXSM",
    "numpy.random._philox": "Philox",
    "numpy.random._sfc64": "SFC64",
    "numpy.random.bit_generator": "SeedSequence __pyx_unpickle_SeedSequence",
    "scipy._lib.array_api_compat.numpy._aliases": "asarray",
    "scipy.interpolate._interpolate": "interp1d PPoly BPoly",
    "scipy.interpolate._bsplines": "BSpline",
    "scipy.interpolate._cubic": "CubicSpline PchipInterpolator Akima1DInterpolator",
    "scipy.spatial._ckdtree": "cKDTree",
    "scipy.spatial._kdtree": "KDTree",
    "scipy.spatial.transform._rotation": "Rotation",
    "pandas": _PANDAS,
    "pandas.arrays": "ArrowStringArray StringArray BooleanArray DatetimeArray FloatingArray IntegerArray IntervalArray "
    "PeriodArray TimedeltaArray",
    "pandas._libs.arrays": "__pyx_unpickle_NDArrayBacked",
    "pandas._libs.internals": "_unpickle_block",
    "pandas._libs.interval": "__pyx_unpickle_IntervalMixin",
    "pandas._libs.tslibs.nattype": "_nat_unpickle",
    "pandas._libs.tslibs.timedeltas": "_timedelta_unpickle",
    "pandas._libs.tslibs.timestamps": "_unpickle_timestamp Timestamp",
    "pandas.core.indexes.base": "_new_Index Index",
    "pandas.core.indexes.datetimes": "_new_DatetimeIndex DatetimeIndex",
    "pandas.core.indexes.range": "RangeIndex",
    "pandas.core.indexes.multi": "MultiIndex",
    "pandas.core.frame": "DataFrame",
    "pandas.core.series": "Series",
    "pandas.core.internals.managers": "BlockManager SingleBlockManager",
    "pandas.core.dtypes.dtypes": "CategoricalDtype DatetimeTZDtype IntervalDtype PeriodDtype",
    "pandas.core.arrays.categorical": "Categorical",
    "pyarrow.lib": "_restore_array py_buffer type_for_alias",
    "joblib.numpy_pickle": "NumpyArrayWrapper",
    "sklearn.linear_model._sgd_fast": "Hinge SquaredHinge EpsilonInsensitive SquaredEpsilonInsensitive ModifiedHuber "
    "Log Huber SquaredLoss Regression Classification",
    "sklearn.neighbors._kd_tree": "KDTree KDTree32 KDTree64 newObj",
    "sklearn.neighbors._ball_tree": "BallTree BallTree32 BallTree64 newObj",
    "sklearn.neighbors._quad_tree": "_QuadTree",
    "sklearn.tree._tree": "Tree",
    "mlflow.models.signature": "_TypeHints",
    "mlflow.pyfunc.model": "PythonModel _FunctionPythonModel",
    "lightgbm.basic": "Booster",
    "lightgbm.sklearn": "LGBMModel LGBMClassifier LGBMRegressor LGBMRanker _LGBMLabelEncoder",
    "xgboost.core": "Booster",
    "xgboost.sklearn": "XGBModel XGBClassifier XGBRegressor XGBRanker XGBRFClassifier XGBRFRegressor",
    "catboost.core": "CatBoost CatBoostClassifier CatBoostRegressor CatBoostRanker",
    "torch": "FloatStorage DoubleStorage HalfStorage BFloat16Storage LongStorage IntStorage ShortStorage ByteStorage "
    "CharStorage BoolStorage Size device float16 bfloat16 float32 float64 int8 int16 int32 int64 uint8 bool",
    "torch._utils": "_rebuild_tensor_v2 _rebuild_parameter _rebuild_parameter_with_state",
    "torch.storage": "UntypedStorage TypedStorage",
}
#: Numeric functions of arrays, by the names that numpy and scipy give them, and where.
_UFUNCS = (
    "log log1p log2 log10 exp exp2 expm1 sqrt cbrt square abs absolute fabs sign negative positive reciprocal sin "
    "cos tan arcsin arccos arctan arctan2 sinh cosh tanh arcsinh arccosh arctanh add subtract multiply divide "
    "true_divide power float_power maximum minimum fmax fmin floor ceil rint trunc isnan isfinite isinf expit "
    "logit log_expit erf erfc erfinv gamma gammaln digamma boxcox boxcox1p inv_boxcox inv_boxcox1p xlogy"
)
_UFUNC_MODULES = ("numpy", "scipy.special", "scipy.special._ufuncs", "scipy.special._special_ufuncs")
#: Compiled modules of scikit-learn, whose classes all only hold numbers.
_COMPILED = {"sklearn._loss._loss": "Cy", "sklearn.metrics._dist_metrics": ""}
#: Modules of scikit-learn whose functions only compute numbers from arrays.
_NUMERIC = (
    "sklearn.cluster._kmeans",
    "sklearn.feature_selection._mutual_info",
    "sklearn.feature_selection._univariate_selection",
    "sklearn.metrics._classification",
    "sklearn.metrics._ranking",
    "sklearn.metrics._regression",
    "sklearn.metrics.cluster._supervised",
    "sklearn.metrics.pairwise",
)
#: Parts of scikit-learn that fetch, write, test or vendor things.
_NOT_ESTIMATORS = ("tests", "externals", "datasets", "conftest", "_testing", "_build_utils", "experimental")
#: Modules through which code travels by value, or that name other code to run.
_CODE = ("cloudpickle", "dill", "marshal")
_CODE_NAMES = {("types", "CodeType"), ("types", "FunctionType"), ("builtins", "type"), ("types", "new_class")}
#: Dangerous besides what picklescan knows: they import, evaluate, look up, unpickle, or reach files and networks.
_DANGEROUS_MODULES = (
    "importlib", "_frozen_importlib", "_imp", "imp", "zipimport", "pkgutil", "runpy", "multiprocessing", "threading",
    "_thread", "concurrent", "signal", "gc", "inspect", "http", "urllib", "ftplib", "smtplib", "telnetlib", "xmlrpc",
    "socketserver", "sqlite3", "shelve", "dbm", "tempfile", "site", "sysconfig", "distutils", "setuptools",
    "ctypes", "cffi", "numpy.f2py", "numpy.ctypeslib", "numpy.distutils", "joblib.externals", "joblib.memory",
    "joblib.parallel",
)  # fmt: skip
_DANGEROUS_NAMES = {
    "builtins": "__import__ setattr delattr globals locals vars input super type memoryview classmethod property help",
    "__builtin__": "__import__ setattr delattr globals locals vars input super type execfile file reload",
    "numpy": "load save fromfile memmap genfromtxt loadtxt savetxt",
    "numpy.core": "_ufunc_reconstruct",
    "numpy._core": "_ufunc_reconstruct",
    "joblib": "load dump Memory Parallel delayed",
    "joblib.numpy_pickle": "load dump NumpyUnpickler",
    "pandas": "eval read_pickle read_csv HDFStore ExcelFile ExcelWriter",
    "pandas.io.pickle": "read_pickle to_pickle",
    "torch": "load save hub",
}


def judge(module: str, name: str, section: SecurityGate) -> Kind | None:
    """Why this name is not trusted; None when it is."""
    return judge_all({(module, name)}, section)[module, name]


def judge_all(names: set[tuple[str, str]], section: SecurityGate) -> dict[tuple[str, str], Kind | None]:
    """For each (module, name): why it is not trusted, or None when it is. Exact names in the policy win."""
    feared = _feared_by_picklescan(names)
    verdicts: dict[tuple[str, str], Kind | None] = {}
    for module, name in names:
        full = f"{module}.{name}"
        if full in section.allow_types or _harmless(module, name):
            verdicts[module, name] = None
        elif module.split(".")[0] in _CODE or (module, name) in _CODE_NAMES:
            verdicts[module, name] = None if section.allow_code else Kind.CODE
        elif (module, name) in feared or _dangerous(module, name):
            verdicts[module, name] = Kind.DANGEROUS
        else:
            # A model class of the team is written down together with what MLflow has wrapped around it.
            wrapped = section.allow_code and module.startswith("mlflow.")
            verdicts[module, name] = None if wrapped or _allowed(full, section.allow_types) else Kind.UNKNOWN
    return verdicts


def _allowed(full: str, allowed: tuple[str, ...]) -> bool:
    return any(pattern.endswith(".*") and full.startswith(pattern[:-1]) for pattern in allowed)


def _harmless(module: str, name: str) -> bool:
    if name in _HARMLESS.get(module, "").split():
        return True
    if not _IDENTIFIER.fullmatch(name):
        return False  # a dotted name reaches through a module into whatever that has imported
    if module in _UFUNC_MODULES:
        return name in _UFUNCS.split()
    if module in _COMPILED:
        return name == "newObj" or (name[0].isupper() and name.startswith(_COMPILED[module]))
    return name in _SPARSE if module.startswith("scipy.sparse._") else _of_sklearn(module, name)


def _of_sklearn(module: str, name: str) -> bool:
    """Whether this is a class that scikit-learn itself defines there, or one of its numeric functions."""
    parts = module.split(".")
    if parts[0] != "sklearn" or any(part in _NOT_ESTIMATORS for part in parts):
        return False
    defined = "class|def" if module in _NUMERIC else "class"
    return re.search(rf"^(?:{defined}) {name}\b", _source(module), re.MULTILINE) is not None


_SPARSE = {
    f"{kind}_{form}" for kind in ("csr", "csc", "coo", "bsr", "dia", "dok", "lil") for form in ("matrix", "array")
}


@cache
def _source(module: str) -> str:
    """The source of a module of scikit-learn, read as text: looking it up must not import anything."""
    spec = find_spec("sklearn")
    roots = spec.submodule_search_locations if spec else None
    if not roots or not all(_IDENTIFIER.fullmatch(part) for part in module.split(".")):
        return ""
    base = Path(roots[0]).joinpath(*module.split(".")[1:])
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path.read_text(encoding="utf-8")
    return ""


def _dangerous(module: str, name: str) -> bool:
    first = name.partition(".")[0]
    if module.partition(".")[0] == "mlflow" and re.match(r"_?(load|run|download|serve|projects)", first):
        return True
    if any(module == one or module.startswith(f"{one}.") for one in _DANGEROUS_MODULES):
        return True
    return first in _DANGEROUS_NAMES.get(module, "").split()


def _feared_by_picklescan(names: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Those that picklescan calls dangerous. It is given a pickle that only names them."""
    from picklescan.scanner import (  # type: ignore[import-untyped]  # it ships no types
        SafetyLevel,
        scan_pickle_bytes,
    )

    plain = {(module, name) for module, name in names if not set("\n\r ") & set(module + name) and module and name}
    if not plain:
        return set()
    try:
        written = b"".join(b"c%s\n%s\n0" % (module.encode("ascii"), name.encode("ascii")) for module, name in plain)
    except UnicodeEncodeError:  # of no library that anybody trusts: unknown, unless the policy names it
        return _feared_by_picklescan({(module, name) for module, name in plain if (module + name).isascii()})
    logging.getLogger("picklescan").setLevel(logging.CRITICAL)  # it says what it finds; that is said here
    result = scan_pickle_bytes(io.BytesIO(written + b"N."), "names")
    return {(one.module, one.name) for one in result.globals if one.safety is SafetyLevel.Dangerous}
