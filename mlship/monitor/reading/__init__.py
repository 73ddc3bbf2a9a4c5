"""Traffic as windows of the baseline's bins: from logged predictions, and from what servers export."""

from mlship.monitor.reading.examples import Example, examples
from mlship.monitor.reading.order import Order
from mlship.monitor.reading.passes import read
from mlship.monitor.reading.sketches import Snapshot, formed, lacking
from mlship.monitor.reading.values import Met, Progress, Read

__all__ = ["Example", "Met", "Order", "Progress", "Read", "Snapshot", "examples", "formed", "lacking", "read"]
