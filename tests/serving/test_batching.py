"""Requests that wait share a take; a lone request never waits; whatever happens, every caller gets an answer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence

from mlship.serving.batching import Batcher
from mlship.serving.limits import Limits
from mlship.serving.protocol import Answer, Request


class Model:
    """Echoes bodies; each take waits for its permission."""

    def __init__(self, *, held: bool = False) -> None:
        self.takes: list[list[bytes]] = []
        self.go = threading.Semaphore(0 if held else 1_000_000)

    def __call__(self, requests: Sequence[Request]) -> Iterator[list[tuple[int, Answer]]]:
        self.takes.append([request.body for request in requests])
        assert self.go.acquire(timeout=10)
        for position, request in enumerate(requests):
            if request.body == b"exit":
                raise SystemExit
            yield [(position, Answer(200, request.body))]


def request(text: str) -> Request:
    return Request(text.encode(), None)


def test_what_arrives_during_a_take_shares_the_next_one() -> None:
    async def scenario() -> Model:
        model = Model(held=True)
        batcher = Batcher(model, Limits())
        first = asyncio.create_task(batcher.answer(request("0")))
        while not model.takes:
            await asyncio.sleep(0.001)
        later = [asyncio.create_task(batcher.answer(request(str(number)))) for number in range(1, 6)]
        await asyncio.sleep(0)
        model.go.release(2)
        answers = await asyncio.gather(first, *later)
        assert [answer.body for answer in answers] == [str(number).encode() for number in range(6)]
        batcher.close()
        return model

    assert asyncio.run(scenario()).takes == [[b"0"], [b"1", b"2", b"3", b"4", b"5"]]


def test_one_request_after_the_other_is_taken_alone() -> None:
    async def scenario() -> Model:
        model = Model()
        batcher = Batcher(model, Limits())
        for number in range(3):
            assert (await batcher.answer(request(str(number)))).body == str(number).encode()
        batcher.close()
        return model

    assert asyncio.run(scenario()).takes == [[b"0"], [b"1"], [b"2"]]


def test_a_take_that_dies_fails_only_what_it_had_not_answered_and_the_worker_goes_on() -> None:
    async def scenario() -> None:
        batcher = Batcher(Model(), Limits())
        answers = await asyncio.gather(*(batcher.answer(request(text)) for text in ("a", "exit", "b")))
        assert [answer.status for answer in answers] == [200, 500, 500]
        assert (await batcher.answer(request("c"))).status == 200
        batcher.close()

    asyncio.run(scenario())


def test_a_caller_that_goes_away_harms_nobody() -> None:
    async def scenario() -> None:
        model = Model(held=True)
        batcher = Batcher(model, Limits())
        gone, stays = (asyncio.create_task(batcher.answer(request(text))) for text in ("gone", "stays"))
        while not model.takes:
            await asyncio.sleep(0.001)
        gone.cancel()
        model.go.release(1)
        assert (await stays).body == b"stays"
        batcher.close()

    asyncio.run(scenario())
