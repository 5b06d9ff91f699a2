"""Documents of text, read in constant memory: files, folders, standard input, compressed or not."""

import bz2
import gzip
import io
import json
import lzma
import os
import stat
import sys
import zlib

PIECE = 1 << 18
LONGEST_LINE = 64 << 20  # of JSON, which is read as a whole
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
MARK = 6  # bytes that tell what compressed a file
REFUSED = {b"\x28\xb5\x2f\xfd": "zstd -dc", b"PK\3\4": "unzip -p"}
COMPRESSED = (".gz", ".bz2", ".xz")
LINES = (".jsonl", ".ndjson", ".json")


class DocumentError(Exception):
    """What is wrong with an input, in one line."""


def paths_of(inputs):
    """Files, and the files in folders and their folders, in the order of their names; those that
    begin with a dot are passed over. "-" is standard input."""
    found = []
    for path in inputs:
        if path == "-" or not os.path.isdir(path):
            found.append(path)
            continue
        before = len(found)
        for folder, folders, names in os.walk(path, onerror=_refuse):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            found += [os.path.join(folder, name) for name in sorted(names)
                      if not name.startswith(".")]
        if len(found) == before:
            raise DocumentError(f"{path}: no files in that folder")
    return found


def _refuse(error):
    raise DocumentError(f"{error.filename}: {error.strerror}")


def note_of_names(paths):
    """What is odd about these names, "" where nothing is: a file may be meant to count twice, but
    a stream cannot be read twice."""
    seen, twice = set(), []
    for path in paths:
        try:
            info = os.stat(path) if path != "-" else os.fstat(sys.stdin.fileno())
        except OSError:
            continue  # which is told where it is opened
        file = info.st_dev, info.st_ino
        if file in seen and (path == "-" or not stat.S_ISREG(info.st_mode)):
            raise DocumentError(f"{_shown(path)}: named twice, and can be read only once")
        if file in seen:
            twice.append(path)
        seen.add(file)
    more = f" (and {len(twice) - 1} more)" if len(twice) > 1 else ""
    return f"{twice[0]}{more}: named more than once, and counted each time" if twice else ""


def _shown(path):
    return path if path != "-" else "standard input"


def documents_of(path, form, field, lines):
    """Documents of a file: for each, the place to tell of it and its pieces of at most PIECE
    bytes."""
    name = _shown(path)
    try:
        with sys.stdin.buffer if path == "-" else open(path, "rb") as raw:
            source = _plain(raw, name)
            if form == "jsonl" or (form == "auto" and _stem(path).lower().endswith(LINES)):
                yield from _objects(source, name, field)
            elif lines:
                yield from _lines(source, name)
            else:
                yield name, iter(lambda: source.read(PIECE), b"")
    except OSError as error:
        raise DocumentError(f"{name}: {_reason(error)}") from None


def _reason(error):
    number = getattr(error, "errno", None)
    return os.strerror(number) if number else str(error)


def _stem(path):
    stem, end = os.path.splitext(path)
    return stem if end.lower() in COMPRESSED else path


class _Raw(io.RawIOBase):
    """A file of what `_read` gives: some bytes, or b"" at its end."""

    def readable(self):
        return True

    def readinto(self, room):
        data = self._read(len(room))
        room[:len(data)] = data
        return len(data)


class _Behind(_Raw):
    """Bytes that were read already, and the file behind them, whose failures name it: they may come
    while a document is read, which is not here."""

    def __init__(self, begin, file, name):
        self.begin, self.file, self.name = begin, file, name

    def _read(self, most):
        try:
            data = self.begin or self.file.read1(most)
        except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
            raise DocumentError(f"{self.name}: {_reason(error)}") from None
        self.begin = b""
        return data


def _behind(begin, file, name):
    return io.BufferedReader(_Behind(begin, file, name), PIECE)


class _Streams(_Raw):
    """What bzip2 or xz made: streams one behind the other, and zeros. The libraries' own files pass
    over whatever else stands behind a stream."""

    def __init__(self, file, begin_stream):
        self.file, self.begin_stream = file, begin_stream
        self.stream = begin_stream()

    def _read(self, most):
        data = b""
        while not data:
            given = b""
            if self.stream.eof:
                given = self.stream.unused_data or self.file.read1(PIECE)
                if not given:
                    return b""
                given = given.lstrip(b"\0")
                self.stream = self.begin_stream() if given else _Padding()
            elif self.stream.needs_input:
                given = self.file.read1(PIECE)
                if not given:
                    raise EOFError("Compressed file ended before the end of its stream")
            data = self.stream.decompress(given, most)
        return data


class _Padding:
    """A stream that has ended."""

    eof, unused_data = True, b""

    def decompress(self, given, most):
        return b""


def _unpacked(file, begin_stream):
    return io.BufferedReader(_Streams(file, begin_stream), PIECE)


READERS = {b"\x1f\x8b": gzip.open,
           b"BZh": lambda file: _unpacked(file, bz2.BZ2Decompressor),
           b"\xfd7zXZ\0": lambda file: _unpacked(file, lzma.LZMADecompressor)}


def _plain(raw, name):
    """The bytes before they were compressed, which is told by what they begin with, without a byte
    order mark."""
    begin = raw.read(MARK)
    for mark, command in REFUSED.items():
        if begin.startswith(mark):
            raise DocumentError(f"{name}: it is compressed: {command} FILE | mixtape tokenize -")
    file = _behind(begin, raw, name)
    for mark, open_reader in READERS.items():
        if begin.startswith(mark):
            file = _behind(b"", open_reader(file), name)
    begin = file.read(len(BYTE_ORDER_MARK))
    return _behind(b"" if begin == BYTE_ORDER_MARK else begin, file, name)


def _lines(source, name):
    """Each line is a document, however long, without its end."""
    number = 0
    while piece := source.readline(PIECE):
        number += 1
        yield f"{name}: line {number}", _pieces_of_line(source, piece)


def _pieces_of_line(source, piece):
    """A carriage return is held back: a newline may follow it in the next piece."""
    held = b""
    while piece:
        piece = held + piece
        if piece.endswith(b"\n"):
            yield piece[:-2] if piece.endswith(b"\r\n") else piece[:-1]
            return
        held = b"\r" if piece.endswith(b"\r") else b""
        yield piece[:len(piece) - len(held)]
        piece = source.readline(PIECE)
    yield held


def _objects(source, name, field):
    """The text of an object in each line."""
    number = 0
    while line := source.readline(LONGEST_LINE + 1):
        number += 1
        place = f"{name}: line {number}"
        if len(line) > LONGEST_LINE:
            raise DocumentError(f"{place}: longer than {LONGEST_LINE} bytes")
        if line.strip():
            text = _text_of(line, place, field)
            yield place, (text[at:at + PIECE] for at in range(0, len(text), PIECE))


def _text_of(line, place, field):
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        reason = str(error).partition(":")[0][:128]
        raise DocumentError(f"{place}: no JSON: {reason}") from None
    if not isinstance(found, dict):
        raise DocumentError(f"{place}: no object with the field {field!r}, but "
                            f"{json.dumps(found)[:32]}")
    if not isinstance(found.get(field), str):
        there = ", ".join(map(repr, list(found)[:8]))[:128]
        raise DocumentError(f"{place}: its field {field!r} is no text" if field in found else
                            f"{place}: no field {field!r} (there are: {there})")
    try:
        return found[field].encode()
    except UnicodeEncodeError:
        raise DocumentError(f"{place}: half of a pair of surrogates, which is no text") from None
