"""Every verb of the command, once for each call that can fail: the call fails, and the verb ends
with an error that says what it was, or does its work all the same. What it had to write is the old
file or the new one, whole.

    python3 tests/faults/sweep.py build/mixtape build/tests/libfail.so             all of them
    python3 tests/faults/sweep.py build/mixtape build/tests/libfail.so --most 10   a sample
    python3 tests/faults/sweep.py build/mixtape build/tests/libfail.so --places    the first call
                                                      of those that the same functions lead to
"""

import argparse
import collections
import concurrent.futures
import errno
import functools
import gzip
import io
import itertools
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile

import h5py
import numpy

SMALL = "--size 8 --blocks 1 --batch 2 --threads 1 --eval-batches 1".split()
COPY = "copy --symbols 4 --length 3".split()
TUNED = "--tune lora --length 4 --batch 2 --threads 1 --eval-batches 1".split()
BAD = "--length 4 --lr 1000 --warmup 0 --clip 0 --on-bad-step skip".split() # from step 2 on
PART = "rwkv_blocks.0.att"
DATA = "../../prepared/" # a run remembers where its data are

# What is tried: the arguments, and the files that they write.
VERBS = {
    "train": (["train", *COPY, *SMALL, "--steps", "2", "--save-every", "1", "--out", "new"],
              ["new/checkpoint.h5", "new/best.h5"]),
    "train-text": (["train", "text", "--data", DATA + "texts", DATA + "text.gz", "--init",
                    DATA + "text", "--length", "4", "--batch", "2", "--threads", "1",
                    "--eval-batches", "1", "--steps", "1", "--out", "new"],
                   ["new/checkpoint.h5", "new/best.h5"]),
    "train-tokens": (["train", "tokens", "--data", DATA + "transcripts", "--token-list",
                      DATA + "tokens.txt", "--nlsyms", DATA + "symbols.txt", *SMALL, "--steps",
                      "1", "--out", "new"],
                     ["new/checkpoint.h5", "new/best.h5"]),
    "train-world": (["train", "text", "--data", DATA + "text.txt", "--tokenizer",
                     DATA + "world.txt", "--length", "4", *SMALL, "--steps", "1", "--out", "new"],
                    ["new/checkpoint.h5", "new/best.h5"]),
    "train-ids": (["train", "ids", "--data", DATA + "ids.idx", DATA + "ids.npy", "--valid-data",
                   DATA + "ids.h5", "--length", "4", *SMALL, "--steps", "1", "--out", "new"],
                  ["new/checkpoint.h5", "new/best.h5"]),
    "train-bad-step": (["train", "adding", *SMALL, *BAD, "--steps", "2", "--out", "new"],
                       ["new/checkpoint.h5", "new/best.h5"]),
    "train-tuned": (["train", "text", *TUNED, "--data", DATA + "text.txt", "--init", DATA + "text",
                     "--steps", "1", "--out", "new"], ["new/checkpoint.h5", "new/best.h5"]),
    "replay": (["replay", "bad", "--threads", "1"], []),
    "resume": (["train", "--resume", "run", "--steps", "3"],
               ["run/checkpoint.h5", "run/best.h5"]),
    "resume-tuned": (["train", "--resume", "tuned", "--steps", "2"],
                     ["tuned/checkpoint.h5", "tuned/best.h5"]),
    "eval": (["eval", "run"], []),
    "eval-files": (["eval", "text", "--data", "text.txt", "--window", "8", "--threads", "1"], []),
    "eval-utterances": (["eval", "text", "--data", "transcripts", "--task", "tokens", "--threads",
                         "1", "--per-utterance"], []),
    "eval-json": (["eval", "text", "--data", "transcripts", "--task", "tokens", "--threads", "1",
                   "--per-utterance", "--json"], []),
    "generate": (["generate", "text", "--length", "5", "--threads", "1"], []),
    "generate-world": (["generate", "world", "--prompt", "the ", "--length", "5", "--threads", "1"],
                       []),
    "generate-prompts": (["generate", "text", "--prompts", "prompts.txt", "--batch", "2",
                          "--length", "3", "--threads", "1"], []),
    "generate-state": (["generate", "text", "--length", "5", "--state", "state.h5", "--save-state",
                        "after.h5", "--threads", "1"], ["after.h5"]),
    "forward": (["forward", "run", "--input", "labels.h5", "-o", "out.h5", "--threads", "1"],
                ["out.h5"]),
    "export-hdf5": (["export", "run", "-o", "out.h5"], ["out.h5"]),
    "export-safetensors": (["export", "run", "--layout", "mixtape", "-o", "out.safetensors"],
                           ["out.safetensors"]),
    "export-folder": (["export", "styled", "--layout", "hf", "--dtype", "f16", "-o", "new"],
                      ["new/model.safetensors", "new/config.json"]),
    "export-part": (["export", "run", "--part", PART, "-o", "out.h5"], ["out.h5"]),
    "import-hdf5": (["import", "whole.h5", "-o", "out.h5"], ["out.h5"]),
    "import-safetensors": (["import", "whole.safetensors", "-o", "out.h5"], ["out.h5"]),
    "import-folder": (["import", "folder", "-o", "out.h5"], ["out.h5"]),
    "import-part": (["import", "part.h5", "--into", "run", "--part", PART, "-o", "out.h5"],
                    ["out.h5"]),
    "average": (["average", "run/checkpoint.h5", "run/best.h5", "-o", "out.h5"], ["out.h5"]),
    "diff": (["diff", "run", "run"], []),
    "watch": (["watch", "--once", "run"], []),
    "info": (["info", "run"], []),
    "info-safetensors": (["info", "whole.safetensors"], []),
    "gradcheck": (["gradcheck"], []),
    "bench": (["bench", "--wkv", "1,4,32", "--threads", "1", "--json", "out.json"], ["out.json"]),
}

