"""Counts that are kept in a table beside the program that makes them: what they were made by, the
names of the columns, and a line for each row, its counts behind its name. A row may lack a count,
in whose place there is a dash."""

import os

NONE = "-"


class Unfit(Exception):
    """Why no counts can be compared here."""


def write(path, made_by, names, table):
    """names: of the column of rows, and of the counts; table: of each row its counts by name."""
    lines = [names] + [[row, *(str(counts.get(name, NONE)) for name in names[1:])]
                       for row, counts in table.items()]
    new = path.with_suffix(".new")
    new.write_text(f"# {made_by}: see {path.stem}.py\n" +
                   "".join("\t".join(line) + "\n" for line in lines))
    os.replace(new, path)


def read(path, names, least=0):
    """What the counts were made by, and the table. No count is below `least`."""
    first, *lines = path.read_text().splitlines() or [""]
    table = {}
    for number, line in enumerate(lines[1:], 3):
        row, *counts = line.split("\t")
        if len(counts) != len(names) - 1 or not all(
                one == NONE or (one.isdecimal() and int(one) >= least) for one in counts):
            raise Unfit(f"{path}:{number}: no {len(names) - 1} counts")
        table[row] = {name: int(one) for name, one in zip(names[1:], counts) if one != NONE}
    return first.removeprefix("# ").partition(": see ")[0], table


def differences(recorded, found, source, of_row):
    """Lines that tell what is not as recorded: of_row's for rows that both tables have; `source` is
    where `found` has its rows from."""
    for row in [*found, *(row for row in recorded if row not in found)]:
        if row in found and row in recorded:
            yield from of_row(row, recorded[row], found[row])
        else:
            yield f"{row}: in {'the record' if row in recorded else source} alone"
