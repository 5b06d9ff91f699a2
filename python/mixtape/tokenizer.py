"""Tokenizers: text to the ids of a vocabulary's pieces, and back.

    tokenizer.json            of Hugging Face, by the library `tokenizers`
    NAME.model                of SentencePiece, by the library `sentencepiece`
    rwkv_vocab_v20230424.txt  RWKV's World list (mixtape.world)

A tokenizer is told by what its file holds. It takes and gives bytes; text within is UTF-8. No
tokens are put before or behind a text, and nothing is cut or padded, whatever the file says.
"""

import os
import stat

from mixtape.world import World, WorldError, is_world, read_pieces

MOST_BYTES = 64 << 20  # of a tokenizer's file
MOST_IDS = 1 << 24  # of a vocabulary
USUAL_NAMES = ("tokenizer.json", "tokenizer.model", "spiece.model", "rwkv_vocab_v20230424.txt")
OTHER_FILES = {b"version https://git-lfs.": "a pointer of Git LFS (git lfs pull fetches what it "
               "points to)",
               b"<!doctype html": "a page of HTML, as servers send in place of a file",
               b"<html": "a page of HTML, as servers send in place of a file"}
BETWEEN = "<|endoftext|>"  # what id 0 is called, which a World list has not


class TokenizerError(Exception):
    """What is wrong with a tokenizer, or a text, in one line."""


def load(path):
    """The tokenizer of a file, or of the folder of a model."""
    return make(read_file(find(path)), path)


def find(path):
    """The tokenizer's file: the path itself, or a file of a usual name in that folder."""
    if not path:
        raise TokenizerError("--tokenizer '': an empty name (it takes a file, or the folder of a "
                             "model)")
    if not os.path.isdir(path):
        return path
    for name in USUAL_NAMES:
        if os.path.lexists(os.path.join(path, name)):  # a link that leads nowhere is told
            return os.path.join(path, name)
    raise TokenizerError(f"{path}: a folder without {', '.join(USUAL_NAMES[:-1])} or "
                         f"{USUAL_NAMES[-1]}")


def read_file(path):
    try:
        info = os.stat(path)
        if not stat.S_ISREG(info.st_mode):
            raise TokenizerError(f"{path}: not a file")
        if info.st_size > MOST_BYTES:
            raise TokenizerError(f"{path}: {info.st_size} bytes are more than a tokenizer has "
                                 f"({MOST_BYTES})")
        with open(path, "rb") as file:
            return file.read(MOST_BYTES + 1)
    except OSError as error:
        raise TokenizerError(f"{path}: {error.strerror}") from None


def make(data, name):
    """The tokenizer of a file's bytes; `name` is for messages."""
    kinds = ((_looks_like_json, HuggingFace), (is_world, WorldList),
             (lambda data: data[:1] == b"\n", SentencePiece))
    for is_kind, kind in kinds:
        if is_kind(data):
            return kind(data, name)
    raise TokenizerError(f"{name}: neither a tokenizer.json, nor a model of SentencePiece, nor a "
                         f"World list: it is {_kind_of(data)}")


def _kind_of(data):
    """What a file is that is no tokenizer."""
    begin = data[:512].lower()
    for mark, kind in OTHER_FILES.items():
        if begin.startswith(mark):
            return kind
    if not data:
        return "empty"
    is_text = data.isascii() and b"\0" not in data
    return "text" if is_text else "of another kind, or damaged"


def _looks_like_json(data):
    return data[:64].lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"{"


def _need(module, name):
    try:
        return __import__(module)
    except ImportError:
        raise TokenizerError(f"{name}: it is read by the Python library `{module}`, which is not "
                             f"installed (pip install {module})") from None


def _guarded(name, call, *arguments):
    """A library's result; whatever it raises, a panic of Rust too, is one line."""
    try:
        return call(*arguments)
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as error:  # pylint: disable=broad-except
        lines = str(error).splitlines() or [type(error).__name__]
        raise TokenizerError(f"{name}: {lines[0][:256]}") from None


def _text(data):
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise TokenizerError(f"byte {data[error.start]:#04x} at {error.start} is not UTF-8") \
            from None


class Tokenizer:
    """What all have: `size`, which all ids are below; encode, decode, piece and find. One that
    takes any bytes cuts long texts itself, by `take`. One that `splits` serves token lists of
    ESPnet, whose labels are other numbers than its ids: split, join and token_list."""

    takes_bytes = False
    splits = False
    note = ""  # what is odd about it

    def find(self, token):
        """The id of a piece as the vocabulary spells it, or None."""
        raise NotImplementedError

    def close(self):
        """Ends what it has running."""


def _note_of_ids(name, vocabulary):
    """Says which pieces have one id; "" where none have."""
    tokens = {}
    for token, index in vocabulary.items():
        if tokens.setdefault(index, token) != token:
            return (f"{name}: {tokens[index][:64]!r} and {token[:64]!r} have the same id, {index}: "
                    "a model cannot tell them apart")
    return ""


