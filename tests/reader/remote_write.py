"""Requests of Prometheus' remote write as rows, after docs/formats/store.md."""

import struct
from itertools import accumulate

from blocks import Cursor, signed, unzigzag
from otlp import double, fields

TYPES = ["unknown", "counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset"]
STALE = 0x7FF0000000000002
HINTS = ["unknown", "reset", "notReset", "gauge"]


def unsnap(data):
    """What a block of Snappy holds."""
    cursor = Cursor(data)
    length, out = cursor.varint(), bytearray()
    while cursor.at < len(data):
        tag = cursor.byte()
        if tag & 3 == 0:
            size = tag >> 2
            if size >= 60:
                size = int.from_bytes(cursor.take(size - 59), "little")
            out += cursor.take(size + 1)
            continue
        if tag & 3 == 1:
            size, offset = (tag >> 2 & 7) + 4, (tag >> 5) << 8 | cursor.byte()
        else:
            size, offset = (tag >> 2) + 1, int.from_bytes(cursor.take(2 if tag & 3 == 2 else 4), "little")
        if not 0 < offset <= len(out):
            raise ValueError("a copy from before the start")
        for _ in range(size):
            out.append(out[-offset])
    if len(out) != length:
        raise ValueError("a block of Snappy of another length than it says")
    return bytes(out)


def numbers(wire, payload):
    """The varints of a field that may be packed."""
    if wire == 0:
        return [payload]
    cursor, out = Cursor(payload), []
    while cursor.at < len(payload):
        out.append(cursor.varint())
    return out


def doubles(wire, payload):
    return [payload] if wire == 1 else list(struct.unpack(f"<{len(payload) // 8}Q", payload))


def text_pair(data):
    found = {number: payload.decode() for number, _, payload in fields(data) if number in (1, 2)}
    return found.get(1, ""), found.get(2, "")


class Pairs:
    """Labels of version 1.0, in full, or of version 2.0, as references to symbols."""

    def __init__(self, symbols):
        self.symbols = symbols

    def read(self, found):
        """The pairs of all fields numbered 1; nothing where a symbol is missing."""
        if self.symbols is None:
            return [text_pair(payload) for _, payload in found]
        references = [reference for wire, payload in found for reference in numbers(wire, payload)]
        if any(reference >= len(self.symbols) for reference in references):
            return None
        names = [self.symbols[reference] for reference in references]
        return None if len(names) % 2 else list(zip(names[::2], names[1::2]))

    def read_leniently(self, found):
        """The same of an exemplar, where a missing symbol is an empty text."""
        if self.symbols is None:
            return self.read(found)
        out = []
        for wire, payload in found:
            names = [self.symbols[n] if n < len(self.symbols) else "" for n in numbers(wire, payload)]
            out.extend(zip(names[::2], names[1::2]))
        return out


def is_sound(labels):
    """Whether each label is there once, all have names, and the series has one, too."""
    names = [name for name, _ in labels]
    return all(names) and len(set(names)) == len(names) and "__name__" in names


def in_order(labels):
    """Labels by name. An empty one is the same as none."""
    return sorted((pair for pair in labels if pair[1] or not pair[0]), key=lambda pair: pair[0])


def resource(labels):
    """The attributes that `job` and `instance` are."""
    job, instance = labels.get("job", ""), labels.get("instance", "")
    namespace, slash, name = job.partition("/")
    if not (slash and namespace and name):
        namespace, name = "", job
    pairs = [("service.namespace", namespace), ("service.name", name), ("service.instance.id", instance)]
    return attributes([pair for pair in pairs if pair[1]])


def attributes(pairs):
    return [{"key": key, "value": {"stringValue": value}} for key, value in pairs]


def nanos(milliseconds):
    """Nothing where it is no time of ours."""
    found = milliseconds * 1_000_000
    return found if 0 <= found < 1 << 64 else None


def sample(data):
    value, time, start = 0, 0, 0
    for number, _, payload in fields(data):
        if number == 1:
            value = payload
        elif number == 2:
            time = signed(payload)
        elif number == 3:
            start = signed(payload)
    return {"asDouble": double(value)}, time, start, value == STALE


