"""What mixtape.tokenize does: text to token ids, which `mixtape train ids` trains on.

Text is read, and ids are written, in constant memory, by a tokenizer of mixtape.tokenizer. What is
not whole when it ends is removed.
"""

import contextlib
import os
import sys
import time

from mixtape import ids, tokenizer, tokenizer_apart
from mixtape.console import OutputError, Parser, printable, say
from mixtape.documents import PIECE, DocumentError, documents_of, note_of_names, paths_of

DONE, FAILED = 0, 1


def _parser():
    parser = Parser(prog="mixtape tokenize", description="""
        Makes token ids of text, for `mixtape train ids`.""", epilog="""
        Each file is a document, and each line of .jsonl, .ndjson and .json (--format jsonl). A
        folder is all files in it. Files may be compressed by gzip, bzip2 or xz. Documents longer
        than 256 KiB are cut between two lines, and their pieces tokenized one by one.""")
    parser.add_argument("inputs", nargs="+", metavar="FILE",
                        help="text, JSON lines or a folder; -: standard input")
    parser.add_argument("--tokenizer", required=True, metavar="FILE",
                        help="tokenizer.json of Hugging Face, a .model of SentencePiece, RWKV's "
                        "World list, or the folder of a model")
    parser.add_argument("-o", "--output", required=True, metavar="OUT",
                        help="OUT.bin and OUT.idx, which keep documents; or an .npy, or a .bin "
                        "of ids alone")
    parser.add_argument("--document-end", default="none", metavar="TOKEN",
                        help="what is put behind each document: an id, a token such as "
                        "<|endoftext|>, or none (default)")
    parser.add_argument("--format", choices=("auto", "text", "jsonl"), default="auto",
                        help="what the files are (default: as their names end)")
    parser.add_argument("--field", default="text", metavar="NAME",
                        help="that holds the text of a line of JSON (default: text)")
    parser.add_argument("--lines", action="store_true", help="each line of a text is a document")
    parser.add_argument("--invalid", choices=("error", "replace"), default="error",
                        help="what becomes of bytes that are not UTF-8 (a World list takes any)")
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    return parser


class _Progress:
    """What was done, on standard error: again and again on a terminal, else now and then."""

    def __init__(self, quiet):
        self.terminal = sys.stderr.isatty()
        self.every = float("inf") if quiet else 0.5 if self.terminal else 10.0
        self.began = self.shown = time.monotonic()
        self.documents = self.bytes = self.tokens = self.empty = self.cuts = 0

    def text(self):
        seconds = max(time.monotonic() - self.began, 1e-9)
        return (f"{self.documents} document{'s' * (self.documents != 1)}, {self.bytes} bytes, "
                f"{self.tokens} tokens, {self.tokens / seconds:.0f} tokens/s")

    def step(self):
        if time.monotonic() - self.shown >= self.every:
            self.shown = time.monotonic()
            print(self.text(), end="\r" if self.terminal else "\n", file=sys.stderr, flush=True)

    def end(self):
        notes = [f"{self.empty} empty left out"] * (self.empty > 0)
        places = f"{self.cuts} place{'s' * (self.cuts != 1)}"
        notes += [f"long documents cut at {places}"] * (self.cuts > 0)
        print("; ".join([self.text(), *notes]), file=sys.stderr)


