"""ESPnet's decoder and its transducer's loss are Mixtape's in every process that a program starts:
by multiprocessing, as ESPnet's training, and by command lines, as a recipe."""

import contextlib
import io
import os
import subprocess
import sys
import unittest
from unittest import mock

import support

# Builds a decoder, and takes the loss as ESPnet's model imports it.
WORK = """
def work(who):
    import torch
    from espnet2.asr_transducer.decoder.rwkv_decoder import RWKVDecoder
    from warprnnt_pytorch import RNNTLoss

    decoder = RWKVDecoder(5, block_size=8, context_size=7)
    output = decoder(torch.ones(1, 3, dtype=torch.int32))
    one = torch.ones(1, dtype=torch.int32)
    loss = RNNTLoss(reduction="mean")(torch.zeros(1, 1, 2, 2), torch.ones(1, 1, dtype=torch.int32),
                                      one, one)
    print(who, type(decoder.rwkv_blocks[0].att).__name__, f"{loss.item():.3f}", flush=True)
"""
DONE = "SelfAttention 1.386"  # 2 log 2


def setUpModule():
    support.need("torch", "espnet2.asr_transducer.decoder.rwkv_decoder")
    global torch, espnet, loss
    import torch

    from mixtape import espnet
    from mixtape import warprnnt_pytorch as loss


class ProcessTest(support.CommandTest):
    def run_python(self, *arguments, status=0, folders=()):
        """What it writes. Modules in `folders` come before those of the environment."""
        path = os.pathsep.join([*folders, os.environ["PYTHONPATH"]])
        done = subprocess.run([sys.executable, *arguments], cwd=self.folder, capture_output=True,
                              text=True, timeout=300, env={**os.environ, "PYTHONPATH": path})
        self.assertEqual(done.returncode, status, done.stderr)
        return done.stdout + done.stderr

    def test_a_program_and_the_processes_that_it_spawns(self):
        self.write("program.py", "import subprocess, sys, torch.multiprocessing\n" + WORK + """
if __name__ == "__main__":
    work("parent")
    child = torch.multiprocessing.get_context("spawn").Process(target=work, args=("child",))
    child.start()
    child.join()
    subprocess.run([sys.executable, "-c", "import program; program.work('command')"], check=True)
    print(*sys.argv[1:])
""")
        output = self.run_python("-m", "mixtape.espnet", "-m", "program", "--flag", "x")
        for expected in (f"parent {DONE}", f"child {DONE}", f"command {DONE}", "--flag x"):
            self.assertIn(expected, output)

    def test_a_recipe_of_other_programs(self):
        self.write("stage.py", WORK + "work('stage')\n")
        self.write("run.sh", f"#!/bin/sh\necho \"$@\"\n'{sys.executable}' stage.py\n")
        os.chmod(self.path("run.sh"), 0o755)
        output = self.run_python("-m", "mixtape.espnet", "./run.sh", "--stage", "1")
        self.assertEqual(output.split("\n")[:2], ["--stage 1", f"stage {DONE}"])

    def test_a_job_that_is_handed_path_alone(self):
        """Of a cluster: it reads path.sh, which brings it to Mixtape."""
        self.write("stage.py", WORK + "work('stage')\n")
        self.write("path.sh", f"PYTHONPATH=$('{sys.executable}' -m mixtape.espnet printenv "
                   "PYTHONPATH) || exit 1\nexport PYTHONPATH\n")
        # As if the package were installed where Python looks for it.
        installed = {name: os.environ[name] for name in ("PYTHONPATH", "MIXTAPE_LIBRARY")
                     if name in os.environ}
        done = subprocess.run(["/bin/sh", "-ec", f". ./path.sh; '{sys.executable}' stage.py"],
                              cwd=self.folder, capture_output=True, text=True, timeout=300,
                              env={"PATH": os.environ["PATH"], **installed})
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout, f"stage {DONE}\n")

    def test_a_program_that_installs_it_itself(self):
        program = f"""
import subprocess, sys
import mixtape.espnet
mixtape.espnet.install()
mixtape.espnet.install()
exec({WORK!r})
work("parent")
subprocess.run([sys.executable, "-c", {WORK!r} + "work('child')"], check=True)
"""
        output = self.run_python("-c", program)
        self.assertIn(f"parent {DONE}", output)
        self.assertIn(f"child {DONE}", output)

    def test_what_is_installed_under_that_name_is_left_alone(self):
        os.mkdir(self.path("own"))
        self.write("own/warprnnt_pytorch.py", "print('their own')\n")
        self.write("own/sitecustomize.py", "print('their start')\n")
        output = self.run_python("-m", "mixtape.espnet", sys.executable, "-c",
                                 "import warprnnt_pytorch, sitecustomize\n"
                                 "print(sitecustomize.__file__)", folders=[self.path("own")])
        self.assertIn("their own", output)
        # once in the first process, and once behind Mixtape's own in the second
        self.assertEqual(output.count("their start"), 2)
        self.assertIn(self.path("own"), output.splitlines()[-1])

    def test_python_without_mixtape_starts_as_ever(self):
        startup = os.path.join(os.path.dirname(loss.__file__), "startup")
        done = subprocess.run([sys.executable, "-c", "import sys; print('mixtape' in sys.modules)"],
                              capture_output=True, text=True, timeout=60,
                              env={**os.environ, "PYTHONPATH": startup})
        self.assertEqual((done.stdout, done.stderr), ("False\n", ""))

    def refused(self, *arguments):
        """What a command line with an error says, in this process, whose state stays."""
        before, said = os.getcwd(), io.StringIO()
        self.addCleanup(os.chdir, before)
        os.chdir(self.folder)
        with mock.patch.object(sys, "argv", ["espnet", *arguments]), \
                mock.patch.object(sys, "path", [*sys.path]), \
                mock.patch.object(sys, "meta_path", [*sys.meta_path]), \
                mock.patch.dict(os.environ), contextlib.redirect_stderr(said), \
                self.assertRaises(SystemExit) as raised:
            espnet.main()
        self.assertEqual(raised.exception.code, 2)
        return said.getvalue()

    def test_a_command_line_without_a_program_is_refused(self):
        self.write("recipe", "#!/bin/sh\n")
        for arguments, says in (
                ([], "usage:"), (["-m"], "usage:"), (["--what"], "no option --what"),
                (["./nowhere"], "./nowhere: No such file"), (["nowhere.py"], "nowhere.py: no such"),
                (["recipe"], "recipe: No such file or directory on PATH (the one in this folder: "
                             "./recipe)"),
                (["./recipe"], "./recipe: Permission denied (chmod +x ./recipe"),
                (["-m", "nosuch"], "-m nosuch: No module named nosuch"),
                (["-m", "os.x"], "-m os.x: "),
                (["-m", "json"], "No module named json.__main__"), (["-m", ".x"], "-m .x: ")):
            with self.subTest(arguments):
                said = self.refused(*arguments)
                self.assertIn(says, said)
                self.assertEqual(len(said.splitlines()), 2 if says == "usage:" else 1, said)
        self.assertIn("No module", self.run_python("-m", "mixtape.espnet", "-m", "no", status=2))

    def test_help(self):
        said = self.run_python("-m", "mixtape.espnet", "--help")
        self.assertIn("usage:", said)
        self.assertIn("PROGRAM.py", said)

    def test_a_file_is_run_by_this_python(self):
        os.mkdir(self.path("own"))
        self.write("own/beside.py", "name = 'beside'\n")
        self.write("own/program.py", "import sys, beside\n" + WORK + """
if __name__ == "__main__":
    work(beside.name)
    print(sys.executable, *sys.argv)
    sys.exit(3)
""")
        output = self.run_python("-m", "mixtape.espnet", "own/program.py", "--flag", status=3)
        self.assertIn(f"beside {DONE}", output)
        self.assertIn(f"{sys.executable} own/program.py --flag", output)