def spans(found):
    out = []
    for data in found:
        members = {number: payload for number, _, payload in fields(data)}
        offset = unzigzag(members.get(1, 0) & 0xFFFFFFFF) & 0xFFFFFFFF
        offset -= (offset >> 31) << 32
        out.append({"offset": offset, "length": members.get(2, 0) & 0xFFFFFFFF})
    return out


def running(coded):
    out, total = [], 0
    for one in coded:
        total += signed(unzigzag(one))
        out.append(str(total))
    return out


def histogram(data):
    """A native histogram, its times and whether it ends its series."""
    one, many = {}, {}
    for number, wire, payload in fields(data):
        if number in (8, 11):
            many.setdefault(number, []).append(payload)
        elif number in (9, 12):
            many.setdefault(number, []).extend(numbers(wire, payload))
        elif number in (10, 13, 16):
            many.setdefault(number, []).extend(doubles(wire, payload))
        else:
            one[number] = payload
    floats = 2 in one and 1 not in one
    schema = unzigzag(one.get(4, 0) & 0xFFFFFFFF) & 0xFFFFFFFF
    hint = one.get(14, 0)
    found = {
        "schema": schema - ((schema >> 31) << 32),
        "sum": double(one.get(3, 0)),
        "zeroThreshold": double(one.get(5, 0)),
        "resetHint": HINTS[hint if hint < 4 else 0],
        "positiveSpans": spans(many.get(11, [])),
        "negativeSpans": spans(many.get(8, [])),
        "floatCounts": floats,
        "customBounds": [double(bits) for bits in many.get(16, [])],
    }
    if floats:
        found["count"], found["zeroCount"] = double(one[2]), double(one.get(7, 0))
        found["positive"] = [double(bits) for bits in many.get(13, [])]
        found["negative"] = [double(bits) for bits in many.get(10, [])]
    else:
        found["count"], found["zeroCount"] = str(one.get(1, 0)), str(one.get(6, 0))
        found["positive"], found["negative"] = running(many.get(12, [])), running(many.get(9, []))
    times = signed(one.get(15, 0)), signed(one.get(17, 0))
    return {"nativeHistogram": found}, *times, one.get(3, 0) == STALE


def fits(found):
    """Whether the spans, counts and bounds of a histogram fit each other."""
    for spans, counts in (("positiveSpans", "positive"), ("negativeSpans", "negative")):
        if any(span["offset"] < 0 for span in found[spans][1:]):
            return False
        ends = list(accumulate(span["offset"] + span["length"] for span in found[spans]))
        if any(not -(1 << 31) <= end < 1 << 31 for end in ends):
            return False
        if sum(span["length"] for span in found[spans]) != len(found[counts]):
            return False
    if not found["floatCounts"] and any(count.startswith("-") for count in found["positive"] + found["negative"]):
        return False
    bounds = [float(bound) for bound in found["customBounds"]]
    if found["schema"] != -53:
        return -4 <= found["schema"] <= 52 and not bounds
    spans = found["positiveSpans"]
    last = sum(span["offset"] + span["length"] for span in spans)
    rising = all(one < other for one, other in zip(bounds, bounds[1:])) and all(bound == bound for bound in bounds)
    return rising and not found["negativeSpans"] and all(span["offset"] >= 0 for span in spans) and last <= len(bounds) + 1


def exemplar(data, pairs):
    value, time, found = 0, 0, []
    for number, wire, payload in fields(data):
        if number == 1:
            found.append((wire, payload))
        elif number == 2:
            value = payload
        elif number == 3:
            time = signed(payload)
    labels = pairs.read_leniently(found)

    def identity(names, length):
        for name, text in labels:
            if name in names and len(text) == 2 * length and not set(text.lower()) - set("0123456789abcdef"):
                return text.lower()
        return ""

    return time, {
        "filteredAttributes": attributes(labels),
        "timeUnixNano": str(nanos(time) or 0),
        "asDouble": double(value),
        "traceId": identity({"trace_id", "traceID", "traceId"}, 16),
        "spanId": identity({"span_id", "spanID", "spanId"}, 8),
    }


