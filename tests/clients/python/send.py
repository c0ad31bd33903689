"""Sends traces, metrics and logs with the OpenTelemetry Python SDK.

usage: send.py grpc ENDPOINT | send.py http ENDPOINT

Over HTTP the bodies are protobuf, compressed with gzip. Prints the ids as JSON.
"""

import json
import sys
import time

from opentelemetry import trace
from opentelemetry._logs import SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor


def exporters(protocol, endpoint):
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

        settings = {"endpoint": endpoint, "insecure": True}
        return OTLPSpanExporter(**settings), OTLPMetricExporter(**settings), OTLPLogExporter(**settings)
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    gzip = Compression.Gzip
    return (
        OTLPSpanExporter(endpoint=endpoint + "/v1/traces", compression=gzip),
        OTLPMetricExporter(endpoint=endpoint + "/v1/metrics", compression=gzip),
        OTLPLogExporter(endpoint=endpoint + "/v1/logs", compression=gzip),
    )


def main():
    protocol, endpoint = sys.argv[1:]
    service = "python-" + protocol
    resource = Resource.create({"service.name": service})
    span_exporter, metric_exporter, log_exporter = exporters(protocol, endpoint)

    tracing = TracerProvider(resource=resource)
    tracing.add_span_processor(BatchSpanProcessor(span_exporter))
    logging = LoggerProvider(resource=resource)
    logging.add_log_record_processor(BatchLogRecordProcessor(log_exporter))
    reader = PeriodicExportingMetricReader(metric_exporter)
    metering = MeterProvider(resource=resource, metric_readers=[reader])

    tracer = tracing.get_tracer("client")
    logger = logging.get_logger("client")
    counter = metering.get_meter("client").create_counter("client.requests")
    histogram = metering.get_meter("client").create_histogram("client.duration", unit="s")
    with tracer.start_as_current_span("outer", attributes={"tries": 3, "ratio": 0.5, "names": ["a", "b"]}) as outer:
        trace_id = outer.get_span_context().trace_id
        for number in range(10):
            with tracer.start_as_current_span("inner") as inner:
                inner.add_event("working", {"number": number})
                counter.add(1, {"even": number % 2 == 0})
                histogram.record(number / 10)
                logger.emit(
                    timestamp=time.time_ns(),
                    context=trace.set_span_in_context(inner),
                    severity_number=SeverityNumber.WARN,
                    severity_text="WARN",
                    body=f"step {number} of the python client",
                    attributes={"number": number},
                )
    for provider in (tracing, logging, metering):
        provider.force_flush()
        provider.shutdown()
    print(json.dumps({"service": service, "trace_id": f"{trace_id:032x}"}))


main()
