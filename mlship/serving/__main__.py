"""`python -m mlship.serving`: arguments, log lines, and the life of the process from listening to drained.

It listens at once and answers 503 while the model loads: refused means dead, 503 means loading, 200 means ready.
"""

from __future__ import annotations

import argparse
import logging
import os
import socket
import sys
from pathlib import Path
from typing import NoReturn, get_args

# A row is too little work for several threads: spinning at each other costs more than it saves (measured on two busy
# cores: 60 ms for a row instead of 6). Must be set before numpy loads; whoever sets it knows better.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("MLFLOW_CONFIGURE_LOGGING", "false")  # one log format, ours

from mlship.errors import Exit, MlshipError, UsageError  # noqa: E402 - after the environment
from mlship.serving import logs  # noqa: E402 - after the environment
from mlship.serving.membership import Membership  # noqa: E402 - after the environment


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
    parser.add_argument(
        "--log-directory", type=Path, help="of the prediction log; default: predictions/VERSION-DIGEST here"
    )
    parser.add_argument("--log-size", type=int, default=100 * 10**6, help="bytes that the log may take")
    parser.add_argument("--log-no-features", action="store_true", help="log predictions only")
    parser.add_argument("--redact", action="append", default=[], help="a feature that is never logged; repeatable")
    parser.add_argument(
        "--log-format",
        choices=get_args(logs.Format),
        default="json" if os.environ.get("MLSHIP_LOG_FORMAT") == "json" else "text",
        help="of the server's own log lines on stderr; default: $MLSHIP_LOG_FORMAT, or text",
    )
    parser.add_argument("--member", type=Membership.read, help=argparse.SUPPRESS)  # said by the parent of workers
    arguments = parser.parse_args(argv)
    if not 1 <= arguments.workers <= 64:
        parser.error(f"--workers {arguments.workers}: expected 1 to 64")
    if not 0 <= arguments.log_sample <= 1:
        parser.error(f"--log-sample {arguments.log_sample}: expected 0 to 1")
    return arguments


def main(argv: list[str] | None = None) -> NoReturn:
    """Run, say in one line why it ended badly, and leave without waiting for a loader that is still busy."""
    words = sys.argv[1:] if argv is None else argv
    arguments = parse(words)
    logs.configure(arguments.log_format)
    try:
        code = run(arguments, words)
    except MlshipError as fault:
        code = fault.exit_code
        hint = f" (next: {fault.hint})" if fault.hint else ""
        where = f"{fault.where}: " if fault.where else ""
        logs.last_words(arguments.log_format, f"{where}{fault.what}{hint}")
    except BaseException as fault:  # noqa: BLE001 - the boundary: nothing leaves as a traceback unless asked for
        code = Exit.UNREACHABLE
        logs.last_words(arguments.log_format, f"internal error: {type(fault).__name__}: {fault}", fault)
    logging.shutdown()
    sys.stdout.flush()
    os._exit(int(code))  # a thread inside an import or a model call would crash an orderly interpreter exit


def run(arguments: argparse.Namespace, words: list[str]) -> int:
    """Serve alone, as a worker, or as the parent of workers, which imports neither MLflow nor an HTTP server."""
    if arguments.member is not None:
        from mlship.serving import member

        return member.run(arguments, arguments.member)
    listener = listen(arguments.listen)
    if arguments.workers > 1:
        from mlship.serving import workers

        return workers.run(arguments, listener, words)
    from mlship.serving import process

    return process.run(arguments, listener)


if __name__ == "__main__":
    main()
