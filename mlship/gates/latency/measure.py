"""One measurement from start to end: servers up, load in turns, memory, the same rows asked, servers gone."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlship.errors import MlshipError, ModelFault, ModelRefused
from mlship.gates.base import Predictions
from mlship.gates.latency import reading
from mlship.gates.latency.agree import Agreement, compare
from mlship.gates.latency.ask import ask
from mlship.gates.latency.bodies import MOST_BODIES, Sender, sender
from mlship.gates.latency.measured import QUANTILES, Arm, Measured
from mlship.gates.latency.target import Ready, Target
from mlship.load import run
from mlship.load.capacity import Budget, Found, Probe, Search
from mlship.load.plan import Load
from mlship.load.plan import Target as Address
from mlship.load.recording import Recording
from mlship.load.search import capacity
from mlship.policy.gates import LatencyGate
from mlship.policy.units import format_duration, format_rate
from mlship.types import Candidate

if TYPE_CHECKING:
    import pandas as pd

#: Rows whose predictions are compared, taken evenly from all, and seconds that asking about them may take.
MOST_ROWS, ASKING = 5000, 60.0
#: Seconds that a server may take to get ready, whatever its limit: a slow start is measured, not cut off.
PATIENCE = 180.0
#: Rates that are tried at most in the search for the capacity, seconds of each (up to four times as many where the rate
#: is low), and the lowest rate that makes sense.
PROBES, PROBING, LEAST = 14, 3.0, 0.5

#: Told (what, done, total).
Watch = Callable[[str, int, int], None]
#: The registry's own predictions of the candidate: (rows, what they are called) -> predictions.
Score = Callable[["pd.DataFrame", str], Predictions]


@dataclass(frozen=True, slots=True)
class Bench:
    """What a measurement works on."""

    section: LatencyGate
    candidate: Candidate
    ours: Target
    theirs: Target | None
    """None without a champion."""
    features: pd.DataFrame
    """Rows without the label."""
    digest: str
    """Of these rows."""
    timeout: float
    """Seconds that a request may take at the endpoint."""
    largest: int
    """Bytes of the largest request that the endpoint takes."""
    score: Score
    say: Callable[[str], None]
    """Told one sentence as each step begins."""
    watch: Watch


def measure(bench: Bench) -> Measured:
    """Measure the candidate's server, and the champion's beside it.

    Whatever is started here is gone when this returns or raises. Raises ``ModelFault`` when the candidate's server does
    not start, ``EngineError`` when none can be started here, ``DataError`` when the rows cannot be sent, ``LoadError``
    when the load generator fails.
    """
    versions = [bench.candidate.version, *([bench.candidate.champion] if bench.candidate.champion else [])]
    load = sender(bench.features, [version.path for version in versions], MOST_BODIES * bench.section.rows)
    with ExitStack() as stack:
        stack.callback(bench.ours.close)
        bench.say(f"starting a {bench.ours.kind} of version {versions[0].version}")
        ready = bench.ours.start(PATIENCE)
        champion, fault = None, ""
        if bench.theirs is not None:
            stack.callback(bench.theirs.close)
            bench.say(f"starting a {bench.theirs.kind} of champion {versions[1].version}")
            try:
                champion = bench.theirs.start(PATIENCE)
            except ModelFault as error:  # that is the champion's fault, and no reason to stop the candidate
                fault = f"the champion could not be measured: {error.what}"
                bench.theirs.close()
        recordings = _loaded(bench, load, ready, champion)
        arms = _arms(bench, recordings, ready, champion)
        if bench.theirs is not None:
            bench.theirs.close()  # what follows is about the candidate alone
        compared = _compared(bench, ready) if bench.section.agree else None
        highest = _capacity(bench, load, ready) if bench.section.volume is not None else None
    agreement, refused, numbers = compared or (None, "", ())
    return Measured(
        kind=bench.ours.kind,
        candidate=arms[0],
        champion=arms[1] if champion else None,
        ratio=reading.ratio(recordings["candidate"], recordings["champion"]) if champion else None,
        capacity=highest if isinstance(highest, Found) else None,
        no_capacity=highest if isinstance(highest, str) else "",
        agreement=agreement,
        refused=refused,
        numbers=numbers,
        without_champion=fault,
    )


def _loaded(bench: Bench, load: Sender, ready: Ready, champion: Ready | None) -> dict[str, Recording]:
    """Both servers under load, in turns."""
    section = bench.section
    servers = {"candidate": ready, **({"champion": champion} if champion else {})}
    count = reading.slices(section.for_)
    both = "candidate and champion in turns" if champion else "the candidate"
    bench.say(f"loading {both}: {format_rate(section.rate)} for {format_duration(section.for_)} each")
    total = count * len(servers)
    done: list[int] = []

    def told(progress: run.Progress) -> None:
        if progress.phase == "slice":
            done.append(progress.index)
        bench.watch("load", len(done), total)

    return run.slices(
        {name: _address(one) for name, one in servers.items()},
        Load(section.rate, section.for_, section.arrivals, warmup=section.warmup, timeout=bench.timeout),
        load.bodies(section.rows),
        count,
        told,
    )


def _arms(bench: Bench, recordings: dict[str, Recording], ready: Ready, champion: Ready | None) -> list[Arm]:
    arms = []
    limits = {name: limit for name in QUANTILES if (limit := getattr(bench.section, name)) is not None}
    asked = [(bench.candidate.version, bench.ours, ready, "candidate")]
    if champion is not None and bench.theirs is not None and bench.candidate.champion is not None:
        asked.append((bench.candidate.champion, bench.theirs, champion, "champion"))
    for version, target, started, name in asked:
        ended = target.ended()
        said = f"the server did not survive the load: {ended}" if ended else ""
        recording, memory = recordings[name], target.memory()
        arm = reading.arm(version.version, recording, limits, cold_start=started.seconds, memory=memory, said=said)
        arms.append(arm)
    return arms


def _capacity(bench: Bench, load: Sender, ready: Ready) -> Found | str:
    """The highest rate inside the budget; why none could be looked for when the server is gone."""
    if ended := bench.ours.ended():
        return f"the server did not survive: {ended}"
    section = bench.section
    limits = tuple((share, limit) for name, share in QUANTILES.items() if (limit := getattr(section, name)) is not None)
    budget, search = Budget(limits, section.errors), Search(max(section.rate, LEAST), least=LEAST, probes=PROBES)
    bench.say(f"looking for the highest rate with {budget}")
    tried: list[Probe] = []

    def told(probe: Probe) -> None:
        tried.append(probe)
        bench.watch("capacity", len(tried), PROBES)

    found = capacity(
        _address(ready),
        load.bodies(section.rows),
        budget,
        search,
        load=Load(
            section.rate,
            min(section.for_, PROBING),
            section.arrivals,
            warmup=min(section.warmup, 1.0),
            timeout=bench.timeout,
        ),
        max_lag=section.max_lag,
        watch=told,
    )
    bench.watch("capacity", PROBES, PROBES)
    return found


def _address(ready: Ready) -> Address:
    return Address(f"http://{ready.address}", expects='"predictions"')


def _compared(bench: Bench, ready: Ready) -> tuple[Agreement, str, tuple[int, ...]]:
    """The last mile: the same rows through the server and through the model in the registry."""
    if ended := bench.ours.ended():
        return Agreement(0, reason=f"the server did not survive the load: {ended}"), "", ()
    step = max(1, math.ceil(len(bench.features) / MOST_ROWS))
    rows = bench.features.iloc[::step]
    numbers = tuple(range(1, len(bench.features) + 1, step))
    bench.say(f"asking the {bench.ours.kind} and the registry's model about {len(rows):,} rows")
    sent = sender(rows, [bench.candidate.version.path], len(rows))
    answered = ask(
        ready.address,
        sent,
        patience=ASKING,
        timeout=bench.timeout,
        tick=lambda done, total: bench.watch("agreement", done, total),
        largest=bench.largest // 2,
    )
    try:
        registered = bench.score(rows, f"{bench.digest} every {step}")
    except ModelRefused:
        raise
    except MlshipError as error:
        return Agreement(0, reason=" ".join(f"the registry's model gives no predictions: {error.what}".split())), "", ()
    if answered.refused and not answered.predictions:
        return Agreement(0), answered.refused, numbers
    return compare(answered.predictions, registered, bench.section.tolerance), answered.refused, numbers
