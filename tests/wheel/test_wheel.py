"""What a wheel promises, told where it lies, or where MIXTAPE_WHEEL says: scripts/wheel-test runs
this with a bare Python, .ci/run with Debian's."""

import glob
import os
import struct
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
(WHEEL,) = glob.glob(os.environ.get("MIXTAPE_WHEEL") or os.path.join(HERE, "*.whl"))


def run(*command, status=0, **options):
    result = subprocess.run(command, capture_output=True, text=True, timeout=900, **options)
    if result.returncode != status:
        raise AssertionError(f"{command}: {result.returncode}\n{result.stdout}{result.stderr}")
    return result.stdout


def field(number, data):
    """Of a message of protobuf, shorter than 128 bytes."""
    return bytes([number << 3 | 2, len(data)]) + data


def bpe_model(pieces):
    """The bytes of a model of SentencePiece, which joins first what stands first."""
    normal, unknown, control, of_bpe = 1, 2, 3, 2
    kinds = [("<unk>", unknown), ("<s>", control), ("</s>", control)]
    kinds += [(piece, normal) for piece in pieces]
    return b"".join(
        field(1, field(1, piece.encode()) + struct.pack("<Bf", 0x15, -rank) + bytes([0x18, kind]))
        for rank, (piece, kind) in enumerate(kinds)) + field(2, bytes([0x18, of_bpe]))


class WheelTest(unittest.TestCase):
    """A virtual environment with the wheel in it."""
    OPTIONS = ()

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = folder.name
        run(sys.executable, "-m", "venv", *cls.OPTIONS, cls.path("environment"))
        cls.before = cls.installed()
        run(cls.bin("pip"), "install", "--quiet", WHEEL)

    @classmethod
    def path(cls, *names):
        return os.path.join(cls.folder, *names)

    @classmethod
    def bin(cls, name):
        return cls.path("environment", "bin", name)

    @classmethod
    def installed(cls):
        return set(run(cls.bin("pip"), "list", "--format=freeze", "--disable-pip-version-check",
                       cwd="/").split())

    def python(self, program):
        return run(self.bin("python"), "-c", program, cwd=self.folder)

    def mixtape(self, *arguments, **options):
        return run(self.bin("mixtape"), *arguments, cwd=self.folder, **options)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)


