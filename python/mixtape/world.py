"""RWKV's World tokenizer: a list of pieces, of which always the longest that fits comes next.

A line of rwkv_vocab_v20230424.txt is an id, a piece as Python writes it ('text' or b'bytes'), and
how many bytes it has. Id 0 is not in the list: it stands between documents.
"""

import ast
import re

MOST_PIECES = 1 << 20
LONGEST_LINE = 8192
LINE = re.compile(rb"(\d{1,9}) (b?(?:'.*'|\".*\")) (\d{1,9})")


class WorldError(Exception):
    """What is wrong with a list, or with a text for it, in one line."""


def is_world(data):
    """Tells if bytes begin as such a list does."""
    return LINE.fullmatch(data[:LONGEST_LINE].split(b"\n", 1)[0].rstrip(b"\r")) is not None


def read_pieces(data):
    """{id: bytes} of a list."""
    pieces, ids = {}, {}
    for number, line in enumerate(data.split(b"\n"), 1):
        line = line.rstrip(b"\r")
        if not line:
            continue
        index, piece = _read_line(number, line)
        if index in pieces or piece in ids:
            raise WorldError(f"line {number}: id {index} or its piece is there before")
        pieces[index] = piece
        ids[piece] = index
    if not pieces:
        raise WorldError("no pieces")
    return pieces


def _read_line(number, line):
    match = LINE.fullmatch(line) if len(line) <= LONGEST_LINE else None
    try:
        piece = ast.literal_eval(match[2].decode()) if match else None
        piece = piece.encode() if isinstance(piece, str) else piece
    except (ValueError, SyntaxError):  # a UnicodeError is a ValueError
        piece = None
    if piece is None:
        raise WorldError(f"line {number}: not an id, a piece in quotes, and its length: "
                         f"{line[:32]!r}")
    index = int(match[1])
    if not 0 < index < MOST_PIECES:
        raise WorldError(f"line {number}: id {index}, not in 1 .. {MOST_PIECES - 1}")
    if len(piece) != int(match[3]) or not piece:
        raise WorldError(f"line {number}: a piece of {len(piece)} bytes, where the line says "
                         f"{int(match[3])}")
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
