#!/usr/bin/env python3
"""Changes single tokens of the library, and tells which changes its test suites notice.

A mutant is one change: an operator, a constant, a statement left out, a failure returned as
success, two arguments swapped, a condition negated. Mutants are drawn by a seed, evenly over kinds
of change and folders. Each is built in a copy of the sources, with the sanitizers for addresses and
undefined behaviour, and given to the narrowest suites first, then to its folder's, to quick ones of
what uses it, and, built without sanitizers, to those of the command; the first failure ends it.
Results are kept as they come, so a run that was stopped goes on where it was; --again tries those
once more that no suite had noticed.

Mutants that change nothing stand in equivalent.tsv: file, text, changed text, reason.
"""

import argparse
import collections
import concurrent.futures
import csv
import json
import os
import pathlib
import queue
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
SOURCES = ("kernels/*.c", "kernels/cpu/*.[ch]", "kernels/cuda/*.cu*", "autograd/**/*.c",
           "layers/*.c", "optim/*.c", "io/*.c", "train/trainer*.c", "train/stream.c",
           "train/evaluate.c", "train/objective.c")
LEFT_OUT = {
    "kernels/cuda/blas.cu": "not part of CUDA-on-CPU",
    "kernels/cuda/absent.c": "not part of a build with CUDA",
    "kernels/cuda/wkv_tuning.cuh": "sizes that only speed depends on",
    "autograd/gradient_cases.c": "inputs to test on",
}
C_FLAGS = "-O1 -Werror=incompatible-pointer-types -Werror=int-conversion"
MOST_SECONDS = 900  # of a build, or of a suite without any change
QUICK_SECONDS = 5  # of a suite of what uses a file
# Of a file that a mutant writes, in bytes; a suite makes one of 0.8 TB, nearly all of it a hole.
MOST_BYTES = 1 << 40
# A mutant that takes memory without end fails.
SANITIZERS = {"ASAN_OPTIONS": "hard_rss_limit_mb=8192:intercept_tls_get_addr=0",
              "LSAN_OPTIONS": f"suppressions={HERE.parent}/leaks.supp:print_suppressions=0"}
# Of each build its options, and whether its suites are those of the command.
BUILDS = {"sanitized": (["-DMIXTAPE_SANITIZE=address,undefined"], False), "command": ([], True)}

TOKEN = re.compile(r"""
    (?P<skipped>/\*.*?\*/ | //[^\n]* | ^[ \t]*\#(?:[^\n]*\\\n)*[^\n]* | "(?:\\.|[^"\\])*"
        | '(?:\\.|[^'\\])*')
  | (?P<number>(?:0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)[uUlLfF]*)
  | (?P<name>[A-Za-z_]\w*)
  | (?P<operator>->|\+\+|--|<<=|>>=|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%&|^]=|::|[^\s\w])
""", re.VERBOSE | re.MULTILINE | re.DOTALL)

OPERATORS = {
    "comparison": {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "=="},
    "arithmetic": {"+": "-", "-": "+", "*": "/", "/": "*", "%": "*", "+=": "-=", "-=": "+=",
                   "*=": "/=", "/=": "*=", "<<": ">>", ">>": "<<"},
    "logic": {"&&": "||", "||": "&&"},
}
KEYWORDS = {"return", "if", "else", "for", "while", "do", "switch", "case", "default", "goto",
            "break", "continue", "sizeof", "typedef", "struct", "enum", "union", "static", "const",
            "using", "namespace", "template", "constexpr", "extern"}
SYMMETRIC = {"strcmp", "strncmp", "memcmp", "fmin", "fmax"}  # but for a sign that nobody asks for

Token = collections.namedtuple("Token", "kind text start end")
# `programs` are what the build in `folder` makes for it, as targets.
Suite = collections.namedtuple("Suite", "folder command programs environment seconds")
# `text` and `changed` are the lines that change, in one line; `start`, `end` and `replacement` say
# how, and stand for one of several places with the same text.
Mutant = collections.namedtuple("Mutant", "file line kind text changed start end replacement")


def tokens_of(text):
    tokens = []
    for match in TOKEN.finditer(text):
        if match.lastgroup != "skipped" or text[match.start()] in "\"'":
            tokens.append(Token(match.lastgroup, match.group(), match.start(), match.end()))
    return tokens


