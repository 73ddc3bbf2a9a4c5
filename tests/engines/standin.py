"""A tiny model server that starts in milliseconds: `standin.py VERSION PORT`. Some versions are broken, or worse."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from typing import ClassVar

WORKERS = int(os.environ.get("STANDIN_WORKERS", "1"))
PREDICTIONS = b'{"predictions": [1]}'


class Standin(asyncio.Protocol):
    """Enough of HTTP/1.1 for a router: keep-alive, content-length."""

    version = "1"
    mode = "ok"
    """ok | 500 | 400 | hang | sleep SECONDS | cut (half an answer) | no sketches; set by `GET /mode/...`."""
    epoch = f"{time.time_ns()}"
    fed = 0
    classes: ClassVar[dict[str, int]] = {}
    answers: ClassVar[dict[str, int]] = {}
    """Predictions by request id."""
    seen: ClassVar[dict[str, str]] = {}
    """Headers of the latest request; told by `GET /seen`."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.buffer = bytearray()
        self.tasks: set[asyncio.Future[None]] = set()

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            lines = self.buffer[:end].decode("latin-1").split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
            if headers.get("transfer-encoding") == "chunked":
                finish = self.buffer.find(b"0\r\n\r\n", end)
                size = finish + 5 - end - 4 if finish >= 0 else sys.maxsize
            else:
                size = int(headers.get("content-length", 0))
            if len(self.buffer) < end + 4 + size:
                return
            del self.buffer[: end + 4 + size]
            _, path, _ = lines[0].split(" ")
            task = asyncio.ensure_future(self.answer(path, headers))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    async def answer(self, path: str, headers: dict[str, str]) -> None:
        kind, status, body = Standin, 200, b"{}"
        request_id = headers.get("x-request-id", "")
        if path.startswith("/mode/"):
            kind.mode = path.removeprefix("/mode/").replace("%20", " ")
        elif path.split("?", maxsplit=1)[0] == "/counters":
            labels = [[1_800_000_000, kind.fed, 0]] if kind.fed else []
            told = {"epoch": kind.epoch, "labels": labels, "predictions": {"classes": kind.classes, "scores": {}}}
            body = json.dumps(told | ({"answers": kind.answers} if "answers=" in path else {})).encode()
        elif path == "/sketches" and kind.mode != "no sketches":
            nothing: dict[str, object] = {"rows_missed": 0, "rows_thinned": 0, "features": {}, "outputs": {}}
            body = json.dumps({"version": kind.version, "epoch": kind.epoch, **nothing}).encode()
        elif path == "/seen":
            body = json.dumps(kind.seen).encode()
        elif path == "/feedback":
            kind.fed += 1
            kind.seen = headers
            status, body = 202, b'{"accepted": 1, "joined": 1}'
        elif path == "/invocations" or path.endswith("/infer"):
            kind.seen = headers
            status, body = await self.predict()
            if status == 200:
                kind.classes["1"] = kind.classes.get("1", 0) + 1
                kind.answers[request_id] = 1
        if self.transport.is_closing():
            return
        cut = path == "/invocations" and kind.mode == "cut"
        head = (
            f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {len(body) + 9 * cut}\r\n"
            f"x-mlship-version: {kind.version}\r\nx-request-id: {request_id}\r\n\r\n"
        )
        self.transport.write(head.encode() + body)  # type: ignore[attr-defined]  # a Transport, at runtime
        if cut:
            self.transport.close()

    async def predict(self) -> tuple[int, bytes]:
        mode = Standin.mode
        if mode == "hang":
            await asyncio.sleep(3600)
        if mode.startswith("sleep "):
            await asyncio.sleep(float(mode.split()[1]))
        return (int(mode), b'{"error": "as told"}') if mode.isdigit() else (200, PREDICTIONS)


async def main(version: str, port: int) -> None:
    Standin.version = version
    if version.startswith("broken"):
        await asyncio.sleep(0.05)
        raise SystemExit("no module named 'lightgbm'")
    if version.startswith("worse"):
        Standin.mode = "500"
    if version.startswith("refusing"):
        Standin.mode = "400"
    host, shared = os.environ.get("STANDIN_HOST", "127.0.0.1"), WORKERS > 1
    server = await asyncio.get_running_loop().create_server(Standin, host, port, reuse_port=shared)
    async with server:
        await server.serve_forever()


def replicas(version: str, port: int) -> None:
    """Several workers on one port; one that has ended is started again a second later."""
    for _ in range(WORKERS):
        _worker(version, port)
    while True:
        os.wait()
        time.sleep(1.0)
        _worker(version, port)


def _worker(version: str, port: int) -> None:
    if os.fork() == 0:
        asyncio.run(main(version, port))


if __name__ == "__main__":
    if WORKERS > 1:
        replicas(sys.argv[1], int(sys.argv[2]))
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
