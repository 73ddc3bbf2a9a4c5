"""OpenTelemetry: a span for each request, with the caller's `traceparent`. Off unless its environment asks for it.

The standard variables decide where spans go: `OTEL_EXPORTER_OTLP_ENDPOINT` or `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`,
headers, timeouts, sampling, `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`; `OTEL_SDK_DISABLED=true` turns them off.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
#: What is asked so often, and says so little, that a span of it helps nobody.
EXCLUDED = "/ping$,/health$,/metrics$,/counters$,/sketches$"

log = logging.getLogger("mlship.serving")


class Spans:
    """What must be sent before the process ends; nothing when there is no tracing."""

    def __init__(self, provider: TracerProvider | None = None) -> None:
        self._provider = provider

    def close(self, timeout: float) -> None:
        """Send the spans that wait; wait at most so many seconds."""
        if self._provider is not None:
            self._provider.force_flush(int(timeout * 1000))


def wanted(environment: Mapping[str, str]) -> bool:
    """Whether the environment names somebody who takes spans."""
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true" or environment.get("OTEL_TRACES_EXPORTER") == "none":
        return False
    return any(environment.get(name) for name in ENDPOINTS)


def traced(app: Any, model: str, version: str) -> tuple[Any, Spans]:
    """The application, with a span for each request when the environment wants it and the packages are there."""
    if not wanted(os.environ):
        return app, Spans()
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        resource = Resource.create({"service.name": os.environ.get("OTEL_SERVICE_NAME") or "mlship-serving"})
        provider = TracerProvider(resource=resource)
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        return instrumented(app, provider, model, version), Spans(provider)
    except ImportError as missing:
        log.warning("no spans are sent: %s (next: pip install 'mlship[otel]')", missing)
        return app, Spans()


def instrumented(app: Any, provider: TracerProvider, model: str, version: str) -> Any:
    """The application with a span for each request, handed to `provider`."""
    from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware

    def on_request(span: Span, scope: dict[str, Any]) -> None:
        del scope
        span.set_attribute("mlship.model", model)
        span.set_attribute("mlship.version", version)

    return OpenTelemetryMiddleware(
        app,
        excluded_urls=EXCLUDED,
        server_request_hook=on_request,
        http_capture_headers_server_response=["x-request-id"],
        tracer_provider=provider,
        exclude_spans=["receive", "send"],
    )
