"""The rows of a block from its columns, after docs/formats/store.md."""

import struct

import chunks
import otlp
from blocks import BOOL, BYTES, DOUBLE, ID16, ID8, MASK, SIGNED, TEXT, UNSIGNED, Cursor, signed, unzigzag

ATTRIBUTE_KINDS = [("s", TEXT), ("i", SIGNED), ("d", DOUBLE), ("b", BOOL), ("x", BYTES), ("a", BYTES), ("k", BYTES)]


def any_value(number, value):
    """A value of a type, numbered as attributes are, in OTLP's JSON."""
    if number == 0:
        return {"stringValue": value.decode()}
    if number == 1:
        return {"intValue": str(value)}
    if number == 2:
        return {"doubleValue": otlp.double(value)}
    if number == 3:
        return {"boolValue": bool(value)}
    if number == 4:
        return {"bytesValue": otlp.scalar("bytes", value)}
    if number == 5:
        return {"arrayValue": otlp.message("ArrayValue", value)}
    if number == 6:
        return {"kvlistValue": otlp.message("KeyValueList", value)}
    return {}


class Postcard(Cursor):
    """Reads what is in postcard."""

    def text(self):
        return self.take(self.varint()).decode()

    def octets(self):
        return self.take(self.varint())

    def signed(self):
        return signed(self.zigzag())

    def double(self):
        return otlp.double(int.from_bytes(self.take(8), "little"))

    def list(self, read):
        return [read() for _ in range(self.varint())]

    def option(self, read):
        return read() if self.byte() else None

    def value(self):
        variant = self.varint()
        if variant == 0:
            return {}
        if variant == 1:
            return {"stringValue": self.text()}
        if variant == 2:
            return {"boolValue": bool(self.byte())}
        if variant == 3:
            return {"intValue": str(self.signed())}
        if variant == 4:
            return {"doubleValue": self.double()}
        if variant == 5:
            return {"bytesValue": otlp.scalar("bytes", self.octets())}
        if variant == 6:
            return {"arrayValue": {"values": self.list(self.value)}}
        return {"kvlistValue": {"values": self.list(self.pair)}}

    def pair(self):
        return {"key": self.text(), "value": self.value()}

    def attributes(self):
        return self.list(self.pair)

    def resource(self):
        """A resource and its schema URL."""
        found = {"attributes": self.attributes(), "droppedAttributesCount": self.varint()}
        found["entityRefs"] = self.list(self.entity)
        return found, self.text()

    def entity(self):
        return {
            "schemaUrl": self.text(),
            "type": self.text(),
            "idKeys": self.list(self.text),
            "descriptionKeys": self.list(self.text),
        }

    def scope(self):
        """A scope and its schema URL."""
        found = {"name": self.text(), "version": self.text(), "attributes": self.attributes()}
        found["droppedAttributesCount"] = self.varint()
        return found, self.text()

    def metric(self):
        """A metric, the name of its kind, and what the kind has beside points."""
        found = {"name": self.text(), "description": self.text(), "unit": self.text()}
        kind = otlp.KINDS[self.varint()]
        data = {"aggregationTemporality": self.varint(), "isMonotonic": bool(self.byte())}
        found["metadata"] = self.attributes()
        return found, kind, data

    def buckets(self):
        return {"offset": self.signed(), "bucketCounts": self.list(lambda: str(self.varint()))}

    def point(self):
        variant = self.varint()
        if variant == 0:
            return {}
        if variant == 1:
            return {"asInt": str(self.signed())}
        if variant == 2:
            return {"asDouble": self.double()}
        if variant == 6:
            return {"nativeHistogram": self.native()}
        point = {"count": str(self.varint())}
        if variant == 3:
            point["sum"] = self.option(self.double)
            point["bucketCounts"] = self.list(lambda: str(self.varint()))
            point["explicitBounds"] = self.list(self.double)
            point["min"], point["max"] = self.option(self.double), self.option(self.double)
        elif variant == 4:
            point["sum"] = self.option(self.double)
            point["scale"] = self.signed()
            point["zeroCount"] = str(self.varint())
            point["positive"], point["negative"] = self.option(self.buckets), self.option(self.buckets)
            point["min"], point["max"] = self.option(self.double), self.option(self.double)
            point["zeroThreshold"] = self.double()
        else:
            point["sum"] = self.double()
            point["quantileValues"] = self.list(lambda: {"quantile": self.double(), "value": self.double()})
        return {name: value for name, value in point.items() if value is not None}

    def span(self):
        return {"offset": self.signed(), "length": self.varint()}

    def native(self):
        found = {"schema": self.signed(), "sum": self.double(), "zeroThreshold": self.double()}
        found["resetHint"] = ["unknown", "reset", "notReset", "gauge"][self.varint()]
        found["positiveSpans"], found["negativeSpans"] = self.list(self.span), self.list(self.span)
        found["floatCounts"] = bool(self.varint())
        count = self.double if found["floatCounts"] else lambda: str(self.varint())
        found["count"], found["zeroCount"] = count(), count()
        found["positive"], found["negative"] = self.list(count), self.list(count)
        found["customBounds"] = self.list(self.double)
        return found

    def exemplar(self):
        found = {"filteredAttributes": self.attributes(), "timeUnixNano": str(self.varint())}
        variant = self.varint()
        if variant == 1:
            found["asInt"] = str(self.signed())
        elif variant == 2:
            found["asDouble"] = self.double()
        found["spanId"], found["traceId"] = self.octets().hex(), self.octets().hex()
        return found