class _Job:
    """Documents on their way into a file."""

    def __init__(self, given, made, writer, progress):
        self.tokenizer, self.writer, self.progress = made, writer, progress
        self.ending = _ending(made, given.document_end)
        self.replaces = given.invalid == "replace"

    def take(self, place, pieces):
        """Tokenizes one document."""
        left, begin, before = b"", 0, self.writer.count
        for piece in pieces:
            left += piece
            while len(left) > PIECE:
                used = self._encode(place, left, begin, last=False)
                left, begin = left[used:], begin + used
                self.progress.cuts += not self.tokenizer.takes_bytes
        if left:
            begin += self._encode(place, left, begin, last=True)
        if begin == 0:
            self.progress.empty += 1
            return
        self.writer.write(self.ending)
        if self.writer.count > before:
            self.writer.end_document()
            self.progress.documents += 1

    def _encode(self, place, text, begin, last):
        """Writes the ids of the first bytes, and tells how many bytes that are."""
        if self.tokenizer.takes_bytes:
            found, end = self._take(place, text, begin, last)
        else:
            end = len(text) if last else tokenizer.cut(text)
            found = self.tokenizer.encode(self._utf8(place, text[:end], begin))
        self.writer.write(found)
        self.progress.bytes += end
        self.progress.tokens = self.writer.count
        self.progress.step()
        return end

    def _take(self, place, text, begin, last):
        try:
            return self.tokenizer.take(text, last, begin)
        except tokenizer.TokenizerError as error:
            raise DocumentError(f"{place}: {error}") from None

    def _utf8(self, place, text, begin):
        try:
            text.decode()
        except UnicodeDecodeError as error:
            if not self.replaces:
                raise DocumentError(
                    f"{place}: byte {text[error.start]:#04x} at {begin + error.start} is not "
                    "UTF-8 (--invalid replace: goes on without it)") from None
            text = text.decode(errors="replace").encode()
        return text


def _ending(made, token):
    """The ids that are put behind a document."""
    if token == "none":
        return []
    is_id = token.isascii() and token.isdigit()
    is_long = is_id and len(token.lstrip("0")) > len(str(made.size))
    index = made.size if is_long else int(token) if is_id else made.find(token)
    if index is None:
        raise tokenizer.TokenizerError(f"--document-end {token!r}: not in the tokenizer's "
                                       f"vocabulary of {made.size} (nor an id, nor none)")
    if index >= made.size:
        raise tokenizer.TokenizerError(f"--document-end {token[:32]}: the tokenizer's ids are "
                                       f"0 .. {made.size - 1}")
    return [index]


def _work(given, writer, made):
    progress = _Progress(given.quiet)
    job = _Job(given, made, writer, progress)
    paths = paths_of(given.inputs)
    for note in filter(None, (made.note, note_of_names(paths))):
        print(printable(note), file=sys.stderr)
    for path in paths:
        for place, pieces in documents_of(path, given.format, given.field, given.lines):
            job.take(place, pieces)
    if writer.count == 0:
        raise DocumentError("there is no text in " + ", ".join(given.inputs))
    writer.close()
    progress.end()


def _written(given, made):
    """The writer of what is whole now."""
    writer = ids.writer_of(given.output, made.size)
    try:
        writer.open()
        _work(given, writer, made)
    except BaseException:
        writer.discard()
        raise
    return writer


def _check_names(given):
    """An empty name is a variable that a script has not set; one that ends with a slash would be
    that of a hidden file."""
    if "" in given.inputs:
        raise DocumentError("'': an empty name (it takes files and folders of text)")
    if os.path.basename(given.output) in ("", ".", ".."):
        raise DocumentError(f"-o {given.output!r}: no name of a file")


def _tokenize(given):
    _check_names(given)
    with contextlib.closing(tokenizer_apart.load(given.tokenizer)) as made:
        _ending(made, given.document_end)  # before the output is begun
        try:
            writer = _written(given, made)
        except OSError as error:
            reason = error.strerror or error
            raise DocumentError(f"{error.filename or given.output}: {reason}") from None
    say("\n".join([*map(printable, writer.names()),
                   f"{writer.dtype.name}, vocabulary {made.size}"]))


def run(arguments):
    """The status of the command."""
    try:
        _tokenize(_parser().parse_args(arguments))
        return DONE
    except (tokenizer.TokenizerError, DocumentError, OutputError) as error:
        reason = str(error)
    except MemoryError:
        reason = "no memory for it"
    print(printable(f"mixtape: {reason}"), file=sys.stderr)
    return FAILED
