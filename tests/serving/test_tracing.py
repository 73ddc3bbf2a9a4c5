"""Spans: one a request, the caller's trace goes on, and nothing at all unless the environment asks for it."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from mlship.serving import tracing
from mlship.serving.logs import JsonLine
from tests.serving.conftest import call

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"

needs_packages = pytest.mark.skipif(
    importlib.util.find_spec("opentelemetry") is None
    or importlib.util.find_spec("opentelemetry.instrumentation") is None,
    reason="needs the extra otel",
)


async def answering(scope: Any, receive: Any, send: Any) -> None:
    del scope, receive
    await send({"type": "http.response.start", "status": 503, "headers": [(b"x-request-id", b"r1")]})
    await send({"type": "http.response.body", "body": b"{}"})


@needs_packages
def test_a_request_is_one_span_in_the_callers_trace_with_its_id_and_the_models_version() -> None:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    app = tracing.instrumented(answering, provider, "m", "3")
    asyncio.run(call(app, "/invocations", headers={"traceparent": PARENT}))
    asyncio.run(call(app, "/metrics", method="GET"))
    (span,) = exporter.get_finished_spans()
    assert span.context is not None
    assert f"{span.context.trace_id:032x}" == TRACE
    assert span.name == "POST /invocations"
    attributes = dict(span.attributes or {})
    assert (attributes["mlship.model"], attributes["mlship.version"]) == ("m", "3")
    assert attributes["http.response.header.x_request_id"] == ("r1",)
    assert 503 in attributes.values()


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://localhost:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318", "OTEL_SDK_DISABLED": "True"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
    ],
)
def test_spans_are_wanted_when_the_standard_variables_say_so(environment: dict[str, str], expected: bool) -> None:
    assert tracing.wanted(environment) is expected


def test_without_the_packages_the_server_says_so_and_serves(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    app, spans = tracing.traced(answering, "m", "3")
    assert app is answering
    spans.close(1)
    (record,) = caplog.records
    assert "pip install 'mlship[otel]'" in json.loads(JsonLine().format(record))["message"]


class Collector(HTTPServer):
    """Takes spans by OTLP over HTTP."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        collected = self.bodies

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                collected.append(self.rfile.read(int(self.headers["content-length"])))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                return

        super().__init__(("127.0.0.1", 0), Handler)


@needs_packages
@pytest.mark.slow
def test_a_server_sends_its_spans_before_it_ends(regressor: Path, tmp_path: Path) -> None:
    collector = Collector()
    threading.Thread(target=collector.serve_forever, daemon=True).start()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    argv = ["--model-dir", str(regressor), "--name", "m", "--version", "3", "--digest", "d"]
    process = subprocess.Popen(
        [sys.executable, "-m", "mlship.serving", *argv, "--listen", f"127.0.0.1:{port}"],
        env=os.environ
        | {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.server_port}",
            "OTEL_BSP_SCHEDULE_DELAY": "600000",
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        },
    )
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/ping")
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.1)
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/invocations",
            json.dumps({"dataframe_split": {"columns": ["a", "b"], "data": [[1.0, 2.0]]}}).encode(),
            {"content-type": "application/json", "traceparent": PARENT},
        )
        assert urllib.request.urlopen(request).status == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
    finally:
        process.kill()
        process.wait()
        collector.shutdown()
        collector.server_close()
    sent = b"".join(collector.bodies)
    assert bytes.fromhex(TRACE) in sent
    assert b"POST /invocations" in sent
    assert b"mlship-serving" in sent
