"""Sends what is due: notes what came of earlier attempts, starts the programs that send, and waits a while for them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from mlship.errors import StateError
from mlship.home import Home
from mlship.monitor import documents
from mlship.monitor.acting import claims, plan
from mlship.monitor.acting.claims import Claim
from mlship.monitor.acting.delivery import GIVEN_UP, WAITS, Delivery
from mlship.monitor.acting.ways import way
from mlship.monitor.kept import Changes
from mlship.monitor.store import Store
from mlship.types.monitoring import Trouble

if TYPE_CHECKING:
    from mlship.policy.load import LoadedPolicy
    from mlship.policy.schema import Policy

#: Seconds that a pass waits for what it has started; then the next pass notes what came of it.
PATIENCE = 60.0
#: Seconds that the program which sends gives one message, and one act.
_MESSAGE, _ACT = 30.0, 1800.0
#: Seconds beyond a training's own timeout, for the question whether it runs already.
_BESIDE = 90.0
#: Deliveries that one program makes, one after the other.
_BATCH = 20
#: Programs of earlier passes of this process; they are waited for once they have ended.
_LEFT: list[subprocess.Popen[bytes]] = []


def deliver(
    home: Home, loaded: LoadedPolicy, store: Store, now: float, *, patience: float = PATIENCE
) -> tuple[Trouble, ...]:
    """Send what is due, each thing once; what could not be sent is told, and tried again by later passes.

    To be called by whoever holds the store's lock, after the pass has been committed. Whatever kills this process, or
    the programs that it starts: the next call carries on, and sends nothing again that has arrived.

    - What was claimed and is under way, by a program that still lives, is left alone.
    - What was claimed and never begun is sent.
    - What was begun, and was cut short before its outcome was known, may have arrived. A workflow of GitHub's is looked
      for before it is asked for again; a webhook gets the same Idempotency-Key, a command the same MLSHIP_REQUEST with
      MLSHIP_REPEAT=maybe; a message says that it may be a repeat; a rollback and a pause look at how things stand.

    Parameters
    ----------
    now
        Unix time of the pass.
    patience
        Seconds to wait for what is under way.

    Returns
    -------
    tuple
        What could not be delivered, by place: what is tried again, and for a day, or while its incident is open, what
        has been given up.

    Raises ``StateError`` when the store, or the directory of claims, cannot be used.
    """
    policy, model = loaded.policy, loaded.policy.model
    until = time.monotonic() + patience
    tried: set[str] = set()
    beside: list[Trouble] = []
    _note(home, policy, store, now)
    while batches := _due(store, loaded, claims.under_way(home, model), tried, now):
        started = []
        for batch in batches:
            tried |= {one.id for one in batch}
            try:
                started.append(_start(home, loaded, batch))
            except StateError as error:
                beside.append(Trouble("disk", f"{error.what} ({error.where})", now))
        _wait(started, until)
        _note(home, policy, store, now)
        if not beside:
            _silent(home, model, store, [batch[0].id for batch in batches], now)
        if time.monotonic() >= until:
            break
    return (*troubles(store, now), *dict.fromkeys(beside))


def troubles(store: Store, now: float) -> tuple[Trouble, ...]:
    """What could not be delivered (see ``deliver``), as the store knows it."""
    found: dict[tuple[str, str, str], list[Delivery]] = {}
    open_ = {one.id for one in store.open()}
    for one in store.deliveries():
        fresh = one.ended is not None and now - one.ended < GIVEN_UP
        given_up = one.state == "failed" and (fresh or one.incident in open_)
        if given_up or (one.state == "pending" and one.first is not None):
            found.setdefault((one.action, one.place, one.state), []).append(one)
    return tuple(_trouble(group) for group in found.values())


def _note(home: Home, policy: Policy, store: Store, now: float) -> None:
    """Keep what came of attempts that are over, with what follows from it; then their files can go."""
    for attempt in claims.ended(home, policy.model):
        known = store.delivery(attempt.delivery)
        nothing = attempt.begun is None and attempt.outcome is None
        if known is not None and not known.over and attempt.number > known.attempts and not nothing:
            after = plan.settled(known, attempt.number, attempt.begun, attempt.outcome, now)
            store.commit(Changes(settled=[after], deliveries=plan.follow_up(policy, after, now)))
        claims.forget(attempt)


def _silent(home: Home, model: str, store: Store, ids: Sequence[str], now: float) -> None:
    """Note of deliveries that were not even begun that the program which sends has died before."""
    under_way = claims.under_way(home, model)
    for one in filter(None, map(store.delivery, ids)):
        if one.state == "pending" and one.due <= now and one.id not in under_way:
            first = now if one.first is None else one.first
            said = "the program that sends has ended before it sent anything"
            store.commit(Changes(settled=[replace(one, said=said, first=first, due=now + WAITS[0])]))


def _due(store: Store, loaded: LoadedPolicy, under_way: set[str], tried: set[str], now: float) -> list[list[Delivery]]:
    """What is to be sent now, by place, in order; what is no longer called for is dropped."""
    open_ = {one.id for one in store.open()}
    pending = store.pending()
    held_up = {one.place for one in pending if one.id in under_way}
    batches: dict[str, list[Delivery]] = {}
    dropped = []
    for one in pending:
        if one.place in held_up:
            continue
        if why := _called_off(loaded, one, open_):
            dropped.append(replace(one, state="dropped", said=why, ended=now))
        elif one.id in tried or (not _is_due(one, now) and one.blocking):
            held_up.add(one.place)
        elif _is_due(one, now) and len(batches.get(one.place, [])) < _BATCH:
            batches.setdefault(one.place, []).append(one)
    if dropped:
        store.commit(Changes(settled=dropped))
    return list(batches.values())


def _is_due(one: Delivery, now: float) -> bool:
    """Whether its time has come; one that is further away than any wait was noted by a clock that was wrong."""
    return one.due <= now or one.due > now + WAITS[-1]


def _called_off(loaded: LoadedPolicy, one: Delivery, open_: set[str]) -> str:
    """Why something is not to be done any more; empty when it is."""
    unsure = "; it may have been done all the same" if one.maybe else ""
    if one.action != "notify" and not open_ & {one.incident, *one.covers}:
        return f"the incident was over before{unsure}"
    return "" if way(loaded, one) is not None else f"the policy no longer says so{unsure}"


def _start(home: Home, loaded: LoadedPolicy, batch: Sequence[Delivery]) -> subprocess.Popen[bytes]:
    """Claim deliveries of one place, and start the program that makes them."""
    model, taken, items = loaded.policy.model, [], []
    try:
        for one in batch:
            claim = claims.claim(home, model, one)
            taken.append(claim)
            items.append(_item(loaded, one, claim))
        job = json.dumps({"home": str(home.path.absolute()), "model": model, "items": items}).encode()
        return _spawn(job, taken)
    finally:
        for claim in taken:  # the child has them now, or nobody: then they count as not begun
            claim.close()


def _item(loaded: LoadedPolicy, one: Delivery, claim: Claim) -> dict[str, Any]:
    found = way(loaded, one)
    limit = _MESSAGE if one.action == "notify" else _ACT
    if found is not None and "timeout" in found:
        limit = found["timeout"] + _BESIDE
    return {
        "delivery": documents.of(one),
        "claim": str(claim.path),
        "descriptor": claim.descriptor,
        "name": one.place,
        "limit": limit,
        "way": found,
    }


def _spawn(job: bytes, taken: Iterable[Claim]) -> subprocess.Popen[bytes]:
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlship.monitor.acting"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=[claim.descriptor for claim in taken],
        )
    except OSError as error:
        raise StateError(
            f"the program that sends cannot be started: {error.strerror}", hint="the next pass sends what is due"
        ) from error
    assert process.stdin is not None  # a pipe was asked for
    with suppress(BrokenPipeError), process.stdin as pipe:  # else it has died already, and has sent nothing
        pipe.write(job)
    return process


def _wait(started: Sequence[subprocess.Popen[bytes]], until: float) -> None:
    """Wait until they have ended, or until this time of the monotonic clock."""
    _LEFT[:] = [one for one in _LEFT if one.poll() is None]
    for process in started:
        try:
            process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            _LEFT.append(process)


def _trouble(group: Sequence[Delivery]) -> Trouble:
    """What is said of the deliveries of one place that could not be made."""
    last = max(group, key=lambda one: (one.tried or 0.0, one.attempts))
    since = min(one.made if one.first is None else one.first for one in group)
    many = {"notify": "messages"}.get(last.action, last.action)
    what = f"{len(group)} {many}: {last.said}" if len(group) > 1 else last.said
    if last.state == "failed":
        return Trouble(last.action, f"{what}; given up after a day", since)
    when = datetime.fromtimestamp(min(one.due for one in group), UTC)
    return Trouble(last.action, f"{what}; tried again by the first pass after {when:%H:%M} UTC", since)