FAILED = {"diff": 2} # where it is not 1, which says that they differ

# Which calls fail, and with which errors. HALF of the bytes are written or read.
HALF = 0
KINDS = {
    "memory": ("memory", [errno.ENOMEM]),
    "write": ("write,pwrite,writev", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EINTR, HALF]),
    "read": ("read,pread", [errno.EIO, errno.EINTR, HALF]),
    "flush": ("fsync,fdatasync", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EINTR]),
    "rename": ("rename,renameat,mkdir,mkdirat", [errno.ENOSPC, errno.EDQUOT, errno.EIO]),
    "open": ("openat,open", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EINTR, errno.EMFILE]),
    "close": ("close", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EINTR]),
    "child": ("socketpair,fork", [errno.EAGAIN, errno.EMFILE]),
    "line": ("sendto,recvfrom", [errno.EINTR, HALF]), # to the child
}


def set_kernels(mixtape):
    """Names whose kernels OpenBLAS runs, as the command may begin anew to do, and the calls that
    are to fail with it."""
    bench = subprocess.run([mixtape, "bench", "--device", "cpu", "--wkv", "1,1,1", "--json"],
                           check=True, capture_output=True)
    os.environ["OPENBLAS_CORETYPE"] = json.loads(bench.stdout)["openblas"]


def make_shard(folder):
    """Gives a folder of Hugging Face's an index, of one shard."""
    shard = os.path.join(folder, "model-00001-of-00001.safetensors")
    os.rename(os.path.join(folder, "model.safetensors"), shard)
    content = read(shard)
    header = json.loads(content[8:8 + int.from_bytes(content[:8], "little")])
    places = {name: os.path.basename(shard) for name in header if name != "__metadata__"}
    with open(os.path.join(folder, "model.safetensors.index.json"), "w") as file:
        json.dump({"weight_map": places}, file)


def write_world(path):
    """A World list: every byte, and two words."""
    tokens = [bytes([byte]) for byte in range(256)] + [b"the ", b"quick "]
    with open(path, "w") as file:
        for number, token in enumerate(tokens, 1):
            text = repr(token.decode()) if token < b"\x80" else repr(token)
            file.write(f"{number} {text} {len(token)}\n")