class Block:
    """Columns by name, with zeros, empty texts or no values for what is missing."""

    def __init__(self, rows, columns):
        self.rows = rows
        self.columns = columns

    def values(self, name, kind, count=None):
        missing = {TEXT: b"", BYTES: b"", ID8: bytes(8), ID16: bytes(16)}.get(kind, 0)
        count = self.rows if count is None else count
        return self.columns.get((name, kind), [missing] * count)

    def queue(self, name, kind):
        return iter(self.columns.get((name, kind), []))

    def attributes(self, prefix, count):
        """The attributes of each of so many rows, events or links."""
        keys = [key.decode() for key in self.columns.get((f"{prefix}.keys", TEXT), [])]
        if not keys:
            return [[] for _ in range(count)]
        kinds = self.values(f"{prefix}.kinds", UNSIGNED, len(keys))
        queues = [
            self.queue(f"{prefix}.{ATTRIBUTE_KINDS[kind][0]}:{key}", ATTRIBUTE_KINDS[kind][1]) if kind < 7 else None
            for key, kind in zip(keys, kinds)
        ]
        shapes = []
        for shape in self.columns.get((f"{prefix}.shapes", BYTES), []):
            cursor, indices = Cursor(shape), []
            while cursor.at < len(shape):
                indices.append(cursor.varint())
            shapes.append(indices)
        out = []
        for shape in self.values(f"{prefix}.shape", UNSIGNED, count):
            pairs = []
            for index in shapes[shape]:
                value = any_value(kinds[index], next(queues[index]) if queues[index] else None)
                pairs.append({"key": keys[index], "value": value})
            out.append(pairs)
        return out

    def interned(self, name, read):
        return [getattr(Postcard(data), read)() for data in self.columns.get((name, BYTES), [])]


def envelope(resource, scope, row):
    return otlp.pruned({
        "resource": resource[0],
        "resourceSchemaUrl": resource[1],
        "scope": scope[0],
        "scopeSchemaUrl": scope[1],
        "row": row,
    })


def optional_id(raw):
    return raw.hex() if any(raw) else ""


def parents(block, ids):
    raw = block.queue("parent.raw", ID8)
    for row, distance in enumerate(block.values("parent", SIGNED)):
        if distance == 0:
            yield ""
        elif distance == -(1 << 63):
            yield next(raw).hex()
        else:
            yield ids[row - distance].hex()


def events(block, starts):
    """The events of each row."""
    counts = block.values("event.count", UNSIGNED)
    total = sum(counts)
    times = iter(block.values("event.time", SIGNED, total))
    names = iter(block.values("event.name", TEXT, total))
    dropped = iter(block.values("event.attr.dropped", UNSIGNED, total))
    attributes = iter(block.attributes("event.attr", total))
    for start, count in zip(starts, counts):
        yield [
            {
                "timeUnixNano": str((start + next(times)) & MASK),
                "name": next(names).decode(),
                "attributes": next(attributes),
                "droppedAttributesCount": next(dropped),
            }
            for _ in range(count)
        ]


def links(block):
    """The links of each row."""
    counts = block.values("link.count", UNSIGNED)
    total = sum(counts)
    trace_ids = iter(block.values("link.trace_id", BYTES, total))
    span_ids = iter(block.values("link.span_id", BYTES, total))
    states = iter(block.values("link.trace_state", TEXT, total))
    flags = iter(block.values("link.flags", UNSIGNED, total))
    dropped = iter(block.values("link.attr.dropped", UNSIGNED, total))
    attributes = iter(block.attributes("link.attr", total))
    for count in counts:
        yield [
            {
                "traceId": next(trace_ids).hex(),
                "spanId": next(span_ids).hex(),
                "traceState": next(states).decode(),
                "flags": next(flags),
                "attributes": next(attributes),
                "droppedAttributesCount": next(dropped),
            }
            for _ in range(count)
        ]


def spans(block):
    starts = block.values("time", UNSIGNED)
    ids = block.values("span_id", ID8)
    return zip_rows(block, {
        "traceId": [raw.hex() for raw in block.values("trace_id", ID16)],
        "spanId": [raw.hex() for raw in ids],
        "parentSpanId": list(parents(block, ids)),
        "traceState": [text.decode() for text in block.values("trace_state", TEXT)],
        "flags": block.values("flags", UNSIGNED),
        "name": [text.decode() for text in block.values("name", TEXT)],
        "kind": block.values("kind", SIGNED),
        "startTimeUnixNano": [str(start) for start in starts],
        "endTimeUnixNano": [
            str((start + duration) & MASK)
            for start, duration in zip(starts, block.values("duration", SIGNED))
        ],
        "attributes": block.attributes("attr", block.rows),
        "droppedAttributesCount": block.values("attr.dropped", UNSIGNED),
        "events": list(events(block, starts)),
        "droppedEventsCount": block.values("event.dropped", UNSIGNED),
        "links": list(links(block)),
        "droppedLinksCount": block.values("link.dropped", UNSIGNED),
        "status": list(statuses(block)),
    })


