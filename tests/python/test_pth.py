"""The reader of .pth: the numbers that PyTorch reads, without PyTorch; and an error where a file is
damaged, or made to do harm."""

import collections
import io
import math
import os
import struct
import subprocess
import sys
import tempfile
import unittest
import zipfile
from unittest import mock

import support


def setUpModule():
    support.need("torch", "h5py")
    global torch, numpy, files, pth, pth_pickle
    import numpy
    import torch

    from mixtape import files, pth, pth_pickle


MEMORY = 800 << 20  # more than any file here needs
CONVERT = """
import resource, sys
sys.modules["torch"] = None
import h5py
from mixtape import files
with open("/proc/self/statm") as file:
    taken = int(file.read().split()[0]) * resource.getpagesize()
limit = taken + int(sys.argv.pop(1))
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
files.from_pth()
"""


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def storage(count, name="FloatStorage", key="0"):
    """What a pickle says of a storage; the memo has its type in place 1."""
    return (b"(" + text("storage") + b"ctorch\n" + name.encode() + b"\n" + text(key) + text("cpu") +
            integer(count) + b"tQ")


def integer(value):
    return b"\x8a" + bytes([16]) + value.to_bytes(16, "little", signed=True)


def sizes(values):
    return b"(" + b"".join(map(integer, values)) + b"t"


def tensor(count, offset, shape, strides, **of_storage):
    return (b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage(count, **of_storage) +
            integer(offset) + sizes(shape) + sizes(strides) +
            b"\x89ccollections\nOrderedDict\n)Rt" + b"R")


def state(**values):
    """A pickle of a dict."""
    return b"\x80\x02}(" + b"".join(text(name) + value for name, value in values.items()) + b"u."


def archive(pickle, records=(("data/0", bytes(16)), ), compression=zipfile.ZIP_STORED):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", compression) as made:
        made.writestr("archive/data.pkl", pickle)
        for name, value in records:
            made.writestr("archive/" + name, value)
    return content.getvalue()


def saved(value, **options):
    content = io.BytesIO()
    torch.save(value, content, **options)
    return content.getvalue()


