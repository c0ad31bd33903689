"""CRC-32C and zstd, the two things that the formats take for granted."""

import ctypes
import ctypes.util
import shutil
import subprocess


def _table():
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
        table.append(crc)
    return table


_TABLE = _table()


def crc32c(data, crc=0):
    """The CRC-32C of `data`, continued from that of what came before it."""
    crc ^= 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def _library():
    name = ctypes.util.find_library("zstd")
    if name is None:
        return None
    library = ctypes.CDLL(name)
    library.ZSTD_decompress.restype = ctypes.c_size_t
    library.ZSTD_decompress.argtypes = [
        ctypes.c_char_p,
        ctypes.c_size_t,
        ctypes.c_char_p,
        ctypes.c_size_t,
    ]
    return library


_LIBRARY = _library()


def can_unzstd():
    """Whether this machine has some zstd to decompress with."""
    return _LIBRARY is not None or shutil.which("zstd") is not None


def unzstd(frame, length):
    """One zstd frame, which decodes to exactly `length` bytes."""
    if _LIBRARY is not None:
        out = ctypes.create_string_buffer(max(length, 1))
        written = _LIBRARY.ZSTD_decompress(out, length, bytes(frame), len(frame))
        data = out.raw[:length] if written == length else None
    else:
        done = subprocess.run(["zstd", "-dc"], input=frame, capture_output=True, check=True)
        data = done.stdout
    if data is None or len(data) != length:
        raise ValueError("a zstd frame does not decode to its length")
    return data
