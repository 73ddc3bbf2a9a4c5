"""The generator's process: reads a job from its standard input, loads the targets in turn, writes JSON lines.

Started by `mlship.load.run`. The job is one JSON line and the request bodies after it. Standard input stays open for
as long as somebody waits for the result: when it ends, so does this process.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import socket
import sys
from dataclasses import asdict
from typing import Any

from mlship.load.arrivals import times
from mlship.load.clock import event_loop
from mlship.load.plan import Load, Target
from mlship.load.sender import Sender

#: Descriptors that are kept free beside the connections.
_SPARE = 64


def main() -> None:
    """Run one job."""
    job = json.loads(sys.stdin.buffer.readline())
    bodies = [sys.stdin.buffer.read(length) for length in job["bodies"]]
    if any(len(body) != length for body, length in zip(bodies, job["bodies"], strict=True)):
        os._exit(1)  # whoever asked is gone
    _allow(job["load"]["connections"])
    gc.freeze()
    gc.disable()  # a collection would show up as lag; it is made up for between stretches
    loop = event_loop()
    loop.set_exception_handler(_fatal)
    loop.add_reader(sys.stdin.fileno(), _orphaned)
    loop.run_until_complete(_run(job, bodies))


async def _run(job: dict[str, Any], bodies: list[bytes]) -> None:
    load = Load.from_json(job["load"])
    senders = {}
    for name, document in job["targets"].items():
        target = Target(**document)
        senders[name] = Sender(target, _address(target), bodies, load)
    if load.warmup:
        moments = times(load.rate, load.warmup, load.arrivals, f"{load.seed} warm-up")
        for name, sender in senders.items():
            _say(event="warmup", target=name)
            await sender.stretch(moments, load.warmup, load.warmup, 0, 0)
    rounds, blocks = (1, job["slices"]) if len(senders) == 1 else (job["slices"], 1)
    width = load.seconds / job["slices"]
    body = 0
    for number in range(rounds):
        moments = times(load.rate, load.settle + width * blocks, load.arrivals, f"{load.seed} {number}")
        order = list(senders) if number % 2 == 0 else list(reversed(senders))
        for name in order:
            if senders[name].stopped:
                continue
            _say(event="begin", target=name, index=number)
            slices = await senders[name].stretch(moments, load.settle, width, blocks, body)
            gc.collect()
            for part in slices:
                _say(event="slice", target=name, slice={**asdict(part), "index": number * blocks + part.index})
        body += len(moments)
    for name, sender in senders.items():
        _say(event="end", target=name, connections=sender.connections, stopped=sender.stopped)
        await sender.close()
    _say(event="done")


def _address(target: Target) -> str:
    """The first IP address of a target's host: looked up once, so that no name server is measured."""
    try:
        found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except OSError as error:
        _say(event="error", what=f"{target.host} has no address: {error.strerror}")
        raise SystemExit(0) from None
    return str(found[0][4][0])


def _allow(connections: int) -> None:
    """Raise the number of descriptors to what the connections need, as far as the system lets."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * connections + _SPARE
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _say(**event: Any) -> None:
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


def _orphaned() -> None:
    if not os.read(sys.stdin.fileno(), 1):
        os._exit(1)


def _fatal(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """A fault in a callback must not leave the run waiting for ever."""
    loop.default_exception_handler(context)
    sys.stderr.flush()
    os._exit(1)


if __name__ == "__main__":
    main()
