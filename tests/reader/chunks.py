"""Chunks of points, after docs/formats/store.md."""

import struct

import otlp
from blocks import MASK, Cursor, integers, signed, words

SUM, MIN, MAX = 1, 2, 4


def bits_of(value):
    return struct.unpack("<Q", struct.pack("<d", value))[0]


def column(cursor, count):
    """A column of integers, as 64 bits each."""
    form = cursor.byte()
    if form == 0:
        return integers(cursor, count)
    if form != 1:
        raise ValueError(f"a column of form {form}")
    slope = signed(cursor.zigzag())
    line = [signed(slope * row & MASK) >> 16 for row in range(count)]
    return [(value + height) & MASK for value, height in zip(integers(cursor, count), line)]


def signed_column(cursor, count):
    return [signed(word) for word in column(cursor, count)]


def doubles(cursor, count):
    """A column of doubles, as their 64 bits."""
    form = cursor.byte()
    if form == 0:
        return words(cursor.take(8)) * count
    if form == 1:
        power = 10.0 ** cursor.byte()
        found = [bits_of(m / power) for m in signed_column(cursor, count)]
        exceptions = cursor.varint()
        for row in integers(cursor, exceptions) if exceptions else []:
            found[row] = words(cursor.take(8))[0]
        return found
    if form == 2:
        planes = cursor.blob()
        return words(bytes(planes[plane * count + row] for row in range(count) for plane in range(8)))
    raise ValueError(f"doubles of form {form}")


def times(data):
    """A list of times."""
    cursor = Cursor(data)
    count = cursor.varint()
    if cursor.byte() == 0:
        first, step = cursor.varint(), cursor.zigzag()
        found = [(first + step * row) & MASK for row in range(count)]
    else:
        found = integers(cursor, count)
    cursor.end()
    return found


def starts(cursor, form, of):
    if form == 0:
        return [0] * len(of)
    if form == 1:
        return [(of[0] - cursor.zigzag()) & MASK] * len(of)
    if form == 2:
        return [(of[0] - cursor.zigzag()) & MASK] + of[:-1]
    return [(time - before) & MASK for time, before in zip(of, column(cursor, len(of)))]


def rows_of(cursor):
    count = cursor.varint()
    return column(cursor, count)


def members(cursor, count, there):
    """Sum, min and max of each point, as far as they are there."""
    found = [{} for _ in range(count)]
    for bit, name in ((SUM, "sum"), (MIN, "min"), (MAX, "max")):
        for point, value in zip(found, doubles(cursor, count) if there & bit else []):
            point[name] = otlp.double(value)
    return found


def histograms(cursor, count):
    bounds = [otlp.double(word) for word in words(cursor.take(8 * cursor.varint()))]
    buckets, there = cursor.varint(), cursor.byte()
    counts = column(cursor, count)
    columns = [column(cursor, count) for _ in range(buckets)]
    for row, point in enumerate(members(cursor, count, there)):
        of = [str(bucket[row]) for bucket in columns]
        yield {"count": str(counts[row]), "bucketCounts": of, "explicitBounds": bounds, **point}


def exponentials(cursor, count):
    counts, scales, zeros = column(cursor, count), signed_column(cursor, count), column(cursor, count)
    there = cursor.byte()
    found = members(cursor, count, there)
    thresholds = doubles(cursor, count)
    sides = {"positive": list(buckets(cursor, count)), "negative": list(buckets(cursor, count))}
    for row, point in enumerate(found):
        point |= {
            "count": str(counts[row]),
            "scale": scales[row],
            "zeroCount": str(zeros[row]),
            "zeroThreshold": otlp.double(thresholds[row]),
        }
        point |= {name: side[row] for name, side in sides.items() if side[row] is not None}
        yield point


def buckets(cursor, count):
    lengths, offsets = column(cursor, count), signed_column(cursor, count)
    stored = iter(column(cursor, sum(max(length - 1, 0) for length in lengths)))
    before = None
    for length, offset in zip(lengths, offsets):
        if length == 0:
            before = None
            yield None
            continue
        found = [next(stored) for _ in range(length - 1)]
        if before and before[0] == offset and len(before[1]) == len(found):
            found = [(count + one) & MASK for count, one in zip(found, before[1])]
        before = offset, found
        yield {"offset": offset, "bucketCounts": [str(count) for count in found]}


def anything(cursor, count, read):
    lengths = column(cursor, count)
    data = Cursor(cursor.blob())
    return [read(data.take(length)) for length in lengths]


def points(data, of, read_value, read_exemplars):
    """(time, start, flags, value, exemplars) of each point of a chunk, by its times."""
    cursor, count = Cursor(data), len(of)
    head = cursor.byte()
    begun = starts(cursor, head >> 3 & 3, of)
    missing = set(rows_of(cursor)) if head & 128 else set()
    flags = {}
    if head & 32:
        rows = rows_of(cursor)
        flags = dict(zip(rows, column(cursor, len(rows))))
    exemplars = {}
    if head & 64:
        rows = rows_of(cursor)
        exemplars = dict(zip(rows, anything(cursor, len(rows), read_exemplars)))
    form = head & 7
    if form == 0:
        values = [{"asInt": str(value)} for value in signed_column(cursor, count)]
    elif form == 1:
        values = [{"asDouble": otlp.double(value)} for value in doubles(cursor, count)]
    elif form == 2:
        values = anything(cursor, count, read_value)
    elif form == 3:
        values = list(histograms(cursor, count))
    elif form == 4:
        values = list(exponentials(cursor, count))
    else:
        raise ValueError(f"points of form {form}")
    cursor.end()
    for row, value in enumerate(values):
        value = {} if row in missing else value
        yield of[row], begun[row], flags.get(row, 0), value, exemplars.get(row, [])
