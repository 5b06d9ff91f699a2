"""bench/machine_code.py: nvcc makes of the kernels what the record says, and what differs is
told."""

import copy
import os
import sys
import unittest
from unittest import mock

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(SOURCE, "bench"))

import machine_code
import record

LISTING = """
//--------------------- .text.first --------------------------
.text.first:
first:
        /*0000*/                   ACQBULK ;
        /*0000*/                   LDC R1, c[0x0][0x28] ;
        /*0010*/              @!P0 LDG.E.STRONG.SYS R46, desc[UR10][R44.64] ;
        /*0020*/              @UP1 STG.E.64.STRONG.SYS desc[UR8][R28.64], R38 ;
.L_x_1:
        /*0030*/                   LDG.E R2, desc[UR10][R44.64] ;
        /*0040*/                   ATOMG.E.ADD.STRONG.GPU PT, R2, desc[UR8][R2.64], R5 ;
        /*0050*/                   EXIT ;
        /*0060*/                   NOP;
.text.second:
        /*0000*/                   STL.64 [R1], R2 ;
        /*0010*/                   CALL.REL.NOINC `($__internal_0_$__cuda_sm20_div_s64) ;
        /*0020*/               @P0 CALL.REL.NOINC `($__internal_1_$__cuda_sm20_rem_u64) ;
        /*0030*/                   CALL.REL.NOINC `($__internal_2_$__cuda_sm20_div_rn_f64_full) ;
        /*0040*/                   EXIT ;
        .weak           $__internal_0_$__cuda_sm20_div_s64
$__internal_0_$__cuda_sm20_div_s64:
        /*0050*/                   I2F.U64.RP R12, R6 ;
"""
REPORT = """
ptxas info    : Compiling entry function 'first' for 'sm_90'
ptxas info    : Function properties for first
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 96 registers, used 1 barriers
ptxas info    : Compiling entry function 'second' for 'sm_90'
ptxas info    : Used 12 registers
"""
FORWARD = "forward_kernel<float, float> sm_90"


def recorded():
    return record.read(machine_code.RECORD, machine_code.NAMES)


class RecordTest(unittest.TestCase):
    def test_the_kernels_are_what_is_recorded(self):
        try:
            compiler, table, lines = machine_code.examine(os.environ["NVCC"])
        except record.Unfit as reason:
            if os.environ.get("MIXTAPE_REQUIRE_ALL"):
                raise
            self.skipTest(reason)
        recorder, before = recorded()
        if compiler == recorder:
            lines += machine_code.differences(before, table)
        if lines:
            self.fail("\n" + "\n".join(lines))


class ListingTest(unittest.TestCase):
    def test_instructions_and_strong_accesses_are_counted(self):
        found, spills = machine_code.count(LISTING)
        self.assertEqual(found["first"], {"instructions": 7, "registers": 0, "strong stores": 1,
                                          "strong loads": 1, "strong additions": 1, "waits": 1,
                                          "wide divisions": 0})
        self.assertEqual(found["second"]["instructions"], 6)
        self.assertEqual(found["second"]["wide divisions"], 2)
        self.assertEqual(spills, {"second"})

    def test_registers_are_those_of_each_kernel(self):
        self.assertEqual(machine_code.registers(REPORT), {"first": 96, "second": 12})


class NeededTest(unittest.TestCase):
    def examine(self, listing):
        def run(*command):
            if command[-1] == "--version":
                return "release 99.1"
            return {"nvdisasm": listing, "nvcc": ""}.get(command[0], "\n".join(command[1:]))

        with mock.patch.object(machine_code, "run", run), \
                mock.patch.object(machine_code, "find_disassembler", lambda nvcc: "nvdisasm"):
            return machine_code.examine("nvcc")

    def test_kernels_that_are_not_there_are_told(self):
        for listing in "", LISTING:
            compiler, _, faults = self.examine(listing)
            self.assertEqual(compiler, "nvcc 99.1")
            for kernel in machine_code.needed():
                self.assertIn(f"{kernel}: not in the machine code", faults)
        self.assertEqual(len(set(machine_code.needed())), 16 + 54)
        self.assertEqual([kernel for kernel in machine_code.needed()
                          if kernel not in recorded()[1]], [])


class ComparisonTest(unittest.TestCase):
    def setUp(self):
        self.compiler, self.table = recorded()

    def test_what_no_compiler_may_do_is_told(self):
        counts = self.table[FORWARD] | {"strong loads": 20, "waits": 0, "wide divisions": 1}
        self.assertEqual(machine_code.check(FORWARD, counts, True),
                         [f"{FORWARD}: keeps registers in memory",
                          f"{FORWARD}: does not wait for the kernel before",
                          f"{FORWARD}: divides integers of 64 bits",
                          f"{FORWARD}: 20 strong loads, needs 21"])
        for kernel, counts in self.table.items():
            self.assertEqual(machine_code.check(kernel, counts, False), [])

    def test_what_is_not_as_recorded_is_told(self):
        before = self.table[FORWARD]["instructions"]
        for what, change, told in (("instructions", before // 20, False),
                                   ("instructions", before // 20 + 1, True),
                                   ("instructions", -(before // 20 + 1), True),
                                   ("registers", 1, True), ("strong stores", 1, True)):
            other = copy.deepcopy(self.table)
            other[FORWARD][what] += change
            line = (f"{FORWARD}: {self.table[FORWARD][what]} {what} recorded, "
                    f"{other[FORWARD][what]} found")
            self.assertEqual(list(machine_code.differences(self.table, other)),
                             [line] if told else [])
        del other[FORWARD]
        self.assertEqual(list(machine_code.differences(self.table, other)),
                         [f"{FORWARD}: in the record alone"])
        self.assertEqual(list(machine_code.differences(other, self.table)),
                         [f"{FORWARD}: in the machine code alone"])


if __name__ == "__main__":
    unittest.main()
