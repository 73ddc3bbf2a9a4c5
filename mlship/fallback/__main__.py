"""`python -m mlship.fallback`: arguments, log lines, and the life of the process."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path

import uvicorn
import uvloop

from mlship.errors import Exit, MlshipError, UsageError
from mlship.fallback.app import App
from mlship.fallback.jobs import Jobs
from mlship.fallback.worker import Workers

#: Seconds; longer than the router keeps an idle connection, so that it is never the server that closes one in use.
KEEP_ALIVE = 75
#: Seconds that requests in flight may take after SIGTERM.
FINISH = 10
#: Seconds between two looks at the settings.
LOOK_SECONDS = 0.2

log = logging.getLogger("mlship.fallback")


async def serve(arguments: argparse.Namespace, listener: socket.socket) -> None:
    """Answer until stopped."""
    jobs = Jobs(arguments.jobs)
    app: App
    workers = Workers(jobs, lambda: app.settings)
    app = App(arguments.settings, jobs, workers.wake)
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
    workers.start()
    watching = asyncio.create_task(_watch(app))
    log.info("answers on %s:%d (%s)", *listener.getsockname()[:2], app.settings.kind)
    try:
        await uvicorn.Server(config).serve(sockets=[listener])
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
        await app.close()
        await asyncio.to_thread(workers.stop)
        jobs.close()


async def _watch(app: App) -> None:
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        await app.refresh()


def listen(address: str) -> socket.socket:
    """Bind HOST:PORT; raises ``UsageError`` with the reason."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    if not host or not port.isdigit():
        raise UsageError("expected HOST:PORT", where=f"--listen {address}", hint="for example --listen 127.0.0.1:9000")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, int(port)), family=family, backlog=2048)
    except (OSError, OverflowError) as refused:
        raise UsageError(f"cannot listen here: {refused}", where=address, hint="choose a free port") from refused


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m mlship.fallback", description="Answer when no model does.")
    parser.add_argument("--settings", type=Path, required=True, help="JSON file; read again whenever it changes")
    parser.add_argument("--jobs", type=Path, required=True, help="SQLite file of the queue; made unless it is there")
    parser.add_argument("--listen", required=True, metavar="HOST:PORT", help="port 0 takes a free one")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run; return the exit code."""
    arguments = parse(argv)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("mlship").setLevel(logging.INFO)
    # uvicorn raises the signal again when it is done; the exit code is ours to choose.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    try:
        # asyncio's own would hold every answer back for 40 ms: it leaves Nagle's algorithm on for such a socket.
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(arguments, listen(arguments.listen)))
    except MlshipError as fault:
        sys.stderr.write(f"mlship.fallback: {fault.where}: {fault.what}\n")
        return int(fault.exit_code)
    except Exception as fault:
        if os.environ.get("MLSHIP_DEBUG"):
            raise
        sys.stderr.write(f"mlship.fallback: internal error: {type(fault).__name__}: {fault}\n")
        return int(Exit.UNREACHABLE)
    return int(Exit.PASSED)


if __name__ == "__main__":
    sys.exit(main())
