#!/usr/bin/env python3
"""Bytes and time per key of the terminal UI over a slow link.

Starts a server, stores one large trace, opens it in the terminal UI on a pseudo-terminal that is
read no faster than the link would take it, and presses keys. What arrives is put on a screen, so
that nothing is measured before the trace is there, and that what the keys did is seen to be there.

    cargo build --release
    tests/benches/slow_terminal.py target/release/throughline
"""

import argparse
import codecs
import contextlib
import fcntl
import json
import os
import pathlib
import pty
import re
import select
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
import urllib.request

TRACE = "5107" * 8
# Spans of an export.
BATCH = 5_000
# How long anything may take, in seconds.
PATIENCE = 120
# How often the link takes something, in seconds.
TICK = 0.01
# A terminal that was silent for so long has shown all, in seconds.
SILENCE = 0.3


class Screen:
    """As much of a terminal as the program uses."""

    SEQUENCE = re.compile(r"\x1b\[([?]?)([0-9;]*)([A-Za-z])")

    def __init__(self, columns, rows):
        self.size = columns, rows
        self.decoder = codecs.getincrementaldecoder("utf-8")()
        self.rest = ""
        self.reversed = False
        self.clear()

    def clear(self):
        columns, rows = self.size
        self.cells = [[(" ", False)] * columns for _ in range(rows)]
        self.row = self.column = 0

    def feed(self, data):
        text = self.rest + self.decoder.decode(data)
        at = 0
        while at < len(text):
            if text[at] != "\x1b":
                self.put(text[at])
                at += 1
            elif found := self.SEQUENCE.match(text, at):
                self.run(*found.groups())
                at = found.end()
            elif len(text) - at < 16:
                break
            else:
                sys.exit(f"a sequence that is not known: {text[at : at + 16]!r}")
        self.rest = text[at:]

    def put(self, character):
        if self.column < self.size[0]:
            self.cells[self.row][self.column] = character, self.reversed
            self.column += 1

    def run(self, private, numbers, letter):
        if private:
            return
        numbers = [int(number or 0) for number in numbers.split(";")]
        if letter == "H":
            self.row, self.column = (max(number, 1) - 1 for number in (numbers + [1])[:2])
        elif letter == "m":
            for number in numbers:
                if number in (0, 27):
                    self.reversed = False
                elif number == 7:
                    self.reversed = True
        elif letter == "J":
            self.clear()
        else:
            sys.exit(f"a sequence that is not known: {letter!r}")

    def lines(self):
        return ["".join(character for character, _ in line) for line in self.cells]

    def marked(self):
        """The rows whose first ten cells are reversed."""
        rows = range(self.size[1])
        return [row for row in rows if all(reverse for _, reverse in self.cells[row][:10])]


class Session:
    """The program on a pseudo-terminal behind a link of so many bytes a second."""

    def __init__(self, command, columns, rows, rate):
        self.screen = Screen(columns, rows)
        self.rate = rate
        self.bytes = 0
        self.child, self.master = pty.fork()
        if self.child == 0:
            # The parent sets the size before it lets the program start.
            os.read(0, 1)
            os.environ.update(TERM="xterm-256color", LC_ALL="C.UTF-8")
            for name in ("NO_COLOR", "COLORTERM", "TMUX"):
                os.environ.pop(name, None)
            os.execv(command[0], command)
        size = struct.pack("HHHH", rows, columns, 0, 0)
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, size)
        os.write(self.master, b"\n")

    def tick(self):
        """Lets the link take what it can in one tick; gives how much it took."""
        end = time.monotonic() + TICK
        taken = 0
        if select.select([self.master], [], [], 0)[0]:
            data = os.read(self.master, max(int(self.rate * TICK), 1))
            taken = len(data)
            self.bytes += taken
            self.screen.feed(data)
        time.sleep(max(end - time.monotonic(), 0))
        return taken

    def until(self, what, holds):
        end = time.monotonic() + PATIENCE
        while not holds():
            if time.monotonic() > end:
                shown = "\n".join(self.screen.lines())
                sys.exit(f"{what} is not on the screen after {PATIENCE} s:\n{shown}")
            self.tick()

    def settle(self):
        silent = 0
        while silent < SILENCE:
            silent = 0 if self.tick() else silent + TICK

    def press(self, key):
        os.write(self.master, key)

    def single(self, key, count):
        """Presses a key so often, each time when the screen is still. Gives bytes per key and the
        milliseconds until the last byte of what it changed had arrived."""
        sizes, times = [], []
        for _ in range(count):
            before, begin = self.bytes, time.monotonic()
            last = begin
            self.press(key)
            silent = 0
            while silent < SILENCE:
                if self.tick():
                    last, silent = time.monotonic(), 0
                else:
                    silent += TICK
            if self.bytes == before:
                sys.exit(f"{key!r} changed nothing")
            sizes.append(self.bytes - before)
            times.append((last - begin) * 1e3)
        return sizes, times

    def held(self, key, count, rate):
        """Holds a key down. Gives the bytes in all, and the milliseconds from the last press until
        the screen stood still."""
        before = self.bytes
        begin = time.monotonic()
        for number in range(count):
            while time.monotonic() < begin + number / rate:
                self.tick()
            self.press(key)
        pressed = last = time.monotonic()
        silent = 0
        while silent < SILENCE:
            if self.tick():
                last, silent = time.monotonic(), 0
            else:
                silent += TICK
        return self.bytes - before, (last - pressed) * 1e3

    def end(self):
        self.press(b"Q")
        end = time.monotonic() + PATIENCE
        while os.waitpid(self.child, os.WNOHANG) == (0, 0):
            if time.monotonic() > end:
                sys.exit("the program does not end")
            with contextlib.suppress(OSError):
                self.tick()


