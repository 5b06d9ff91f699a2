"""RWKV's World tokenizer: a list of pieces, of which always the longest that fits comes next.

A line of rwkv_vocab_v20230424.txt is an id, a piece as Python writes it ('text' or b'bytes'), and
how many bytes it has. Id 0 is not in the list: it stands between documents.
"""

import re

MOST_PIECES = 1 << 20
LONGEST_LINE = 8192
ESCAPE = rb"\\(?:[\\'\"nrt]|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8})"
QUOTED = rb"'((?:[^'\\\0]|" + ESCAPE + rb")*)'|\"((?:[^\"\\\0]|" + ESCAPE + rb")*)\""
LINE = re.compile(rb"(\d{1,9}) (b?)(?:" + QUOTED + rb") (\d{1,9})")
ESCAPED = re.compile(ESCAPE)
MEANINGS = {b"n": b"\n", b"r": b"\r", b"t": b"\t"}


class WorldError(Exception):
    """What is wrong with a list, or with a text for it, in one line."""


def is_world(data):
    """Tells if bytes begin as such a list does."""
    return _parse(data[:LONGEST_LINE + 1].split(b"\n", 1)[0].removesuffix(b"\r")) is not None


def read_pieces(data):
    """{id: bytes} of a list."""
    pieces, ids = {}, {}
    for number, line in enumerate(data.split(b"\n"), 1):
        line = line.removesuffix(b"\r")
        if not line:
            continue
        index, piece = _read_line(number, line)
        if index in pieces or piece in ids:
            raise WorldError(f"line {number}: id {index} or its piece is there before")
        pieces[index] = piece
        ids[piece] = index
    if not pieces:
        raise WorldError("it has no pieces")
    return pieces


def _text_of(match):
    """What an escape in a text stands for."""
    name, digits = match[0][1:2], match[0][2:]
    return chr(int(digits, 16)).encode() if digits else MEANINGS.get(name, name)


def _byte_of(match):
    """The same in bytes, where no characters are named."""
    name, digits = match[0][1:2], match[0][2:]
    if len(digits) > 2:
        raise ValueError
    return bytes.fromhex(digits.decode()) if digits else MEANINGS.get(name, name)


def _parse(line):
    """(id, piece, length) of a line as Python writes it, or None."""
    match = LINE.fullmatch(line) if len(line) < LONGEST_LINE else None
    if match is None:
        return None
    written = match[3] if match[3] is not None else match[4]
    try:
        written.decode("ascii" if match[2] else "utf-8")
        piece = ESCAPED.sub(_byte_of if match[2] else _text_of, written)
    except (ValueError, OverflowError):  # a UnicodeError is a ValueError
        return None
    return int(match[1]), piece, int(match[5])


def _read_line(number, line):
    found = _parse(line)
    if found is None:
        raise WorldError(f"line {number}: not an id, a piece in quotes, and its length: "
                         f"{line[:32]!r}")
    index, piece, length = found
    if not 0 < index < MOST_PIECES:
        raise WorldError(f"line {number}: id {index}, not in 1 .. {MOST_PIECES - 1}")
    if len(piece) != length or not piece:
        raise WorldError(f"line {number}: a piece of {len(piece)} bytes, where the line says "
                         f"{length}")
    return index, piece


class World:
    """Pieces by id, and ids by piece."""

    def __init__(self, pieces):
        self.pieces = pieces
        self.ids = {piece: index for index, piece in pieces.items()}
        self.size = max(pieces) + 1
        self.longest = max(map(len, self.ids))
        lengths = {}  # of the pieces that begin with the same two bytes, the longest first
        for piece in self.ids:
            if len(piece) > 1:
                lengths.setdefault(piece[:2], set()).add(len(piece))
        self.lengths = {begin: sorted(found, reverse=True) for begin, found in lengths.items()}

    def encode(self, text, end=None, begin=0):
        """The ids of the pieces that begin before `end`, and where the last one ends. So many bytes
        are before the text, which an error counts."""
        found, at, end = [], 0, len(text) if end is None else end
        ids, lengths = self.ids, self.lengths
        while at < end:
            for length in lengths.get(text[at:at + 2], ()):
                index = ids.get(text[at:at + length])
                if index is not None and at + length <= len(text):
                    break
            else:
                length, index = 1, ids.get(text[at:at + 1])
                if index is None:
                    raise WorldError(f"byte {text[at]:#04x} at {begin + at} begins no piece of "
                                     "the World list")
            found.append(index)
            at += length
        return found, at
