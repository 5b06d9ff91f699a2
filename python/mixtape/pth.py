"""What torch.save wrote, read without PyTorch and without running anything that it holds.

A .pth file is a zip archive of records that are not compressed: a pickle, and the numbers of each
storage. Before PyTorch 1.6 it was a row of pickles with the storages behind them.
"""

import errno
import io
import os
import struct
import zipfile

from mixtape.pth_pickle import DAMAGED, MORE, PthError, Storage, read_pickle, show

MOST_RECORDS = 1 << 17

OTHERS = (  # what else may stand where weights should be: the place of some bytes, and these
    (0, b"\x89HDF", "HDF5, which `mixtape import` reads as it is"),
    (8, b"{", "safetensors, which `mixtape import` reads as it is"),
    (0, b"version https://git-lfs.",
     "a pointer of Git LFS (git lfs pull fetches what it points to)"),
    (0, b"<", "a page of HTML or XML, as servers send in place of a file"),
    (0, b"\x1f\x8b\x08", "compressed by gzip"),
    (257, b"ustar", "a tar file, as the first versions of PyTorch wrote them (load it with "
     "PyTorch, and save it again)"),
)


class _File:
    """The storages that a pickle names, by their keys; `order` is that of the bytes of a number."""

    order = "<"

    def __init__(self):
        self.storages = {}

    def storage(self, name, key, count):
        made = Storage(self, name, key, count)
        known = self.storages.setdefault(key, made)
        if (known.dtype, known.count) != (made.dtype, made.count):
            raise PthError(f"storage {show(key)} is of {known.count} {known.dtype}, and of "
                           f"{made.count} {made.dtype}")
        return known


class ZipFile(_File):
    """PyTorch's form since 1.6."""

    def __init__(self, file):
        super().__init__()
        # The directory is read as a whole: its entries, which begin so, are counted beforehand.
        pieces = iter(lambda: file.read(1 << 20), b"")
        if sum(piece.count(b"PK\1\2") for piece in pieces) > MOST_RECORDS:
            raise PthError(f"more than {MOST_RECORDS} records")
        self.archive = zipfile.ZipFile(file)
        self.records = {entry.filename: entry for entry in self.archive.infolist()}
        pickles = [name for name in self.records if name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise PthError(f"{DAMAGED}: it has {len(pickles)} records data.pkl")
        self.folder = pickles[0][:-len("data.pkl")]
        if self.folder + "constants.pkl" in self.records:
            raise PthError(f"{MORE}: TorchScript")
        self.check_records(os.fstat(file.fileno()).st_size)
        if self.folder + "byteorder" in self.records:
            self.order = {b"little": "<", b"big": ">"}[self.read("byteorder")]

    def check_records(self, length):
        """Each is as long in the file as it is to be, and together they are no
        longer than the file."""
        entries = self.archive.infolist()
        for entry in entries:
            if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
                raise PthError(f"record {show(entry.filename)} is compressed: torch.save does not")
        total = sum(entry.file_size for entry in entries)
        if total > length or len(self.records) != len(entries):
            raise PthError(f"{len(entries)} records of {total} bytes in a file of {length}: some "
                           "overlap, or have the same name")

    def read(self, name):
        if self.folder + name not in self.records:
            raise PthError(f"record {show(name)} is missing")
        try:
            return self.archive.read(self.records[self.folder + name])
        except zipfile.BadZipFile:
            raise PthError(f"record {show(name)} is damaged, or was saved without a checksum") \
                from None
        except EOFError:
            raise PthError(f"record {show(name)} is cut off") from None

    def bytes_of(self, key):
        return self.read(f"data/{key}")

    def value(self):
        return read_pickle(io.BytesIO(self.read("data.pkl")), self)


class FormerFile(_File):
    """PyTorch's form before 1.6: the pickles of a number to know it by, a version, the machine that
    it was written on, the value, and the storages' keys; then each storage, behind its length."""

    MAGIC, VERSION = 0x1950a86a20f9469cfc6c, 1001

    def __init__(self, file):
        super().__init__()
        self.content, self.places = file.read(), {}

    def bytes_of(self, key):
        return self.places[key]

    def value(self):
        stream = io.BytesIO(self.content)
        if read_pickle(stream) != self.MAGIC or read_pickle(stream) != self.VERSION:
            raise PthError(DAMAGED)
        read_pickle(stream)
        value = read_pickle(stream, self)
        keys, at = read_pickle(stream), stream.tell()
        for key in keys:
            storage = self.storages[key]
            count, = struct.unpack_from("<q", self.content, at)
            begin, at = at + 8, at + 8 + count * storage.code.itemsize
            if count != storage.count or at > len(self.content):
                raise PthError(f"storage {show(key)} of {storage.count} {storage.dtype}: {count} "
                               f"from byte {begin} on, of {len(self.content)}")
            self.places[key] = memoryview(self.content)[begin:at]
        for key in self.storages.keys() - self.places.keys():
            raise PthError(f"storage {show(key)} is missing")
        return value


def is_text(beginning):
    """Tells if a file that begins so is text, of which the last character may be cut."""
    text = beginning.decode(errors="ignore")
    return len(text.encode()) > len(beginning) - 4 and text != "" and all(
        character.isprintable() or character in "\t\n\r\f" for character in text)


def read(file):
    """What was saved, of an open file: plain values, Dictionary, Tensor and OddTensor. The file
    stays open while numbers are asked for. PthError for whatever else it is."""
    beginning = file.read(512)
    file.seek(0)
    for place, mark, what in OTHERS:
        if beginning[place:].startswith(mark):
            raise PthError(f"not PyTorch's, but {what}")
    if is_text(beginning):
        raise PthError("not PyTorch's, but text")
    form = ZipFile if beginning.startswith(b"PK\3\4") else FormerFile
    try:
        return form(file).value()
    except (PthError, MemoryError):
        raise
    except Exception as error:  # zipfile and pickletools raise whatever they stumble over
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # of a place before the file
            raise
        raise PthError(DAMAGED) from None