class Series:
    """A series and the fields of its message."""

    def __init__(self, data, pairs, version):
        self.message, self.pairs = data, pairs
        # Numbers of samples, histograms and exemplars.
        self.numbers = (2, 4, 3) if version == 1 else (2, 3, 4)
        self.start = 0
        labels, metadata = [], {}
        for number, wire, payload in fields(data):
            if number == 1:
                labels.append((wire, payload))
            elif version == 2 and number == 5:
                metadata.update({number: payload for number, _, payload in fields(payload)})
            elif version == 2 and number == 6:
                self.start = signed(payload)
        labels = pairs.read(labels)
        labels = labels if labels is None else in_order(labels)
        symbols = pairs.symbols or [""]
        texts = [metadata.get(number, 0) for number in (3, 4)]
        self.is_sound = labels is not None and is_sound(labels) and all(
            text < len(symbols) for number, text in zip((3, 4), texts) if number in metadata
        )
        if not self.is_sound:
            return
        known = dict(labels)
        kind = metadata.get(1, 0)
        self.target = known.get("job", ""), known.get("instance", "")
        self.resource = resource(known)
        self.metric = (
            known["__name__"],
            TYPES[kind if kind < len(TYPES) else 0],
            *(symbols[text] if number in metadata else "" for number, text in zip((3, 4), texts)),
        )
        self.labels = attributes([pair for pair in labels if pair[0] not in ("__name__", "job", "instance")])

    def points(self, before):
        """(kind, point) of each, and (target, metric, kind) of the last; `before` is that of the
        point before."""
        out = []
        for number, _, payload in fields(self.message):
            if number not in self.numbers:
                continue
            what = self.numbers.index(number)
            kind = ("gauge", "exponentialHistogram", "gauge")[what]
            if what == 2:
                if before is not None and before[:2] == (self.target, self.metric):
                    kind = before[2]
                time, found = exemplar(payload, self.pairs)
                value, start, stale = {"exemplars": [found]}, 0, False
            else:
                value, time, start, stale = (sample, histogram)[what](payload)
                start = start or self.start
            before = self.target, self.metric, kind
            if nanos(time) is not None and (what != 1 or fits(value["nativeHistogram"])):
                out.append((kind, {
                    "attributes": self.labels,
                    "startTimeUnixNano": str(nanos(start) or 0),
                    "timeUnixNano": str(nanos(time)),
                    "flags": int(stale),
                    **value,
                }))
        return out, before


def row(attributes, metric, kind, point, family=False):
    name, mark, help_text, unit = metric
    metadata = [{"key": "prometheus.type", "value": {"stringValue": mark}}]
    if family:
        metadata.append({"key": "prometheus.family", "value": {"boolValue": True}})
    cumulative = {} if kind == "gauge" else {"aggregationTemporality": 2}
    return {
        "resource": {"attributes": attributes},
        "scope": {},
        "row": {
            "name": name,
            "description": help_text,
            "unit": unit,
            "metadata": metadata,
            kind: {**cumulative, "dataPoints": [point]},
        },
    }


def rows(version, block, received):
    """Every row of a request, in the order in which a collector takes them."""
    message = unsnap(block)
    symbols = None
    if version == 2:
        symbols = [payload.decode() for number, _, payload in fields(message) if number == 4]
    pairs = Pairs(symbols)
    wanted = 1 if version == 1 else 5
    found = [Series(payload, pairs, version) for number, _, payload in fields(message) if number == wanted]
    targets, metrics = {}, {}
    found = [series for series in found if series.is_sound]
    for series in found:
        target = targets.setdefault(series.target, len(targets))
        series.place = target, metrics.setdefault(series.metric, len(metrics))
    before = None
    for series in sorted(found, key=lambda series: series.place):
        if before is not None and before[0] != series.target:
            before = None
        points, before = series.points(before)
        for kind, point in points:
            yield row(series.resource, series.metric, kind, point)
    for number, _, payload in fields(message):
        if version == 1 and number == 3:
            known = {number: payload for number, _, payload in fields(payload)}
            name, help_text, unit = (known.get(number, b"").decode() for number in (2, 4, 5))
            if name:
                kind = known.get(1, 0)
                mark = TYPES[kind if kind < len(TYPES) else 0]
                point = {"timeUnixNano": str(received)}
                yield row([], (name, mark, help_text, unit), "gauge", point, family=True)
