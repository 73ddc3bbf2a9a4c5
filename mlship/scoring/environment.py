"""What a model's process may see of this one's environment: what loading libraries takes, and no secrets."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

#: Passed on as they are, where they are set.
_NAMES = (
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TEMP", "TMP", "VIRTUAL_ENV",
    "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "JAVA_HOME", "SPARK_HOME", "CUDA_HOME", "CUDA_PATH", "SYSTEMROOT",
    "XDG_CACHE_HOME",
)  # fmt: skip
_PREFIXES = (
    "LC_", "PYTHON", "CONDA_", "OMP_", "OPENBLAS_", "MKL_", "KMP_", "NUMEXPR_", "NUMBA_", "JOBLIB_", "CUDA_VISIBLE_",
    "NVIDIA_", "TF_", "MLFLOW_",
)  # fmt: skip
#: Words of names whose values are secrets, whatever they begin with.
_SECRET = re.compile(r"TOKEN|PASSWORD|PASSWD|SECRET|CREDENTIAL|USERNAME|AUTH|CERT|KEY|PRIVATE|COOKIE")


def minimal(threads: int, extra: Iterable[str] = (), own: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a model's process.

    Parameters
    ----------
    threads
        For the libraries that compute with OpenMP, unless `OMP_NUM_THREADS` says otherwise.
    extra
        Names of further variables to pass on, as the policy lists them.
    own
        The environment to take from; default: this process's.
    """
    own = os.environ if own is None else own
    passed = {name: value for name, value in own.items() if _harmless(name, value)}
    passed |= {name: own[name] for name in extra if name in own}
    return passed | {
        "PYTHONDONTWRITEBYTECODE": "1",  # loading must not change the files whose digest was taken
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "OMP_NUM_THREADS": own.get("OMP_NUM_THREADS", str(threads)),
        # Sums of products come out a little different on another number of threads; these libraries must not.
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
    }


def _harmless(name: str, value: str) -> bool:
    if not (name in _NAMES or name.startswith(_PREFIXES)) or _SECRET.search(name):
        return False
    return "@" not in value or "://" not in value or urlsplit(value).username is None
