"""The two readers of World lists, the command's in C and the package's in Python: the same ids of
the same bytes, and the same complaints. WORLD_IDS is tests/io/world_ids.c."""

import os
import random
import subprocess
import unittest

import support
import tokenizers_of_tests as made
from mixtape.world import World, WorldError, is_world, read_pieces

# What lists are damaged with: all that has a meaning in one.
PARTS = [b"'", b'"', b"\\", b"\\x4", b"\\x41", b"\\u00e9", b"\\ud800", b"\\U0001f3b5",
         b"\\U00110000", b"\\101", b"\\N{DASH}", b"\\q", b"\\\n", b"b", b"B", b"u", b"r", b" ",
         b"  ", b"\n", b"\r", b"\r\n", b"\t", b"\0", b"\xff", b"\xc3", b"\xed\xa0\x80", b"0", b"1",
         b"00", b"1048576", b"9" * 10, b"-1", b"' '", b"'a' 'b'", b"\xc3\xa9", b"x" * 9000]


class WorldTest(support.CommandTest):
    def compare(self, listed, text):
        """What both say of a text; of a line that is no piece's, without showing it."""
        for name, data in (("list", listed), ("text", text)):
            with open(self.path(name), "wb") as file:
                file.write(data)
        run = subprocess.run([os.environ["WORLD_IDS"], self.path("list"), self.path("text")],
                             capture_output=True, timeout=60)
        said = run.stdout.removeprefix(b"list: ").split(b"length: ")[0].decode()
        self.assertEqual((run.returncode, said), self.expected(listed, text), listed[:200])
        return run.returncode == 0

    def expected(self, listed, text):
        try:
            found, _ = World(read_pieces(listed)).encode(text)
        except WorldError as error:
            return 1, str(error).split("length: ")[0] + ("\n" if "length: " not in str(error)
                                                         else "")
        return 0, "".join(f"{index}\n" for index in found)

    def listed(self):
        with open(made.world(self.folder), "rb") as file:
            return file.read()

    def test_random_bytes_become_the_same_ids(self):
        listed = self.listed()
        for seed in range(20):
            self.assertTrue(self.compare(listed, made.random_bytes(seed)))
        chance = random.Random(0)
        self.assertTrue(self.compare(listed, chance.randbytes(20000)))

    def test_a_byte_that_begins_no_piece_is_told_alike(self):
        lines = self.listed().splitlines(keepends=True)
        chance = random.Random(0)
        kept = sum(self.compare(b"".join(chance.sample(lines, 250)), made.random_bytes(seed, 20))
                   for seed in range(40))
        self.assertTrue(0 < kept < 40, kept)

    def test_damaged_lists_are_refused_alike(self):
        lines = self.listed().splitlines(keepends=True)
        chance = random.Random(0)
        kept, count = 0, 400
        for _ in range(count):
            damaged = bytearray(b"".join(chance.sample(lines, 3)))
            for _ in range(chance.randint(1, 2)):
                at, cut = chance.randrange(len(damaged)), chance.choice((0, 0, 1, 3))
                damaged[at:at + cut] = chance.choice(PARTS)
            kept += self.compare(bytes(damaged), b"")
        self.assertTrue(0 < kept < count, kept)

    def test_edges_are_read_alike(self):
        for listed in (b"", b"\n\n", b"0 'a' 1", b"1 'a' 1", b"1 'a' 1\r\n2 'b' 1\r\n",
                       b"1 'a' 1\r\r",
                       b"1 '' 0", b"1 'a' 2", b"1048575 'a' 1", b"1048576 'a' 1", b"1 'a\\'b' 3",
                       b"1 \"a'b\" 3", b"1 'a\"b' 3", b"1 b'\\xff' 1", b"1 b'\\u0041' 1",
                       b"1 '\\ud800' 3", b"1 '\\x00' 1", b"1 'a' 1\n1 'b' 1", b"1 'a' 1\n2 'a' 1",
                       b"1 'a'1", b"1 'a'  1", b" 1 'a' 1", b"1 'a' 1 ", b"1 'a\rb' 3",
                       b"1 '" + b"a" * 8180 + b"' 8180", b"1 '" + b"a" * 8181 + b"' 8181",
                       b"1 '" + b"a" * 8182 + b"' 8182", b"1 '" + b"a" * 8183 + b"' 8183"):
            self.compare(listed, b"a")

    def test_what_begins_as_no_list_is_none(self):
        for data in (b"1 '\xff' 1\n", b"1 b'\\u0041' 1\n", b"1 'a' 'b' 2\n", b"", b"{}"):
            self.assertFalse(is_world(data), data)
        self.assertTrue(is_world(b"1 'a' 1\r\n2 \xff"))


if __name__ == "__main__":
    unittest.main()
