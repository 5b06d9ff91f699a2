"""bench/instructions.py: the kernels take as many instructions as the record says, and what differs
is told."""

import copy
import os
import sys
import unittest

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(SOURCE, "bench"))

import instructions
import record

# Of two calls: within each, the program's own functions call one another and another object's.
PROFILE = """
desc: Trigger: --dump-after=counted
ob=/lib/libc.so.6
fn=(below main)
0 7
cob=/program
cfn=main
calls=1 0
0 900

ob=/program
fn=kernel
0 100
12 20
cob=/lib/libc.so.6
cfn=memcpy
calls=3 0
0 500
0 3
totals: 123

desc: Trigger: --dump-after=counted
ob=/program
fn=kernel
0 55

desc: Trigger: Program termination
totals: 0
"""


def changed(table, call, build, factor):
    other = copy.deepcopy(table)
    other[call][build] = round(other[call][build] * factor)
    return other


def recorded():
    return record.read(instructions.RECORD, instructions.NAMES, least=1)


class RecordTest(unittest.TestCase):
    def test_the_kernels_take_what_is_recorded(self):
        try:
            found = instructions.count_all(os.environ["INSTRUCTIONS"])
            lines = instructions.compare(recorded(), found)
        except record.Unfit as reason:
            if os.environ.get("MIXTAPE_REQUIRE_ALL"):
                raise
            self.skipTest(reason)
        if lines:
            self.fail("\n" + "\n".join(lines))


class ComparisonTest(unittest.TestCase):
    def setUp(self):
        self.compiler, self.table = recorded()

    def differences(self, found):
        return list(instructions.differences(self.table, found))

    def test_a_change_by_more_than_a_twentieth_is_told(self):
        before = self.table["wkv_forward"]["avx2 f32"] = 200000
        for factor, percents in (1.06, "+6.0"), (0.9, "-10.0"):
            self.assertEqual(
                self.differences(changed(self.table, "wkv_forward", "avx2 f32", factor)),
                [f"wkv_forward avx2 f32: {before} instructions recorded, {before * factor:.0f} "
                 f"found ({percents} %)"])
        for factor in 1.0, 1.049, 0.951:
            self.assertFalse(self.differences(changed(self.table, "wkv_forward", "avx2 f32",
                                                      factor)))

    def test_a_call_without_its_like_is_told(self):
        less = copy.deepcopy(self.table)
        del less["adam"]
        self.assertEqual(self.differences(less), ["adam: in the record alone"])
        self.assertEqual(list(instructions.differences(less, self.table)),
                         ["adam: in bench/kernel_calls.h alone"])

    def test_a_count_without_its_like_is_told(self):
        less = copy.deepcopy(self.table)
        count = less["adam"].pop("avx2 bf16")
        self.assertEqual(self.differences(less),
                         [f"adam avx2 bf16: {count} instructions recorded, none found"])
        self.assertEqual(list(instructions.differences(less, self.table)),
                         [f"adam avx2 bf16: no instructions recorded, {count} found"])

    def test_another_compiler_is_not_compared(self):
        with self.assertRaisesRegex(record.Unfit,
                                    f"of {self.compiler}, the program of GCC 4.2.1"):
            instructions.compare((self.compiler, self.table), ("GCC 4.2.1", self.table))


class ProfileTest(unittest.TestCase):
    def test_the_own_functions_of_each_call_are_added_up(self):
        self.assertEqual(instructions.own_instructions(PROFILE.splitlines(), "/program"), [123, 55])


if __name__ == "__main__":
    unittest.main()
