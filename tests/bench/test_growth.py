"""bench/growth.py on small points: what is measured becomes a table, and a picture."""

import importlib.util
import os
import pathlib
import sys
import tempfile
import unittest
from unittest import mock

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(SOURCE, "bench"))

import growth

MIXTAPE = os.environ["MIXTAPE"]
SMALL = {"batch": [growth.point(16, 1, batch, 20) for batch in (1, 4, 64)]}


def row(batch, seconds):
    return {**growth.point(128, 4, batch, 100), "parameters": 5, "told_mb": 20.04,
            "seconds": {"1": seconds, "2": [1.2345, 1.2345]}, "peak_mb": {"1": [41], "2": [1234.6]}}


class GrowthTest(unittest.TestCase):
    def measure(self, rounds):
        saved = []
        with mock.patch.multiple(growth, SERIES=SMALL, ENOUGH=0.02):
            found = growth.measure_all(MIXTAPE, rounds, 2, lambda found: saved.append(found))
        self.assertEqual(saved, [found] * rounds)
        return found["batch"]

    def test_time_and_memory_of_each_point_are_measured_in_rounds(self):
        rows = self.measure(2)
        self.assertEqual([row["batch"] for row in rows], [1, 4])
        for found in rows:
            self.assertGreater(found["parameters"], 1000)
            for threads in "1", "2":
                for seconds, peak in zip(found["seconds"][threads], found["peak_mb"][threads],
                                         strict=True):
                    self.assertGreater(seconds, 0.0)
                    self.assertGreater(peak, found["told_mb"])
                self.assertEqual(len(found["seconds"][threads]), 2)

    def test_short_steps_are_measured_by_more_of_them(self):
        with mock.patch.object(growth, "run",
                               side_effect=[([2e-2, 1e-2, 1e-2], 1.0), ([3e-3], 2.0)]) as of:
            self.assertEqual(growth.measure("", {}, 1), (3e-3, 2.0))
        self.assertEqual([call.args[2] for call in of.call_args_list], [growth.STEPS, 200])

    def test_what_the_system_has_no_memory_for_is_left_out(self):
        with mock.patch.object(growth, "told", side_effect=[(9, 100.0, 99.0), (9, 1.0, 99.0)]), \
                mock.patch("builtins.print") as printed:
            rows = self.measure(1)
        self.assertEqual([row["batch"] for row in rows], [4])
        self.assertIn("of 100 MB the system has 99", printed.call_args.args[0])

    def test_a_table_has_medians(self):
        lines = list(growth.table("batch", [row(1, [0.5, 0.0125, 0.0005]), row(2, [2.0, 2.0])]))
        self.assertEqual(lines[0], "batch: size 128, blocks 4, length 100")
        self.assertEqual(lines[-2:], [
            "| 1 | 12.5 ms | 1234 ms | 125 us | 20 MB | 41 MB | 1235 MB |",
            "| 2 | 2000 ms | 1234 ms | 10000 us | 20 MB | 41 MB | 1235 MB |"])

    @unittest.skipUnless(importlib.util.find_spec("matplotlib"), "needs matplotlib")
    def test_the_same_results_are_drawn_by_the_same_bytes(self):
        with tempfile.TemporaryDirectory() as folder:
            paths = [pathlib.Path(folder, name) for name in ("one.svg", "other.svg")]
            for path in paths:
                growth.draw({"batch": [row(1, [0.1]), row(2, [0.3])]}, path)
            self.assertIn(b"batch: size 128", paths[0].read_bytes())
            self.assertEqual(*(path.read_bytes() for path in paths))


if __name__ == "__main__":
    unittest.main()