def closing(tokens, opening):
    """The index of the bracket that closes the one at `opening`."""
    depth = 0
    for i in range(opening, len(tokens)):
        depth += (tokens[i].text in "([{") - (tokens[i].text in ")]}")
        if depth == 0:
            return i
    return len(tokens) - 1


def changed_operators(text, tokens):
    for token in tokens:
        spaced = text[token.start - 1:token.start] + text[token.end:token.end + 1]
        for kind, changes in OPERATORS.items():
            if token.kind == "operator" and token.text in changes and not spaced.strip():
                yield kind, token.start, token.end, changes[token.text]
        if token.text in ("true", "false"):
            yield "logic", token.start, token.end, "false" if token.text == "true" else "true"


def changed_constants(text, tokens):
    for token in tokens:
        digits = re.match(r"\d+", token.text) if token.kind == "number" else None
        if digits and not token.text.lower().startswith("0x"):
            for step in (1, -1):
                if int(digits[0]) + step >= 0:
                    yield ("constant", token.start, token.start + len(digits[0]),
                           str(int(digits[0]) + step))


def negated_conditions(text, tokens):
    for i, token in enumerate(tokens[:-1]):
        if token.text in ("if", "while") and tokens[i + 1].text == "(":
            end = tokens[closing(tokens, i + 1)]
            condition = text[tokens[i + 1].start:end.end]
            yield "condition", tokens[i + 1].start, end.end, f"(!{condition})"
        elif token.text == "!":
            yield "condition", token.start, token.end, ""


def dropped_statements(text, tokens):
    for i, token in enumerate(tokens[:-1]):
        if i > 0 and tokens[i - 1].text not in ("{", "}", ";"):
            continue
        if tokens[i + 1].text == "void":  # `(void)unused;`
            continue
        call = token.kind == "name" and token.text not in KEYWORDS and \
            tokens[i + 1].kind == "operator" and \
            tokens[i + 1].text not in ("*", "::", "{", ":", "<", ";")
        if call or token.text in ("*", "++", "--", "(", "break", "continue"):
            end = i
            while end < len(tokens) and tokens[end].text not in (";", "{", "}"):
                end += 1
            if end < len(tokens) and tokens[end].text == ";":
                yield "statement", token.start, tokens[end].start, ""


def ignored_failures(text, tokens):
    for i, token in enumerate(tokens[:-1]):
        if token.text == "return" and tokens[i + 1].text in ("status", "mt_fail"):
            end = i
            while tokens[end].text != ";":
                end += 1
            yield "failure", tokens[i + 1].start, tokens[end].start, "MT_OK"


def arguments_of(tokens, opening):
    """The tokens of each argument between the bracket at `opening` and the one that closes it."""
    end, begin, at, parts = closing(tokens, opening), opening + 1, opening + 1, []
    while at <= end:
        if at == end or tokens[at].text == ",":
            parts.append(tokens[begin:at])
            begin = at + 1
        nested = at < end and tokens[at].text in ("(", "[", "{")
        at = (closing(tokens, at) if nested else at) + 1
    return parts


def swapped_arguments(text, tokens):
    for i, token in enumerate(tokens[:-1]):
        if token.kind != "name" or token.text in KEYWORDS or tokens[i + 1].text != "(" or \
                token.text in SYMMETRIC:
            continue
        parts = arguments_of(tokens, i + 1)
        for left, right in zip(parts, parts[1:]):
            if left and right and not declares(left) and not declares(right):
                first = text[left[0].start:left[-1].end]
                between = text[left[-1].end:right[0].start]
                second = text[right[0].start:right[-1].end]
                if first != second:
                    yield "arguments", left[0].start, right[-1].end, second + between + first


def declares(argument):
    """Tells if these tokens are a parameter: a type and a name."""
    return any(a.kind == b.kind == "name" for a, b in zip(argument, argument[1:])) or \
        (len(argument) > 2 and argument[-2].text == "*" and argument[-1].start == argument[-2].end)


RULES = (changed_operators, changed_constants, negated_conditions, dropped_statements,
         ignored_failures, swapped_arguments)


