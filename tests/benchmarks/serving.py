"""Our server against `mlflow models serve`, with the same model in the same run; prints JSON as its last line.

One-row requests over kept-alive connections, closed loop: each connection sends when it has its answer. So the figures
compare servers; they are no latency budget, for which a closed loop is the wrong instrument.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import warnings
from functools import partial
from pathlib import Path
from typing import Any

SECONDS = 3.0
CONNECTIONS = (1, 64)


def save_model(directory: Path) -> bytes:
    """Save a gradient booster over mixed columns, as the demo has; return the body of a one-row request."""
    import mlflow.sklearn
    import numpy as np
    import pandas as pd
    from mlflow.models import infer_signature
    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OrdinalEncoder

    rng = np.random.default_rng(0)
    rows = pd.DataFrame(
        {
            "carrier": rng.choice(["AA", "B6", "UA"], 3000),
            "origin": rng.choice(["EWR", "JFK", "LGA"], 3000),
            "hour": rng.integers(0, 24, 3000),
            "distance": rng.normal(1000, 300, 3000),
            "dep_delay": rng.normal(10, 30, 3000),
        }
    )
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    model = make_pipeline(
        make_column_transformer((encoder, ["carrier", "origin"]), remainder="passthrough"),
        HistGradientBoostingClassifier(max_iter=100, random_state=0),
    ).fit(rows, rows["dep_delay"] > 15)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow.sklearn.save_model(
            model,
            directory,
            signature=infer_signature(rows, model.predict(rows)),
            input_example=rows.head(2),
            serialization_format="cloudpickle",
            pip_requirements=["scikit-learn"],
        )
    return json.dumps({"dataframe_split": {"columns": list(rows), "data": rows.head(1).values.tolist()}}).encode()


class Caller(asyncio.Protocol):
    """One connection: sends, waits for the whole answer, notes the time, sends again."""

    def __init__(self, request: bytes, deadline: float) -> None:
        self._request = request
        self._deadline = deadline
        self._received = b""
        self._sent = 0.0
        self.seconds: list[float] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        if len(body) < length:
            return
        if not head.startswith(b"HTTP/1.1 200"):
            self.done.set_exception(RuntimeError(self._received.decode()))
            return
        self.seconds.append(time.perf_counter() - self._sent)
        self._received = b""
        if time.perf_counter() < self._deadline:
            self._send()
        else:
            self._transport.close()
            self.done.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or ConnectionError("closed by the server"))

    def _send(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(self._request)


def identity(caller: Caller) -> Caller:
    """The protocol of a connection is its caller."""
    return caller


async def load(port: int, body: bytes, connections: int, seconds: float) -> dict[str, float]:
    """Keep `connections` requests in flight for `seconds`."""
    lines = ["POST /invocations HTTP/1.1", "host: x", "content-type: application/json", f"content-length: {len(body)}"]
    request = "\r\n".join([*lines, "", ""]).encode() + body
    deadline = time.perf_counter() + seconds
    callers = [Caller(request, deadline) for _ in range(connections)]
    started = time.perf_counter()
    for caller in callers:
        await asyncio.get_running_loop().create_connection(partial(identity, caller), "127.0.0.1", port)
    await asyncio.gather(*(caller.done for caller in callers))
    took = time.perf_counter() - started
    answers = sorted(second for caller in callers for second in caller.seconds)
    return {
        "requests_per_second": round(len(answers) / took, 1),
        "p50_ms": round(statistics.median(answers) * 1e3, 2),
        "p99_ms": round(answers[int(len(answers) * 0.99)] * 1e3, 2),
    }


def measure(command: list[str], port: int, body: bytes) -> dict[str, Any]:
    """Start a server, wait until it is ready, load it, and stop it."""
    started = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True, env=environment()
    )
    try:
        while not answers(port):
            if process.poll() is not None:
                raise RuntimeError(f"{command} ended with {process.returncode}")
            time.sleep(0.02)
        result: dict[str, Any] = {"ready_seconds": round(time.perf_counter() - started, 2)}
        asyncio.run(load(port, body, 8, 0.5))  # warm
        for connections in CONNECTIONS:
            result[f"connections_{connections}"] = asyncio.run(load(port, body, connections, SECONDS))
        result["rss_mb"] = round(memory(process.pid) / 1e6)
        return result
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=60)


def environment() -> dict[str, str]:
    """The environment of both servers: this interpreter's programs first (`mlflow` starts `uvicorn` by name)."""
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def answers(port: int) -> bool:
    """Whether /ping answers 200."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def memory(group: int) -> int:
    """Resident bytes of the largest process of a group: the one that holds the model."""
    pages = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if os.getpgid(int(path.name)) == group:
                pages.append(int((path / "statm").read_text().split()[1]))
        except (ProcessLookupError, FileNotFoundError):
            continue
    return max(pages) * os.sysconf("SC_PAGE_SIZE")


def free_port() -> int:
    """A port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def main() -> None:
    """Measure both, one after the other."""
    with tempfile.TemporaryDirectory() as directory:
        model = Path(directory) / "model"
        body = save_model(model)
        ours, theirs = free_port(), free_port()
        named = ["--name", "benchmark", "--version", "1", "--digest", "sha256:0"]
        served = ["--model-dir", str(model), *named, "--listen", f"127.0.0.1:{ours}"]
        results = {
            "mlship": measure([sys.executable, "-m", "mlship.serving", *served], ours, body),
            "mlflow": measure(
                [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(model), "--env-manager", "local",
                 "-h", "127.0.0.1", "-p", str(theirs)], theirs, body,
            ),
        }  # fmt: skip
    print(json.dumps(results))


if __name__ == "__main__":
    main()
