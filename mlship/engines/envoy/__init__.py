"""The router's configuration as pure functions, rendered once for all engines: bootstrap, clusters, routes.

How a request is answered whatever the canary does: each server has a cluster, and each pair (canary, fallback) an
aggregate cluster with the two as priorities. A request is tried once; on 5xx, a reset or a refused connection it is
tried once more, and `previous_priorities` sends that second attempt to the fallback. When half of the deadline has
passed without an answer, the second attempt is started beside the first (a hedge), and the better answer wins, so a
request that is merely slow keeps its whole deadline. Stable is treated alike, with itself as fallback. What answers
behind stable, where the policy wants that, is told in `last.py`.

How requests are counted: by an access logger that turns each finished request into a counter and a latency, tagged with
the cluster that the request was ASSIGNED to, the number of attempts, the status and Envoy's flags (see `counters.py`).
"""

from mlship.engines.envoy.bootstrap import bootstrap
from mlship.engines.envoy.clusters import assigned, clusters, pair
from mlship.engines.envoy.filters import extensions
from mlship.engines.envoy.last import FALLBACK, has_last, jobs_routes, patience
from mlship.engines.envoy.names import KEY, Address, split, versioned
from mlship.engines.envoy.routes import PARTS, applied, routes, since
from mlship.engines.envoy.users import FLUSH_MS, USERS_LOG

__all__ = [
    "FALLBACK",
    "FLUSH_MS",
    "KEY",
    "PARTS",
    "USERS_LOG",
    "Address",
    "applied",
    "assigned",
    "bootstrap",
    "clusters",
    "extensions",
    "has_last",
    "jobs_routes",
    "pair",
    "patience",
    "routes",
    "since",
    "split",
    "versioned",
]
