"""The changes that mutate.py makes, on a few lines of C."""

import pathlib
import unittest

import mutate

TEXT = """
mt_status clip(mt_tape *tape, double limit) /* a < b */
{
    if (limit < 1.0) {
        return mt_fail(MT_ERROR_INVALID, "limit < %g", limit);
    }
    tape->limit = sum[2 * i + 1];
    apply(tape, limit);
    return status;
}
"""


def changes(kind):
    return [mutant.changed for mutant in mutate.mutants_of("clip.c", TEXT) if mutant.kind == kind]


class MutantsTest(unittest.TestCase):
    def test_operators_are_exchanged_outside_of_comments_and_texts(self):
        self.assertEqual(changes("comparison"), ["if (limit <= 1.0) {"])
        self.assertEqual(changes("arithmetic"), ["tape->limit = sum[2 / i + 1];",
                                                 "tape->limit = sum[2 * i - 1];"])

    def test_constants_move_by_one(self):
        self.assertEqual(changes("constant"), [
            "if (limit < 2.0) {", "if (limit < 0.0) {", "tape->limit = sum[3 * i + 1];",
            "tape->limit = sum[1 * i + 1];", "tape->limit = sum[2 * i + 2];",
            "tape->limit = sum[2 * i + 0];"])

    def test_conditions_are_negated(self):
        self.assertEqual(changes("condition"), ["if (!(limit < 1.0)) {"])

    def test_statements_are_left_out(self):
        self.assertEqual(changes("statement"), [";", ";"])

    def test_failures_are_returned_as_success(self):
        self.assertEqual(changes("failure"), ["return MT_OK;", "return MT_OK;"])

    def test_arguments_of_calls_are_swapped(self):
        self.assertEqual(changes("arguments"), [
            'return mt_fail("limit < %g", MT_ERROR_INVALID, limit);',
            'return mt_fail(MT_ERROR_INVALID, limit, "limit < %g");', "apply(limit, tape);"])

    def test_a_seed_determines_the_draw(self):
        mutants = list(mutate.mutants_of("clip.c", TEXT))
        once, again = (list(mutate.drawn(mutants, 3, 8)) for _ in range(2))
        self.assertEqual(once, again)
        self.assertEqual(len(set(once)), 8)
        self.assertNotEqual(once, list(mutate.drawn(mutants, 4, 8)))

    def test_every_folder_has_mutants_of_every_kind(self):
        source = pathlib.Path(__file__).resolve().parents[2]
        kinds = {}
        for mutant in mutate.all_mutants(source):
            kinds.setdefault(mutate.folder_of(mutant.file), set()).add(mutant.kind)
        self.assertEqual(set(kinds), {"autograd", "io", "kernels", "kernels/cpu", "kernels/cuda",
                                      "layers", "optim", "train"})
        for folder, found in kinds.items():
            self.assertGreaterEqual(found, {"comparison", "arithmetic", "logic", "constant",
                                            "condition", "statement", "arguments"}, folder)


if __name__ == "__main__":
    unittest.main()
