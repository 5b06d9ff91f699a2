"""The pages about the command: what they show is run, or listed with the reason why not. Those
about programs are in test_documentation_programs; test_pages says that none is left out."""

import glob
import gzip
import importlib.util
import json
import lzma
import os
import shutil
import sys
import tempfile
import unittest

import pages
import support
import tokenizers_of_tests as made

sys.path.append(os.path.join(pages.TREE, "tests", "train", "command"))
import slurm
from launchers import HAS_MPI, OF_OPEN_MPI, free_ports

TEXT = "ROMEO: what light. " * 100
WITHOUT_MPI = {} if HAS_MPI or pages.ALL else {
    "mpirun": "there is no mpirun, or mixtape was built without MPI"}
HAS_SLURM = HAS_MPI and not slurm.missing()
WITHOUT_SLURM = {} if HAS_SLURM or pages.ALL else {
    "srun --mpi=pmix": "there is no Slurm, or no MPI", "srun -n 4": "there is no Slurm, or no MPI"}
TORCHRUN = "PyTorch's torchrun does not start here: scripts/test-newest"
ROOT = "as root: scripts/deb-test"
GPU = "only where there is a GPU"
OTHER_BLAS = " ".join(f"--blas pthread={os.path.dirname(file)}"
                      for file in glob.glob("/usr/lib/*/openblas-*/libblas.so.3")[:1])


def setUpModule():
    support.need("h5py")


class Readme(pages.Page):
    page = "README.md"

    def check(self, shown):
        self.assertRegex(shown[0], r"(?s)example 1.*accuracy 0\.\d+")


class Install(pages.Page):
    page = "docs/install.md"
    needs = ("torch",)
    listed = {
        "pip install mixtape_rwkv": "wheel/test_wheel, of a wheel that scripts/wheel-build made",
        "scripts/install-packages build package": ROOT,
        "cmake --preset package": ROOT,
        "apt-get install ./build-package": ROOT,
        "apt-get purge mixtape": ROOT,
        "git clone": ".ci/run",
        "scripts/quickstart": ".ci/run",
        "scripts/test ": ".ci/run",
        "cmake -S . -B build -G Ninja -DCMAKE_INSTALL_PREFIX": "install/test_install",
        "cmake --build build && cmake --install build": "install/test_install",
    }


class Drawing:
    """Of a page whose commands draw."""

    def setUp(self):
        super().setUp()
        if not shutil.which("gnuplot") and not pages.ALL:
            self.skipTest("no gnuplot (Debian: gnuplot-nox)")
        del self.environment["MIXTAPE_GNUPLOT"]


class Command(Drawing, pages.Page):
    page = "docs/command.md"
    replaced = {"--steps 2500 ": "--steps 6 --lr 0.1 --eval-every 1 ",
                "mixtape watch": "mixtape watch --once",
                "mean.h5       #": "mean.h5 || [ $? = 1 ] #"}

    def prepare(self):
        self.write("tinyshakespeare.txt", TEXT)
        self.write("more.txt", TEXT)
        self.run_command("train", "text", "--data", "more.txt", "--style", "hf", "--steps", "1",
                         "--size", "16", "--blocks", "1", "--out", "of-hf")
        self.run_command("export", "of-hf", "--layout", "hf", "-o", "folder")

    def check(self, shown):
        self.assertIn("ROMEO:", shown[0])
        self.assertTrue(os.path.exists(self.path("mean.h5")))
        self.assertTrue(os.path.exists(self.path("exported", "config.json")))


class Tasks(pages.Page):
    page = "docs/tasks.md"

    def prepare(self):
        for folder in "novels", "letters", "plays":
            os.mkdir(self.path(folder))
            self.write(os.path.join(folder, "one.txt"), TEXT)
        self.write("diary.txt", TEXT)
        self.write("more.txt", TEXT)
        self.write("tinyshakespeare.txt", TEXT)
        for name, of_kind in (("novel.txt.gz", gzip), ("letters.txt.xz", lzma)):
            with of_kind.open(self.path(name), "wt") as file:
                file.write(TEXT)
        for name in "train.bin", "val.bin":
            with open(self.path(name), "wb") as file:
                file.write(bytes(10000 * [7, 0, 9, 1]))
        self.run_command("train", "text", "--data", "diary.txt", "--size", "16", "--blocks", "1",
                         "--steps", "1", "--out", "shakespeare")


