"""Builds of the command that a benchmark compares: the one that it was given, and those that --with
adds."""

import pathlib

import own_kernels


def add_arguments(parser):
    parser.add_argument("command")
    parser.add_argument("--with", dest="others", action="append", default=[],
                        metavar="NAME=COMMAND")


def others_of(given):
    """The commands of --with, by name."""
    return {name: str(pathlib.Path(command).resolve())
            for name, command in (other.split("=", 1) for other in given.others)}


def builds_of(given):
    """All of them; the one that was given is "this"."""
    return {"this": str(pathlib.Path(given.command).resolve()), **others_of(given)}
