// Sends traces, metrics and logs with the OpenTelemetry JS SDK over OTLP/HTTP in JSON.
//
// usage: node send.js ENDPOINT none|gzip
//
// With gzip the bodies come in chunks, without a length. Prints the ids as JSON.
"use strict";

const { SpanStatusCode, context, trace } = require("@opentelemetry/api");
const { SeverityNumber } = require("@opentelemetry/api-logs");
const { OTLPLogExporter } = require("@opentelemetry/exporter-logs-otlp-http");
const { OTLPMetricExporter } = require("@opentelemetry/exporter-metrics-otlp-http");
const { OTLPTraceExporter } = require("@opentelemetry/exporter-trace-otlp-http");
const { resourceFromAttributes } = require("@opentelemetry/resources");
const { BatchLogRecordProcessor, LoggerProvider } = require("@opentelemetry/sdk-logs");
const { MeterProvider, PeriodicExportingMetricReader } = require("@opentelemetry/sdk-metrics");
const { BatchSpanProcessor, NodeTracerProvider } = require("@opentelemetry/sdk-trace-node");

async function main() {
  const [endpoint, compression] = process.argv.slice(2);
  const service = `js-${compression}`;
  const resource = resourceFromAttributes({ "service.name": service });
  const settings = (signal) => ({ url: `${endpoint}/v1/${signal}`, compression });

  const tracing = new NodeTracerProvider({
    resource,
    spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter(settings("traces")))],
  });
  const logging = new LoggerProvider({
    resource,
    processors: [new BatchLogRecordProcessor({ exporter: new OTLPLogExporter(settings("logs")) })],
  });
  const reader = new PeriodicExportingMetricReader({ exporter: new OTLPMetricExporter(settings("metrics")) });
  const metering = new MeterProvider({ resource, readers: [reader] });

  const tracer = tracing.getTracer("client");
  const logger = logging.getLogger("client");
  const counter = metering.getMeter("client").createCounter("client.requests");
  const histogram = metering.getMeter("client").createHistogram("client.duration", { unit: "s" });
  const outer = tracer.startSpan("outer", { attributes: { tries: 3, ratio: 0.5, names: ["a", "b"] } });
  const inside = trace.setSpan(context.active(), outer);
  for (let number = 0; number < 10; number++) {
    const inner = tracer.startSpan("inner", {}, inside);
    inner.addEvent("working", { number });
    inner.setStatus({ code: number === 7 ? SpanStatusCode.ERROR : SpanStatusCode.OK });
    counter.add(1, { even: number % 2 === 0 });
    histogram.record(number / 10);
    logger.emit({
      context: trace.setSpan(inside, inner),
      severityNumber: SeverityNumber.WARN,
      severityText: "WARN",
      body: `step ${number} of the js client`,
      attributes: { number },
    });
    inner.end();
  }
  outer.end();
  for (const provider of [tracing, logging, metering]) {
    await provider.forceFlush();
    await provider.shutdown();
  }
  console.log(JSON.stringify({ service, trace_id: outer.spanContext().traceId }));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