class HuggingFace(Tokenizer):
    kind = "huggingface"

    def __init__(self, data, name):
        library = _need("tokenizers", name)
        text = _text(data.removeprefix(b"\xef\xbb\xbf"))
        self.name = name
        self.tokenizer = _guarded(name, library.Tokenizer.from_str, text)
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        vocabulary = self.tokenizer.get_vocab(with_added_tokens=True)
        if not vocabulary:
            raise TokenizerError(f"{name}: a tokenizer without a vocabulary")
        last = max(vocabulary, key=vocabulary.get)
        self.size = vocabulary[last] + 1
        if self.size > MOST_IDS:
            raise TokenizerError(f"{name}: its token {last[:64]!r} has the id {vocabulary[last]}, "
                                 f"where ids are 0 .. {MOST_IDS - 1}")
        self.note = _note_of_ids(name, vocabulary)

    def encode(self, text):
        decoded = _text(text)  # what fails there is no fault of the tokenizer
        return _guarded(self.name, lambda: self.tokenizer.encode(
            decoded, add_special_tokens=False).ids)

    def decode(self, ids):
        return _guarded(self.name, lambda: self.tokenizer.decode(
            list(ids), skip_special_tokens=False)).encode(errors="replace")

    def piece(self, index):
        return (self.tokenizer.id_to_token(index) or "").encode()

    def find(self, token):
        return self.tokenizer.token_to_id(token)


class SentencePiece(Tokenizer):
    kind = "sentencepiece"
    splits = True

    def __init__(self, data, name):
        library = _need("sentencepiece", name)
        self.name = name
        self.tokenizer = library.SentencePieceProcessor()
        try:
            taken = _guarded(name, self.tokenizer.LoadFromSerializedProto, data)
        except TokenizerError:
            taken = False
        if not taken:
            raise TokenizerError(f"{name}: cut or damaged: SentencePiece does not take it for a "
                                 "model")
        self.size = self.tokenizer.GetPieceSize()
        if self.size < 1:
            raise TokenizerError(f"{name}: a model without pieces")

    def encode(self, text):
        return _guarded(self.name, self.tokenizer.EncodeAsIds, _text(text))

    def decode(self, ids):
        return _guarded(self.name, self.tokenizer.DecodeIds, list(ids)).encode(errors="replace")

    def piece(self, index):
        return self.tokenizer.IdToPiece(index).encode()

    def find(self, token):
        index = self.tokenizer.PieceToId(token)
        return index if self.tokenizer.IdToPiece(index) == token else None

    def split(self, text):
        """The pieces of a text, as ESPnet's tokenizer gives them: what no piece is, as it stands in
        the text."""
        found = _guarded(self.name, self.tokenizer.EncodeAsPieces, _text(text))
        return [piece.encode() for piece in found]

    def join(self, pieces):
        found = [piece.decode(errors="replace") for piece in pieces]
        return _guarded(self.name, self.tokenizer.DecodePieces, found).encode(errors="replace")

    def token_list(self):
        """The list that ESPnet's recipes make of a model: for <unk>, <s> and </s> come others."""
        made = self.tokenizer
        left_out = {made.unk_id(), made.bos_id(), made.eos_id()}
        pieces = [self.piece(index) for index in range(self.size) if index not in left_out]
        return [b"<blank>", b"<unk>", *pieces, b"<sos/eos>"]


class WorldList(Tokenizer):
    kind = "world"
    takes_bytes = True

    def __init__(self, data, name):
        try:
            self.world = World(read_pieces(data))
        except WorldError as error:
            raise TokenizerError(f"{name}: {error}") from None
        self.name = name
        self.size = self.world.size

    def encode(self, text):
        return self._encode(text, len(text))[0]

    def _encode(self, text, end, begin=0):
        try:
            return self.world.encode(text, end, begin)
        except WorldError as error:
            raise TokenizerError(str(error)) from None

    def take(self, text, last, begin):
        """The ids of the first of these bytes, and how many bytes that are: all of them if they
        are the last of a document, else up to where a piece ends. `begin` bytes were before."""
        return self._encode(text, len(text) if last else len(text) - self.world.longest, begin)

    def decode(self, ids):
        return b"".join(self.world.pieces.get(index, b"") for index in ids)

    def piece(self, index):
        return self.world.pieces.get(index, b"")

    def find(self, token):
        return self.world.ids.get(token.encode(), 0 if token == BETWEEN else None)


def cut(text):
    """Where to cut a long text whose end is not known yet: behind the last newline between two
    lines that are not blank, else before the last blank, else between two characters. Never in its
    last bytes, which may belong to a character that is not whole."""
    end = len(text) - 4
    while True:
        at = text.rfind(b"\n", 1, end)
        if at <= 0:
            break
        if not text[at - 1:at].isspace() and not text[at + 1:at + 2].isspace():
            return at + 1
        end = at
    at = text.rfind(b" ", 1, len(text) - 4)
    if at > 0:
        return at
    at = len(text) - 4
    while at > 1 and text[at] & 0xC0 == 0x80:
        at -= 1
    return at
