"""Prints every row of a collector's data folder, one JSON object a line.

    python3 read_data_folder.py FOLDER

Written from docs/formats alone, with nothing but Python's library and some zstd, to show that it
can be done. Run it on the folder of a collector that is stopped, or on a copy. It trusts no
checksum blindly and mends nothing: damage in a block is an error here.
"""

import json
import os
import re
import sys

import blocks
import otlp
import remote_write
import rows
import wal
from checksum import can_unzstd, crc32c

SIGNALS = {1: "traces", 2: "logs", 3: "metrics"}


def checkpoint(store):
    """What CHECKPOINT says, from whichever copy has its checksum."""
    path = os.path.join(store, "CHECKPOINT")
    if not os.path.exists(path):
        return {"flush": 0, "wal_segment": 0, "wal_offset": 0}
    with open(path, "rb") as file:
        data = file.read()
    for copy in (data[: len(data) // 2], data[len(data) // 2 :]):
        text, mark, digits = copy.rpartition(b"#crc32c ")
        if mark and crc32c(text) == int(digits[:8], 16):
            found = json.loads(text)
            if found["version"] > 2:
                raise ValueError(f"data folder of version {found['version']}")
            return found
    raise ValueError("both copies of CHECKPOINT are damaged")


def partitions(store):
    """(tenant, signal, folder) of each partition."""
    for tenant in sorted(os.listdir(store)):
        if not re.fullmatch(r"[a-z0-9A-Z_-]{1,64}", tenant):
            continue
        for signal, name in SIGNALS.items():
            days = os.path.join(store, tenant, name)
            for day in sorted(os.listdir(days)) if os.path.isdir(days) else []:
                if re.fullmatch(r"\d{4}-\d\d-\d\d", day):
                    yield tenant, signal, os.path.join(days, day)


def blocks_files(folder, flush_max):
    """The blocks files of a partition that count: those of flushes that do, and merged ones, which
    stand for all whose flushes they hold."""
    found = {}
    for name in sorted(os.listdir(folder)):
        match = re.fullmatch(r"([0-9a-f]{16})(?:-([0-9a-f]{16})-([0-9a-f]{2}))?\.blocks", name)
        if match and int(match[2] or match[1], 16) <= flush_max:
            found[name] = int(match[1], 16), int(match[2] or match[1], 16), int(match[3] or "0", 16)
    for name, (first, last, generation) in found.items():
        larger = [
            other
            for other in found.values()
            if other[2] > generation and other[0] <= first and last <= other[1]
        ]
        if not larger:
            yield name


def rows_of_files(store, flush_max):
    for tenant, signal, folder in partitions(store):
        for name in blocks_files(folder, flush_max):
            with open(os.path.join(folder, name), "rb") as file:
                found, blocks_of_file = blocks.read_blocks_file(file.read())
            if found != signal:
                raise ValueError(f"{name} is of another signal than its folder")
            for count, columns in blocks_of_file:
                for row in rows.READERS[signal](rows.Block(count, columns)):
                    yield tenant, signal, row


def rows_of_log(folder, position):
    for payload in wal.records(folder, *position):
        if wal.is_checkpoint(payload):
            continue
        signal, tenant, kind, request, refused, received = wal.request(payload)
        series = {}
        found = remote_write.rows(kind, request, received) if kind else otlp.rows(signal, request)
        for row in found:
            row = otlp.pruned(row)
            if signal == 3:
                identity = json.dumps(without_points(row))
                if series.setdefault(identity, len(series)) in refused:
                    continue
            else:
                date(signal, row["row"], received)
            yield tenant, signal, row


def without_points(row):
    """What makes a series of a point: all but its values."""
    kind = next(kind for kind in otlp.KINDS if kind in row["row"])
    data = row["row"][kind]
    attributes = data["dataPoints"][0].get("attributes", [])
    rest = {name: value for name, value in data.items() if name != "dataPoints"}
    return {**row, "row": {**row["row"], kind: {**rest, "attributes": attributes}}}


def date(signal, row, received):
    """Rows without any time have that of their receipt."""
    names = {1: ["startTimeUnixNano", "endTimeUnixNano"], 2: ["timeUnixNano", "observedTimeUnixNano"]}[signal]
    if received and not any(name in row for name in names):
        for name in names if signal == 1 else names[1:]:
            row[name] = str(received)


def main(folder):
    if not can_unzstd():
        sys.exit("there is no zstd on this machine")
    store = os.path.join(folder, "store")
    known = checkpoint(store)
    position = known["wal_segment"], known["wal_offset"]
    for source, found in (
        ("file", rows_of_files(store, known["flush"])),
        ("log", rows_of_log(os.path.join(folder, "wal"), position)),
    ):
        for tenant, signal, row in found:
            print(json.dumps({"from": source, "tenant": tenant, "signal": SIGNALS[signal], **row}))


if __name__ == "__main__":
    main(sys.argv[1])
