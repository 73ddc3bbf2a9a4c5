"""`mlship latency` without the terminal: rows, targets and predictions brought together, and the figures judged."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mlship.engines.options import ServerOptions, options
from mlship.errors import DataError, ModelFault
from mlship.gates.base import Predictions, without
from mlship.gates.evaluate import Fetch, new_id, read_rows
from mlship.gates.latency import gate
from mlship.gates.latency.container import InContainer, Shipped
from mlship.gates.latency.measure import Bench, Watch, measure
from mlship.gates.latency.process import Process
from mlship.gates.latency.target import Target
from mlship.home import Home
from mlship.policy.gates import LatencyGate
from mlship.policy.units import format_duration, format_rate
from mlship.scan.scan import require
from mlship.scoring.session import Session
from mlship.types import Candidate, Evaluation, GateResult, ModelVersion, Status

if TYPE_CHECKING:
    import pandas as pd

    from mlship.policy.load import LoadedPolicy


@dataclass(frozen=True, slots=True)
class Images:
    """What ships of candidate and champion, where images ship."""

    candidate: Shipped
    champion: Shipped | None


@dataclass(frozen=True, slots=True)
class Instead:
    """Load that somebody asked for instead of the policy's."""

    rate: float | None = None
    """Requests per second."""
    seconds: float | None = None

    def section(self, section: LatencyGate) -> LatencyGate:
        """The policy's section with what was asked for."""
        asked = {"rate": self.rate, "for_": self.seconds}
        return section.model_copy(update={name: value for name, value in asked.items() if value is not None})

    def partial(self, section: LatencyGate) -> str:
        """Why the measurement proves nothing about the policy's budget; empty when it does."""
        asked = self.section(section)
        if (asked.rate, asked.for_) == (section.rate, section.for_):
            return ""
        took, wanted = (f"{format_rate(one.rate)} for {format_duration(one.for_)}" for one in (asked, section))
        return f"it was measured at {took}, not at {wanted}"


def evaluate(
    loaded: LoadedPolicy,
    candidate: Candidate,
    home: Home,
    progress: Callable[[str], None],
    *,
    images: Images | None,
    instead: Instead,
    watch: Watch,
    fetch: Fetch | None = None,
) -> Evaluation:
    """Measure the candidate's server under the policy's load, and judge what was found.

    `images` are what is measured; None: processes, as the local engine runs them. Raises ``ModelRefused`` when a scan
    finds what the policy does not trust, ``DataError``, ``EngineError`` or ``LoadError`` when nothing could be
    measured.
    """
    policy = loaded.policy
    section = policy.gates.latency
    assert section is not None, "the caller has looked"
    assert policy.data is not None, "the policy's lint has looked"
    began, started = time.monotonic(), time.time()
    for version in (candidate.version, candidate.champion):
        if version is not None:
            require(version, policy.gates.security, home)
    rows = read_rows(
        loaded, policy.data.evaluation, version=candidate.version, progress=progress, fetch=fetch, labelled=True
    )
    if rows is None or not len(rows):
        raise DataError("there are no evaluation rows to send", where=str(loaded.path))
    servers = options(policy, loaded.digest)
    with Session(home, progress, policy.gates.security) as session:

        def score(features: pd.DataFrame, contents: str) -> Predictions:
            return session.score((candidate.version,), features, contents)[0]

        bench = Bench(
            section=instead.section(section),
            candidate=candidate,
            ours=_target(candidate.version, servers, images.candidate if images else None),
            theirs=_target(candidate.champion, servers, images.champion if images else None)
            if candidate.champion
            else None,
            features=rows.frame[[name for name in rows.frame.columns if name != rows.target]],
            digest=rows.digest,
            timeout=policy.endpoint.timeout,
            largest=policy.endpoint.max_body,
            score=score,
            say=progress,
            watch=watch,
        )
        results = _judged(bench, images, policy.image.max_size if policy.image else None)
    return Evaluation(
        id=new_id(started),
        candidate=candidate,
        policy_digest=loaded.digest,
        data_digest=rows.digest,
        results=tuple(results),
        started=started,
        seconds=time.monotonic() - began,
        partial=instead.partial(section),
    )


def _judged(bench: Bench, images: Images | None, max_size: int | None) -> list[GateResult]:
    """The results; a server of the candidate that does not start has failed, and says why."""
    try:
        found = measure(bench)
    except ModelFault as error:
        reason = " ".join(str(error).replace("\n  next: ", "; ").split())
        return [without(gate.GATE, "start", Status.FAILED, "is ready", reason)]
    if images is not None:
        found = replace(found, image_size=images.candidate.size)
    return gate.results(bench.section, found, max_size)


def _target(version: ModelVersion, servers: ServerOptions, image: Shipped | None) -> Target:
    return Process(version, servers) if image is None else InContainer(version, servers, image.id)
