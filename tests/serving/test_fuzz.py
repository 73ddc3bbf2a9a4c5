"""Some hundred odd requests over both protocols: no 5xx but 503, no crash, and errors in each protocol's shape."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mlship.serving.app import App, Identity
from mlship.serving.exposition import Described
from mlship.serving.limits import Limits
from mlship.serving.load import load
from mlship.serving.observing import alone

from .conftest import Reply, call
from .odd import NAME, PATHS, REQUESTS, VERSION, dumped, infer, save_model, split, valid

pytestmark = pytest.mark.slow  # loads a real model

Sent = tuple[str, str, bytes]


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Callable[[list[Sent]], list[Reply]]:
    """Sends requests all at once, so that they share batches."""
    scorer, version = load(save_model(tmp_path_factory.mktemp("calm")), lambda _: None)

    def send(requests: list[Sent]) -> list[Reply]:
        async def scenario() -> list[Reply]:
            app = App(Identity(NAME, VERSION, "d"), alone(Described(NAME, VERSION, "d"), None), Limits(timeout=60))
            app.ready(scorer.answer, version)
            made = (call(app, path, body, headers={"content-type": kind}) for path, kind, body in requests)
            return list(await asyncio.gather(*made))

        return asyncio.run(scenario())

    return send


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(REQUESTS, min_size=1, max_size=3))
@example([("/invocations", "application/json", b"[" * 200_000)])
@example([(PATHS[1], "application/json", b"9" * 10_000)])
def test_odd_requests_are_the_callers_fault(ask: Callable[[list[Sent]], list[Reply]], sent: list[Sent]) -> None:
    good = [("/invocations", "application/json", dumped(split())), (PATHS[1], "application/json", dumped(infer()))]
    *replies, first, second = ask([*sent, *good])
    for (path, _, body), reply in zip(sent, replies, strict=True):
        assert reply.status in (200, 400, 415), (path, body[:300], reply)
        assert b"Traceback" not in reply.body
        if reply.headers["content-type"] == "application/json":
            shape = {"error"} if path.startswith("/v2") else {"error_code", "message"}
            assert reply.status == 200 or shape <= set(json.loads(reply.body))
    assert (first.status, second.status) == (200, 200), "nobody else is harmed"


def test_what_is_mutated_was_valid(ask: Callable[[list[Sent]], list[Reply]]) -> None:
    """Else the fuzzer would only knock at the first door."""
    sent = [(PATHS[1] if "id" in body else PATHS[0], "application/json", dumped(body)) for body in valid()]
    assert [reply.status for reply in ask(sent)] == [200] * len(sent)