class Tokenizers(pages.Page):
    page = "docs/tokenizers.md"
    needs = ("tokenizers",)

    def prepare(self):
        made.huggingface(self.folder)
        with gzip.open(self.path("corpus.jsonl.gz"), "wt") as file:
            file.writelines(json.dumps({"text": made.TEXT}) + "\n" for _ in range(40))
        self.write("other.txt", made.TEXT)

    def check(self, shown):
        tokenized, used = shown
        self.assertIn("corpus.idx", tokenized)
        self.assertIn("Once upon a time", used)
        self.assertIn("bits_per_byte", used)


# Begins TensorBoard's server as the page does, prints what it has to show once it has read the
# files, and ends it.
TENSORBOARD = """#!{python}
import json, re, subprocess, sys, time, urllib.request
server = subprocess.Popen([sys.executable, "-m", "tensorboard.main", *sys.argv[1:], "--port", "0"],
                          stderr=subprocess.PIPE, text=True)
address = next(re.findall(r"http://\\S+/", line)[0] for line in server.stderr if "http:" in line)
shown = {{}}
while not shown:
    time.sleep(0.1)
    with urllib.request.urlopen(address + "data/plugin/scalars/tags") as answer:
        shown = json.load(answer)
server.terminate()
print(json.dumps(shown))
"""


class Watching(Drawing, pages.Page):
    page = "docs/watching.md"
    needs = ("grpc", "markdown", "tensorboard", "werkzeug")
    replaced = {"mixtape watch run ": "mixtape watch --once run ", " --out": " --log-every 1 --out"}

    def prepare(self):
        super().prepare()
        self.script("bin/tensorboard", TENSORBOARD.format(python=sys.executable))

    def check(self, shown):
        first, _, curves, rows = shown
        self.assertEqual(sorted(json.loads(curves)["valid"]), ["acc", "loss"])
        self.assertIn("step 2 of 2", first)
        self.assertIn('"step": 2', first)
        self.assertTrue(os.path.exists(self.path("compared.png")))
        self.assertEqual(rows.split()[0], "2")


class Generating(pages.Page):
    page = "docs/generating.md"
    replaced = {"RUN": "run"}

    def prepare(self):
        self.write("text.txt", TEXT)
        self.run_command("train", "text", "--data", "text.txt", "--size", "16", "--blocks", "1",
                         "--steps", "2", "--length", "8", "--out", "run")
        self.write("prompts.txt", "ROMEO:\n\nlight\n")

    def check(self, shown):
        records = [json.loads(line) for line in shown[0].splitlines()]
        self.assertEqual([record["line"] for record in records], [1, 2, 3, 1, 2, 3])
        self.assertEqual({tuple(record) for record in records}, {("line", "prompt", "answer")})
        for answered in records[:3], records[3:]:
            self.assertEqual({record["prompt"] for record in answered}, {"ROMEO:", "", "light"})


class Evaluation(pages.Page):
    page = "docs/evaluation.md"
    replaced = {"RUN": "run"}

    def prepare(self):
        self.run_command("train", "tokens", *self.transcripts(), "--size", "16", "--blocks", "1",
                         "--steps", "2", "--out", "run")
        self.write("nbest", "one abc\none abd\ntwo\n")

    def check(self, shown):
        self.assertEqual([line.split()[::2] for line in shown[0].splitlines()],
                         [["one", "3"], ["one", "3"], ["two", "0"]])