def in_one_line(text):
    return " ".join(text.split())


def mutants_of(file, text):
    tokens = tokens_of(text)
    for rule in RULES:
        for kind, start, end, replacement in rule(text, tokens):
            first, last = text.rfind("\n", 0, start) + 1, text.find("\n", end)
            changed = text[first:start] + replacement + text[end:last]
            yield Mutant(file, text.count("\n", 0, start) + 1, kind, in_one_line(text[first:last]),
                         in_one_line(changed), start, end, replacement)


def all_mutants(source):
    files = sorted({path for pattern in SOURCES for path in source.glob(pattern)})
    for path in files:
        file = path.relative_to(source).as_posix()
        if file not in LEFT_OUT:
            yield from mutants_of(file, path.read_text())


# Suites that mutants are given to.
JUDGES = "(kernels|autograd|layers|optim|io|train|cuda_on_cpu|reference)/"


def folder_of(file):
    parts = file.split("/")
    return "/".join(parts[:2]) if parts[0] == "kernels" and len(parts) > 2 else parts[0]


def drawn(mutants, seed, count):
    """`count` of the mutants in an order that the seed determines: each time a kind of change is
    drawn, then a folder that has any of it left, then a place."""
    generator = random.Random(seed)
    groups = collections.defaultdict(lambda: collections.defaultdict(list))
    for mutant in mutants:
        groups[mutant.kind][folder_of(mutant.file)].append(mutant)
    while groups and count > 0:
        kind = generator.choice(sorted(groups))
        folder = generator.choice(sorted(groups[kind]))
        places = groups[kind][folder]
        yield places.pop(generator.randrange(len(places)))
        count -= 1
        if not places:
            del groups[kind][folder]
        if not groups[kind]:
            del groups[kind]


def stages_of(file):
    """Regular expressions of suites' names, and the seconds that a suite may take: the narrowest,
    the folder's, those of what uses it, those of the command."""
    stem, folder = pathlib.PurePath(file).stem, folder_of(file)
    name = re.sub(r"_(backward|blocks|chain|save|updates|results)$", "", stem)
    cuda = folder == "kernels/cuda"
    on, own = ("^cuda_on_cpu/", "(kernels/|test_)") if cuda else ("^", f"{folder.split('/')[0]}/")
    either = on if folder.startswith("kernels") else "^(cuda_on_cpu/)?"
    users = {"kernels/cpu": "^(autograd|layers|optim)/", "kernels/cuda": "^cuda_on_cpu/",
             "io": "^train/", "layers": "^(autograd|io|optim|train)/",
             "train": "^cuda_on_cpu/train/"}
    return ((f"{either}[a-z/]*test_{name}", MOST_SECONDS),
            (on + own, MOST_SECONDS),
            (users.get(folder, "^(layers|optim|train|cuda_on_cpu)/"), QUICK_SECONDS),
            ("^train/command/test_devices" if cuda else "^(train/command|reference)/",
             MOST_SECONDS))


def prepare_process():
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # which nohup leaves out, and suites send
    resource.setrlimit(resource.RLIMIT_FSIZE, (MOST_BYTES, MOST_BYTES))