class LossTest(unittest.TestCase):
    """The interface of ESPnet's warprnnt_pytorch."""

    def given(self):
        torch.manual_seed(1)
        return (torch.randn(2, 3, 3, 5, requires_grad=True),
                torch.tensor([[1, 2], [3, 3]], dtype=torch.int32),
                torch.tensor([3, 2], dtype=torch.int32), torch.tensor([2, 1], dtype=torch.int32))

    def test_reductions_and_their_shapes(self):
        given = self.given()
        losses = loss.RNNTLoss(reduction="none")(*given)
        self.assertEqual(losses.shape, (2,))
        torch.testing.assert_close(loss.RNNTLoss(reduction="sum")(*given), losses.sum()[None])
        torch.testing.assert_close(loss.RNNTLoss()(*given), losses.mean()[None])
        torch.testing.assert_close(loss.rnnt_loss(*given), losses.mean()[None])

    def test_fastemit_is_on_unless_it_is_turned_off(self):
        grads = []
        for options in ({}, {"fastemit_lambda": 0.001}, {"fastemit_lambda": 0.0}):
            given = self.given()
            loss.RNNTLoss(**options)(*given).backward()
            grads.append(given[0].grad)
        self.assertTrue(torch.equal(grads[0], grads[1]))
        self.assertFalse(torch.equal(grads[0], grads[2]))

    def test_of_meta_tensors_there_are_shapes(self):
        given = [x.detach().to("meta") for x in self.given()]
        self.assertEqual(loss.RNNTLoss()(*given).shape, (1,))

    def test_inputs_are_checked(self):
        cases = [
            (1, lambda x: x.tolist(), TypeError, "labels must be a tensor, not list"),
            (1, lambda x: x.long(), TypeError, "labels must be torch.int32, not torch.int64"),
            (2, lambda x: x.long(), TypeError, "act_lens must be torch.int32"),
            (3, lambda x: x.float(), TypeError, "label_lens must be torch.int32"),
            (0, lambda x: x.transpose(1, 3), ValueError, "acts must be contiguous"),
            (1, lambda x: x.t(), ValueError, "labels must be contiguous"),
            (0, lambda x: x[0], ValueError, r"acts must be 4D, not \(3, 3, 5\)"),
            (2, lambda x: x[:, None], ValueError, r"act_lens must be 1D, not \(2, 1\)"),
            (3, lambda x: x[:1], ValueError, "label_lens has 1 rows, acts 2"),
            (2, lambda x: x - 1, ValueError, "acts has 3 frames, the longest of act_lens is 2"),
            (3, lambda x: x - 1, ValueError, "acts has 3 places of labels.*which is 1"),
            (1, lambda x: x + 2, ValueError, r"labels\[1\]\[0\] is 5, not in 0 .. 4"),
        ]
        for i, change, kind, says in cases:
            given = list(self.given())
            given[i] = change(given[i])
            with self.subTest(says=says), self.assertRaisesRegex(kind, says):
                loss.rnnt_loss(*given)
        with self.assertRaisesRegex(ValueError, "reduction 'average'"):
            loss.rnnt_loss(*self.given(), reduction="average")


if __name__ == "__main__":
    unittest.main()
