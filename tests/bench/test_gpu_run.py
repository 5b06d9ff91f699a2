"""A rehearsal of bench/gpu_run without a GPU: a true suite on CUDA-on-CPU, and stand-ins for the
programs that only a machine with a GPU has."""

import csv
import json
import os
import random
import signal
import subprocess
import tarfile
import tempfile
import time
import unittest

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SUITE = os.environ.get("MIXTAPE_SUITE")  # a suite of Check on CUDA-on-CPU
TRUE_COMMAND = os.environ.get("MIXTAPE_CUDA_ON_CPU", "")  # the command on CUDA-on-CPU
PARTS = ["tests", "bench", "ncu", "sweep", "peers", "python", "sanitizer", "nccl", "types"]

# The command, as far as the runner uses it: `bench`, whose measurements go to a file. The true one
# does the same first, on a small shape; of what takes long without a GPU it only reads the options.
COMMAND = """#!/usr/bin/python3
import json, os, subprocess, sys
given, found = sys.argv[1:], {}
path = given[given.index("--json") + 1] if "--json" in given else None
if os.environ.get("TRUE_COMMAND"):
    small = {"--wkv": "1,40,32", "--runs": "1"}
    tried = [small.get(before, word) for before, word in zip(["", *given], given)]
    tried += [] if "--wkv" in given else ["--help"]
    subprocess.run([os.environ["TRUE_COMMAND"], *tried], check=True)
    if path and os.path.exists(path):
        with open(path) as file:
            found = json.load(file)
if path:
    with open(path, "w") as file:
        json.dump({**found, "arguments": given}, file)
if "--step" in given and path:
    seconds = 0.25 if "bf16" in given else 0.5
    found = {"results": [{"what": "step", "step_s": seconds}]}
    with open(path, "w") as file:
        json.dump({**found, "arguments": given}, file)
if given[:2] == ["train", "text"]:
    out = given[given.index("--out") + 1]
    os.makedirs(out, exist_ok=True)
    with open(os.path.join(out, "metrics.csv"), "w") as file:
        file.write(f"step,val_loss\\n1,\\n2,{1.62 if 'bf16' in given else 1.6}\\n3,\\n")
if given[:1] == ["train"] and os.environ.get("MIXTAPE_NCCL") == "1":
    out = given[given.index("--out") + 1]
    os.makedirs(out, exist_ok=True)
    with open(os.path.join(out, "train.log"), "w") as file:
        file.write("gradients are summed by NCCL 2.28.3\\n")
"""
# Builds, measures and shows. `slow` in its folder: builds for two seconds; `hang`: measures, and
# then hangs.
SWEEP = """import json, os, sys, time
verb, *rest = sys.argv[1:]
if verb == "build":
    os.makedirs(rest[1]) if os.path.isdir(rest[0]) else sys.exit("no sources")
    time.sleep(2 if os.path.exists("slow") else 0)
elif verb == "table":
    print("table of", os.path.basename(rest[0]))
else:
    with open(rest[1], "w") as file:
        json.dump({"built": os.path.isdir(rest[0])}, file)
    if verb == "run" and os.path.exists("hang"):
        time.sleep(600)
"""
PEERS = """import os, sys
if sys.argv[1] == "--table":
    print("table of peers")
elif sys.argv[1] != "--build":
    assert os.path.exists(sys.argv[1])
    with open(sys.argv[2], "w") as file:
        file.write('{"wheels": "%s"}' % os.path.basename(os.environ["PYTHONPATH"]))
"""
NVIDIA_SMI = """#!/bin/sh
case "$*" in
*-lms*) while echo "1980, 3201, 512.25, 40, 99"; do sleep 0.05; done ;;
*) echo "A GPU, 580.1, 143771 MiB, 1980 MHz, 3201 MHz, 700 W, Enabled" ;;
esac
"""
NCU = """#!/usr/bin/python3
import os, subprocess, sys
rest = sys.argv[1:]
def value(name):
    return rest[rest.index(name) + 1]
if "--import" in rest:
    assert os.path.exists(value("--import"))
    print("page", value("--page"))
    sys.exit()
subprocess.run(rest[rest.index("./mixtape_command"):], check=True)
if "--export" in rest:
    with open(value("--export") + ".ncu-rep", "wb") as file:
        file.write(os.urandom(int(os.environ.get("REPORT_SIZE", "1000"))))
else:
    with open(value("--log-file"), "w") as file:
        if os.environ.get("FORBIDDEN"):
            sys.exit(file.write("==ERROR== ERR_NVGPUCTRPERM\\\\n"))
        file.write('==PROF== Connected\\\\n"ID","Kernel Name","Metric Name","Metric Value"\\\\n')
        for kernel, time in ("adam", "2,500"), ("norm", "1000"), ("adam", "3,000"):
            file.write(f'"0","{kernel}","gpu__time_duration.sum","{time}"\\\\n')
""".replace("\\\\n", "\\n")
SANITIZER = """#!/bin/sh
[ -z "$UNSUPPORTED" ] || { echo "Device not supported"; exit 1; }
for suite; do :; done
exec "$suite"
"""
SUMS = """#!/bin/sh
echo "rank $RANK of $WORLD_SIZE, NCCL $MIXTAPE_NCCL, $*"
"""
PASSES = "#!/bin/sh\necho fine\n"
FAILS = """#!/bin/sh
echo "ok 1 - first" >"$CK_TAP_LOG_FILE_NAME"
echo "fork $CK_FORK, blocking $CUDA_LAUNCH_BLOCKING, times $CK_TIMEOUT_MULTIPLIER"
exit 1
"""
# Does not end, asked or not, when all of its tests are one process.
HANGS = """#!/bin/sh
[ "$CK_FORK" = no ] || exit 0
trap '' TERM
sleep 600 &
echo $! >"$PID_FILE"
wait
wait
"""


