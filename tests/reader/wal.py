"""The segment log, after docs/formats/wal.md, and what its records hold, after store.md."""

import os
import struct

from checksum import crc32c


def header(data, number):
    """(salt, previous end) of a segment from whichever copy of its header is whole."""
    for start in (0, 64):
        copy = data[start : start + 64]
        if len(copy) < 64 or copy[:8] != b"TLJOURNL":
            continue
        version, _, segment, salt, previous = struct.unpack_from("<IIQQQ", copy, 8)
        if crc32c(copy[:60]) != struct.unpack_from("<I", copy, 60)[0]:
            continue
        if version != 1:
            raise ValueError(f"segment log of version {version}")
        if segment == number:
            return salt, previous
    return None


def record_at(data, salt, number, at):
    """(payload or nothing, end) of the record at an offset; nothing where there is none."""
    if at + 12 > len(data):
        return None
    length, head, checksum = struct.unpack_from("<III", data, at)
    seed = struct.pack("<QQQI", salt, number, at, length)
    if length < 12 or at + length > len(data) or crc32c(seed) != head:
        return None
    payload = data[at + 12 : at + length]
    good = crc32c(payload, head) == checksum
    return (payload if good else None), at + length


def records(folder, segment, offset):
    """The payloads of all whole records from a position on."""
    numbers = sorted(
        int(name[:20])
        for name in os.listdir(folder)
        if len(name) == 24 and name[:20].isdigit() and name.endswith(".seg")
    )
    for number in numbers:
        if number < segment:
            continue
        with open(os.path.join(folder, f"{number:020}.seg"), "rb") as file:
            data = file.read().rstrip(b"\0") + bytes(4096)
        found = header(data, number)
        if found is None:
            continue
        at = offset if number == segment else 128
        while at + 12 <= len(data):
            record = record_at(data, found[0], number, at)
            if record is None:
                at += 1
                continue
            payload, at = record
            if payload is not None:
                yield payload


def is_checkpoint(payload):
    """Whether a record says what the checkpoint says, and has no rows."""
    return payload[:1] == b"\xff"


def request(payload):
    """(signal, tenant, format, request, refused series, time of receipt or 0) of a record; format 0 is
    OTLP."""
    version, signal, length = payload[0], payload[1], payload[2]
    if not 1 <= version <= 16:
        raise ValueError(f"record of version {version}")
    flags = version - 1
    at = 3 + length
    tenant = payload[3:at].decode()
    agent = struct.unpack_from("<H", payload, at)[0]
    at += 2
    if agent:
        at += agent + 16
    if flags & 1:
        at += 16
    refused = []
    if flags & 2:
        count = struct.unpack_from("<I", payload, at)[0]
        refused = struct.unpack_from(f"<{count}I", payload, at + 4)
        at += 4 + 4 * count
    received = 0
    if flags & 4:
        received = struct.unpack_from("<Q", payload, at)[0]
        at += 8
    kind = 0
    if flags & 8:
        kind = payload[at]
        at += 1
    return signal, tenant, kind, payload[at:], set(refused), received