class SeveralProcesses(pages.Page):
    page = "docs/several-processes.md"
    listed = {
        **WITHOUT_MPI,
        **WITHOUT_SLURM,
        **({} if support.torchrun_starts() else {"torchrun --no-python": TORCHRUN,
                                                 "torchrun --nnodes 2": TORCHRUN}),
        "scripts/nccl build-nccl": ".ci/run",
        "cmake -S . -B build -DMIXTAPE_NCCL=ON": ".ci/run",
    }
    if not shutil.which("mpicc"):
        listed["mpicc"] = "there is no mpicc"

    def prepare(self):
        self.environment.update(prepare_mpi(self))
        if HAS_SLURM:
            cluster = slurm.Slurm()
            self.addCleanup(cluster.close)
            self.environment["SLURM_CONF"] = cluster.environment["SLURM_CONF"]
        self.write("tinyshakespeare.txt", TEXT)
        for folder in "kernels", "include":
            os.symlink(os.path.join(pages.TREE, folder), self.path(folder))
        # What the page starts on two machines is started here side by side.
        (port,) = free_ports(1)
        self.replaced = {"mpirun -n 4": "mpirun -n 2", "one:29500": f"localhost:{port}",
                         "--rank 0   #": "--rank 0 & #", "localhost:29500": f"localhost:{port}",
                         "--nproc-per-node 4": "--nproc-per-node 2",
                         "--nnodes 2 --node-rank 0": "--nnodes 1", "addr one": "addr localhost",
                         "--wait 5": "--wait 60"}

    def check(self, shown):
        runs = [os.path.basename(run) for run in glob.glob(self.path("runs", "copy-*"))]
        # Each of all processes that one launcher started, or that met.
        count = 2 + bool(HAS_SLURM) + support.torchrun_starts()
        self.assertEqual(sorted(runs), [f"copy-{number + 1}" for number in range(count)])


def prepare_mpi(test):
    """The environment of runs by mpirun, whose sockets have short names."""
    session = tempfile.TemporaryDirectory(prefix="mpi", dir="/tmp")
    test.addCleanup(session.cleanup)
    return {**OF_OPEN_MPI, "TMPDIR": session.name}


class FileFormats(pages.Page):
    page = "docs/file-formats.md"

    def prepare(self):
        self.run_command("train", "tokens", *self.transcripts(), "--size", "16", "--blocks", "1",
                         "--steps", "1", "--out", "run")
        self.run_command("export", "run", "--layout", "espnet", "-o", "weights.h5")

    def check(self, shown):
        told = self.run_block(sys.executable, "-c", self.python + "print(layout, *tokens)")
        self.assertEqual(told.split(), ["espnet", *support.SYMBOLS])


class Compatibility(pages.Page):
    page = "docs/compatibility.md"
    replaced = {"--step=I --runs=100": "--step=2 --runs=1"}


class Performance(pages.Page):
    """What measures for minutes is run on small models, once: all of it works. What the figures are
    is of no matter here."""

    page = "docs/performance.md"
    needs = ("torch", "torchaudio", "transformers")
    listed = {
        "bench/instructions.py": "bench/test_instructions",
        "scripts/gpu-bundle": "builds all for one GPU: by hand, before it is lent",
        "gpu-bundle/run": GPU + "; bench/test_gpu_run",
        "nvcc -std=c++17": "wants CUDA; bench/test_machine_code",
    }
    replaced = {
        "compare.py build/mixtape --threads 2 --rounds 3":
            "compare.py build/mixtape --threads 1 --rounds 1 --repeat 1 --step 1",
        "--blas pthread=peers/usr/lib/x86_64-linux-gnu/openblas-pthread": OTHER_BLAS,
        "build-test/python/bin/python": sys.executable,
        "ENV/bin/python": f"{sys.executable} --limit 0",
        "OLD/mixtape": "build/mixtape",
        "$PWD/build-test/libmixtape.so": "$PWD/build/libmixtape.so",
        "--threads 2 --rounds 9 --json bench/results/transducer":
            "--threads 1 --rounds 1 --json bench/results/transducer",
        "--threads 2 --rounds 9 --json bench/results/python":
            "--threads 1 --rounds 1 --repeat 1 --length 8 --json bench/results/python",
        "generate.py build/mixtape --rounds 3":
            "generate.py build/mixtape --rounds 1 --tokens 5 --size 16 --blocks 1",
        "--rounds 5 --symbols 2000": "--rounds 1 --symbols 5 --size 16 --blocks 1",
        "--rounds 5 --symbols 50 --size 768 --blocks 12":
            "--rounds 1 --symbols 5 --size 16 --blocks 1",
        "files.py build/mixtape": "files.py build/mixtape --rounds 1 --size 16 --blocks 1",
        "memory.py build/mixtape":
            "memory.py build/mixtape --vocabulary 20 --size 16 --blocks 1 --length 8 --steps 2",
        "growth.py build/mixtape": "growth.py build/mixtape --rounds 1 --points 1",
        "saves.py build/mixtape": "saves.py build/mixtape --rounds 1 --steps 9 --size 16 "
                                  "--blocks 1 --length 9 --json bench/results/saves-now.json",
        "processes.py build/mixtape --rounds 3 --steps 10":
            "processes.py build/mixtape --rounds 1 --steps 2 --size 16,1",
        "number_types.py build/mixtape":
            "number_types.py build/mixtape --rounds 1 --runs 2 --step 1 --steps 2",
        "bench --device cuda --step=0 --kernels": "bench --device cuda --wkv=1,8,32 --kernels",
        "--step=I --repeat=60": "--step=2 --repeat=1",
        "perf record -e cpu-clock -F 1000 -g ": "", # which not every machine lets one
    }
    if not HAS_MPI and not pages.ALL:
        listed["bench/processes.py"] = "there is no mpirun, or mixtape was built without MPI"
    if not importlib.util.find_spec("matplotlib"):
        replaced["--svg docs/growth.svg"] = ""

    def prepare(self):
        self.write("shake.txt", TEXT)
        self.run_command("train", "text", "--data", "shake.txt", "--size", "16", "--blocks", "1",
                         "--steps", "1", "--out", "run")
        self.run_command("export", "run", "--layout", "espnet", "-o", "espnet.h5")
        shutil.copytree(os.path.join(pages.TREE, "bench"), self.path("bench"),
                        ignore=shutil.ignore_patterns("results"))
        os.makedirs(self.path("bench", "results"))
        os.mkdir(self.path("docs"))
        os.symlink(pages.BUILD, self.path("build"))
        os.symlink(os.path.join(pages.TREE, "python"), self.path("python"))

    def check(self, shown):
        written = glob.glob(self.path("bench", "results", "*.json"))
        self.assertGreater(len(written), 8)
        for path in written:
            with open(path) as file:
                self.assertTrue(figures(json.load(file)), path)