def wait_until(happened):
    for _ in range(600):
        if happened():
            return True
        time.sleep(0.1)
    return False


def is_running(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


class RunTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.tools = {"nvidia-smi": NVIDIA_SMI, "ncu": NCU, "compute-sanitizer": SANITIZER}
        self.content = {
            "commit": "abc123\n", "mixtape_command": COMMAND, "source/kernels/cuda/wkv.cu": "",
            "gpu_sweep.py": SWEEP, "gpu_peers.py": PEERS, "test_operator.py": "",
            "test_cuda.py": "", "test_devices.py": "", "bench_sums": SUMS}
        for suite in ("dropout", "wkv", "norm", "time_mix", "cross_entropy", "embedding", "reduce"):
            self.content["tests/kernels_test_" + suite] = PASSES

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def read(self, *names):
        with open(self.path(*names)) as file:
            return file.read()

    def write(self, content, *names):
        os.makedirs(os.path.dirname(self.path(*names)), exist_ok=True)
        with open(self.path(*names), "w") as file:
            file.write(content)
        os.chmod(self.path(*names), 0o755)

    def start(self, **environment):
        """Makes the bundle and starts it."""
        for name in ("gpu_run", "gpu_session.py"):
            with open(os.path.join(SOURCE, "bench", name)) as file:
                self.write(file.read(), "bundle", "run" if name == "gpu_run" else name)
        for name, content in self.tools.items():
            self.write(content, "tools", name)
        with tarfile.open(self.path("bundle", "content.tar.xz"), "w:xz", preset=0) as archive:
            for name, content in self.content.items():
                self.write(content, "content", name)
                archive.add(self.path("content", name), name)
            if SUITE:
                archive.add(SUITE, "tests/true_suite")
        environment = {
            **os.environ, "PATH": self.path("tools") + ":/usr/bin:/bin", **environment,
            "PID_FILE": self.path("pid"), "PYTHONDONTWRITEBYTECODE": "1"}
        os.makedirs(self.path("peers"), exist_ok=True)
        return subprocess.Popen(
            [self.path("bundle", "run"), self.path("out"), self.path("peers")], text=True,
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def rehearse(self, status=0, **environment):
        process = self.start(**environment)
        printed, _ = process.communicate(timeout=600)
        self.assertEqual(process.returncode, status, printed)
        self.assertLessEqual(len(os.listdir(self.path("out"))), 7)
        for name in os.listdir(self.path("out")):
            self.assertLess(os.path.getsize(self.path("out", name)), 16 << 20, name)
        return printed

    def results(self):
        return json.loads(self.read("out", "results.json"))

    def profiles(self):
        with tarfile.open(self.path("out", "profile.tar.xz")) as archive:
            return archive.getnames()

    def parts(self):
        lines = self.read("out", "summary.txt").splitlines()
        return [line.split()[1].strip(",") for line in lines if line.startswith("== ")][:-1]

    def status_of(self, command):
        """What the summary says of a command: its status, or None."""
        for line in self.read("out", "summary.txt").splitlines():
            if line[:46].strip() == command:
                return int(line[46:].split()[1])
        return None

    def test_everything_runs_in_order_and_is_gathered(self):
        printed = self.rehearse(TRUE_COMMAND=TRUE_COMMAND)
        self.assertEqual(self.parts(), PARTS)
        results = self.results()
        self.assertEqual(results["gpu"]["name"], "A GPU")
        self.assertEqual(results["gpu"]["driver_version"], "580.1")
        self.assertEqual(results["commit"], "abc123")
        self.assertIn("bundle/run", results["command"])
        self.assertEqual(results["mixtape"]["arguments"][:5],
                         ["bench", "--device", "cuda", "--repeat", "15"])
        for shape in ("8,1024,768", "2,1024,768", "32,1024,1024"):
            arguments = results["kernels_wkv_" + shape.replace(",", "_")]["arguments"]
            self.assertEqual(arguments[3:8], ["--wkv", shape, "--runs", "5", "--kernels"])
        self.assertEqual(results["kernels_step_0"]["arguments"][3:5], ["--step", "0"])
        if TRUE_COMMAND:
            self.assertIn("wkv totals", str(results["kernels_wkv_8_1024_768"]["results"]))
        self.assertEqual((results["sweep"], results["probe"]), ({"built": True}, {"built": True}))
        self.assertEqual(results["peers"], {"wheels": "wheels"})
        self.assertEqual(results["step_0_nanoseconds"], {
            "adam": {"launches": 2, "nanoseconds": 5500.0},
            "norm": {"launches": 1, "nanoseconds": 1000.0}})
        for name in ("wkv_8_1024_768.ncu-rep", "wkv_8_1024_768.details.txt",
                     "wkv_32_1024_1024.source.csv", "durations_step_0.csv"):
            self.assertIn("profile/" + name, self.profiles())
        rows = list(csv.DictReader(self.read("out", "clocks.csv").splitlines()))
        self.assertEqual(rows[0]["while"], "bench")
        self.assertEqual(rows[0]["power.draw"], "512.25")
        for says in ("table of sweep.json", "table of peers", "power.draw while bench: 512 / 512",
                     "3 kernels of a step: 6.5 us", "all passed"):
            self.assertIn(says, printed)
        self.assertEqual(self.status_of("racecheck time_mix"), 0)
        if SUITE:
            self.assertEqual(self.status_of("true_suite"), 0)
            self.assertIn("100%: Checks", self.read("out", "log.txt"))

    def test_only_chooses_parts_and_their_order(self):
        self.rehearse(ONLY="python tests")
        self.assertEqual(self.parts(), ["python", "tests"])
        self.assertIn("ONLY='python tests'", self.results()["command"])

    def test_nccl_sums_on_one_gpu_and_on_all(self):
        self.tools["nvidia-smi"] = "#!/bin/sh\necho A GPU\necho A GPU\n"
        self.rehearse(ONLY="nccl")
        log = self.read("out", "log.txt")
        for by in ("1", "0"):
            self.assertIn(f"rank 0 of 1, NCCL {by}, 400 cuda\n", log)
            for rank in (0, 1):
                self.assertIn(f"rank {rank} of 2, NCCL {by}, 400 cuda\n", log)
                name = f"a run, 2 GPUs, MIXTAPE_NCCL={by}, rank {rank}"
                self.assertEqual(self.status_of(name), 0)
        for count in (1, 2):
            self.assertEqual(self.status_of(f"NCCL was used, {count} GPUs, MIXTAPE_NCCL=1"), 0)

    def test_types_are_compared(self):
        for text, told in ((None, "no text in the bundle"),
                           ("To be", "validation loss: float32 1.6")):
            if text:
                self.content["text"] = text
            printed = self.rehearse(ONLY="types")
            self.assertIn("step 3, seconds: float32 0.5, bfloat16 0.25, ratio 2.000", printed)
            self.assertIn(told, printed)
        self.assertEqual(self.results()["types"]["the character model, validation loss"],
                         {"f32": 1.6, "bf16": 1.62})
        self.assertIn("--dtype", self.results()["step_3_bf16"]["arguments"])

    def test_an_unknown_part_is_refused(self):
        printed, _ = self.start(ONLY="test bench").communicate(timeout=60)
        self.assertIn("no such part: test (there are tests bench", printed)
        self.assertFalse(os.path.exists(self.path("out")))

    def test_what_an_earlier_call_left_is_not_taken_for_this_ones(self):
        self.rehearse(ONLY="bench ncu")
        self.content.pop("tests/kernels_test_norm")
        self.rehearse(ONLY="tests")
        self.assertNotIn("mixtape", self.results())
        self.assertEqual(self.profiles(), [])
        self.assertIsNone(self.status_of("kernels_test_norm"))

    def test_a_suite_that_hangs_is_ended_and_the_rest_runs(self):
        self.content["tests/kernels_test_hangs"] = HANGS
        self.rehearse(status=1, ONLY="tests python", BUDGET="90")
        self.assertEqual(self.status_of("kernels_test_hangs"), 124)
        self.assertEqual(self.status_of("kernels_test_hangs, again"), 0)
        self.assertEqual(self.status_of("kernels_test_wkv"), 0)
        self.assertEqual(self.status_of("PyTorch's tensors"), 0)
        self.assertTrue(wait_until(lambda: not is_running(int(self.read("pid")))))

    def test_a_suite_that_fails_is_run_again_test_by_test(self):
        self.content["tests/kernels_test_fails"] = FAILS
        self.rehearse(status=1, ONLY="tests")
        log = self.read("out", "log.txt")
        self.assertIn("fork no, blocking , times \n", log)
        self.assertIn("ok 1 - first", log)
        self.assertIn("fork , blocking 1, times 0.05\n", log)
        self.assertEqual(self.status_of("kernels_test_wkv"), 0)

    def seconds_of(self, part):
        for line in self.read("out", "summary.txt").splitlines():
            if line.startswith(f"== {part}, "):
                return float(line.split()[2])
        self.fail(f"no {part}")

    def test_time_that_a_part_leaves_is_given_to_the_next(self):
        self.rehearse(ONLY="tests python")
        whole = self.seconds_of("tests") / 140 * 190
        # Its own share would be a quarter.
        self.assertGreater(self.seconds_of("python"), whole / 2)

    def test_without_time_nothing_begins_and_the_status_tells(self):
        printed = self.rehearse(status=1, ONLY="tests python", BUDGET="0.001")
        self.assertEqual(self.status_of("kernels_test_wkv"), 124)
        self.assertIn("no time left", printed)
        self.assertIn("something failed", printed)

    def test_what_a_part_left_before_it_was_ended_is_gathered(self):
        self.content["hang"] = ""
        self.rehearse(status=1, ONLY="sweep python", BUDGET="60")
        self.assertEqual(self.status_of("sweep"), 124)
        self.assertEqual(self.results()["sweep"], {"built": True})
        self.assertEqual(self.status_of("PyTorch's tensors"), 0)

    def test_the_build_of_the_sweep_has_half_of_the_parts_time_in_a_short_session_too(self):
        self.content["slow"] = ""
        self.rehearse(ONLY="sweep", BUDGET="30")
        self.assertEqual(self.status_of("build of the sweep"), 0)

    def test_a_runner_that_is_asked_to_end_gathers_first(self):
        self.content["tests/kernels_test_0_hangs"] = HANGS
        process = self.start(ONLY="bench tests")
        self.assertTrue(wait_until(lambda: os.path.exists(self.path("pid"))))
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
        self.assertEqual(process.returncode, 1)
        self.assertIn("mixtape", self.results())

    def test_output_is_bounded_and_keeps_its_ends(self):
        loud = "#!/bin/sh\necho the beginning\nyes | head -c 3000000\necho the end\n"
        for i in range(10):
            self.content[f"tests/loud_{i}"] = loud
        self.rehearse(ONLY="tests")
        log = self.read("out", "log.txt")
        self.assertLess(len(log), 10 * 130_000)
        self.assertEqual(log.count("the beginning\n"), 10)
        self.assertEqual(log.count("the end\n"), 10)

    def test_profiles_that_are_too_large_leave_room_for_the_others(self):
        printed = self.rehearse(ONLY="ncu", REPORT_SIZE=str(6 << 20))
        self.assertIn("ncu-rep is too large and left out", printed)
        names = self.profiles()
        self.assertIn("profile/wkv_8_1024_768.details.txt", names)
        self.assertEqual(len([name for name in names if name.endswith(".ncu-rep")]), 2)

    def test_ncu_that_may_not_measure_is_said(self):
        printed = self.rehearse(ONLY="ncu", FORBIDDEN="1")
        self.assertIn("ERR_NVGPUCTRPERM", printed)
        self.assertIn("ncu: not allowed on this machine", printed)

    def test_a_sanitizer_that_is_not_supported_is_said(self):
        printed = self.rehearse(ONLY="sanitizer", UNSUPPORTED="1")
        self.assertIn("compute-sanitizer: not supported on this machine", printed)

    @unittest.skipIf(any(map(os.path.exists, ("/usr/local/cuda/bin/ncu", "/opt/nvidia",
                                              "/usr/local/cuda/bin/compute-sanitizer"))),
                     "this machine has them")
    def test_tools_that_are_missing_are_said(self):
        self.tools = {}
        printed = self.rehearse(ONLY="ncu sanitizer bench")
        for says in ("ncu: not on", "compute-sanitizer: not on", "no answer from nvidia-smi"):
            self.assertIn(says, printed)

    def test_peers_alone_are_measured_beside_the_benchmarks(self):
        self.rehearse(ONLY="peers")
        self.assertEqual(self.status_of("bench for the peers"), 0)
        self.assertIn("mixtape", self.results())


class SizeTest(unittest.TestCase):
    def test_a_bundle_above_its_limit_is_refused_with_its_size(self):
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "file"), "wb") as file:
                file.write(random.Random(1).randbytes(3 << 19))
            check = os.path.join(SOURCE, "scripts", "check-size")
            small = subprocess.run([check, folder, "2"], capture_output=True, text=True)
            self.assertEqual((small.returncode, small.stderr), (0, ""))
            large = subprocess.run([check, folder, "1"], capture_output=True, text=True)
            self.assertEqual(large.returncode, 1)
            self.assertIn("1.5 MiB is more than 1 MiB", large.stderr)


if __name__ == "__main__":
    unittest.main()
