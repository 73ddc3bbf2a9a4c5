"""Requests that wait share a take; a lone request never waits; whatever happens, every caller gets an answer."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator, Sequence

import pytest

from mlship.serving.batching import LOOK, Batcher
from mlship.serving.bodies import ClientGone
from mlship.serving.limits import Limits
from mlship.serving.protocol import Answer, Request


class Model:
    """Echoes bodies; each take waits for its permission."""

    def __init__(self, *, held: bool = False, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.takes: list[list[bytes]] = []
        self.go = threading.Semaphore(0 if held else 1_000_000)

    def __call__(self, requests: Sequence[Request]) -> Iterator[list[tuple[int, Answer]]]:
        self.takes.append([request.body for request in requests])
        assert self.go.acquire(timeout=10)
        time.sleep(self.seconds)
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


def test_a_full_queue_refuses_at_once_and_makes_room_for_callers_that_stay() -> None:
    async def scenario() -> None:
        model = Model(held=True)
        batcher = Batcher(model, Limits(max_queue=2))
        hung_up = False
        taken = asyncio.create_task(batcher.answer(request("taken")))
        while not model.takes:
            await asyncio.sleep(0.001)
        leaver = asyncio.create_task(batcher.answer(request("leaver"), lambda: hung_up))
        stays = asyncio.create_task(batcher.answer(request("stays")))
        await asyncio.sleep(0)
        refused = await batcher.answer(request("refused"))
        assert (refused.status, json.loads(refused.body)["error_code"]) == (503, "TEMPORARILY_UNAVAILABLE")
        assert batcher.waiting == 2
        hung_up = True
        await asyncio.sleep(LOOK)
        later = asyncio.create_task(batcher.answer(request("later")))
        await asyncio.sleep(0)
        model.go.release(2)
        assert [(await one).body for one in (taken, stays, later)] == [b"taken", b"stays", b"later"]
        with pytest.raises(ClientGone):
            await leaver
        assert model.takes == [[b"taken"], [b"stays", b"later"]]
        batcher.close()

    asyncio.run(scenario())


def test_a_request_whose_caller_has_gone_is_not_put_to_the_model() -> None:
    async def scenario() -> None:
        model = Model(held=True)
        batcher = Batcher(model, Limits())
        first = asyncio.create_task(batcher.answer(request("first")))
        while not model.takes:
            await asyncio.sleep(0.001)
        gone = asyncio.create_task(batcher.answer(request("gone"), lambda: True))
        stays = asyncio.create_task(batcher.answer(request("stays")))
        await asyncio.sleep(0)
        model.go.release(2)
        assert [(await one).body for one in (first, stays)] == [b"first", b"stays"]
        with pytest.raises(ClientGone):
            await gone
        assert model.takes == [[b"first"], [b"stays"]]
        batcher.close()

    asyncio.run(scenario())


def test_who_waits_too_long_is_told_so_in_time_and_spares_the_model() -> None:
    """503: the model has not seen it; 504: the model had it when the time ran out."""

    async def scenario() -> None:
        model = Model(held=True)
        batcher = Batcher(model, Limits(timeout=0.1))
        loop = asyncio.get_running_loop()
        began = loop.time()
        taken = asyncio.create_task(batcher.answer(request("taken")))
        while not model.takes:
            await asyncio.sleep(0.001)
        waits = asyncio.create_task(batcher.answer(request("waits")))
        longer = asyncio.create_task(batcher.answer(request("longer"), deadline=began + 30))
        assert [(await taken).status, (await waits).status] == [504, 503]
        assert 0.09 < loop.time() - began < 1.0
        model.go.release(2)
        assert (await longer).body == b"longer"
        assert model.takes == [[b"taken"], [b"longer"]]
        batcher.close()

    asyncio.run(scenario())


def test_callers_that_came_together_are_waited_for_together_and_no_longer_when_they_do_not_come() -> None:
    async def scenario() -> Model:
        model = Model(seconds=0.01)
        batcher = Batcher(model, Limits())

        async def caller(name: str, times: int) -> None:
            for _ in range(times):
                assert (await batcher.answer(request(name))).status == 200
                await asyncio.sleep(0.0005)

        await asyncio.gather(*(caller(str(number), 20) for number in range(8)))
        for _ in range(6):
            await batcher.answer(request("lone"))
        batcher.close()
        return model

    takes = asyncio.run(scenario()).takes
    assert takes[-6:] == [[b"lone"]] * 6
    together = [len(take) for take in takes[:-6]]
    assert sum(together) == 160
    assert sorted(together)[len(together) // 2] == 8, "most takes hold all eight callers"


def test_a_lone_request_starts_at_once_after_a_crowd_that_went_home() -> None:
    async def scenario() -> float:
        model = Model(seconds=0.02)
        batcher = Batcher(model, Limits())
        loop = asyncio.get_running_loop()
        await asyncio.gather(*(batcher.answer(request(str(number))) for number in range(8)))
        await asyncio.sleep(0.05)
        model.seconds = 0.0
        began = loop.time()
        await batcher.answer(request("lone"))
        batcher.close()
        return loop.time() - began

    assert min(asyncio.run(scenario()) for _ in range(3)) < 0.004
