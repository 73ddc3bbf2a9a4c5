"""Our server against `mlflow models serve`, with the same model in the same run; prints JSON as its last line.

One-row requests over kept-alive connections, closed loop: each connection sends when it has its answer. So the figures
compare servers; they are no latency budget, for which a closed loop is the wrong instrument. Each server has one
worker. MLflow's throughput is taken at the number of connections that suits it best; ours at 64. The rounds alternate,
so that what else the machine does meets both, and the median round counts. Memory is that of all processes that the
command runs, shared pages counted by their share (`mlflow models serve` keeps a second one beside its worker).
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
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

SECONDS = 2.0
ROUNDS = 3
#: Connections at which each server is measured; the issue's targets need 1 and 64 of ours, and the best of MLflow's.
OURS, THEIRS = (1, 64), (1, 2, 4, 8, 16, 64)


def save_model(directory: Path, seed: int = 0) -> bytes:
    """Save a gradient booster over mixed columns, as the demo has; return the body of a one-row request."""
    import mlflow.sklearn
    import numpy as np
    import pandas as pd
    from mlflow.models import infer_signature
    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OrdinalEncoder

    rng = np.random.default_rng(seed)
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


class Server:
    """A server as a process of its own; a context."""

    def __init__(self, command: Callable[[int], list[str]], body: bytes) -> None:
        self._port, self._body = free_port(), body
        self._command = command(self._port)

    def __enter__(self) -> Server:
        started = time.perf_counter()
        self._process = subprocess.Popen(
            self._command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env=environment(),
        )
        while not answers(self._port):
            if self._process.poll() is not None:
                raise RuntimeError(f"{self._command} ended with {self._process.returncode}")
            time.sleep(0.02)
        self.ready_seconds = time.perf_counter() - started
        asyncio.run(load(self._port, self._body, 8, 0.5))  # warm
        return self

    def __exit__(self, *_: object) -> None:
        os.killpg(self._process.pid, signal.SIGTERM)
        self._process.wait(timeout=60)

    def load(self, connections: int) -> dict[str, float]:
        """Figures of one round."""
        return asyncio.run(load(self._port, self._body, connections, SECONDS))

    def memory(self) -> int:
        """Bytes of everything that the command runs."""
        return memory(self._process.pid)


def middle(rounds: list[dict[str, float]]) -> dict[str, float]:
    """The median of each figure over some rounds."""
    return {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}


def start_again(command: Callable[[int], list[str]], body: bytes, times: int = 3) -> float:
    """Median seconds from the start until the server is ready."""
    seconds = []
    for _ in range(times):
        with Server(command, body) as server:
            seconds.append(server.ready_seconds)
    return statistics.median(seconds)


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
    """Bytes of memory of all processes of a group, shared pages by their share (PSS)."""
    total = 0
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if os.getpgid(int(path.name)) == group:
                lines = (path / "smaps_rollup").read_text().splitlines()
                total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
        except (ProcessLookupError, FileNotFoundError):
            continue
    return total


def free_port() -> int:
    """A port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def main() -> None:
    """Measure both in turns, and compare."""
    with tempfile.TemporaryDirectory() as directory:
        model = Path(directory) / "model"
        body = save_model(model)

        def our(port: int) -> list[str]:
            named = ["--name", "benchmark", "--version", "1", "--digest", "sha256:0"]
            argv = [sys.executable, "-m", "mlship.serving", "--model-dir", str(model), *named]
            return [*argv, "--listen", f"127.0.0.1:{port}"]

        def their(port: int) -> list[str]:
            argv = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(model), "--env-manager", "local"]
            return [*argv, "-h", "127.0.0.1", "-p", str(port), "--workers", "1"]

        ready = {"mlship": start_again(our, body), "mlflow": start_again(their, body)}
        rounds: dict[tuple[str, int], list[dict[str, float]]] = {}
        with Server(our, body) as ours, Server(their, body) as theirs:
            for _ in range(ROUNDS):
                for name, server, numbers in (("mlship", ours, OURS), ("mlflow", theirs, THEIRS)):
                    for connections in numbers:
                        rounds.setdefault((name, connections), []).append(server.load(connections))
            used = {"mlship": ours.memory(), "mlflow": theirs.memory()}
    figures = {key: middle(found) for key, found in rounds.items()}
    results: dict[str, Any] = {
        name: {
            "ready_seconds": round(ready[name], 2),
            "memory_mb": round(used[name] / 1e6),
            **{f"connections_{count}": found for (whose, count), found in figures.items() if whose == name},
        }
        for name in ("mlship", "mlflow")
    }
    best = max(THEIRS, key=lambda count: figures["mlflow", count]["requests_per_second"])
    results["mlflow_best_connections"] = best
    results["ratios"] = {
        "throughput_64_to_mlflow_best": round(
            figures["mlship", 64]["requests_per_second"] / figures["mlflow", best]["requests_per_second"], 1
        ),
        "p50_at_1": round(figures["mlship", 1]["p50_ms"] / figures["mlflow", 1]["p50_ms"], 2),
        "ready": round(ready["mlship"] / ready["mlflow"], 2),
        "memory": round(used["mlship"] / used["mlflow"], 2),
    }
    results["targets"] = {"throughput_64_to_mlflow_best": 30, "p50_at_1": 0.6, "ready": 0.5, "memory": 0.7}
    print(json.dumps(results))


if __name__ == "__main__":
    main()