def prepare(mixtape, folder):
    """The files that the verbs read, and old ones in the place of what they write."""
    def run(*arguments):
        subprocess.run([mixtape, *arguments], cwd=folder, check=True, capture_output=True)

    def write(name, text):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.write(text)

    write("text.txt", "the quick brown fox jumps over the lazy dog. " * 20)
    write("tokens.txt", "<blank>\n<unk>\n<space>\na\nb\nc\n<sos/eos>\n")
    write("transcripts", "".join(f"utterance-{i} a b c{' a' * i}\n" for i in range(20)))
    write("symbols.txt", "aa\n<noise>\n")
    write("prompts.txt", "the \n\nquick\n")
    os.mkdir(os.path.join(folder, "texts"))
    write("texts/one", "new: é, ü. " * 20)
    with gzip.open(os.path.join(folder, "text.gz"), "wb") as file:
        file.write(b"and packed" * 10)
    run("train", *COPY, *SMALL, "--steps", "2", "--out", "run")
    run("train", "text", "--data", "text.txt", "--length", "4", *SMALL, "--steps", "1", "--out",
        "text")
    run("train", "text", *TUNED, "--data", "text.txt", "--init", "text", "--steps", "1", "--out",
        "tuned")
    write_world(os.path.join(folder, "world.txt"))
    run("train", "text", "--data", "text.txt", "--tokenizer", "world.txt", "--length", "4", *SMALL,
        "--steps", "1", "--out", "world")
    run("generate", "text", "--length", "3", "--save-state", "state.h5")
    shutil.copy(os.path.join(folder, "state.h5"), os.path.join(folder, "after.h5"))
    run("train", "adding", *SMALL, *BAD, "--steps", "2", "--out", "bad")
    for name in ("whole.h5", "whole.safetensors"):
        run("export", "run", "--layout", "mixtape", "-o", name)
    run("export", "run", "--part", PART, "-o", "part.h5")
    run("train", *COPY, *SMALL, "--steps", "1", "--style", "hf", "--out", "styled")
    run("export", "styled", "--layout", "hf", "-o", "folder")
    make_shard(os.path.join(folder, "folder"))
    for name in ("out.h5", "out.safetensors"):
        run("export", "text", "-o", name)
    with h5py.File(os.path.join(folder, "labels.h5"), "w") as file:
        file["labels"] = [[1, 2, 3, 4]]
    prepare_ids(folder)


def prepare_ids(folder):
    """Ids in the files that have readers of their own."""
    ids = numpy.arange(60, dtype="<u2") % 7
    numpy.save(os.path.join(folder, "ids.npy"), ids)
    ids.tofile(os.path.join(folder, "ids.bin"))
    with open(os.path.join(folder, "ids.idx"), "wb") as file:
        file.write(struct.pack("<9sQBQQ2i2q3q", b"MMIDIDX", 1, 8, 2, 3, 20, 40, 0, 40, 0, 1, 2))
    with h5py.File(os.path.join(folder, "ids.h5"), "w") as file:
        file["ids"] = ids.reshape(6, 10)


def read(path):
    with open(path, "rb") as file:
        return file.read()


def held_by(content):
    """What a file of HDF5 holds, but for the seconds that a run took: to try again takes some."""
    held = {}

    def take(name, thing):
        if isinstance(thing, h5py.Dataset):
            held[name] = thing[()].tobytes()
        held.update({(name, key): str(value) for key, value in thing.attrs.items()
                     if key != "seconds"})

    with h5py.File(io.BytesIO(content)) as file:
        file.visititems(take)
    return held


Attempt = collections.namedtuple("Attempt", "status calls output complaint files")