def span(number, start):
    """Four children each, one error in a thousand."""
    return {
        "traceId": TRACE,
        "spanId": f"{number + 1:016x}",
        "parentSpanId": f"{(number - 1) // 4 + 1:016x}" if number else "",
        "name": f"operation {number % 50}",
        "kind": 2,
        "startTimeUnixNano": str(start + number * 10_000),
        "endTimeUnixNano": str(start + number * 10_000 + 50_000_000),
        "status": {"code": 2 if number % 1000 == 999 else 0},
    }


def store(address, count):
    start = time.time_ns()
    for first in range(0, count, BATCH):
        services = {}
        for number in range(first, min(first + BATCH, count)):
            services.setdefault(number % 12, []).append(span(number, start))
        resources = []
        for service, spans in services.items():
            name = {"key": "service.name", "value": {"stringValue": f"service-{service}"}}
            resources.append({"resource": {"attributes": [name]}, "scopeSpans": [{"spans": spans}]})
        body = json.dumps({"resourceSpans": resources}).encode()
        headers = {"content-type": "application/json"}
        request = urllib.request.Request(f"http://{address}/v1/traces", body, headers)
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            assert json.load(answer) == {}, "spans were refused"


@contextlib.contextmanager
def server(program, folder):
    config = folder / "throughline.yaml"
    config.write_text("limits: {response_bytes: 1GiB}\nagent: {host: {enabled: false}}\n")
    listen = [f"--{name}=127.0.0.1:0" for name in ("otlp-grpc", "otlp-http", "query", "internal")]
    command = [program, "up", "--config", config, "--data-dir", folder / "data", *listen]
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        ready = folder / "data" / "endpoints.json"
        end = time.monotonic() + PATIENCE
        while not ready.exists():
            if process.poll() is not None or time.monotonic() > end:
                sys.exit((folder / "log").read_text())
            time.sleep(0.02)
        yield json.loads(ready.read_text())
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def row(what, sizes, times):
    size = statistics.median(sizes)
    last = sorted(times)[len(times) * 99 // 100]
    print(f"| {what} | {size:.0f} | {max(sizes)} | {statistics.median(times):.0f} | {last:.0f} |")


def measure(session, spans, arguments):
    screen = session.screen
    begin = time.monotonic()
    session.until("the trace", lambda: f"{spans:,} spans" in screen.lines()[2])
    session.settle()
    lines = screen.lines()
    assert any("service-0 operation 0" in line for line in lines), lines
    assert screen.marked() == [3], screen.marked()
    print(f"{spans:,} spans on a {arguments.size} terminal over {arguments.rate:,} bytes a second: ")
    print(f"open after {time.monotonic() - begin - SILENCE:.1f} s and {session.bytes:,} bytes\n")

    print("| key, when the screen is still | bytes p50 | max | ms p50 | p99 |\n|---|---|---|---|---|")
    # The mark reaches the last row of the screen, then rows scroll.
    still = arguments.rows - 5
    row("`j`, the mark moves", *session.single(b"j", still))
    assert screen.marked() == [3 + still], screen.marked()
    row("`j`, rows scroll", *session.single(b"j", 30))
    row("`ctrl-f`, a page", *session.single(b"\x06", 20))
    row("`e`, the next error", *session.single(b"e", 20))

    print("\n| key held for 10 s, 30 a second | bytes a key | bytes a second | still after ms |")
    print("|---|---|---|---|")
    session.press(b"gg")
    session.settle()
    top = screen.lines(), screen.marked()
    for what, there, back in (("`j`", b"j", b"k"), ("`ctrl-f`", b"\x06", b"\x02")):
        for name, key in ((what, there), (f"`{back.decode()}`" if back == b"k" else "`ctrl-b`", back)):
            count = 300
            size, late = session.held(key, count, 30)
            print(f"| {name} | {size / count:.0f} | {size / 10:.0f} | {late:.0f} |")
            if key == there:
                assert screen.lines()[3:] != top[0][3:], "nothing moved"
    # As many keys up as down: none was lost.
    assert (screen.lines(), screen.marked()) == top, "\n".join(screen.lines())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", help="the release binary")
    parser.add_argument("--spans", type=int, default=100_000)
    parser.add_argument("--size", default="120x40", help="columns x rows of the terminal")
    parser.add_argument("--rate", type=int, default=20_000, help="bytes a second of the link")
    arguments = parser.parse_args()
    columns, arguments.rows = (int(number) for number in arguments.size.split("x"))
    program = str(pathlib.Path(arguments.program).resolve())
    with tempfile.TemporaryDirectory() as folder, server(program, pathlib.Path(folder)) as addresses:
        store(addresses["otlp_http"], arguments.spans)
        command = [program, "tui", "--utc", "--url", f"http://{addresses['query']}", "trace", TRACE]
        session = Session(command, columns, arguments.rows, arguments.rate)
        measure(session, arguments.spans, arguments)
        session.end()


if __name__ == "__main__":
    main()