class Copy:
    """Sources of one's own, with a build in which mutants are tried."""

    def __init__(self, source, folder, options, known, keep):
        self.source, self.suites = folder / "source", {}
        self.take(source)
        for build, (sanitizers, of_command) in BUILDS.items():
            subprocess.run(
                ["cmake", "-S", self.source, "-B", folder / build, "-G", "Ninja",
                 "-DCMAKE_BUILD_TYPE=None", f"-DCMAKE_C_FLAGS={C_FLAGS}", "-DCMAKE_CXX_FLAGS=-O1",
                 "-DCMAKE_EXE_LINKER_FLAGS=-fuse-ld=lld", "-DMIXTAPE_CUDA=OFF",
                 "-DMIXTAPE_BENCH=OFF", *sanitizers, *options],
                check=True, stdout=subprocess.DEVNULL)
            if self.ninja(folder / build, []):
                raise SystemExit(f"{folder / build}: the sources do not build")
            self.suites |= self.list_suites(folder / build, of_command, known, keep)

    def take(self, source):
        """Makes its sources equal to these; what is not touched is not built again."""
        listed = subprocess.run(["git", "-C", source, "ls-files", "-co", "--exclude-standard"],
                                check=True, capture_output=True, text=True).stdout.splitlines()
        files = {file for file in listed if (source / file).is_file()}
        for old in [path for path in self.source.rglob("*") if path.is_file()]:
            if old.relative_to(self.source).as_posix() not in files:
                old.unlink()
        for file in files:
            new, old = source / file, self.source / file
            if not old.exists() or old.read_bytes() != new.read_bytes():
                old.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(new, old)
                shutil.copymode(new, old)

    def list_suites(self, folder, of_command, known, keep):
        """The suites by name that run programs of the build and pass or fail by their status; the
        quickest first. `known` has their seconds, which are measured once and kept as they come."""
        shown = subprocess.run(["ctest", "--test-dir", folder, "--show-only=json-v1"],
                               check=True, capture_output=True, text=True).stdout
        suites = {}
        for test in json.loads(shown)["tests"]:
            properties = {entry["name"]: entry["value"] for entry in test["properties"]}
            command, environment = test.get("command", []), properties.get("ENVIRONMENT", [])
            values = command + [entry.partition("=")[2] for entry in environment]
            programs = [os.path.relpath(value, folder) for value in values
                        if value.startswith(f"{folder}/") and os.path.isfile(value)]
            if programs and "PASS_REGULAR_EXPRESSION" not in properties and \
                    ("command" in properties["LABELS"]) == of_command and \
                    re.match(JUDGES, test["name"]):
                suite = Suite(folder, command, programs, ["env", *environment], 0.0)
                if test["name"] not in known:
                    known[test["name"]] = self.seconds_of(suite)
                    keep(known)
                if known[test["name"]] is not None:
                    suites[test["name"]] = suite._replace(seconds=known[test["name"]])
        return dict(sorted(suites.items(), key=lambda item: item[1].seconds))

    def seconds_of(self, suite):
        """None: it fails without any change, and cannot judge one."""
        for _ in range(2):
            began = time.monotonic()
            if self.run(suite.folder, suite.environment + suite.command, MOST_SECONDS) == 0:
                return time.monotonic() - began
        print(f"{' '.join(suite.command)} fails without any change", file=sys.stderr, flush=True)
        return None

    def run(self, folder, command, seconds):
        """Its status, in a space of processes of its own, so that no mutant can end another's."""
        user = ["--user", "--map-root-user"] if os.geteuid() != 0 else []
        alone = ["unshare", *user, "--pid", "--fork", "--kill-child", "--mount-proc"]
        process = subprocess.Popen(
            alone + command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, cwd=folder, start_new_session=True,
            env=os.environ | SANITIZERS, preexec_fn=prepare_process)
        try:
            return process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return process.wait()

    def ninja(self, folder, targets):
        return self.run(folder, ["ninja", "-j1", *targets], MOST_SECONDS)

    def build(self, suites):
        """Makes what they need; its status."""
        for folder in {suite.folder for suite in suites}:
            targets = {program for suite in suites if suite.folder == folder
                       for program in suite.programs}
            if self.ninja(folder, sorted(targets)):
                return 1
        return 0

    def judge(self, mutant):
        """A mutant's result and who noticed it."""
        path = self.source / mutant.file
        text = path.read_text()
        path.write_text(text[:mutant.start] + mutant.replacement + text[mutant.end:])
        try:
            tried = set()
            for stage, seconds in stages_of(mutant.file):
                names = [name for name, suite in self.suites.items() if name not in tried and
                         suite.seconds < seconds and re.search(stage, name)]
                if self.build([self.suites[name] for name in names]):
                    return "not built", ""
                for name in names:
                    suite = self.suites[name]
                    if self.run(suite.folder, suite.environment + suite.command,
                                20 + 4 * suite.seconds):
                        return "noticed", name
                tried.update(names)
            return "not noticed", ""
        finally:
            path.write_text(text)


COLUMNS = ("file", "line", "kind", "text", "changed", "result", "by", "seconds")