class PthTest(unittest.TestCase):

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = os.path.join(folder.name, "x.pth")

    def read(self, content):
        with open(self.path, "wb") as file:
            file.write(content)
        return files.read_state_dict(self.path)

    def refuse(self, content, says):
        with self.assertRaises(files.FilesError) as error:
            self.read(content)
        self.assertIn(says, str(error.exception))
        self.assertLess(len(str(error.exception)), 1000)
        self.assertEqual(len(str(error.exception).splitlines()), 1)

    def assert_same(self, found, expected):
        self.assertEqual(sorted(found), sorted(expected))
        for name, value in expected.items():
            wide = value.detach().double() if value.dtype == torch.float64 else value.float()
            self.assertEqual(found[name].shape, tuple(value.shape), name)
            self.assertEqual(found[name].dtype, wide.detach().numpy().dtype, name)
            numpy.testing.assert_array_equal(found[name], wide.detach().numpy(), name)

    def test_numbers_are_those_that_pytorch_reads(self):
        generator = torch.Generator().manual_seed(1)

        def draw(*shape):
            return torch.randn(shape, generator=generator)

        table, module = draw(5, 6), torch.nn.Linear(3, 4)
        values = {
            "plain": draw(2, 3),
            "double": draw(3).double(),
            "half": draw(3).half(),
            "bfloat16": draw(2, 7).bfloat16(),
            "turned": table.t(),
            "cut": table[1:4, ::2],
            "shared": table,
            "scalar": draw(),
            "expanded": draw(1, 3).expand(2, 3),
            "none": draw(0, 3),
            "parameter": torch.nn.Parameter(draw(4)),
            "größe": draw(1),
            "infinite": torch.tensor([math.inf, -math.inf, -0.0, 5e-324, 6e-8]).half(),
            "bfloat16.cut": draw(4, 4).bfloat16().t()[1:],
        }
        for name, options in (("now", {}), ("former", {
                "_use_new_zipfile_serialization": False
        }), ("protocol 4", {
                "pickle_protocol": 4
        }), ("protocol 5", {
                "pickle_protocol": 5
        })):
            with self.subTest(name):
                counters = {"count": torch.tensor(3), "mask": torch.ones(2).bool()}
                self.assert_same(self.read(saved({**values, **counters}, **options)), values)
                ordered = collections.OrderedDict(values)
                self.assert_same(self.read(saved(ordered, **options)), values)
                self.assert_same(self.read(saved(module.state_dict(), **options)),
                                 module.state_dict())

    def test_a_checkpoint_of_espnets_has_its_model_read(self):
        model = torch.nn.Linear(3, 4)
        optimizer = torch.optim.Adam(model.parameters())
        model(torch.ones(3)).sum().backward()
        optimizer.step()
        whole = {
            "model": model.state_dict(),
            "optimizers": [optimizer.state_dict()],
            "reporter": {
                "epoch": 3,
                "stats": {
                    1: {
                        "loss": 1.5,
                        "time": None
                    }
                },
                "x": (1, b"b")
            },
            "device": torch.device("cpu"),
            "shape": torch.Size([1]),
            "names": {"a"}
        }
        for options in ({}, {"_use_new_zipfile_serialization": False}):
            self.assert_same(self.read(saved(whole, **options)), model.state_dict())

    def test_numbers_of_the_other_byte_order(self):
        pickle = state(a=tensor(2, 0, (2, ), (1, )))
        for order, code in (("big", ">f4"), ("little", "<f4")):
            records = (("byteorder", order), ("data/0", numpy.array([1.5, -2], code).tobytes()))
            self.assertEqual(list(self.read(archive(pickle, records))["a"]), [1.5, -2])
        self.refuse(archive(pickle, (("byteorder", "middle"), )), "x.pth: not a state_dict as")

    def test_a_pending_sign_is_applied(self):
        without = tensor(2, 0, (2, ), (1, ))
        for flag, expected in ((b"\x88", [-1.5, 2]), (b"\x89", [1.5, -2])):
            pickle = state(a=without[:-2] + b"}" + text("neg") + flag + b"stR")
            records = (("data/0", numpy.array([1.5, -2], "<f4").tobytes()), )
            self.assertEqual(list(self.read(archive(pickle, records))["a"]), expected)

    def test_a_tensor_reaches_no_further_than_its_storage(self):
        self.assertEqual(self.read(archive(state(a=tensor(4, 1, (3, ), (1, )))))["a"].shape, (3, ))
        for offset, shape, strides, says in (
            (2, (3, ), (1, ), "a tensor reaches element 4 of storage '0', which has 4"),
            (0, (5, ), (1, ), "reaches element 4"),
            (0, (2, 2), (3, 1), "reaches element 4"),
            (0, (2, ), (1 << 62, ), "reaches element 4611686018427387904"),
            (1 << 62, (1, ), (1, ), "reaches element 4611686018427387904"),
            (-1, (1, ), (1, ), "or not 0 to 32 dimensions"),
            (0, (-1, ), (1, ), "or not 0 to 32 dimensions"),
            (3, (2, ), (-1, ), "or not 0 to 32 dimensions"),
            (0, (1 << 64, ), (0, ), "or not 0 to 32 dimensions"),
            (0, (2, 2), (1, ), "or not 0 to 32 dimensions"),
            (0, (1, ) * 33, (1, ) * 33, "or not 0 to 32 dimensions"),
            (0, (1 << 62, ), (0, ), "views of the same numbers"),
            (0, (1 << 31, 1 << 31), (0, 0), "views of the same numbers"),
            (0, (1000, ), (0, ), "views of the same numbers"),
        ):
            with self.subTest(offset=offset, shape=shape, strides=strides):
                self.refuse(archive(state(a=tensor(4, offset, shape, strides))), says)

    def test_a_storage_is_no_larger_than_its_record(self):
        for count in (3, 5, 1 << 20, 1 << 40, 1 << 62):
            with self.subTest(count=count):
                self.refuse(archive(state(a=tensor(count, 0, (1, ), (1, )))),
                            f"a: storage '0': {count} numbers of torch.float32 in 16 bytes")
        former = saved({"a": torch.ones(4)}, _use_new_zipfile_serialization=False)
        place = former.rindex(struct.pack("<q4f", 4, 1, 1, 1, 1))
        for count in (-1, 3, 5, 1 << 62):
            with self.subTest(former=count):
                self.refuse(former[:place] + struct.pack("<q", count) + former[place + 8:],
                            f"storage '{self.key_of(former)}' of 4 torch.float32: {count} from")

    def key_of(self, former):
        with open(self.path, "wb") as file:
            file.write(former)
        with open(self.path, "rb") as file:
            return pth.read(file).get("a").storage.key

    def test_storages_are_of_one_type_and_of_this_file(self):
        one, other = tensor(4, 0, (1, ), (1, )), tensor(2, 0, (1, ), (1, ), name="DoubleStorage")
        self.refuse(archive(state(a=one, b=other)), "storage '0' is of 4 torch.float32, and of 2")
        for key in ("1", "../data.pkl", "/etc/passwd", ""):
            self.refuse(archive(state(a=tensor(4, 0, (1, ), (1, ), key=key))), "is missing")
        self.refuse(archive(state(a=tensor(4, 0, (1, ), (1, ), name="load"))),
                    "holds more than tensors, which is not loaded: torch.load")

    def test_records_are_stored_as_pytorch_stores_them(self):
        pickle = state(a=tensor(1 << 20, 0, (1 << 20, ), (1, )))
        self.refuse(archive(pickle, (("data/0", bytes(1 << 22)), ), zipfile.ZIP_DEFLATED),
                    "is compressed: torch.save does not")
        self.refuse(archive(pickle, (("x/data.pkl", b""), )), "it has 2 records data.pkl")
        self.refuse(
            archive(pickle, (("data/0", bytes(16)), )).replace(b"data.pkl", b"data.pkk"),
            "it has 0 records data.pkl")
        twice = archive(pickle, (("data/0", bytes(16)), ("data/1", bytes(16))))
        self.refuse(twice.replace(b"data/1", b"data/0"), "have the same name")
        self.refuse(self.overlapping(), "some overlap")

    def overlapping(self):
        """An archive each of whose records is all of it."""
        content = archive(state(a=tensor(4, 0, (4, ), (1, ))))
        place = content.index(b"PK\1\2")
        entries = bytearray(content[place:])
        at = 0
        while entries[at:at + 4] == b"PK\1\2":
            entries[at + 20:at + 28] = struct.pack("<2I", place, place)
            at += 46 + sum(struct.unpack_from("<3H", entries, at + 28))
        return content[:place] + bytes(entries)

    def test_a_pickle_is_plain_values_and_tensors(self):
        for pickle, says in (
            (state(a=b"cposix\nsystem\n(" + text("true") + b"tR"), "loaded: posix.system"),
            (state(a=b"cbuiltins\neval\n(" + text("1") + b"tR"), "loaded: builtins.eval"),
            (state(a=b"ctorch\nload\n)\x81"), "loaded: torch.load"),
            (state(a=b"(iposix\nsystem\n"), "operation 5 of the pickle is INST"),
            (state(a=b"(cposix\nsystem\no"), "operation 6 of the pickle is OBJ"),
            (state(a=b"\x82\1"), "is EXT1"),
            (state(a=b"Px\n"), "is PERSID"),
            (state(a=b"]}b"), "the state of a list"),
            (state(a=b"c" + b"x" * 300 + b"\ny\n"), "not a state_dict as torch.save writes it"),
            (b"\x80\x02" + b"]" * 1000 + b".", "operation 1000 of the pickle is EMPTY_LIST"),
            (b"\x80\x02.", "not a state_dict as torch.save writes it"),
            (b"\x80\x02}", "not a state_dict as torch.save writes it"),
            (b"\x80\x02h\0.", "not a state_dict as torch.save writes it"),
        ):
            with self.subTest(says=says), mock.patch.object(pth_pickle, "MOST_OPERATIONS", 1000):
                self.refuse(archive(pickle), says)

    def test_lists_that_hold_themselves_are_not_shown(self):
        """Written out, the last of these has 9^40 elements."""
        lists = b"(]q\0" + b"".join(b"]q" + bytes([i]) + b"(" + (b"h" + bytes([i - 1])) * 9 + b"e"
                                    for i in range(1, 40)) + b"t"
        self.refuse(archive(state(a=lists)), "'a' is a tuple")
        self.refuse(archive(b"\x80\x02}(" + lists + tensor(4, 0, (1, ), (1, )) + b"u."),
                    "tuple is a Tensor")

    def test_what_is_something_else_is_named(self):
        for content, says in (
            (b"\x89HDF\r\n\x1a\n", "not PyTorch's, but HDF5"),
            (struct.pack("<q", 2) + b"{}", "not PyTorch's, but safetensors"),
            (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
            (b"<!DOCTYPE html>", "a page of HTML"),
            (b"\x1f\x8b\x08\0", "compressed by gzip"),
            (b"sys_info".ljust(257, b"\0") + b"ustar\0", "a tar file"),
            (b"Not Found\n", "not PyTorch's, but text"),
            ("é".encode() * 400, "not PyTorch's, but text"),
            (b"hello\0", "not a state_dict as torch.save writes it, or damaged"),
            (b"", "not a state_dict as torch.save writes it, or damaged"),
        ):
            with self.subTest(says=says):
                self.refuse(content, says)

    def damaged(self, content):
        """Each truncation, and each byte with a wrong bit and with eight."""
        for place, byte in enumerate(content):
            yield f"{place} bytes", content[:place]
            for change in (1 << place % 8, 0xFF):
                yield f"byte {place}", (content[:place] + bytes([byte ^ change]) +
                                        content[place + 1:])

    def test_a_damaged_file_is_refused_or_right(self):
        values = {"a": torch.tensor([1.5, -2.5]), "b": torch.ones(1, 3).half()}
        content = saved(values)
        self.assert_same(self.read(content), values)
        refused = 0
        for what, changed in self.damaged(content):
            with self.subTest(what):
                try:
                    self.assert_same(self.read(changed), values)
                except files.FilesError:
                    refused += 1
        self.assertGreater(refused, len(content))

    def test_a_damaged_file_of_the_former_form_is_read_or_refused(self):
        """It has no checksums."""
        content = saved({"a": torch.ones(2)}, _use_new_zipfile_serialization=False)
        for what, changed in self.damaged(content):
            with self.subTest(what):
                try:
                    self.read(changed)
                except files.FilesError as error:
                    self.assertEqual(len(str(error).splitlines()), 1)

    def convert_within(self, memory, content):
        """(status, message) of mixtape-from-pth with so much memory beyond what Python, NumPy and
        h5py take, and without PyTorch."""
        with open(self.path, "wb") as file:
            file.write(content)
        result = subprocess.run(
            [sys.executable, "-c", CONVERT,
             str(memory), self.path, self.path + ".h5"], capture_output=True, timeout=120,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"})
        return result.returncode, result.stderr.decode()

    def test_pytorch_is_not_needed(self):
        self.assertEqual(self.convert_within(MEMORY, saved({"a": torch.ones(2)})), (0, ""))

    def test_no_file_takes_more_memory_than_it_can_mean(self):
        constant = b"ctorch._utils\n_rebuild_tensor_v2\nq\0(" + storage(4) + integer(0) + \
            sizes((4,)) + sizes((1,)) + b"\x89NtRq\1"
        many = b"\x80\x02}(" + text("a") + constant + b"".join(
            text(f"{i:x}") + b"h\1" for i in range(100000)) + b"u."
        long_text = text("x" * 1000000)
        for name, pickle in {
                "expanded":
                state(a=tensor(4, 0, (1 << 17, 1 << 14), (0, 0))),
                "lists":
                b"\x80\x02" + b"]" * (pth_pickle.MOST_OPERATIONS - 2) + b".",
                "marks":
                b"\x80\x02" + b"(" * (pth_pickle.MOST_OPERATIONS - 2) + b".",
                "memo":
                b"\x80\x02]r\xff\xff\xff\xff.",
                "length":
                b"\x80\x04\x8d" + struct.pack("<Q", 1 << 40) + b"a.",
                "bytearray":
                b"\x80\x05\x96" + struct.pack("<Q", 1 << 40) + b"a.",
                "copies":
                b"\x80\x02" + long_text + b"q\0" + b"c_codecs\nencode\n" + b"(h\0h\0tR(" +
                b"c__builtin__\nset\nq\1" + b"h\1h\0\x85R" * 10000 + b"t.",
                "names":
                b"\x80\x04" + long_text + b"\x94(" + b"h\0h\0\x93" * 10000 + b"t.",
                "tensors":
                many,
        }.items():
            with self.subTest(name):
                status, message = self.convert_within(MEMORY, archive(pickle))
                self.assertEqual((status, len(message.splitlines())), (1, 1), message)
                self.assertNotIn("memory", message)

    def test_a_lack_of_memory_is_told_in_a_line(self):
        content = saved({name: torch.zeros(1 << 20).bfloat16() for name in "abcdef"})
        for megabytes in (0, 1, 4, 8, 16, 30, 40, 60):
            status, message = self.convert_within(megabytes << 20, content)
            self.assertEqual((status, len(message.splitlines())), (1, 1), message)
            self.assertIn("no memory for it", message)
        self.assertEqual(self.convert_within(200 << 20, content), (0, ""))


if __name__ == "__main__":
    unittest.main()
