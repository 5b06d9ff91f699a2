"""What the tests of the Python package share: what they need, the command, and files for it."""

import importlib
import os
import subprocess
import tempfile
import unittest

MIXTAPE = os.environ["MIXTAPE"]
SYMBOLS = ["<blank>", "<unk>", *"abcdefgh", "<space>", "<sos/eos>"]
TRANSCRIPTS = ["abc de", "hgf", "a a b b", "fade", "bead cab", "dead", "c", "badge"]


def need(*modules):
    """For setUpModule: skips the module's tests, by name, where something is not installed; fails
    if everything must run."""
    for module in modules:
        try:
            importlib.import_module(module)
        except ImportError as error:
            if os.environ.get("MIXTAPE_REQUIRE_ALL"):
                raise
            raise unittest.SkipTest(f"{module} cannot be imported: {error}") from None


def devices():
    """PyTorch's devices to test on."""
    import torch

    required = os.environ.get("MIXTAPE_TEST_DEVICE") == "cuda"
    return ["cpu"] + (["cuda"] if required or torch.cuda.is_available() else [])


def torchrun_starts():
    """PyTorch 1's does not under Python 3.11."""
    try:
        import torch
    except ImportError:
        return False
    return int(torch.__version__.split(".")[0]) >= 2


class CommandTest(unittest.TestCase):
    """Tests that run the command in a folder of their own."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def run_command(self, *arguments, status=0):
        result = subprocess.run([MIXTAPE, *arguments], cwd=self.folder, capture_output=True,
                                timeout=300)
        self.assertEqual(result.returncode, status, result.stderr.decode())
        return result.stdout.decode() if status == 0 else result.stderr.decode()

    def refuse_full_output(self, *command, program="mixtape"):
        """What it prints cannot be written, buffered or not: the last line says so."""
        for settings in {}, {"PYTHONUNBUFFERED": "1"}:
            with self.subTest(command, **settings), open("/dev/full", "w") as full:
                result = subprocess.run(command, cwd=self.folder, stdout=full, timeout=120,
                                        stderr=subprocess.PIPE, env={**os.environ, **settings})
                self.assertEqual(result.returncode, 1)
                errors = result.stderr.decode().splitlines()
                self.assertEqual(errors[-1], f"{program}: standard output: No space left on device")
                self.assertLess(len(errors), 3, errors)  # before it, what was done

    def write(self, name, text):
        with open(self.path(name), "w") as file:
            file.write(text)
        return self.path(name)

    def transcripts(self):
        """Options of the task tokens: eight transcripts, which are validated on too."""
        text = self.write("text",
                          "".join(f"utterance-{i} {text}\n" for i, text in enumerate(TRANSCRIPTS)))
        tokens = self.write("tokens.txt", "\n".join(SYMBOLS) + "\n")
        return [
            "--data", text, "--valid-data", text, "--token-list", tokens, "--batch",
            str(len(TRANSCRIPTS))
        ]

    def forward(self, model, labels):
        """(output, logits or None) of a checkpoint or exchange file."""
        import h5py

        with h5py.File(self.path("in.h5"), "w") as file:
            file["labels"] = labels.astype("int32")
        self.run_command("forward", model, "--input", "in.h5", "--output", "out.h5")
        with h5py.File(self.path("out.h5")) as file:
            return file["output"][()], file["logits"][()] if "logits" in file else None


def labels_of_transcripts():
    """The batch that `tokens` makes of TRANSCRIPTS: (input, target), padded with 0 and -1."""
    import numpy

    numbers = [[SYMBOLS.index("<space>" if symbol == " " else symbol) for symbol in text]
               for text in TRANSCRIPTS]
    length = max(map(len, numbers))
    inputs, targets = numpy.zeros((len(numbers), length), int), numpy.full((len(numbers), length),
                                                                           -1)
    for row, labels in enumerate(numbers):
        inputs[row, 1:len(labels)] = labels[:-1]
        targets[row, :len(labels)] = labels
    return inputs, targets
