"""What a program says: printable, and on standard output only where that can be written."""

import argparse
import errno
import os
import sys
import unicodedata

UNPRINTABLE = ("Cc", "Cf", "Cs", "Zl", "Zp")  # categories of characters


class OutputError(Exception):
    """Why standard output was not written, in one line."""


def _escape(character):
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that Python found to be no text
        code -= 0xDC00
        return f"\\x{code:02X}"
    return f"\\x{code:02X}" if code < 0x80 else \
        f"\\u{code:04X}" if code < 0x10000 else f"\\U{code:08X}"


def printable(text):
    """Names from a file or a command line may hold anything: the message stays one line, and moves
    no cursor. As libmixtape has it, control and format characters and bytes that are no text stand
    in it as \\x1B or \\u202E."""
    return "".join(
        _escape(character) if unicodedata.category(character) in UNPRINTABLE else character
        for character in text)


def say(text):
    """Prints it at once. What could not be written is dropped: Python would try again at its end,
    and complain in lines of its own."""
    if sys.stdout is None:  # it was closed from the start
        raise OutputError(f"standard output: {os.strerror(errno.EBADF)}")
    try:
        print(text, flush=True)
    except OSError as error:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
        raise OutputError(f"standard output: {error.strerror}") from None


class Parser(argparse.ArgumentParser):
    def error(self, message):
        super().error(printable(message))

    def print_help(self, file=None):
        if file is None:
            say(self.format_help().rstrip("\n"))
        else:
            super().print_help(file)
