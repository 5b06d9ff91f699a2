#!/usr/bin/env python3
"""Lets the reader of .pth read changed files: fuzz_pth.py [-OPTION=VALUE]... FOLDER...

With atheris this is a fuzzer of libFuzzer's options, led by what the reader has covered. Without,
it makes changes of its own for -max_total_time seconds or -runs times, the same ones for a -seed,
and keeps a finding in -artifact_prefix. These are findings: an exception that is not the reader's
own, a message that is not one short printable line, a warning, and more memory or time than a small
file can mean.
"""

import io
import os
import pickletools
import random
import resource
import signal
import sys
import tempfile
import time
import warnings
import zipfile

try:
    import atheris
except ImportError:
    atheris = None

if atheris:
    with atheris.instrument_imports(include=["mixtape"]):
        from mixtape import files
else:
    from mixtape import files

MOST_BYTES = 1 << 16  # of a changed file
MOST_MEMORY = 256 << 20
MOST_SECONDS = 20  # of the processor
MOST_TIMES = 8  # the length of a file that its numbers take, where half types are widened
LONGEST_MESSAGE = 2000
NUMBERS = (0, 1, 2, 127, 128, 255, 256, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, (1 << 63) - 1,
           1 << 63, (1 << 64) - 1)
INTEGERS = (b"K", b"M", b"J", b"\x8a")  # the operations that push one


# ---- changes ----


def change_bytes(data, generator):
    """Another bit, byte or number, or bytes that are gone, twice, or from elsewhere."""
    place = generator.randrange(len(data) + 1)
    end = min(len(data), place + generator.choice((1, 1, 2, 4, 8, 64, len(data))))
    width = generator.choice((1, 2, 4, 8))
    number = generator.choice(NUMBERS) & (1 << 8 * width) - 1
    begin = generator.randrange(len(data) + 1)
    middle = generator.choice((
        bytes([data[place] ^ 1 << generator.randrange(8)]) if place < len(data) else b"",
        bytes([generator.randrange(256)]),
        number.to_bytes(width, generator.choice(("little", "big"))),
        b"",
        2 * data[place:end],
        data[begin:begin + end - place],
    ))
    return data[:place] + middle + data[place + generator.choice((0, len(middle), end - place)):]


def operations(pickle):
    """A row of pickles, or of what is left of them, cut up into operations."""
    stream, places = io.BytesIO(pickle), []
    try:
        while True:
            places.extend(place for _, _, place in pickletools.genops(stream))
    except Exception:  # pickletools raises whatever it stumbles over
        pass
    places = sorted({0, *places, len(pickle)})
    return [pickle[begin:end] for begin, end in zip(places, places[1:])]


def change_pickle(pickle, generator):
    """Operations that are gone, twice, in each other's places, new ones, and other numbers."""
    found = operations(pickle)
    if not found:
        return pickle
    for _ in range(generator.choice((1, 1, 2, 4))):
        numbers = [place for place, operation in enumerate(found) if operation[:1] in INTEGERS]
        if numbers and generator.random() < 0.4:
            value = generator.choice(NUMBERS).to_bytes(9, "little")
            found[generator.choice(numbers)] = b"\x8a\x09" + value
            continue
        one, other = generator.randrange(len(found)), generator.randrange(len(found))
        code = generator.choice(pickletools.opcodes).code.encode("latin-1")
        changed = generator.choice((
            [],
            2 * [found[one]],
            [found[other]],
            [code + found[one][1:]],
            [code, found[one]],
            [found[one][:1] + change_bytes(found[one][1:], generator)],
        ))
        found[one:one + 1] = changed or ([] if len(found) > 1 else [b"N"])
    return b"".join(found)


def change_records(data, generator):
    """One record of an archive, with a right checksum: its content, its name, none or two of it."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        records = [(entry.filename, archive.read(entry)) for entry in archive.infolist()]
    place = generator.randrange(len(records))
    name, content = records[place]
    pickled = name.endswith("data.pkl") and generator.random() < 0.8
    content = (change_pickle if pickled else change_bytes)(content, generator)
    records[place:place + 1] = generator.choice((
        [(name, content)],
        [(name, content)],
        [(name, content)],
        [(name + "x", content)],
        [],
        2 * [(name, content)],
    ))
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a name that is there twice
        for name, content in records:
            archive.writestr(name, content)
    return made.getvalue()


def change(data, most, seed):
    """The changed file, of at most so many bytes."""
    generator = random.Random(seed)
    if data.startswith(b"PK"):
        change_inside, inside = change_records, 0.8
    else:
        change_inside, inside = change_pickle, 0.5
    for _ in range(generator.choice((1, 1, 1, 2, 3))):
        try:
            work = change_inside if generator.random() < inside else change_bytes
            data = work(data, generator)
        except Exception:  # of an archive that zipfile does not read
            data = change_bytes(data, generator)
    return data[:most]


# ---- what is claimed of each file ----


def check(data):
    """Raises where the reader does what it must not."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        signal.setitimer(signal.ITIMER_VIRTUAL, MOST_SECONDS)
        try:
            weights = files.read_state_dict(file.name, files.find_decoder)
        except files.FilesError as error:
            message = files.printable(str(error))
            assert len(message) < LONGEST_MESSAGE, message
            assert "no memory" not in message, message
            assert len(message.splitlines()) == 1 and message.isprintable(), message
            return
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    total = sum(array.nbytes for array in weights.values())
    assert total <= MOST_TIMES * len(data), f"{total} bytes of a file of {len(data)}"


def too_long(*_):
    raise TimeoutError(f"more than {MOST_SECONDS} s of the processor")


def limit():
    with open("/proc/self/statm", encoding="ascii") as file:
        taken = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + MOST_MEMORY, taken + MOST_MEMORY))
    signal.signal(signal.SIGVTALRM, too_long)
    warnings.simplefilter("error")


# ---- without atheris ----


def kept(paths):
    """What files and folders of files hold."""
    found = []
    for path in paths:
        names = [path]
        if os.path.isdir(path):
            names = [os.path.join(path, name) for name in sorted(os.listdir(path))]
        for name in names:
            with open(name, "rb") as file:
                found.append(file.read())
    return found


def check_and_keep(data, prefix):
    try:
        check(data)
    except BaseException:
        with open(f"{prefix}crash-pth", "wb") as file:
            file.write(data)
        raise


def fuzz(options, paths):
    seeds, prefix = kept(paths), options.get("artifact_prefix", "")
    seed, runs = int(options.get("seed", 1)), int(options.get("runs", -1))
    seconds = float(options.get("max_total_time", "inf"))
    for data in seeds:
        check_and_keep(data, prefix)
    end, done = time.monotonic() + seconds, 0
    while done != runs and time.monotonic() < end:
        data = seeds[done % len(seeds)]
        check_and_keep(change(data, MOST_BYTES, seed + done), prefix)
        done += 1
    print(f"{len(seeds)} files and {done} changed ones")


def main():
    given = sys.argv[1:]
    options = dict(option[1:].split("=", 1) for option in given if option.startswith("-"))
    limit()
    if atheris is None:
        fuzz(options, [path for path in given if not path.startswith("-")])
        return
    atheris.Setup([*sys.argv, f"-max_len={MOST_BYTES}"], check, custom_mutator=change)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
