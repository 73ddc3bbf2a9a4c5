"""All gates of one policy on one candidate: reads the rows once, judges every rule, and never stops at the first."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection
from concurrent.futures import Future
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from threading import Thread
from typing import TYPE_CHECKING, Any

from mlship.errors import DataError, MlshipError, ModelFault, ModelRefused
from mlship.gates.base import Gate, GateContext, Predictions, Score, without
from mlship.gates.table import GATES
from mlship.home import Home
from mlship.report.figures import listed
from mlship.scoring.session import Session
from mlship.sources import files
from mlship.types import Candidate, Evaluation, GateResult, ModelVersion, Status

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from mlship.policy.data import Dataset, LoggedDataset
    from mlship.policy.load import LoadedPolicy
    from mlship.types.monitoring import Baseline

#: Told (gate, done, total) as the work goes on; total is 1 when the gate does not tell more.
Watch = Callable[[str, int, int], None]


#: The local file of a dataset that was logged with a run: (which, the candidate) -> path.
Fetch = Callable[["LoggedDataset", ModelVersion], "Path"]


def _unwatched(_gate: str, _done: int, _total: int) -> None:
    """Nobody watches."""


#: Where every bootstrap starts: the same evaluation gives the same figures, today and in a year.
SEED = 20130701
#: Judged also when the policy does not mention them.
_ALWAYS = ("ownership", "security")
#: Judged by commands of their own.
_ELSEWHERE = ("latency",)
#: Gates that ask for predictions on the evaluation rows.
_PREDICTING = ("metrics", "slices", "fairness", "value", "agreement", "drift", "robustness", "custom")
#: Gates that ask for predictions on other rows, too.
_ASKING_MORE = ("leakage", "drift", "robustness")
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def evaluate(
    loaded: LoadedPolicy,
    candidate: Candidate,
    home: Home,
    progress: Callable[[str], None],
    *,
    score: Score | None = None,
    now: float | None = None,
    only: Collection[str] = (),
    besides: str = "",
    watch: Watch = _unwatched,
    fetch: Fetch | None = None,
) -> Evaluation:
    """Judge `candidate` by every gate that the policy asks for, or by those named in `only`.

    Where the policy has `monitor`, a full evaluation makes the baseline, too; that it was made is the rule `baseline`
    of `monitor`. `besides` is what else than `only` keeps it from being a full one.

    `progress` hears one sentence per step, `watch` how far each gate is. `fetch` gives the local file of a dataset that
    MLflow knows. `score` makes predictions; by default a process of its own does, which loads the models. `now` (unix
    seconds, by default the clock) decides what is past its date.

    A gate that cannot do its work gives a result with status error and the reason. Raises ``DataError`` when the rows
    themselves cannot be read.
    """
    gates = loaded.policy.gates
    if score is None:
        with Session(home, progress, gates.security) as session:
            watched = loaded.policy.monitor is not None and not only and not besides
            if watched or any(getattr(gates, name, None) for name in _PREDICTING if not only or name in only):
                session.prepare([version for version in (candidate.version, candidate.champion) if version])
            again = partial(evaluate, loaded, candidate, home, progress, now=now, watch=watch, fetch=fetch)
            more = watched or any(getattr(gates, name, None) for name in _ASKING_MORE if not only or name in only)
            return again(score=session.score if more else partial(_last, session), only=only, besides=besides)
    began = time.monotonic()
    started = time.time() if now is None else now
    asked = [gate for gate in GATES if not only or gate.name in only]
    evaluation, reference, recent = _rows(loaded, candidate.version, progress, fetch)
    context = GateContext(
        policy=loaded.policy,
        resolve=loaded.resolve,
        candidate=candidate,
        evaluation=evaluation,
        reference=reference,
        recent=recent,
        score=score,
        now=datetime.fromtimestamp(started, UTC).date(),
        seed=SEED,
        home=home,
        say=progress,
    )
    if evaluation is not None and any(getattr(gates, gate.name, None) for gate in asked if gate.name in _PREDICTING):
        context = _ahead(context)
    results = [result for gate in asked for result in _judged(gate, context, progress, watch)]
    if not only and not any(getattr(gates, gate.name, None) for gate in GATES if gate.name not in _ALWAYS + _ELSEWHERE):
        reason = "the policy has no gate that looks at the model or its data"
        results.append(without("gates", "any", Status.INCONCLUSIVE, "at least one gate", reason))
    judged = f"only {listed([gate.name for gate in asked], 12)} {'was' if len(asked) == 1 else 'were'} judged"
    aside = "; ".join(filter(None, [judged if only else "", besides]))
    baseline = None
    if loaded.policy.monitor is not None and not aside:
        baseline, told = _baseline(loaded, context, started, progress, watch)
        results += told
    return Evaluation(
        id=new_id(started),
        candidate=candidate,
        policy_digest=loaded.digest,
        data_digest=evaluation.digest if evaluation else "",
        results=tuple(results),
        started=started,
        seconds=time.monotonic() - began,
        reference_digest=reference.digest if reference else None,
        recent_digest=recent.digest if recent else None,
        partial=aside,
        baseline=baseline,
    )


def _last(
    session: Session, versions: tuple[ModelVersion, ...], features: pd.DataFrame, contents: str
) -> tuple[Predictions, ...]:
    """Predictions that nobody is expected to ask more than; the models' memory is free while they are judged."""
    predictions = session.score(versions, features, contents)
    session.rest()
    return predictions


