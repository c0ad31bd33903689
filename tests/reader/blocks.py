"""Blocks and blocks files, after docs/formats/block.md and docs/formats/store.md."""

import struct

from checksum import crc32c, unzstd

MASK = (1 << 64) - 1
SIGNED, UNSIGNED, DOUBLE, BOOL, TEXT, BYTES, ID8, ID16 = range(8)
EMPTY, CONSTANT, DICTIONARY, PACKED, DELTA, DECIMAL, PLANES, RAW, TEMPLATES = range(9)


def signed(word):
    """64 bits as a signed integer."""
    return word - (1 << 64) if word >> 63 else word


def unzigzag(coded):
    return (coded >> 1 ^ -(coded & 1)) & MASK


class Cursor:
    """Reads the primitives of the format from bytes, one after the other."""

    def __init__(self, data):
        self.data = data
        self.at = 0

    def take(self, count):
        if self.at + count > len(self.data):
            raise ValueError("bytes are missing")
        self.at += count
        return self.data[self.at - count : self.at]

    def byte(self):
        return self.take(1)[0]

    def varint(self):
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value & MASK

    def zigzag(self):
        return unzigzag(self.varint())

    def blob(self):
        length, stored = self.varint(), self.varint()
        return self.take(length) if stored == 0 else unzstd(self.take(stored), length)

    def end(self):
        if self.at != len(self.data):
            raise ValueError("bytes are left over")


def bits(data, width, count):
    """A plain bit stream, low bits first."""
    stream = int.from_bytes(data, "little")
    return [stream >> (i * width) & (1 << width) - 1 for i in range(count)]


