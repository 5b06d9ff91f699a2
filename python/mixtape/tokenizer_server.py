"""A tokenizer for the command: frames on a socket, which is standard input, until it is closed.

A request is a letter, the length of what follows (32 bits, little-endian) and that many bytes; an
answer is 0, or, where the bytes are a message of what went wrong, 1, or 2 if that is the file's
fault and not that of what was asked, with the same behind it.

    L  the bytes of a tokenizer's file   ->  the size of its vocabulary, 64 bits; a byte, 1 where
                                             it splits for token lists; what is odd about it
    E  text                              ->  ids of 32 bits
    D  ids of 32 bits                    ->  text
    F  a token, as it is spelt           ->  its id of 32 bits, or -1
    P                                    ->  the pieces of all ids, as they are spelt
    S  text                              ->  its pieces
    J  pieces                            ->  their text
    V                                    ->  ESPnet's token list of its pieces

Each of several pieces has its length, of 32 bits, before it; an id without one, 0.

What a file makes of a library cannot hurt the command: memory is limited by the length of the file
and of what is asked, and so is the processor's time for an answer. The process ends with the
command, and what libraries print goes nowhere. mixtape.tokenizer_apart is the same for programs
in Python.
"""

import ctypes
import os
import resource
import signal
import socket
import struct
import sys

from mixtape.tokenizer import TokenizerError, make

LEAST_MEMORY, TIMES_MEMORY = 1 << 30, 512  # bytes, beside what is mapped; and for each byte
LEAST_SECONDS, BYTES_A_SECOND = 30, 1 << 16
DONE, FAILED, DAMAGED = 0, 1, 2


def read(connection, count):
    """So many bytes; None: the socket was closed."""
    pieces = []
    while count > 0:
        piece = connection.recv(min(count, 1 << 20))
        if not piece:
            return None
        pieces.append(piece)
        count -= len(piece)
    return b"".join(pieces)


def _pack(ids):
    return struct.pack(f"<{len(ids)}i", *ids)


def _pack_pieces(pieces):
    return b"".join(struct.pack("<I", len(piece)) + piece for piece in pieces)


def _unpack_pieces(data):
    at = 0
    while at < len(data):
        begin = at + 4
        at = begin + struct.unpack_from("<I", data, at)[0]
        yield data[begin:at]


def _decode(tokenizer, data):
    ids = struct.unpack(f"<{len(data) // 4}i", data)
    return tokenizer.decode([index for index in ids if index < tokenizer.size])


def _find(tokenizer, data):
    index = tokenizer.find(data.decode(errors="replace"))
    return _pack([-1 if index is None else index])


ANSWERS = {
    b"E": lambda tokenizer, data: _pack(tokenizer.encode(data)),
    b"D": _decode,
    b"F": _find,
    b"P": lambda tokenizer, _: _pack_pieces(map(tokenizer.piece, range(tokenizer.size))),
    b"S": lambda tokenizer, data: _pack_pieces(tokenizer.split(data)),
    b"J": lambda tokenizer, data: tokenizer.join(_unpack_pieces(data)),
    b"V": lambda tokenizer, _: _pack_pieces(tokenizer.token_list()),
}


class _Limits:
    """Those of the next answer, by the bytes that it may be made of."""

    def __init__(self):
        with open("/proc/self/statm") as file:
            self.mapped = int(file.read().split()[0]) * resource.getpagesize()
        self.kept = 0  # bytes of the tokenizer's file
        self.given = {kind: resource.getrlimit(kind)
                      for kind in (resource.RLIMIT_AS, resource.RLIMIT_CPU)}

    def begin(self, count):
        count += self.kept
        used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
        self._set(resource.RLIMIT_AS, self.mapped + LEAST_MEMORY + TIMES_MEMORY * count)
        self._set(resource.RLIMIT_CPU, int(used) + LEAST_SECONDS + count // BYTES_A_SECOND)

    def _set(self, kind, most):
        soft, hard = self.given[kind]
        resource.setrlimit(kind, (most if soft == resource.RLIM_INFINITY else min(most, soft),
                                  hard))


def _try(name, answer, *given):
    """What goes back: if that is done, and the bytes."""
    try:
        return DONE, answer(*given)
    except TokenizerError as error:
        return FAILED, str(error).encode(errors="replace")
    except MemoryError:
        reason = (f"{name}: it takes more memory than a tokenizer may for "
                  f"{len(given[-1])} bytes: a damaged or hostile file")
    return DAMAGED, reason.encode(errors="replace")


def serve(name, connection):
    tokenizer, limits = None, _Limits()

    def load(data):
        nonlocal tokenizer
        tokenizer, limits.kept = make(data, name), len(data)
        return struct.pack("<q?", tokenizer.size, tokenizer.splits) + tokenizer.note.encode()

    while header := read(connection, 5):
        count = struct.unpack_from("<I", header, 1)[0]
        limits.begin(count)
        data = read(connection, count)
        if data is None:
            return
        asked = header[:1]
        status, found = (_try(name, load, data) if asked == b"L" else
                         _try(name, ANSWERS[asked], tokenizer, data))
        connection.sendall(struct.pack("<BI", status, len(found)) + found)


def _end_with_command():
    """Also where a signal has stopped this process."""
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def begin(name, connection, files):
    """Serves in this process, whose `files` lead nowhere from now on."""
    _end_with_command()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in files:
        os.dup2(nowhere, number)
    serve(name, connection)


def main():
    with socket.socket(fileno=0) as connection:
        begin(sys.argv[1], connection, (1, 2))
