"""The load generator itself: how much it can send, how late it is, and what a stall shows beside a closed loop.

    python tests/benchmarks/load.py

Against a trivial server, the rate is raised until the generator's own lag (p99) passes `LAG` and less than 95 % is
sent. Then a server that stands still for a second, once in ten, is measured twice in the same run: by the generator,
and by a closed loop that waits for each answer before it sends the next. Prints JSON last.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import subprocess
import sys
import time
from typing import Any

from mlship.load import figures, run
from mlship.load.plan import Load, Target

RATES = (500, 1000, 2000, 3000, 4000, 5000, 6000, 8000, 10_000, 12_000)
SECONDS = 4.0
#: The generator keeps up with a rate while 99 % of the requests are turned to within this many seconds.
LAG = 0.01
BODY = json.dumps({"dataframe_split": {"columns": list("abcdefg"), "data": [[1.5] * 7]}}).encode()

#: Answers at once; stands still for a second when its STALL_AT-th second begins (0: never). A server in itself.
SERVER = """
import asyncio, sys, time
ANSWER = b'HTTP/1.1 200 OK\\r\\ncontent-length: 19\\r\\n\\r\\n{"predictions":[1]}'
class Handler(asyncio.Protocol):
    def connection_made(self, transport): self.transport, self.left = transport, b""
    def data_received(self, data):
        self.left += data
        while True:
            head, found, rest = self.left.partition(b"\\r\\n\\r\\n")
            if not found: return
            length = int(head.lower().split(b"content-length: ")[1].split(b"\\r\\n")[0])
            if len(rest) < length: return
            self.left = rest[length:]
            self.transport.write(ANSWER)
async def main(stall):
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Handler, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    if stall: loop.call_later(stall, time.sleep, 1)
    await server.serve_forever()
try:
    import uvloop; uvloop.install()
except ImportError: pass
asyncio.run(main(float(sys.argv[1])))
"""


def serve(stall_at: float = 0) -> tuple[subprocess.Popen[bytes], int]:
    """A trivial server, and its port."""
    process = subprocess.Popen([sys.executable, "-c", SERVER, str(stall_at)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    return process, int(process.stdout.readline())


def keeps_up(port: int, rate: float) -> dict[str, Any]:
    """One rate: what was really sent, how late, and the processor time of the generator's whole process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    load = Load(rate, SECONDS, warmup=0.5, settle=0.2)
    found = run.slices({"it": Target(f"http://127.0.0.1:{port}", expects='"predictions"')}, load, [BODY], 4)["it"]
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "rate": rate,
        "achieved": round(found.achieved),
        "failed": found.failed,
        "lag_p50_ms": round((figures.lag(found, 0.5) or 0) * 1e3, 3),
        "lag_p99_ms": round((figures.lag(found, 0.99) or 0) * 1e3, 3),
        "latency_p50_ms": milliseconds(found, 0.5),
        "latency_p99_ms": milliseconds(found, 0.99),
        "cpu_us_per_request": round(used / (rate * (SECONDS + 0.7)) * 1e6),
        "connections": found.connections,
    }


def milliseconds(recording: Any, share: float) -> float:
    """A quantile of the latency."""
    found = figures.latency(recording, share)
    return round(found.value * 1e3, 2) if found else float("nan")


async def closed_loop(port: int, rate: float, seconds: float) -> dict[str, float]:
    """One caller at a time: sends when its time has come and the last answer is there, and counts from its sending."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    request = Target(f"http://127.0.0.1:{port}").head(len(BODY)) + BODY
    took: list[float] = []
    started = time.monotonic()
    due = started
    while due < started + seconds:
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        sent = time.monotonic()
        writer.write(request)
        await reader.readuntil(b'"predictions":[1]}')
        took.append(time.monotonic() - sent)
        due = max(due + 1 / rate, time.monotonic())
    writer.close()
    took.sort()
    return {
        "requests": len(took),
        "p50_ms": round(took[len(took) // 2] * 1e3, 2),
        "p99_ms": round(took[int(len(took) * 0.99)] * 1e3, 2),
    }


def main() -> None:
    """Raise the rate, then look at a stall in both ways."""
    server, port = serve()
    rates: list[dict[str, Any]] = []
    try:
        for rate in RATES:
            rates.append(keeps_up(port, rate))
            print(rates[-1])
            if rates[-1]["lag_p99_ms"] > LAG * 1e3 and rates[-1]["achieved"] < 0.95 * rate:
                break
    finally:
        server.kill()
    kept = [one["rate"] for one in rates if one["lag_p99_ms"] <= LAG * 1e3 and one["achieved"] >= 0.95 * one["rate"]]
    stalls: dict[str, Any] = {}
    often, seconds = 200.0, 10.0
    server, port = serve(stall_at=5)
    try:
        load = Load(often, seconds, "constant", warmup=0)
        found = run.slices({"it": Target(f"http://127.0.0.1:{port}")}, load, [BODY])
        stalls["open_loop"] = {
            "requests": found["it"].n,
            "p50_ms": milliseconds(found["it"], 0.5),
            "p99_ms": milliseconds(found["it"], 0.99),
        }
    finally:
        server.kill()
    server, port = serve(stall_at=5)
    try:
        stalls["closed_loop"] = asyncio.run(closed_loop(port, often, seconds))
    finally:
        server.kill()
    result = {
        "load_average": round(os.getloadavg()[0], 1),
        "highest_rate_with_little_lag": max(kept, default=0),
        "rates": rates,
        "one_second_stall": stalls,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