class AloneTest(WheelTest):
    def test_it_brings_numpy_and_nothing_else(self):
        names = {line.split("==")[0] for line in self.installed() - self.before}
        self.assertEqual(names, {"mixtape-rwkv", "numpy"})

    def test_the_library_needs_cs_alone_and_the_command_cpps_as_numpy_does(self):
        own = {"linux-vdso", "libc", "libm", "libdl", "libpthread", "librt", "ld-linux-x86-64"}
        library = self.python("import mixtape.library as l; print(l.library()._name)").strip()
        self.assertTrue(library.startswith(self.path("environment")), library)
        numpy = self.python("import numpy, sys; print(*(module.__file__ for name, module in "
                            "sys.modules.items() if name.endswith('._multiarray_umath')))")

        def needed(file):
            return {os.path.basename(line.split()[0]).split(".so")[0]
                    for line in run("ldd", file).splitlines()}

        self.assertLessEqual(needed(library), own)
        self.assertLessEqual(needed(self.bin("mixtape")), own | {"libstdc++", "libgcc_s"})
        self.assertIn("libstdc++", needed(numpy.split()[0]))

    def test_the_command_and_the_package_are_of_one_version(self):
        version = self.python("import mixtape; print(mixtape.__version__)").strip()
        self.assertIn(version, self.mixtape("--version"))

    def test_a_model_trains_and_is_exported(self):
        self.mixtape("train", "copy", "--steps", "60", "--no-bias", "--out", "run")
        self.mixtape("export", "run", "--layout", "hf", "-o", "exported")
        self.mixtape("import", "exported", "-o", "model.h5")
        self.assertIn("layout hf", self.mixtape("info", "exported"))
        self.mixtape("eval", "run")

    def test_sub_words_of_an_espnet_recipe_need_no_python(self):
        pieces = "▁ab", "ab", "▁", "a", "b"
        with open(self.path("bpe.model"), "wb") as file:
            file.write(bpe_model(pieces))
        self.write("train.yaml", "decoder: rwkv\n"
                   "decoder_conf: {block_size: 16, num_blocks: 1, context_size: 8}\n")
        self.write("tokens.txt", "\n".join(["<blank>", "<unk>", *pieces, "<sos/eos>", ""]))
        labels = {"abab": 2, "ab ba": 4, "b": 2}  # the first is ▁ab and ab
        texts = list(labels) * 4
        self.write("text", "".join(f"u{i} {text}\n" for i, text in enumerate(texts)))
        no_python = {"env": {"PATH": "", "MIXTAPE_PYTHON": "nowhere"}}
        self.mixtape("train", "--espnet-config", "train.yaml", "--bpemodel", "bpe.model",
                     "--token-list", "tokens.txt", "--data", "text", "--steps", "2", "--out", "bpe",
                     **no_python)
        scores = self.mixtape("eval", "bpe", "--data", "text", "--per-utterance", **no_python)
        self.assertEqual([int(line.split()[2]) for line in scores.splitlines()],
                         [labels[text] for text in texts])
        self.assertTrue(self.mixtape("generate", "bpe", "--prompt", "ab", "--length", "3",
                                     **no_python).startswith("ab"))

    def test_the_licences_of_what_is_in_it_are_there(self):
        folders = glob.glob(self.path("environment", "lib", "*", "site-packages",
                                      "mixtape_rwkv-*", "licenses", "*"))
        names = {os.path.basename(folder) for folder in folders}
        self.assertLessEqual({"LICENSE", "hdf5", "jansson", "libyaml", "openblas",
                              "sentencepiece", "utf8proc", "zlib"}, names)

    def test_what_is_installed_goes_away_again(self):
        environment = self.path("other")
        run(sys.executable, "-m", "venv", environment)

        def files():
            return {os.path.join(folder, name) for folder, _, names in os.walk(environment)
                    for name in names if not name.endswith(".pyc")}

        pip = os.path.join(environment, "bin", "pip")
        before = files()
        run(pip, "install", "--quiet", "--no-deps", WHEEL)
        self.assertNotEqual(files(), before)
        run(pip, "uninstall", "--quiet", "--yes", "mixtape-rwkv")
        self.assertEqual(files(), before)


class BesideTorchTest(WheelTest):
    """Debian's PyTorch, with OpenMP and perhaps another OpenBLAS in the process."""
    OPTIONS = ("--system-site-packages",)

    def test_it_replaces_no_torch(self):
        self.assertEqual({line for line in self.before if line.startswith("torch==")},
                         {line for line in self.installed() if line.startswith("torch==")})

    def test_the_operator_has_gradients(self):
        self.python("""
import torch, mixtape
torch.manual_seed(0)
B, T, C = 2, 5, 3
leaves = [torch.randn(size, dtype=torch.float64, requires_grad=True)
          for size in ((C,), (C,), (B, T, C), (B, T, C))]
decay = lambda w, u, k, v: mixtape.wkv(-torch.exp(w), u, k, v)[0]
assert torch.autograd.gradcheck(decay, leaves)
""")

    def test_products_of_both_in_turn_and_at_once(self):
        """The operator on one thread, on another products of PyTorch, which run on OpenMP's."""
        self.python("""
import threading, torch, mixtape
torch.set_num_threads(2)
a = torch.randn(300, 300, dtype=torch.float64)
want = a @ a
w = -torch.rand(64).exp(); u = torch.rand(64)
k = torch.randn(4, 50, 64, requires_grad=True); v = torch.randn(4, 50, 64)
first = mixtape.wkv(w, u, k, v)[0]

def products():
    for _ in range(50):
        assert torch.equal(a @ a, want)

thread = threading.Thread(target=products)
thread.start()
for _ in range(50):
    y = mixtape.wkv(w, u, k, v)[0]
    y.sum().backward()
    assert torch.equal(y, first)
thread.join()
""")


if __name__ == "__main__":
    unittest.main()