def read_rows(path):
    """Rows of tab-separated values; the last one of each mutant counts."""
    if not path.exists():
        return []
    with open(path, newline="") as file:
        rows = csv.DictReader(file, COLUMNS, delimiter="\t", quoting=csv.QUOTE_NONE)
        return list({(row["file"], row["line"], row["text"], row["changed"]): row
                     for row in rows}.values())


def read_equivalent(path):
    with open(path) as file:
        rows = [line.rstrip("\n").split("\t") for line in file if line.strip() and line[0] != "#"]
    return {tuple(row[:3]): row[3] for row in rows}


def report(rows, equivalent):
    """Prints the table, and what no suite noticed."""
    def result_of(row):
        known = (row["file"], row["text"], row["changed"]) in equivalent
        return "equivalent" if known and row["result"] == "not noticed" else row["result"]

    keys = {"folder": lambda row: folder_of(row["file"]), "kind": lambda row: row["kind"]}
    for title, key in keys.items():
        print(f"{title:16}{'noticed':>10}{'not noticed':>14}{'equivalent':>12}{'not built':>11}")
        counts = collections.Counter((key(row), result_of(row)) for row in rows)
        for name in sorted({key(row) for row in rows}) + ["all"]:
            numbers = [counts[name, result] if name != "all" else
                       sum(n for (_, r), n in counts.items() if r == result)
                       for result in ("noticed", "not noticed", "equivalent", "not built")]
            print(f"{name:16}{numbers[0]:10}{numbers[1]:14}{numbers[2]:12}{numbers[3]:11}")
        print()
    for row in rows:
        if result_of(row) == "not noticed":
            print(f"{row['file']}:{row['line']}: {row['text']}\n    -> {row['changed']}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=pathlib.Path, required=True,
                        help="where copies, builds and results are kept")
    parser.add_argument("--source", type=pathlib.Path, default=HERE.parent.parent)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--jobs", type=int, default=1, help="copies at work at a time")
    parser.add_argument("--only", default=".", help="files that this regular expression matches")
    parser.add_argument("--again", action="store_true", help="those that no suite had noticed")
    parser.add_argument("--report", action="store_true", help="the table of results, no more")
    parser.add_argument("--equivalent", type=pathlib.Path, default=HERE / "equivalent.tsv")
    parser.add_argument("--option", action="append", default=[], help="for CMake")
    args = parser.parse_args()
    args.work = args.work.resolve()
    args.work.mkdir(parents=True, exist_ok=True)
    results = args.work / "results.tsv"
    if not args.report:
        try_mutants(args, results)
    report(read_rows(results), read_equivalent(args.equivalent))


def to_try(args, results):
    """The mutants that have no result yet; or with --again those that no suite had noticed."""
    former = {(row["file"], row["text"], row["changed"]): row["result"]
              for row in read_rows(results)}
    known = read_equivalent(args.equivalent)
    mutants = [mutant for mutant in all_mutants(args.source) if re.search(args.only, mutant.file)]
    for mutant in mutants if args.again else drawn(mutants, args.seed, args.count):
        key = (mutant.file, mutant.text, mutant.changed)
        if args.again and former.get(key) == "not noticed" and key not in known or \
                not args.again and key not in former:
            yield mutant


def try_mutants(args, results):
    mutants = list(to_try(args, results))
    copies, known = queue.SimpleQueue(), args.work / "seconds.json"
    seconds = json.loads(known.read_text()) if known.exists() else {}
    for job in range(min(args.jobs, len(mutants))):
        copies.put(Copy(args.source, args.work / f"copy{job}", args.option, seconds,
                        lambda seconds: known.write_text(json.dumps(seconds))))
    lock = threading.Lock()

    def try_one(mutant):
        copy, began = copies.get(), time.monotonic()
        result, by = copy.judge(mutant)
        copies.put(copy)
        row = (mutant.file, mutant.line, mutant.kind, mutant.text, mutant.changed, result, by,
               f"{time.monotonic() - began:.0f}")
        with lock, open(results, "a") as file:
            file.write("\t".join(map(str, row)) + "\n")
            print(f"{mutant.file}:{mutant.line}: {result} {by}", file=sys.stderr)

    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        list(pool.map(try_one, mutants))


if __name__ == "__main__":
    main()
