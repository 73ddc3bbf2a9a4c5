"""`python -m mlship.serving`: arguments, log lines, and the life of the process from listening to drained.

It listens at once and answers 503 while the model loads: refused means dead, 503 means loading, 200 means ready.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import NoReturn

# A row is too little work for several threads: spinning at each other costs more than it saves (measured on two busy
# cores: 60 ms for a row instead of 6). Must be set before numpy loads; whoever sets it knows better.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("MLFLOW_CONFIGURE_LOGGING", "false")  # one log format, ours

import uvicorn  # noqa: E402 - after the environment

from mlship.errors import Exit, MlshipError, UsageError  # noqa: E402 - after the environment
from mlship.serving.adapter import Single  # noqa: E402 - after the environment
from mlship.serving.app import App, Identity, Phase  # noqa: E402 - after the environment
from mlship.serving.limits import Limits  # noqa: E402 - after the environment

#: Seconds. Longer than the router keeps an idle connection, so that it is never the server that closes one in use.
KEEP_ALIVE = 75
#: After SIGTERM, how long answers say `connection: close` before idle connections are closed, and then how long the
#: requests in flight may take.
DRAIN, FINISH = 1.0, 30

log = logging.getLogger("mlship.serving")


class OneLine(logging.Formatter):
    """One line a record, whatever is in it; tracebacks only with MLSHIP_DEBUG."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record as `time level logger: message`."""
        text = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            text += f": {type(record.exc_info[1]).__name__}: {record.exc_info[1]}"
        line = f"{self.formatTime(record)} {record.levelname} {record.name}: {one_line(text)}"
        if record.exc_info and os.environ.get("MLSHIP_DEBUG"):
            line += "\n" + self.formatException(record.exc_info)
        return line


def one_line(text: str) -> str:
    """Return text without line breaks, and not longer than a screen."""
    text = " ".join(text.split())
    return text if len(text) <= 600 else text[:597] + "..."


class Server(uvicorn.Server):
    """uvicorn, with a drain before the shutdown: no answered connection is closed under a request on its way."""

    def __init__(self, config: uvicorn.Config, app: App) -> None:
        super().__init__(config)
        self._app = app
        self._deadline = 0.0
        self.stopped_by: int | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """First signal: drain, then stop; second: stop now."""
        del frame
        if self.stopped_by is not None:
            self.should_exit = self.force_exit = True
        elif self._app.phase is Phase.LOADING:
            self.should_exit = True
        else:
            self._app.drain()
            self._deadline = time.monotonic() + DRAIN
        self.stopped_by = sig

    async def on_tick(self, counter: int) -> bool:
        """Stop when the drain is over, or nobody is connected any more."""
        if self._deadline and (time.monotonic() >= self._deadline or not self.server_state.connections):
            self.should_exit = True
        return await super().on_tick(counter)


class Loader(threading.Thread):
    """Loads the model beside the event loop, and hands it to the app when it is warm."""

    def __init__(self, app: App, server: Server, model_dir: Path, on_ready: Callable[[], None]) -> None:
        super().__init__(name="loader", daemon=True)
        self._app = app
        self._server = server
        self._model_dir = model_dir
        self._on_ready = on_ready
        self._loop = asyncio.get_running_loop()
        self.fault: BaseException | None = None

    def run(self) -> None:
        """Load and warm up; on any fault, remember it and stop the server."""
        from mlship.serving.load import load

        try:
            scorer, mlflow_version = load(self._model_dir, self._app.observer.called)
        except BaseException as fault:  # noqa: BLE001 - carried to the main thread; a model's code may even exit
            self.fault = fault
            self._server.should_exit = True
            return
        self._loop.call_soon_threadsafe(self._app.ready, scorer.answer, mlflow_version)
        self._on_ready()


async def serve(server: Server, app: App, listener: socket.socket, model_dir: Path, name: str) -> Loader:
    """Listen, load, and serve until stopped."""
    started = time.monotonic()
    host, port = listener.getsockname()[:2]

    def on_ready() -> None:
        log.info("%s is ready on %s:%d after %.1f s", name, host, port, time.monotonic() - started)

    loader = Loader(app, server, model_dir, on_ready)
    loader.start()
    log.info("%s is loading, listening on %s:%d", name, host, port)
    await server.serve(sockets=[listener])
    return loader


