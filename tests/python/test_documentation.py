"""The worked example of docs/espnet.md: everything it shows is run."""

import os
import re
import subprocess
import sys
import unittest

import support

DOCUMENT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "docs", "espnet.md")


def setUpModule():
    support.need("torch", "h5py", "espnet2.asr_transducer.espnet_transducer_model")


class DocumentationTest(support.CommandTest):
    def setUp(self):
        super().setUp()
        os.mkdir(self.path("bin"))
        os.symlink(support.MIXTAPE, self.path("bin", "mixtape"))
        for command in ("to_espnet", "from_pth"):
            path = self.write(os.path.join("bin", "mixtape-" + command.replace("_", "-")),
                              f"#!{sys.executable}\nfrom mixtape import files\nfiles.{command}()\n")
            os.chmod(path, 0o755)

    def run_block(self, *command):
        result = subprocess.run(command, cwd=self.folder, capture_output=True, timeout=300,
                                env={**os.environ, "PATH": self.path("bin") + os.pathsep + os.environ["PATH"]})
        self.assertEqual(result.returncode, 0, result.stderr.decode())
        return result.stdout.decode()

    def test_a_transducer_starts_from_a_pretrained_decoder(self):
        with open(DOCUMENT) as file:
            blocks = re.findall(r"```(sh|python)\n(.*?)```", file.read(), re.DOTALL)
        program, output = "", ""  # Python's blocks are one program
        for language, block in blocks:
            if language == "python":
                program += block
                output += self.run_block(sys.executable, "-c", program)
            else:
                output += self.run_block("bash", "-euc", block)
        losses = [float(loss) for loss in re.findall(r"transducer loss ([0-9.]+)", output)]
        self.assertEqual(len(losses), 10)
        self.assertLess(losses[4], losses[0])
        self.assertIn("layout espnet-model", output)


if __name__ == "__main__":
    unittest.main()
