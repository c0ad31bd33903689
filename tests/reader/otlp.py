"""Export requests in protobuf as rows in OTLP's JSON. Members that hold their default are left
out, but for those of which OTLP says whether they are there."""

import base64
import math
import struct

from blocks import Cursor, signed, unzigzag

KEY_VALUES = ("KeyValue", True)
SCHEMA = {
    "Resource": {1: ("attributes", *KEY_VALUES), 2: ("droppedAttributesCount", "u32", False), 3: ("entityRefs", "EntityRef", True)},
    "EntityRef": {1: ("schemaUrl", "text", False), 2: ("type", "text", False), 3: ("idKeys", "text", True), 4: ("descriptionKeys", "text", True)},
    "Scope": {1: ("name", "text", False), 2: ("version", "text", False), 3: ("attributes", *KEY_VALUES), 4: ("droppedAttributesCount", "u32", False)},
    "KeyValue": {1: ("key", "text", False), 2: ("value", "AnyValue", False)},
    "AnyValue": {
        1: ("stringValue", "text", False), 2: ("boolValue", "bool", False), 3: ("intValue", "i64", False),
        4: ("doubleValue", "double", False), 5: ("arrayValue", "ArrayValue", False),
        6: ("kvlistValue", "KeyValueList", False), 7: ("bytesValue", "bytes", False),
    },
    "ArrayValue": {1: ("values", "AnyValue", True)},
    "KeyValueList": {1: ("values", *KEY_VALUES)},
    "Span": {
        1: ("traceId", "hex", False), 2: ("spanId", "hex", False), 3: ("traceState", "text", False),
        4: ("parentSpanId", "hex", False), 5: ("name", "text", False), 6: ("kind", "i32", False),
        7: ("startTimeUnixNano", "f64", False), 8: ("endTimeUnixNano", "f64", False),
        9: ("attributes", *KEY_VALUES), 10: ("droppedAttributesCount", "u32", False),
        11: ("events", "Event", True), 12: ("droppedEventsCount", "u32", False),
        13: ("links", "Link", True), 14: ("droppedLinksCount", "u32", False),
        15: ("status", "Status", False), 16: ("flags", "f32", False),
    },
    "Event": {1: ("timeUnixNano", "f64", False), 2: ("name", "text", False), 3: ("attributes", *KEY_VALUES), 4: ("droppedAttributesCount", "u32", False)},
    "Link": {
        1: ("traceId", "hex", False), 2: ("spanId", "hex", False), 3: ("traceState", "text", False),
        4: ("attributes", *KEY_VALUES), 5: ("droppedAttributesCount", "u32", False), 6: ("flags", "f32", False),
    },
    "Status": {2: ("message", "text", False), 3: ("code", "i32", False)},
    "LogRecord": {
        1: ("timeUnixNano", "f64", False), 2: ("severityNumber", "i32", False), 3: ("severityText", "text", False),
        5: ("body", "AnyValue", False), 6: ("attributes", *KEY_VALUES), 7: ("droppedAttributesCount", "u32", False),
        8: ("flags", "f32", False), 9: ("traceId", "hex", False), 10: ("spanId", "hex", False),
        11: ("observedTimeUnixNano", "f64", False), 12: ("eventName", "text", False),
    },
    "Metric": {
        1: ("name", "text", False), 2: ("description", "text", False), 3: ("unit", "text", False),
        5: ("gauge", "Data", False), 7: ("sum", "Data", False), 9: ("histogram", "Histogram", False),
        10: ("exponentialHistogram", "Exponential", False), 11: ("summary", "Summary", False),
        12: ("metadata", *KEY_VALUES),
    },
    "Data": {1: ("dataPoints", "Number", True), 2: ("aggregationTemporality", "i32", False), 3: ("isMonotonic", "bool", False)},
    "Histogram": {1: ("dataPoints", "HistogramPoint", True), 2: ("aggregationTemporality", "i32", False)},
    "Exponential": {1: ("dataPoints", "ExponentialPoint", True), 2: ("aggregationTemporality", "i32", False)},
    "Summary": {1: ("dataPoints", "SummaryPoint", True)},
    "Number": {
        2: ("startTimeUnixNano", "f64", False), 3: ("timeUnixNano", "f64", False), 4: ("asDouble", "double", False),
        5: ("exemplars", "Exemplar", True), 6: ("asInt", "sf64", False), 7: ("attributes", *KEY_VALUES), 8: ("flags", "u32", False),
    },
    "HistogramPoint": {
        2: ("startTimeUnixNano", "f64", False), 3: ("timeUnixNano", "f64", False), 4: ("count", "f64", False),
        5: ("sum", "double", False), 6: ("bucketCounts", "f64", True), 7: ("explicitBounds", "double", True),
        8: ("exemplars", "Exemplar", True), 9: ("attributes", *KEY_VALUES), 10: ("flags", "u32", False),
        11: ("min", "double", False), 12: ("max", "double", False),
    },
    "ExponentialPoint": {
        1: ("attributes", *KEY_VALUES), 2: ("startTimeUnixNano", "f64", False), 3: ("timeUnixNano", "f64", False),
        4: ("count", "f64", False), 5: ("sum", "double", False), 6: ("scale", "s32", False), 7: ("zeroCount", "f64", False),
        8: ("positive", "Buckets", False), 9: ("negative", "Buckets", False), 10: ("flags", "u32", False),
        11: ("exemplars", "Exemplar", True), 12: ("min", "double", False), 13: ("max", "double", False),
        14: ("zeroThreshold", "double", False),
    },
    "Buckets": {1: ("offset", "s32", False), 2: ("bucketCounts", "u64", True)},
    "SummaryPoint": {
        2: ("startTimeUnixNano", "f64", False), 3: ("timeUnixNano", "f64", False), 4: ("count", "f64", False),
        5: ("sum", "double", False), 6: ("quantileValues", "Quantile", True), 7: ("attributes", *KEY_VALUES), 8: ("flags", "u32", False),
    },
    "Quantile": {1: ("quantile", "double", False), 2: ("value", "double", False)},
    "Exemplar": {
        2: ("timeUnixNano", "f64", False), 3: ("asDouble", "double", False), 4: ("spanId", "hex", False),
        5: ("traceId", "hex", False), 6: ("asInt", "sf64", False), 7: ("filteredAttributes", *KEY_VALUES),
    },
}
ROWS = {1: "Span", 2: "LogRecord", 3: "Metric"}
KINDS = ("gauge", "sum", "histogram", "exponentialHistogram", "summary")