class Sweep:
    """The calls of one kind that one verb makes."""

    def __init__(self, options, prepared, verb, kind):
        self.options, self.prepared = options, prepared
        self.arguments, self.written = VERBS[verb]
        self.failed = FAILED.get(verb, 1)
        self.calls, errors = KINDS[kind]
        self.errors = [error for error in errors
                       if not (options.always and error == errno.EINTR)] # is tried again for ever
        self.whole = self.attempt(0, 0)
        if self.whole.status != 0:
            raise RuntimeError(f"{verb}: {self.whole.complaint}")

    def attempt(self, at, error, places=None):
        """What happens where call number `at` fails; none does where that is 0. The hashes of
        where the calls stand are written to the file `places`."""
        with tempfile.TemporaryDirectory(dir=os.path.dirname(self.prepared)) as scratch:
            folder, count = os.path.join(scratch, "work"), os.path.join(scratch, "count")
            shutil.copytree(self.prepared, folder)
            # A locale that could not be loaded is none, in which watch draws ASCII.
            environment = {**os.environ, "LC_ALL": "C", "LD_PRELOAD": self.options.library,
                           "FAIL_CALLS": self.calls, "FAIL_COUNT": count, "FAIL_AT": str(at),
                           "FAIL_ERROR": str(error)}
            if self.options.always:
                environment["FAIL_ALWAYS"] = "1"
            if places is not None:
                environment["FAIL_PLACES"] = places
            with subprocess.Popen([self.options.mixtape, *self.arguments], cwd=folder,
                                  env=environment, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
                try:
                    output, complaint = process.communicate(timeout=300)
                except subprocess.TimeoutExpired: # of a verb that takes a tenth of a second
                    process.kill()
                    output, complaint = process.communicate()
            return Attempt(process.returncode, struct.unpack("q", read(count))[0], output,
                           complaint.decode(errors="replace"), self.changed(folder))

    def changed(self, folder):
        """The files that the verb is to write, and those that were not there before."""
        found = {}
        for where, _, names in os.walk(folder):
            for name in names:
                path = os.path.join(where, name)
                relative = os.path.relpath(path, folder)
                if (relative in self.written or
                        not os.path.exists(os.path.join(self.prepared, relative))):
                    found[relative] = read(path)
        return found

    def is_whole(self, name, content):
        """A file is the old one or the new one; of a run, one that can be read."""
        old = os.path.join(self.prepared, name)
        return (content == self.whole.files[name] or
                (os.path.exists(old) and content == read(old)) or
                (os.path.basename(name) in ("checkpoint.h5", "best.h5") and
                 self.is_readable(content)))

    def is_new(self, name, content):
        new = self.whole.files[name]
        return content == new or (content is not None and name.endswith(".h5") and
                                  held_by(content) == held_by(new))

    @functools.lru_cache(maxsize=None)
    def is_readable(self, content):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "file.h5")
            with open(path, "wb") as file:
                file.write(content)
            return subprocess.run([self.options.mixtape, "info", path],
                                  capture_output=True).returncode == 0

    def judge(self, found, error):
        """What became of a failure: "done", "told", or what is wrong."""
        complaints = [line for line in found.complaint.splitlines()
                      if line.startswith(("mixtape", "libgomp"))] # OpenBLAS's, which ends
        if found.status < 0:
            return signal.Signals(-found.status).name
        for name, content in found.files.items():
            if name in self.written and not self.is_whole(name, content):
                return f"damages {name}"
            if name not in self.whole.files and ".part" in name:
                return f"leaves {name}"
        if found.status == 0:
            lost = [name for name in self.written
                    if not self.is_new(name, found.files.get(name))]
            return (f"says nothing of {lost[0]}" if lost else
                    "done" if found.output == self.whole.output else "prints something else")
        if self.options.always and "write" in self.calls and found.status == self.failed:
            return "told" # by its status: standard error cannot be written either
        if found.status != self.failed or len(complaints) != 1:
            return f"ends with {found.status} and {len(complaints)} lines"
        reason = "memory" if error == errno.ENOMEM else os.strerror(error)
        return "told" if reason in complaints[0] else "blames something else"

    def first_calls(self):
        """Of the calls that the same chain of functions leads to the first."""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "places")
            self.attempt(0, 0, path)
            places = [place for place, in struct.iter_unpack("Q", read(path))]
        first = {}
        for at, place in enumerate(places, 1):
            first.setdefault(place, at)
        return sorted(first.values())

    def run(self):
        """Outcomes, and of those that are wrong the calls."""
        calls = (self.first_calls() if self.options.places and self.whole.calls else
                 range(1, self.whole.calls + 1))
        failures = list(itertools.product(calls, self.errors))
        if self.options.most and len(failures) > self.options.most:
            every = len(calls) / self.options.most
            failures = [(calls[int(i * every)], self.errors[i % len(self.errors)])
                        for i in range(self.options.most)]
        outcomes, wrong = collections.Counter(), []
        with concurrent.futures.ThreadPoolExecutor(self.options.jobs) as pool:
            attempts = pool.map(lambda failure: self.attempt(*failure), failures)
            for (at, error), found in zip(failures, attempts):
                outcome = self.judge(found, error)
                outcomes[outcome] += 1
                if outcome not in ("done", "told"):
                    said = found.complaint.strip().splitlines()[-1:]
                    wrong.append((at, errno.errorcode.get(error, "half"), outcome, *said))
        return outcomes, wrong


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("mixtape", type=os.path.abspath)
    parser.add_argument("library", type=os.path.abspath, help="tests/faults/fail.c, built")
    parser.add_argument("--verbs", nargs="*", default=list(VERBS), choices=list(VERBS))
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--most", type=int, help="failures of a verb and kind, evenly chosen")
    parser.add_argument("--places", action="store_true",
                        help="of the calls that the same functions lead to the first alone")
    parser.add_argument("--always", action="store_true", help="the calls that follow fail too")
    parser.add_argument("--jobs", type=int, default=1, help="at a time")
    return parser.parse_args()


def main():
    options = parse_arguments()
    wrong = 0
    set_kernels(options.mixtape)
    with tempfile.TemporaryDirectory() as folder:
        prepared = os.path.join(folder, "prepared")
        os.mkdir(prepared)
        prepare(options.mixtape, prepared)
        for kind, verb in itertools.product(options.kinds, options.verbs):
            outcomes, found = Sweep(options, prepared, verb, kind).run()
            if not outcomes: # such calls the verb does not make
                continue
            told = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
            print(f"{kind:7} {verb:20} {sum(outcomes.values()):6} failures: {told}", flush=True)
            for failure in found:
                print("   ", *failure)
            wrong += len(found)
    print(f"{wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
