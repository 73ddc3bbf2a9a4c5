"""All gates of one policy on one candidate: reads the rows once, judges every rule, and never stops at the first."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime
from functools import partial
from threading import Thread
from typing import TYPE_CHECKING

from mlship.errors import MlshipError
from mlship.gates.base import Gate, GateContext, Predictions, without
from mlship.gates.table import GATES
from mlship.home import Home
from mlship.sources import files
from mlship.types import Candidate, Evaluation, GateResult, ModelVersion, Status

if TYPE_CHECKING:
    import pandas as pd

    from mlship.policy.load import LoadedPolicy

    #: Predictions of several versions on the same rows.
    Score = Callable[[tuple[ModelVersion, ...], pd.DataFrame, str], tuple[Predictions, ...]]

#: Where every bootstrap starts: the same evaluation gives the same figures, today and in a year.
SEED = 20130701
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def evaluate(
    loaded: LoadedPolicy,
    candidate: Candidate,
    home: Home,
    progress: Callable[[str], None],
    *,
    score: Score | None = None,
    now: float | None = None,
) -> Evaluation:
    """Judge `candidate` by every gate that the policy asks for.

    `progress` hears one sentence per step. `score` makes predictions; by default a process of its own does, which loads
    the models. `now` (unix seconds, by default the clock) decides what is past its date.

    A gate that cannot do its work gives a result with status error and the reason. Raises ``DataError`` when the rows
    themselves cannot be read.
    """
    began = time.monotonic()
    started = time.time() if now is None else now
    data = loaded.policy.data
    evaluation = reference = None
    if data is not None:
        progress(f"reading {data.evaluation.path}")
        evaluation = files.read(
            data.evaluation, loaded.resolve(data.evaluation.path), columns=data.entity, labelled=True
        )
        if data.reference is not None:
            progress(f"reading {data.reference.path}")
            reference = files.read(data.reference, loaded.resolve(data.reference.path))
    score = score or partial(_in_a_process, home, progress)
    if evaluation is not None and loaded.policy.gates.metrics:
        score = _ahead(score, evaluation, candidate)
    context = GateContext(
        policy=loaded.policy,
        resolve=loaded.resolve,
        candidate=candidate,
        evaluation=evaluation,
        reference=reference,
        score=partial(_score, evaluation, score),
        now=datetime.fromtimestamp(started, UTC).date(),
        seed=SEED,
    )
    results = [result for gate in GATES for result in _judged(gate, context, progress)]
    gates = loaded.policy.gates
    if gates.contract is None and gates.leakage is None and not gates.metrics:
        reason = "the policy has no gate that looks at the model or its data"
        results.append(without("gates", "any", Status.INCONCLUSIVE, "at least one gate", reason))
    return Evaluation(
        id=new_id(started),
        candidate=candidate,
        policy_digest=loaded.digest,
        data_digest=evaluation.digest if evaluation else "",
        results=tuple(results),
        started=started,
        seconds=time.monotonic() - began,
        reference_digest=reference.digest if reference else None,
    )


def new_id(now: float) -> str:
    """A name for an evaluation: its time in milliseconds, then chance; later ones sort later."""
    number = int(now * 1000) << 30 | int.from_bytes(os.urandom(4)) >> 2
    digits = ""
    while number:
        number, digit = divmod(number, 32)
        digits = _ALPHABET[digit] + digits
    return digits


def _judged(gate: Gate, context: GateContext, progress: Callable[[str], None]) -> list[GateResult]:
    """The gate's results; whatever goes wrong inside it is a result too."""
    progress(f"judging {gate.name}")
    try:
        return gate.judge(context)
    except MlshipError as error:
        reason = str(error).replace("\n  next: ", "; ")
    except MemoryError:
        reason = "not enough memory for these rows; evaluate on a sample of them"
    except Exception as error:  # noqa: BLE001 - a gate meets models and rows of every kind; one must not hide the others
        reason = f"{type(error).__name__}: {error}"
    return [without(gate.name, "gate", Status.ERROR, "can be judged", " ".join(reason.split()))]


def _ahead(score: Score, rows: files.Rows, candidate: Candidate) -> Score:
    """Let the models load and predict while the other gates judge the rows; whoever asks first waits for the rest.

    The thread is a daemon, so that Ctrl-C need not wait for a model; the model's process dies with this one.
    """
    wanted = (candidate.version, *([candidate.champion] if candidate.champion else []))
    done: Future[tuple[Predictions, ...]] = Future()

    def work() -> None:
        try:
            done.set_result(_score(rows, score, wanted))
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that asks
            done.set_exception(error)

    Thread(target=work, name="scoring", daemon=True).start()

    def ask(versions: tuple[ModelVersion, ...], frame: pd.DataFrame, digest: str) -> tuple[Predictions, ...]:
        return done.result() if versions == wanted else score(versions, frame, digest)

    return ask


def _score(rows: files.Rows | None, score: Score, versions: tuple[ModelVersion, ...]) -> tuple[Predictions, ...]:
    """Hand out the evaluation rows without their labels: what is judged cannot look at the answer."""
    assert rows is not None, "gates ask for predictions of rows that they have seen"
    features = rows.frame.drop(columns=[rows.target] if rows.target else [])
    return score(versions, features, rows.digest)


def _in_a_process(
    home: Home,
    progress: Callable[[str], None],
    versions: tuple[ModelVersion, ...],
    rows: pd.DataFrame,
    digest: str,
) -> tuple[Predictions, ...]:
    from mlship.gates import scoring

    return scoring.score_many(versions, rows, data_digest=digest, home=home, progress=progress)