def run(arguments: argparse.Namespace) -> int:
    """Run the server; return the exit code."""
    listener = listen(arguments.listen)
    identity = Identity(arguments.name, arguments.version, arguments.digest)
    limits = Limits(arguments.max_queue, arguments.max_body, arguments.timeout)
    app = App(identity, Single(identity, arguments.label_tolerance), limits)
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=FINISH,
    )
    server = Server(config, app)
    # uvicorn raises the signal again when it is done; the exit code is ours to choose.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    work = serve(server, app, listener, arguments.model_dir, f"{arguments.name} version {arguments.version}")
    loop_factory = config.get_loop_factory()
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        loader = runner.run(work)
    if loader.fault is not None:
        raise loader.fault
    return Exit.INTERRUPTED if server.stopped_by == signal.SIGINT else Exit.PASSED


def listen(address: str) -> socket.socket:
    """Bind HOST:PORT; raises `UsageError` with the reason."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    if not host or not port.isdigit():
        raise UsageError("expected HOST:PORT", where=f"--listen {address}", hint="for example --listen 127.0.0.1:9000")
    try:
        return socket.create_server(
            (host, int(port)), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=2048
        )
    except (OSError, OverflowError) as refused:
        raise UsageError(f"cannot listen here: {refused}", where=address, hint="choose a free port") from refused


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m mlship.serving", description="Serve one MLflow model version.")
    parser.add_argument("--model-dir", type=Path, required=True, help="directory that holds the MLmodel file")
    parser.add_argument("--name", required=True, help="registered model")
    parser.add_argument("--version", required=True, help="its version")
    parser.add_argument("--digest", required=True, help="digest of the model's files")
    parser.add_argument("--listen", required=True, metavar="HOST:PORT", help="port 0 takes a free one")
    parser.add_argument("--label-tolerance", type=float, help="a float prediction this far from its label is right")
    parser.add_argument("--policy-digest", default="", help="digest of the policy that it was deployed under")
    parser.add_argument("--workers", type=int, default=1, help="processes that share the port and the model")
    parser.add_argument("--max-queue", type=int, default=1000, help="requests that may wait; beyond it 503")
    parser.add_argument("--max-body", type=int, default=32 * 10**6, help="bytes of a request; beyond it 413")
    parser.add_argument("--timeout", type=float, default=5.0, help="seconds that a request may take, waiting included")
    parser.add_argument("--log-sample", type=float, default=0.0, help="share of requests in the prediction log")
    parser.add_argument("--log-directory", type=Path, help="where the prediction log is written")
    parser.add_argument("--log-size", type=int, default=100 * 10**6, help="bytes that the log may take")
    parser.add_argument("--log-no-features", action="store_true", help="log predictions only")
    parser.add_argument("--redact", action="append", default=[], help="a feature that is never logged; repeatable")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> NoReturn:
    """Run, say in one line why it ended badly, and leave without waiting for a loader that is still busy."""
    arguments = parse(argv)
    handler = logging.StreamHandler()
    handler.setFormatter(OneLine())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.captureWarnings(capture=True)
    logging.getLogger("mlship").setLevel(logging.INFO)
    logging.getLogger("mlflow").setLevel(logging.ERROR)  # its warnings are about single requests
    try:
        code = run(arguments)
    except MlshipError as fault:
        code = fault.exit_code
        hint = f" (next: {fault.hint})" if fault.hint else ""
        sys.stderr.write(one_line(f"mlship.serving: {fault.where}: {fault.what}{hint}") + "\n")
    except BaseException as fault:  # noqa: BLE001 - the boundary: nothing leaves as a traceback unless asked for
        code = Exit.UNREACHABLE
        if os.environ.get("MLSHIP_DEBUG"):
            traceback.print_exception(fault)
        sys.stderr.write(one_line(f"mlship.serving: internal error: {type(fault).__name__}: {fault}") + "\n")
    sys.stderr.flush()
    sys.stdout.flush()
    os._exit(int(code))  # a thread inside an import or a model call would crash an orderly interpreter exit


if __name__ == "__main__":
    main()