def statuses(block):
    messages = block.values("status.message", TEXT)
    for coded, text in zip(block.values("status", SIGNED), messages):
        code = coded - 1 if coded > 0 else coded
        yield {"code": code, "message": text.decode()} if coded else None


def log_records(block):
    times = block.values("time", UNSIGNED)
    present = block.values("span_id.present", BOOL)
    ids = block.queue("span_id", ID8)
    return zip_rows(block, {
        "timeUnixNano": [str(time) for time in times],
        "observedTimeUnixNano": [
            str((time + observed) & MASK)
            for time, observed in zip(times, block.values("observed", SIGNED))
        ],
        "severityNumber": block.values("severity", SIGNED),
        "severityText": [text.decode() for text in block.values("severity.text", TEXT)],
        "body": list(bodies(block)),
        "attributes": block.attributes("attr", block.rows),
        "droppedAttributesCount": block.values("attr.dropped", UNSIGNED),
        "flags": block.values("flags", UNSIGNED),
        "traceId": [optional_id(raw) for raw in block.values("trace_id", ID16)],
        "spanId": [next(ids).hex() if there else "" for there in present],
        "eventName": [text.decode() for text in block.values("event_name", TEXT)],
    })


def bodies(block):
    texts, ints = block.queue("body", TEXT), block.queue("body.int", SIGNED)
    doubles, raw = block.queue("body.double", DOUBLE), block.queue("body.bytes", BYTES)
    queues = [texts, ints, doubles, ints, raw, raw, raw]
    for kind in block.values("body.kind", UNSIGNED):
        yield any_value(kind, next(queues[kind], b"")) if kind < 7 else {}


def zip_rows(block, members):
    resources, scopes = block.interned("resources", "resource"), block.interned("scopes", "scope")
    of = zip(block.values("resource", UNSIGNED), block.values("scope", UNSIGNED))
    for row, (resource, scope) in enumerate(of):
        found = {name: values[row] for name, values in members.items()}
        if found.get("status", True) is None:
            del found["status"]
        yield envelope(resources[resource], scopes[scope], found)


def points(block):
    resources, scopes = block.interned("resources", "resource"), block.interned("scopes", "scope")
    metrics = block.interned("metrics", "metric")
    series = []
    for definition in block.columns.get(("series.def", BYTES), []):
        cursor = Postcard(definition)
        resource, scope, metric = cursor.varint(), cursor.varint(), cursor.varint()
        series.append((resources[resource], scopes[scope], metrics[metric], cursor.attributes()))
    read = chunks_of if ("chunks", BYTES) in block.columns else rows_of_points
    for index, time, start, flags, value, exemplars in read(block):
        resource, scope, (metric, kind, data), attributes = series[index]
        point = {
            "attributes": attributes,
            "startTimeUnixNano": str(start),
            "timeUnixNano": str(time),
            "flags": flags,
            "exemplars": exemplars,
            **value,
        }
        yield envelope(resource, scope, {**metric, kind: {**data, "dataPoints": [point]}})


def read_exemplars(data):
    cursor = Postcard(data)
    return cursor.list(cursor.exemplar)


def chunks_of(block):
    """Points as chunks: series, time, start, flags, value and exemplars of each."""
    lists = [chunks.times(data) for data in block.columns["times", BYTES]]
    data = Cursor(block.columns["chunks", BYTES][0])
    numbers = [block.columns[f"chunk.{name}", UNSIGNED] for name in ("series", "times", "bytes")]
    for series, times, length in zip(*numbers):
        chunk = data.take(length)
        for point in chunks.points(chunk, lists[times], lambda one: Postcard(one).point(), read_exemplars):
            yield series, *point
    data.end()


def rows_of_points(block):
    """The same of a block that has a row for each point."""
    times, starts = block.values("time", UNSIGNED), block.values("start", SIGNED)
    flags, exemplars = block.values("flags", UNSIGNED), block.values("exemplars", BYTES)
    queues = [block.queue("value.int", SIGNED), block.queue("value.double", DOUBLE), block.queue("value.bytes", BYTES)]
    kinds = block.values("value.kind", UNSIGNED)
    for row, index in enumerate(block.values("series", UNSIGNED)):
        value = next(queues[kinds[row]])
        if kinds[row] == 0:
            value = {"asInt": str(value)}
        elif kinds[row] == 1:
            value = {"asDouble": otlp.double(value)}
        else:
            value = Postcard(value).point()
        listed = read_exemplars(exemplars[row]) if exemplars[row] else []
        yield index, times[row], (times[row] - starts[row]) & MASK, flags[row], value, listed


READERS = {1: spans, 2: log_records, 3: points}
