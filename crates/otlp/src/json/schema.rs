//! The members of OTLP's messages: JSON name, protobuf number and type.

/// A message.
pub(crate) struct Message {
    /// Its name in the specification.
    pub(crate) name: &'static str,
    /// Its members.
    pub(crate) fields: &'static [Field],
}

/// A member.
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) number: u32,
    pub(crate) kind: Kind,
    /// A list of them.
    pub(crate) repeated: bool,
    /// Written even where it holds its default: members of a `oneof`, and optional ones.
    pub(crate) explicit: bool,
}

/// A member's type.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Text,
    Hex,
    Base64,
    Bool,
    Enum,
    Uint32,
    Uint64,
    Sint32,
    Int64,
    Fixed32,
    Fixed64,
    Sfixed64,
    Double,
    Message(&'static Message),
}

impl PartialEq for Kind {
    fn eq(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

impl Kind {
    /// The type as an error names it.
    pub(crate) fn description(self) -> &'static str {
        match self {
            Kind::Text => "a string",
            Kind::Hex => "a string of hex digits",
            Kind::Base64 => "a string of base64",
            Kind::Bool => "a boolean",
            Kind::Enum => "an integer (enum names are not allowed)",
            Kind::Uint32 | Kind::Fixed32 => "an integer from 0 to 2^32 - 1",
            Kind::Sint32 => "a 32-bit integer",
            Kind::Int64 | Kind::Sfixed64 => "a 64-bit integer",
            Kind::Uint64 | Kind::Fixed64 => "an integer from 0 to 2^64 - 1",
            Kind::Double => "a number",
            Kind::Message(_) => "an object",
        }
    }
}

const fn one(name: &'static str, number: u32, kind: Kind) -> Field {
    Field {
        name,
        number,
        kind,
        repeated: false,
        explicit: false,
    }
}

const fn set(name: &'static str, number: u32, kind: Kind) -> Field {
    Field {
        name,
        number,
        kind,
        repeated: false,
        explicit: true,
    }
}

const fn many(name: &'static str, number: u32, kind: Kind) -> Field {
    Field {
        name,
        number,
        kind,
        repeated: true,
        explicit: false,
    }
}

macro_rules! message {
    ($constant:ident, $name:literal, [$($field:expr),* $(,)?]) => {
        pub(crate) static $constant: Message = Message { name: $name, fields: &[$($field),*] };
    };
}

message!(
    TRACES,
    "ExportTraceServiceRequest",
    [many("resourceSpans", 1, Kind::Message(&RESOURCE_SPANS)),]
);
message!(
    LOGS,
    "ExportLogsServiceRequest",
    [many("resourceLogs", 1, Kind::Message(&RESOURCE_LOGS)),]
);
message!(
    METRICS,
    "ExportMetricsServiceRequest",
    [many("resourceMetrics", 1, Kind::Message(&RESOURCE_METRICS)),]
);
message!(
    RESOURCE_SPANS,
    "ResourceSpans",
    [
        one("resource", 1, Kind::Message(&RESOURCE)),
        many("scopeSpans", 2, Kind::Message(&SCOPE_SPANS)),
        one("schemaUrl", 3, Kind::Text),
    ]
);
message!(
    RESOURCE_LOGS,
    "ResourceLogs",
    [
        one("resource", 1, Kind::Message(&RESOURCE)),
        many("scopeLogs", 2, Kind::Message(&SCOPE_LOGS)),
        one("schemaUrl", 3, Kind::Text),
    ]
);
message!(
    RESOURCE_METRICS,
    "ResourceMetrics",
    [
        one("resource", 1, Kind::Message(&RESOURCE)),
        many("scopeMetrics", 2, Kind::Message(&SCOPE_METRICS)),
        one("schemaUrl", 3, Kind::Text),
    ]
);
message!(
    SCOPE_SPANS,
    "ScopeSpans",
    [
        one("scope", 1, Kind::Message(&SCOPE)),
        many("spans", 2, Kind::Message(&SPAN)),
        one("schemaUrl", 3, Kind::Text),
    ]
);
message!(
    SCOPE_LOGS,
    "ScopeLogs",
    [
        one("scope", 1, Kind::Message(&SCOPE)),
        many("logRecords", 2, Kind::Message(&LOG_RECORD)),
        one("schemaUrl", 3, Kind::Text),
    ]
);
message!(
    SCOPE_METRICS,
    "ScopeMetrics",
    [
        one("scope", 1, Kind::Message(&SCOPE)),
        many("metrics", 2, Kind::Message(&METRIC)),
        one("schemaUrl", 3, Kind::Text),
    ]
);
message!(
    RESOURCE,
    "Resource",
    [
        many("attributes", 1, Kind::Message(&KEY_VALUE)),
        one("droppedAttributesCount", 2, Kind::Uint32),
        many("entityRefs", 3, Kind::Message(&ENTITY_REF)),
    ]
);
message!(
    ENTITY_REF,
    "EntityRef",
    [
        one("schemaUrl", 1, Kind::Text),
        one("type", 2, Kind::Text),
        many("idKeys", 3, Kind::Text),
        many("descriptionKeys", 4, Kind::Text),
    ]
);
message!(
    SCOPE,
    "InstrumentationScope",
    [
        one("name", 1, Kind::Text),
        one("version", 2, Kind::Text),
        many("attributes", 3, Kind::Message(&KEY_VALUE)),
        one("droppedAttributesCount", 4, Kind::Uint32),
    ]
);
message!(
    KEY_VALUE,
    "KeyValue",
    [
        one("key", 1, Kind::Text),
        one("value", 2, Kind::Message(&ANY_VALUE)),
    ]
);
message!(
    ANY_VALUE,
    "AnyValue",
    [
        set("stringValue", 1, Kind::Text),
        set("boolValue", 2, Kind::Bool),
        set("intValue", 3, Kind::Int64),
        set("doubleValue", 4, Kind::Double),
        set("arrayValue", 5, Kind::Message(&ARRAY_VALUE)),
        set("kvlistValue", 6, Kind::Message(&KEY_VALUE_LIST)),
        set("bytesValue", 7, Kind::Base64),
    ]
);
message!(
    ARRAY_VALUE,
    "ArrayValue",
    [many("values", 1, Kind::Message(&ANY_VALUE))]
);
message!(
    KEY_VALUE_LIST,
    "KeyValueList",
    [many("values", 1, Kind::Message(&KEY_VALUE))]
);
message!(
    SPAN,
    "Span",
    [
        one("traceId", 1, Kind::Hex),
        one("spanId", 2, Kind::Hex),
        one("traceState", 3, Kind::Text),
        one("parentSpanId", 4, Kind::Hex),
        one("name", 5, Kind::Text),
        one("kind", 6, Kind::Enum),
        one("startTimeUnixNano", 7, Kind::Fixed64),
        one("endTimeUnixNano", 8, Kind::Fixed64),
        many("attributes", 9, Kind::Message(&KEY_VALUE)),
        one("droppedAttributesCount", 10, Kind::Uint32),
        many("events", 11, Kind::Message(&EVENT)),
        one("droppedEventsCount", 12, Kind::Uint32),
        many("links", 13, Kind::Message(&LINK)),
        one("droppedLinksCount", 14, Kind::Uint32),
        one("status", 15, Kind::Message(&STATUS)),
        one("flags", 16, Kind::Fixed32),
    ]
);
message!(
    EVENT,
    "Event",
    [
        one("timeUnixNano", 1, Kind::Fixed64),
        one("name", 2, Kind::Text),
        many("attributes", 3, Kind::Message(&KEY_VALUE)),
        one("droppedAttributesCount", 4, Kind::Uint32),
    ]
);
message!(
    LINK,
    "Link",
    [
        one("traceId", 1, Kind::Hex),
        one("spanId", 2, Kind::Hex),
        one("traceState", 3, Kind::Text),
        many("attributes", 4, Kind::Message(&KEY_VALUE)),
        one("droppedAttributesCount", 5, Kind::Uint32),
        one("flags", 6, Kind::Fixed32),
    ]
);
message!(
    STATUS,
    "Status",
    [one("message", 2, Kind::Text), one("code", 3, Kind::Enum)]
);
message!(
    LOG_RECORD,
    "LogRecord",
    [
        one("timeUnixNano", 1, Kind::Fixed64),
        one("severityNumber", 2, Kind::Enum),
        one("severityText", 3, Kind::Text),
        one("body", 5, Kind::Message(&ANY_VALUE)),
        many("attributes", 6, Kind::Message(&KEY_VALUE)),
        one("droppedAttributesCount", 7, Kind::Uint32),
        one("flags", 8, Kind::Fixed32),
        one("traceId", 9, Kind::Hex),
        one("spanId", 10, Kind::Hex),
        one("observedTimeUnixNano", 11, Kind::Fixed64),
        one("eventName", 12, Kind::Text),
    ]
);
message!(
    METRIC,
    "Metric",
    [
        one("name", 1, Kind::Text),
        one("description", 2, Kind::Text),
        one("unit", 3, Kind::Text),
        set("gauge", 5, Kind::Message(&GAUGE)),
        set("sum", 7, Kind::Message(&SUM)),
        set("histogram", 9, Kind::Message(&HISTOGRAM)),
        set(
            "exponentialHistogram",
            10,
            Kind::Message(&EXPONENTIAL_HISTOGRAM)
        ),
        set("summary", 11, Kind::Message(&SUMMARY)),
        many("metadata", 12, Kind::Message(&KEY_VALUE)),
    ]
);
message!(
    GAUGE,
    "Gauge",
    [many("dataPoints", 1, Kind::Message(&NUMBER_POINT))]
);
message!(
    SUM,
    "Sum",
    [
        many("dataPoints", 1, Kind::Message(&NUMBER_POINT)),
        one("aggregationTemporality", 2, Kind::Enum),
        one("isMonotonic", 3, Kind::Bool),
    ]
);
message!(
    HISTOGRAM,
    "Histogram",
    [
        many("dataPoints", 1, Kind::Message(&HISTOGRAM_POINT)),
        one("aggregationTemporality", 2, Kind::Enum),
    ]
);
message!(
    EXPONENTIAL_HISTOGRAM,
    "ExponentialHistogram",
    [
        many("dataPoints", 1, Kind::Message(&EXPONENTIAL_POINT)),
        one("aggregationTemporality", 2, Kind::Enum),
    ]
);
message!(
    SUMMARY,
    "Summary",
    [many("dataPoints", 1, Kind::Message(&SUMMARY_POINT))]
);
message!(
    NUMBER_POINT,
    "NumberDataPoint",
    [
        one("startTimeUnixNano", 2, Kind::Fixed64),
        one("timeUnixNano", 3, Kind::Fixed64),
        set("asDouble", 4, Kind::Double),
        many("exemplars", 5, Kind::Message(&EXEMPLAR)),
        set("asInt", 6, Kind::Sfixed64),
        many("attributes", 7, Kind::Message(&KEY_VALUE)),
        one("flags", 8, Kind::Uint32),
    ]
);
message!(
    HISTOGRAM_POINT,
    "HistogramDataPoint",
    [
        one("startTimeUnixNano", 2, Kind::Fixed64),
        one("timeUnixNano", 3, Kind::Fixed64),
        one("count", 4, Kind::Fixed64),
        set("sum", 5, Kind::Double),
        many("bucketCounts", 6, Kind::Fixed64),
        many("explicitBounds", 7, Kind::Double),
        many("exemplars", 8, Kind::Message(&EXEMPLAR)),
        many("attributes", 9, Kind::Message(&KEY_VALUE)),
        one("flags", 10, Kind::Uint32),
        set("min", 11, Kind::Double),
        set("max", 12, Kind::Double),
    ]
);
message!(
    EXPONENTIAL_POINT,
    "ExponentialHistogramDataPoint",
    [
        many("attributes", 1, Kind::Message(&KEY_VALUE)),
        one("startTimeUnixNano", 2, Kind::Fixed64),
        one("timeUnixNano", 3, Kind::Fixed64),
        one("count", 4, Kind::Fixed64),
        set("sum", 5, Kind::Double),
        one("scale", 6, Kind::Sint32),
        one("zeroCount", 7, Kind::Fixed64),
        one("positive", 8, Kind::Message(&BUCKETS)),
        one("negative", 9, Kind::Message(&BUCKETS)),
        one("flags", 10, Kind::Uint32),
        many("exemplars", 11, Kind::Message(&EXEMPLAR)),
        set("min", 12, Kind::Double),
        set("max", 13, Kind::Double),
        one("zeroThreshold", 14, Kind::Double),
    ]
);
message!(
    BUCKETS,
    "Buckets",
    [
        one("offset", 1, Kind::Sint32),
        many("bucketCounts", 2, Kind::Uint64),
    ]
);
message!(
    SUMMARY_POINT,
    "SummaryDataPoint",
    [
        one("startTimeUnixNano", 2, Kind::Fixed64),
        one("timeUnixNano", 3, Kind::Fixed64),
        one("count", 4, Kind::Fixed64),
        one("sum", 5, Kind::Double),
        many("quantileValues", 6, Kind::Message(&VALUE_AT_QUANTILE)),
        many("attributes", 7, Kind::Message(&KEY_VALUE)),
        one("flags", 8, Kind::Uint32),
    ]
);
message!(
    VALUE_AT_QUANTILE,
    "ValueAtQuantile",
    [
        one("quantile", 1, Kind::Double),
        one("value", 2, Kind::Double),
    ]
);
message!(
    EXEMPLAR,
    "Exemplar",
    [
        one("timeUnixNano", 2, Kind::Fixed64),
        set("asDouble", 3, Kind::Double),
        one("spanId", 4, Kind::Hex),
        one("traceId", 5, Kind::Hex),
        set("asInt", 6, Kind::Sfixed64),
        many("filteredAttributes", 7, Kind::Message(&KEY_VALUE)),
    ]
);
