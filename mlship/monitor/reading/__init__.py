"""Traffic as windows of the baseline's bins: from logged predictions, and from what servers export."""

from mlship.monitor.reading.passes import read
from mlship.monitor.reading.values import Met, Progress, Read

__all__ = ["Met", "Progress", "Read", "read"]
