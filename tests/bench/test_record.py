"""bench/record.py: counts are read as they were written, and a damaged table is told."""

import os
import pathlib
import sys
import tempfile
import unittest

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(SOURCE, "bench"))

import instructions
import machine_code
import record

NAMES = ["row", "first", "second"]


class RecordTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = pathlib.Path(folder.name, "again.tsv")

    def test_what_is_written_is_read_again(self):
        for kept in instructions, machine_code:
            made_by, table = record.read(kept.RECORD, kept.NAMES)
            self.path = self.path.with_stem(kept.RECORD.stem)
            record.write(self.path, made_by, kept.NAMES, table)
            self.assertEqual(self.path.read_bytes(), kept.RECORD.read_bytes())
            self.assertEqual(record.read(self.path, kept.NAMES), (made_by, table))
            self.assertGreater(len(table), 10)
        self.assertEqual(sorted(os.listdir(self.path.parent)),
                         ["instructions.tsv", "machine_code.tsv"])

    def test_a_table_that_is_damaged_is_told(self):
        for third in ("a\t1", "a\t1\tx", "a\t1\t2\t3", "a\t1\t-2", "a\t1\t0", "a\t1\t"):
            self.path.write_text(f"# maker: see again.py\nrow\tfirst\tsecond\n{third}\n")
            with self.assertRaisesRegex(record.Unfit, "again.tsv:3: no 2 counts"):
                record.read(self.path, NAMES, least=1)
        self.path.write_text("# maker: see again.py\nrow\tfirst\tsecond\na\t1\t0\n")
        self.assertEqual(record.read(self.path, NAMES), ("maker", {"a": {"first": 1, "second": 0}}))

    def test_a_row_may_lack_a_count(self):
        table = {"a": {"first": 1}, "b": {"first": 2, "second": 3}}
        record.write(self.path, "maker", NAMES, table)
        self.assertEqual(self.path.read_text().splitlines()[2:], ["a\t1\t-", "b\t2\t3"])
        self.assertEqual(record.read(self.path, NAMES), ("maker", table))


if __name__ == "__main__":
    unittest.main()
