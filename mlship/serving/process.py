"""The life of one serving process, from loading to drained: alone on the port, or as a worker among others."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn

from mlship.errors import Exit
from mlship.serving import tracing
from mlship.serving.app import App, Identity, Phase
from mlship.serving.batching import Work
from mlship.serving.exposition import Described
from mlship.serving.feedback import Feedback
from mlship.serving.limits import Limits
from mlship.serving.notes import Notes, Subject
from mlship.serving.observing import Observing
from mlship.serving.others import Alone, Others
from mlship.serving.predictionlog import PredictionLog

#: Seconds. Longer than the router keeps an idle connection, so that it is never the server that closes one in use.
KEEP_ALIVE = 75
#: After SIGTERM, how long answers say `connection: close` before idle connections are closed, and then how long the
#: requests in flight may take; and how long the disk may take for what is still to be logged.
DRAIN, FINISH, FLUSH = 1.0, 30, 3.0

log = logging.getLogger("mlship.serving")


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
    """Loads the model beside the event loop.

    Parameters
    ----------
    on_ready
        Called in the event loop with what answers requests and the version of MLflow, when the model is warm.
    on_fault
        Called in this thread when the model does not load; the fault is `fault`.
    """

    def __init__(
        self,
        model_dir: Path,
        called: Callable[[int], None],
        on_ready: Callable[[Work, str], None],
        on_fault: Callable[[], None],
    ) -> None:
        super().__init__(name="loader", daemon=True)
        self._model_dir = model_dir
        self._called = called
        self._on_ready = on_ready
        self._on_fault = on_fault
        self._loop = asyncio.get_running_loop()
        self.fault: BaseException | None = None

    def run(self) -> None:
        """Load and warm up; on any fault, remember it and say so."""
        from mlship.serving.load import load

        try:
            scorer, mlflow_version = load(self._model_dir, self._called)
        except BaseException as fault:  # noqa: BLE001 - carried to the main thread; a model's code may even exit
            self.fault = fault
            self._on_fault()
            return
        self._loop.call_soon_threadsafe(self._on_ready, scorer.answer, mlflow_version)


def title(arguments: argparse.Namespace) -> str:
    """How log lines name the server."""
    return f"{arguments.name} version {arguments.version}"


def build(arguments: argparse.Namespace, others: Others, worker: int) -> tuple[App, Observing]:
    """The application of one process and its observer, as the command line wants them."""
    prediction_log = None
    if arguments.log_sample > 0:
        short = arguments.digest.rpartition(":")[2][:8]
        directory = arguments.log_directory or Path("predictions") / f"{arguments.version}-{short}"
        prediction_log = PredictionLog(
            directory.absolute(), arguments.log_size, worker=worker, workers=arguments.workers
        )
    subject = Subject(
        arguments.name,
        arguments.version,
        arguments.log_sample,
        features=not arguments.log_no_features,
        redact=frozenset(arguments.redact),
    )
    observer = Observing(
        Described(arguments.name, arguments.version, arguments.digest, arguments.policy_digest),
        Notes(subject, prediction_log),
        prediction_log,
        Feedback(arguments.label_tolerance),
        others,
    )
    identity = Identity(arguments.name, arguments.version, arguments.digest)
    queue = -(-arguments.max_queue // arguments.workers)  # they are one server, and its bound is for all of them
    limits = Limits(queue, arguments.max_body, arguments.timeout)
    return App(identity, observer, limits), observer


def config(app: Any) -> uvicorn.Config:
    """How uvicorn serves an ASGI application here."""
    return uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # nobody asks for the address of a caller
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=FINISH,
    )


def run(arguments: argparse.Namespace, listener: socket.socket) -> int:
    """Serve alone until stopped; return the exit code. Raises what kept the model from loading."""
    app, observer = build(arguments, Alone(), 0)
    traced, spans = tracing.traced(app, arguments.name, arguments.version)
    server = Server(config(traced), app)
    # uvicorn raises the signal again when it is done; the exit code is ours to choose.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    loop_factory = server.config.get_loop_factory()
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        loader = runner.run(_serve(server, app, observer, listener, arguments))
    observer.close(FLUSH)
    spans.close(FLUSH)
    if loader.fault is not None:
        raise loader.fault
    return Exit.INTERRUPTED if server.stopped_by == signal.SIGINT else Exit.PASSED


async def _serve(
    server: Server, app: App, observer: Observing, listener: socket.socket, arguments: argparse.Namespace
) -> Loader:
    started = time.monotonic()
    host, port = listener.getsockname()[:2]

    def on_ready(work: Work, mlflow_version: str) -> None:
        app.ready(work, mlflow_version)
        log.info("%s is ready on %s:%d after %.1f s", title(arguments), host, port, time.monotonic() - started)

    def on_fault() -> None:
        server.should_exit = True

    loader = Loader(arguments.model_dir, observer.called, on_ready, on_fault)
    loader.start()
    log.info("%s is loading, listening on %s:%d", title(arguments), host, port)
    await server.serve(sockets=[listener])
    return loader