def figures(found):
    """All numbers in what JSON holds."""
    if isinstance(found, (dict, list)):
        parts = found.values() if isinstance(found, dict) else found
        return [figure for part in parts for figure in figures(part)]
    return [found] if isinstance(found, (int, float)) and not isinstance(found, bool) else []


class Reliability(pages.Page):
    page = "docs/reliability.md"
    listed = {"python3 tests/faults/sweep.py": "takes hours; faults/sweep is a sample"}
    replaced = {"MIXTAPE_KILLS=200": "MIXTAPE_KILLS=1"}

    def prepare(self):
        os.symlink(os.path.join(pages.TREE, "tests"), self.path("tests"))
        os.symlink(pages.BUILD, self.path("build"))


class Gpu(pages.Page):
    """On CUDA-on-CPU."""

    page = "docs/gpu.md"
    program = os.environ.get("MIXTAPE_CUDA_ON_CPU", support.MIXTAPE)
    listed = {
        **WITHOUT_MPI,
        "cmake -S . -B build -DMIXTAPE_CUDA=ON": "builds all: .ci/run",
        "cmake --build build": "builds all: .ci/run",
        "ctest --test-dir build -L gpu": GPU,
        **({} if support.torchrun_starts() else {"torchrun": TORCHRUN}),
    }
    replaced = {"mpirun -n 4": "mpirun -n 2", "--nproc-per-node 4": "--nproc-per-node 2",
                "bench --device cuda": "bench --device cuda --wkv=1,8,32",
                "text --": "text --batch 4 --eval-batches 1 --"}

    def prepare(self):
        self.environment.update(prepare_mpi(self))
        self.write("tinyshakespeare.txt", TEXT)
        os.unlink(self.path("bin", "mixtape"))  # MPI's part is looked for beside the program itself
        shutil.copy(self.program, self.path("bin", "mixtape"))
        for library in glob.glob(os.path.join(pages.BUILD, "libmixtape_mpi.so")):
            shutil.copy(library, self.path("bin"))

    def check(self, shown):
        with open(self.path("run", "train.log")) as file:
            self.assertRegex(file.read(), r"(?s) on cuda.* on cpu")


class GpuPlan(pages.Page):
    page = "docs/gpu-plan.md"
    listed = {"WHEELS=": "builds all for one GPU: by hand, before it is lent",
              **({} if pages.ALL else {"pip download": "asks PyPI"})}


if __name__ == "__main__":
    unittest.main()