# Where there is a difference between a default and nothing.
EXPLICIT = {
    "stringValue", "boolValue", "intValue", "doubleValue", "arrayValue", "kvlistValue",
    "bytesValue", "asInt", "asDouble", "sum", "min", "max", "positive", "negative", "status", *KINDS,
}


def double(bits):
    """The 64 bits of a double as JSON has it."""
    value = struct.unpack("<d", struct.pack("<Q", bits))[0]
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value


def pruned(value):
    """Without members that hold their default."""
    if isinstance(value, list):
        return [pruned(item) for item in value]
    if not isinstance(value, dict):
        return value
    out = {}
    for name, member in value.items():
        member = pruned(member)
        if name in EXPLICIT or member not in ("", "0", 0, [], {}, False, None):
            out[name] = member
    return out


def fields(data):
    """(number, wire type, payload) of each field of a message."""
    cursor = Cursor(data)
    while cursor.at < len(data):
        key = cursor.varint()
        wire = key & 7
        if wire == 0:
            yield key >> 3, wire, cursor.varint()
        elif wire == 2:
            yield key >> 3, wire, cursor.take(cursor.varint())
        else:
            size = {1: 8, 5: 4}[wire]
            yield key >> 3, wire, int.from_bytes(cursor.take(size), "little")


def scalar(kind, payload):
    if kind == "text":
        return payload.decode()
    if kind == "bytes":
        return base64.b64encode(payload).decode()
    if kind == "hex":
        return payload.hex()
    if kind == "double":
        return double(payload)
    if kind == "bool":
        return bool(payload)
    if kind in ("i64", "sf64"):
        return str(signed(payload))
    if kind in ("u64", "f64"):
        return str(payload)
    if kind == "i32":
        return signed(payload)
    if kind == "s32":
        return signed(unzigzag(payload))
    return payload


def listed(kind, wire, payload):
    """The members that one field of a list brings: one, or several that are packed."""
    if wire != 2 or kind in ("text", "bytes", "hex") or kind in SCHEMA:
        return [payload]
    cursor = Cursor(payload)
    out = []
    while cursor.at < len(payload):
        wide = kind in ("f64", "sf64", "double")
        out.append(int.from_bytes(cursor.take(8), "little") if wide else cursor.varint())
    return out


def message(name, data):
    """A message as JSON."""
    out = {}
    for number, wire, payload in fields(data):
        if number not in SCHEMA[name]:
            continue
        member, kind, repeated = SCHEMA[name][number]
        read = (lambda p: message(kind, p)) if kind in SCHEMA else (lambda p: scalar(kind, p))
        if repeated:
            out.setdefault(member, []).extend(read(p) for p in listed(kind, wire, payload))
        else:
            out[member] = read(payload)
    return pruned(out)


def points(metric):
    """A metric cut into one for each point."""
    kind = next((kind for kind in KINDS if kind in metric), None)
    for point in metric.get(kind, {}).get("dataPoints", []) if kind else []:
        yield {**metric, kind: {**metric[kind], "dataPoints": [point]}}


def envelope(data):
    """(resource or scope, what is in it, schema URL) of an envelope."""
    head, inner, url = b"", [], ""
    for number, _, payload in fields(data):
        if number == 1:
            head += payload
        elif number == 2:
            inner.append(payload)
        elif number == 3:
            url = payload.decode()
    return head, inner, url


def rows(signal, request):
    """Every row of an export request."""
    for _, _, outer in fields(request):
        resource, scopes, resource_url = envelope(outer)
        for inner in scopes:
            scope, found, scope_url = envelope(inner)
            for row in found:
                row = message(ROWS[signal], row)
                for one in points(row) if signal == 3 else [row]:
                    yield {
                        "resource": message("Resource", resource),
                        "resourceSchemaUrl": resource_url,
                        "scope": message("Scope", scope),
                        "scopeSchemaUrl": scope_url,
                        "row": one,
                    }
