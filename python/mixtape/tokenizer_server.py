"""A tokenizer for the command: frames on a socket, which is standard input, until it is closed.

A request is a letter, the length of what follows (32 bits, little-endian) and that many bytes; an
answer is 0, or 1 where the bytes are a message of what went wrong, with the same behind it.

    L  the bytes of a tokenizer's file   ->  the size of its vocabulary, 64 bits
    E  text                              ->  ids of 32 bits
    D  ids of 32 bits                    ->  text
    F  a token, as it is spelt           ->  its id of 32 bits, or -1
    P  an id of 32 bits                  ->  its piece, as it is spelt, or nothing
"""

import socket
import struct
import sys

from mixtape.tokenizer import TokenizerError, make


def _read(connection, count):
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


def _answer(tokenizer, asked, data):
    if asked == b"E":
        return _pack(tokenizer.encode(data))
    if asked == b"D":
        ids = struct.unpack(f"<{len(data) // 4}i", data)
        return tokenizer.decode([index for index in ids if index < tokenizer.size])
    if asked == b"P":
        return tokenizer.piece(*struct.unpack("<i", data))
    index = tokenizer.find(data.decode(errors="replace"))
    return _pack([-1 if index is None else index])


def serve(connection):
    tokenizer = None
    while header := _read(connection, 5):
        data = _read(connection, struct.unpack_from("<I", header, 1)[0])
        if data is None:
            return
        try:
            if header[:1] == b"L":
                tokenizer = make(data, sys.argv[1])
                found = struct.pack("<q", tokenizer.size)
            else:
                found = _answer(tokenizer, header[:1], data)
            status = b"\0"
        except TokenizerError as error:
            status, found = b"\1", str(error).encode(errors="replace")
        connection.sendall(status + struct.pack("<I", len(found)) + found)


def main():
    with socket.socket(fileno=0) as connection:
        serve(connection)