def packed(cursor, width, count):
    """A frame of at most 128 values of the same width."""
    if width > 32:
        low = packed(cursor, 32, count)
        high = packed(cursor, width - 32, count)
        return [l | h << 32 for l, h in zip(low, high)]
    if count < 128:
        return bits(cursor.take((width * count + 7) // 8), width, count)
    words = struct.unpack(f"<{4 * width}I", cursor.take(16 * width))
    values = [0] * 128
    for lane in range(4):
        stream = b"".join(struct.pack("<I", word) for word in words[lane::4])
        values[lane::4] = bits(stream, width, 32)
    return values


def frames(count):
    """The lengths of the frames of so many values."""
    return [min(128, count - start) for start in range(0, count, 128)]


def residuals(cursor, count, delta):
    """The frames of a packed or a delta stream."""
    out = []
    before = 0
    for length in frames(count):
        head, exceptions = cursor.byte(), cursor.byte()
        width, zigzag = head & 0x7F, bool(head & 0x80)
        base = cursor.varint()
        if delta and not zigzag:
            base = unzigzag(base)
        values = packed(cursor, width, length)
        positions = cursor.take(exceptions)
        for position in positions:
            values[position] |= cursor.varint() << width
        for value in values:
            if not delta:
                out.append((value + base) & MASK)
                continue
            difference = unzigzag((value + base) & MASK) if zigzag else value + base
            before = (before + difference) & MASK
            out.append(before)
    return out


def integers(cursor, count):
    """A stream of integers, as 64 bits each."""
    encoding = cursor.byte()
    base = cursor.zigzag()
    if encoding == 0:
        return [base] * count
    scale = cursor.varint()
    if encoding in (1, 2):
        found = residuals(cursor, count, encoding == 2)
    elif encoding == 3:
        distinct = integers(cursor, cursor.varint())
        found = [distinct[code] for code in codes(cursor, count, len(distinct))]
    else:
        raise ValueError(f"integers of encoding {encoding}")
    return [(base + residual * scale) & MASK for residual in found]


def codes(cursor, count, bound):
    form = cursor.byte()
    if form == 0:
        return [0] * count
    if form == 1:
        return list(range(count))
    if form == 2:
        width = (bound - 1).bit_length()
        return [code for length in frames(count) for code in packed(cursor, width, length)]
    if form == 3:
        return list(cursor.blob())
    if form == 4:
        data = cursor.blob()
        return [low | high << 8 for low, high in zip(data[:count], data[count:])]
    if form == 5:
        runs = cursor.varint()
        values = codes(cursor, runs, bound)
        return [value for value, length in zip(values, integers(cursor, runs)) for _ in range(length)]
    raise ValueError(f"codes of form {form}")


def strings(cursor, count):
    lengths = integers(cursor, count)
    data = Cursor(cursor.blob())
    return [data.take(length) for length in lengths]


def uuid(raw, upper):
    digits = raw.hex().upper() if upper else raw.hex()
    return "-".join([digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]]).encode()


def variables(cursor, count):
    """One variable of all values of a template."""
    kind = cursor.byte()
    if kind == 0:
        return [b"%d" % value for value in integers(cursor, count)]
    if kind == 1:
        return [b"%d" % signed(unzigzag(value)) for value in integers(cursor, count)]
    if kind == 2:
        widths = integers(cursor, count)
        return [b"%0*d" % pair for pair in zip(widths, integers(cursor, count))]
    distinct = cursor.varint()
    picks = codes(cursor, count, distinct)
    if kind in (3, 4):
        values = [uuid(cursor.take(16), kind == 4) for _ in range(distinct)]
    elif kind in (5, 6):
        values = []
        for length in integers(cursor, distinct):
            digits = cursor.take((length + 1) // 2).hex()[:length]
            values.append((digits.upper() if kind == 6 else digits).encode())
    elif kind == 7:
        values = strings(cursor, distinct)
    else:
        raise ValueError(f"variables of type {kind}")
    return [values[pick] for pick in picks]


def templates(cursor, count):
    patterns = strings(cursor, cursor.varint())
    picks = codes(cursor, count, len(patterns))
    lengths = integers(cursor, len(patterns))
    texts = [None] * count
    for number, (pattern, length) in enumerate(zip(patterns, lengths)):
        of = [i for i, pick in enumerate(picks) if pick == number]
        section = Cursor(cursor.take(length))
        pieces = pattern.split(b"\0")
        columns = [variables(section, len(of)) for _ in pieces[1:]]
        section.end()
        for row, i in enumerate(of):
            text = pieces[0]
            for column, piece in zip(columns, pieces[1:]):
                text += column[row] + piece
            texts[i] = text
    return texts


def words(data):
    return list(struct.unpack(f"<{len(data) // 8}Q", data))


def doubles(cursor, encoding, count):
    """Doubles, as their 64 bits."""
    if encoding == CONSTANT:
        return words(cursor.take(8)) * count
    if encoding == DICTIONARY:
        distinct = words(cursor.take(8 * cursor.varint()))
        return [distinct[code] for code in codes(cursor, count, len(distinct))]
    if encoding == DECIMAL:
        power = 10.0 ** cursor.byte()
        coded = integers(cursor, count)
        values = [struct.pack("<d", signed(unzigzag(m)) / power) for m in coded]
        found = words(b"".join(values))
        exceptions = cursor.varint()
        for position in integers(cursor, exceptions):
            found[position] = words(cursor.take(8))[0]
        return found
    if encoding == PLANES:
        planes = cursor.blob()
        return words(bytes(planes[plane * count + i] for i in range(count) for plane in range(8)))
    raise ValueError(f"doubles of encoding {encoding}")


def column_values(kind, encoding, data, count):
    """All values of a column. Doubles are their 64 bits, texts are bytes."""
    if encoding == EMPTY:
        return []
    cursor = Cursor(data)
    if kind in (SIGNED, UNSIGNED):
        values = integers(cursor, count)
        values = [signed(value) for value in values] if kind == SIGNED else values
    elif kind == DOUBLE:
        values = doubles(cursor, encoding, count)
    elif kind == BOOL:
        one = encoding == CONSTANT
        values = [cursor.byte()] * count if one else codes(cursor, count, 2)
    elif kind in (TEXT, BYTES):
        cursor.varint()
        distinct = cursor.varint()
        picks = codes(cursor, count, distinct)
        read = templates if encoding == TEMPLATES else strings
        texts = read(cursor, distinct)
        values = [texts[pick] for pick in picks]
    else:
        size = 8 if kind == ID8 else 16
        if encoding == RAW:
            values = [cursor.take(size) for _ in range(count)]
        else:
            distinct = cursor.varint()
            ids = [cursor.take(size) for _ in range(distinct)]
            values = [ids[code] for code in codes(cursor, count, distinct)]
    cursor.end()
    return values


def read_block(data):
    """The rows of a block, and its columns by (name, kind)."""
    magic, version, _ = struct.unpack("<4sHH", data[:8])
    length, checksum, again, _, last = struct.unpack("<IIHH4s", data[-16:])
    if (magic, last, version, again) != (b"TLBK", b"TLBK", 1, 1):
        raise ValueError("not a block of version 1")
    footer = data[-16 - length : -16]
    if crc32c(footer) != checksum:
        raise ValueError("the footer of a block is damaged")
    cursor = Cursor(footer)
    rows, count = cursor.varint(), cursor.varint()
    name, at, columns = b"", 8, {}
    for _ in range(count):
        shared = cursor.varint()
        name = name[:shared] + cursor.take(cursor.varint())
        head, encoding, size, values = cursor.byte(), cursor.byte(), cursor.varint(), cursor.varint()
        kind = head & 15
        if head & 32:
            cursor.varint()
        if head & 16:
            if kind == DOUBLE:
                cursor.take(16)
            else:
                cursor.varint(), cursor.varint()
        expected = struct.unpack("<I", cursor.take(4))[0]
        payload = data[at : at + size]
        at += size
        if crc32c(payload) != expected:
            raise ValueError(f"column {name} is damaged")
        columns[name.decode(), kind] = column_values(kind, encoding, payload, values)
    cursor.end()
    return rows, columns


def read_blocks_file(data):
    """The signal of a blocks file and its blocks."""
    count, checksum, version, signal, _, magic = struct.unpack("<IIHBB4s", data[-16:])
    if magic != b"TLBF" or version not in (1, 2):
        raise ValueError("not a blocks file of version 1 or 2")
    size = 40 if version == 1 else 56
    start = len(data) - 16 - size * count
    if crc32c(data[start : start + size * count + 4]) != checksum:
        raise ValueError("the directory of a blocks file is damaged")
    blocks = []
    for entry in range(count):
        offset, length, rows = struct.unpack_from("<QII", data, start + size * entry)
        found, columns = read_block(data[offset : offset + length])
        if found != rows:
            raise ValueError("a block has not as many rows as its directory says")
        blocks.append((rows, columns))
    return signal, blocks