def _rows(
    loaded: LoadedPolicy, version: ModelVersion, progress: Callable[[str], None], fetch: Fetch | None
) -> tuple[files.Rows | None, files.Rows | None, files.Rows | None]:
    """Evaluation, reference and recent rows, where the policy names them."""
    data = loaded.policy.data
    if data is None:
        return None, None, None
    read = partial(read_rows, loaded, version=version, progress=progress, fetch=fetch)
    evaluation = read(data.evaluation, columns=data.entity, labelled=True)
    return evaluation, read(data.reference), read(data.recent)


def read_rows(
    loaded: LoadedPolicy,
    dataset: Dataset | None,
    *,
    version: ModelVersion,
    progress: Callable[[str], None],
    fetch: Fetch | None,
    **options: Any,
) -> files.Rows | None:
    """The rows of one dataset of the policy; None when it names none. `options` are those of `sources.files.read`.

    Raises ``DataError`` when they cannot be read.
    """
    if dataset is None:
        return None
    progress(f"reading {dataset.source}")
    if dataset.mlflow is None:
        path = loaded.resolve(dataset.path or ".")
    elif fetch is None:
        raise DataError("there is no registry to ask for an MLflow dataset", hint="give data by path")
    else:
        path = fetch(dataset.mlflow, version)
    return files.read(dataset, path, **options)


def new_id(now: float) -> str:
    """A name for an evaluation: its time in milliseconds, then chance; later ones sort later."""
    number = int(now * 1000) << 30 | int.from_bytes(os.urandom(4)) >> 2
    digits = ""
    while number:
        number, digit = divmod(number, 32)
        digits = _ALPHABET[digit] + digits
    return digits


def _judged(gate: Gate, context: GateContext, progress: Callable[[str], None], watch: Watch) -> list[GateResult]:
    """The gate's results; whatever goes wrong inside it is a result too."""
    if gate.name not in _ALWAYS and not getattr(context.policy.gates, gate.name, None):
        return []
    progress(f"judging {gate.name}")
    return _guarded((gate.name, "gate", "can be judged"), gate.judge, context, watch)


def _baseline(
    loaded: LoadedPolicy, context: GateContext, at: float, progress: Callable[[str], None], watch: Watch
) -> tuple[Baseline | None, list[GateResult]]:
    """The candidate's baseline, and the result that it was made; without one, why not: nobody could watch it."""
    progress("making the baseline")
    made: list[Baseline] = []
    rule = ("monitor", "baseline", "is made")

    def make(context: GateContext) -> list[GateResult]:
        from mlship.gates.baseline.make import make, told

        made.append(make(context, loaded.digest, made=at))
        return [without(*rule[:2], Status.PASSED, rule[2], told(made[0]))]

    results = _guarded(rule, make, context, watch)
    return (made[0] if made else None), results


def _guarded(
    rule: tuple[str, str, str],
    work: Callable[[GateContext], list[GateResult]],
    context: GateContext,
    watch: Watch,
) -> list[GateResult]:
    """What `work` gives; whatever goes wrong is a result, of this gate, rule and limit where no other is known."""
    gate, name, limit = rule
    watch(gate, 0, 1)
    try:
        return work(replace(context, tick=partial(watch, gate)))
    except ModelRefused as error:
        reason = f"{error.where}: {error.what}"
        return [without(gate, "model", Status.INCONCLUSIVE, "is loaded", reason)]
    except MlshipError as error:
        reason = str(error).replace("\n  next: ", "; ")
        ours = context.candidate.version
        if isinstance(error, ModelFault) and error.where == f"{ours.model} version {ours.version}":
            return [without(gate, "model", Status.FAILED, "answers", " ".join(reason.split()))]
    except MemoryError:
        reason = "not enough memory for these rows; evaluate on a sample of them"
    except Exception as error:  # noqa: BLE001 - a gate meets models and rows of every kind; one must not hide the others
        reason = f"{type(error).__name__}: {error}"
    finally:
        watch(gate, 1, 1)
    return [without(gate, name, Status.ERROR, limit, " ".join(reason.split()))]


def _ahead(context: GateContext) -> GateContext:
    """Let the models load and predict while the other gates judge the rows; whoever asks first waits for the rest.

    The thread is a daemon, so that Ctrl-C need not wait for a model; the model's process dies with this one.
    """
    rows = context.evaluation
    assert rows is not None, "the caller has looked"
    done: Future[tuple[Predictions, ...]] = Future()

    def work() -> None:
        try:
            ours, theirs = context.on(rows)
            done.set_result((ours, *([theirs] if theirs is not None else [])))
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that asks
            done.set_exception(error)

    Thread(target=work, name="scoring", daemon=True).start()

    def ask(versions: tuple[ModelVersion, ...], features: pd.DataFrame, contents: str) -> tuple[Predictions, ...]:
        return done.result() if contents == rows.digest else context.score(versions, features, contents)

    return replace(context, score=ask)
