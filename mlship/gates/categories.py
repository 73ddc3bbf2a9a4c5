"""A column of text, of any kind, as codes: what is done per category then costs nothing per row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray


def categories(column: pd.Series[Any]) -> tuple[NDArray[np.intp], NDArray[np.object_]]:
    """Codes, shape (n,), -1 for missing, and the text of each code; 7 and "7" may have two codes of one text."""
    import numpy as np
    import pandas as pd

    if isinstance(column.dtype, pd.CategoricalDtype):
        codes, names = column.cat.codes.to_numpy(), column.cat.categories
    else:
        try:
            codes, names = pd.factorize(column)
        except TypeError:  # lists and the like
            codes, names = pd.factorize(column.map(str, na_action="ignore"))
    return np.asarray(codes).astype(np.intp, copy=False), np.array([str(name) for name in names], dtype=object)
