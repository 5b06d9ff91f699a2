"""Whose kernels OpenBLAS runs where it does not know the processor. MIXTAPE is the command, and
UNKNOWN_PROCESSOR the library that stands for such an OpenBLAS."""

import json
import os
import re
import subprocess
import unittest

MIXTAPE = os.environ["MIXTAPE"]
CHOICES = {"avx512": "SkylakeX", "avx2": "Haswell", "baseline": "Prescott"}


class BlasKernelsTest(unittest.TestCase):
    def bench(self, *before, **variables):
        """The figures; `before` stands before the command."""
        environment = {**os.environ, "LD_PRELOAD": os.environ["UNKNOWN_PROCESSOR"], **variables}
        if "OPENBLAS_CORETYPE" not in variables:
            environment.pop("OPENBLAS_CORETYPE", None)
        command = [*before, MIXTAPE, "bench", "--device", "cpu", "--wkv", "1,1,1", "--json"]
        result = subprocess.run(command, check=True, capture_output=True, env=environment,
                                timeout=60)
        return json.loads(result.stdout)

    def test_they_are_for_the_instructions_that_the_processor_has(self):
        best = self.bench()["isa"]
        for isa in list(CHOICES)[list(CHOICES).index(best):]:
            figures = self.bench(MIXTAPE_ISA=isa)
            self.assertEqual((figures["isa"], figures["openblas"]), (isa, CHOICES[isa]))

    def test_who_names_one_has_it(self):
        for named in "Zen", "Prescott", "":
            self.assertEqual(self.bench(OPENBLAS_CORETYPE=named)["openblas"], named)

    def test_a_loader_that_was_begun_by_hand_goes_on(self):
        headers = subprocess.run(["readelf", "--program-headers", MIXTAPE], check=True,
                                 capture_output=True, text=True).stdout
        loader = re.search("interpreter: (.*)]", headers)[1]
        self.assertEqual(self.bench(loader)["openblas"], "Prescott")


if __name__ == "__main__":
    unittest.main()
