"""A session on a machine with a GPU: its time is shared among parts, and what they find is gathered
in few files. bench/gpu_run says which parts there are and what they do.

The folder of results holds, however a part ends,
    summary.txt     a line for every command, and the tables
    log.txt         what the commands printed: of each the first and the last
    results.json    what they measured, with the command, the GPU, the driver and the date
    clocks.csv      clocks, power and temperature, sampled while something was timed
    profile.tar.xz  profiles
and none of them exceeds 15 MiB.
"""

import contextlib
import json
import os
import shutil
import signal
import statistics
import subprocess
import tarfile
import threading
import time

FILES = ["summary.txt", "log.txt", "results.json", "clocks.csv", "profile.tar.xz"]
FILE_LIMIT = 15 << 20  # bytes of a file of results
KEPT = 60_000  # bytes of a command's output that are kept, of its beginning and of its end
NO_TIME = 124  # the status of what was stopped, as that of timeout(1)
CLOCKS = ["clocks.sm", "clocks.mem", "power.draw", "temperature.gpu", "utilization.gpu"]


class Session:
    """shares: the seconds of each part, in order, in a session of `whole` seconds. They are
    stretched or shrunk to the budget; what a part leaves of its time, the next ones have.
    Commands leave in the folder work/found what they measured, in JSON, and in work/profiles what
    is to be packed. What an earlier session left there and in the folder of results is removed."""

    def __init__(self, out, work, budget, shares, whole):
        self.out, self.work = os.path.abspath(out), os.path.abspath(work)
        self.profiles = os.path.join(self.work, "profiles")
        self.found = os.path.join(self.work, "found")
        shutil.rmtree(self.work, ignore_errors=True)
        for folder in (self.out, self.profiles, self.found):
            os.makedirs(folder, exist_ok=True)
        for name in FILES:
            with contextlib.suppress(FileNotFoundError):
                os.remove(os.path.join(self.out, name))
        self.start = self.end = time.monotonic()
        self.failed = False
        self.about = {}  # what results.json says of the machine and of the session
        self.packed, self.processes, self.lock = None, set(), threading.RLock()
        self.scale = min(1.0, budget / whole)  # of the limits of single commands
        self.shares = shares
        to_collect = min(20.0, budget / 10)
        self.stretch = (budget - to_collect) / sum(shares.values())

    def enter(self, part):
        """Begins a part: it may take until its own end and that of all before it."""
        names = list(self.shares)
        before = sum(self.shares[name] for name in names[: names.index(part) + 1])
        self.end = self.start + before * self.stretch
        self.note(f"== {part}, {self.left():.0f} s")

    def left(self):
        return max(0.0, self.end - time.monotonic())

    def note(self, line):
        with self.lock:
            print(line, flush=True)
            with open(os.path.join(self.out, "summary.txt"), "a") as file:
                file.write(line + "\n")

    def run(self, name, command, seconds=None, environment=None, output=None):
        """Runs a command for at most so many seconds, and not beyond the part's end. Returns its
        status. Its standard output goes to the file `output`, or with the rest into the log."""
        if not self.left():
            self.failed = True
            self.note(f"{name:<46} status {NO_TIME}  no time left")
            return NO_TIME
        return self.finish(self.start_command(name, command, environment, output), seconds)

    def attempt(self, *arguments, **options):
        """The same for what need not work on every machine: the session does not fail with it."""
        failed = self.failed
        status = self.run(*arguments, **options)
        self.failed = failed
        return status

    def start_command(self, name, command, environment=None, output=None):
        """Starts what finish() waits for."""
        begun = time.monotonic()
        log = open(os.path.join(self.work, f"{begun}-{threading.get_ident()}.log"), "w+b")
        with open(output, "wb") if output else contextlib.nullcontext(log) as to:
            try:
                process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=to, stderr=log, process_group=0,
                    env={**os.environ, **(environment or {})})
            except OSError as error:
                process = None
                log.write(str(error).encode())
        if process:
            self.processes.add(process)
        return {"name": name, "command": command, "process": process, "log": log, "begun": begun}

    def finish(self, started, seconds=None, share=1.0):
        """Waits for a command for at most so many seconds, and that share of what is left of the
        part; ends it, and notes how it went."""
        limit = self.left() * share
        if seconds is not None:
            limit = min(seconds * self.scale, limit)
        process, status = started["process"], 127
        if process:
            try:
                status = process.wait(limit)
            except subprocess.TimeoutExpired:
                status = NO_TIME
            self.stop(process)
        self.failed |= status != 0
        took = time.monotonic() - started["begun"]
        self.note(f"{started['name']:<46} status {status:3d}  {took:3.0f} s")
        self.keep_log(f"{started['name']}: {' '.join(started['command'])}", started["log"])
        return status

    def stop(self, process):
        """Ends a command and what it started: asks first, and waits a little."""
        signal_group(process, signal.SIGTERM)
        signal_group(process, signal.SIGCONT)  # what stands still hears nothing
        for last in (signal.SIGKILL, None):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(3)
            if last:
                signal_group(process, last)
        self.processes.discard(process)

    def keep_file(self, title, path):
        """Puts a file into the log, and removes it."""
        self.keep_log(title, open(path, "rb"))

    def keep_log(self, title, file):
        """Appends an output to the log: of what room is left at most half, so it is never full."""
        with self.lock, open(os.path.join(self.out, "log.txt"), "ab") as log, file:
            kept = min(KEPT, (FILE_LIMIT - log.tell()) // 4)
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            log.write(f"== {title}\n".encode()[:kept])
            log.write(file.read(kept))
            if size > 2 * kept:
                log.write(b"\n...\n")
            file.seek(max(kept, size - kept))
            log.write(file.read(kept))
        os.remove(file.name)

    def text_of(self, command, seconds=30):
        """What a command prints, if it ends well in that time; nothing of it is noted."""
        try:
            return subprocess.run(command, capture_output=True, text=True, errors="replace",
                                  check=True, timeout=seconds).stdout
        except (OSError, subprocess.SubprocessError):
            return ""

    @contextlib.contextmanager
    def quiet(self):
        """While something is timed, what runs in the background stands still."""
        waiting = list(self.processes)
        for process in waiting:
            signal_group(process, signal.SIGSTOP)
        try:
            yield
        finally:
            for process in waiting:
                signal_group(process, signal.SIGCONT)

    @contextlib.contextmanager
    def clocks(self, name):
        """Samples the GPU's clocks and power, five times a second."""
        sampled = os.path.join(self.work, "clocks.csv")
        command = ["nvidia-smi", f"--query-gpu={','.join(CLOCKS)}", "--format=csv,noheader,nounits",
                   "-lms", "200"]
        sampler = self.start_command("clocks", command, output=sampled)
        try:
            yield
        finally:
            if sampler["process"]:
                self.stop(sampler["process"])
            self.keep_log(f"clocks while {name}", sampler["log"])
            self.keep_clocks(name, sampled)

    def keep_clocks(self, name, sampled):
        path = os.path.join(self.out, "clocks.csv")
        with open(sampled) as file:
            rows = [line.strip().split(", ") for line in file]
        rows = [row for row in rows if len(row) == len(CLOCKS)]
        with open(path, "a") as file:
            if file.tell() == 0:
                file.write(",".join(["while", *CLOCKS]) + "\n")
            if file.tell() < FILE_LIMIT // 2:
                file.writelines(",".join([name, *row]) + "\n" for row in rows[-20_000:])
        for key, unit, column in zip(CLOCKS[:3], ("MHz", "MHz", "W"), zip(*rows)):
            values = []
            for text in column:
                with contextlib.suppress(ValueError):  # not every GPU tells everything
                    values.append(float(text))
            if values:
                middle = statistics.median(values)
                self.note(f"  {key} while {name}: {min(values):.0f} / {middle:.0f} /"
                          f" {max(values):.0f} {unit} (least / median / most)")

    def table(self, command, lines=100):
        """Puts what a command prints into the summary."""
        for line in self.text_of(command).splitlines()[:lines]:
            self.note("  " + line)

    def collect(self):
        """Gathers what the parts have left so far: each JSON file under its name, and profiles."""
        result = dict(self.about)
        for file in sorted(os.listdir(self.found)):
            with contextlib.suppress(OSError, ValueError):  # what was stopped while it wrote
                with open(os.path.join(self.found, file)) as opened:
                    result[os.path.splitext(file)[0]] = json.load(opened)
        text = json.dumps(result, indent=1)
        while len(text) > FILE_LIMIT:
            largest = max(result, key=lambda key: len(json.dumps(result[key])))
            self.note(f"results.json: {largest} is too large and left out")
            del result[largest]
            text = json.dumps(result, indent=1)
        write_whole(os.path.join(self.out, "results.json"), lambda path: write_text(path, text))
        self.pack()

    def pack(self):
        """Packs the profiles, if they changed: of too many, the largest are left out."""
        files = [os.path.join(self.profiles, name) for name in os.listdir(self.profiles)]
        files.sort(key=os.path.getsize)
        state = [(file, os.path.getsize(file)) for file in files]
        if state == self.packed:
            return
        self.packed = state
        path = os.path.join(self.out, "profile.tar.xz")
        write_whole(path, lambda part: write_archive(part, files))
        while os.path.getsize(path) > FILE_LIMIT:
            self.note(f"profile.tar.xz: {os.path.basename(files.pop())} is too large and left out")
            write_whole(path, lambda part: write_archive(part, files))

    def close(self):
        """Ends what still runs, and collects for the last time."""
        self.end = self.start  # nothing else begins
        for process in list(self.processes):
            self.stop(process)
        self.collect()
        took = time.monotonic() - self.start
        self.note(f"== {'something failed' if self.failed else 'all passed'}, after {took:.0f} s")


def signal_group(process, sign):
    """Tells a process and all that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, sign)


def write_whole(path, write):
    """Writes a file beside its target and renames it, so that the target is always whole."""
    write(path + ".part")
    os.replace(path + ".part", path)


def write_text(path, text):
    with open(path, "w") as file:
        file.write(text)


def write_archive(path, files):
    with tarfile.open(path, "w:xz", preset=1) as archive:
        for file in files:
            archive.add(file, "profile/" + os.path.basename(file))


def find_tool(name, *folders):
    """A program of the CUDA Toolkit, which need not be on the PATH; or None."""
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), *folders]))
