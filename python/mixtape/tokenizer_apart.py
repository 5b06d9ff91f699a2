"""A tokenizer in a process of its own, as mixtape.tokenizer_server has it: what a file makes of a
library ends that process, and its limits are not this one's."""

import os
import signal
import socket
import struct

import numpy

from mixtape import tokenizer, tokenizer_server
from mixtape.tokenizer import TokenizerError
from mixtape.world import is_world


def load(path):
    """The tokenizer of a file, or of the folder of a model, to be closed. A World list, which no
    library reads, is not apart."""
    data = tokenizer.read_file(tokenizer.find(path))
    return tokenizer.make(data, path) if is_world(data) else TokenizerApart(data, path)


class TokenizerApart(tokenizer.Tokenizer):
    def __init__(self, data, name):
        self.name = name
        self.connection, theirs = socket.socketpair()
        self.child = os.fork()
        if self.child == 0:
            _serve(theirs, self.connection, name)
        theirs.close()
        try:
            answer = self._ask(b"L", data)
        except BaseException:
            self.close()
            raise
        self.size, _ = struct.unpack_from("<q?", answer)
        self.note = answer[struct.calcsize("<q?"):].decode()

    def close(self):
        self.connection.close()
        if self.child is not None:
            os.kill(self.child, signal.SIGKILL)
            self._end()

    def encode(self, text):
        found = numpy.frombuffer(self._ask(b"E", text), "<i4")
        if found.size > 0 and not 0 <= found.min() <= found.max() < self.size:
            raise TokenizerError(f"{self.name}: it gives ids of {found.min()} .. {found.max()}, "
                                 f"where it has 0 .. {self.size - 1}")
        return found

    def find(self, token):
        index = struct.unpack("<i", self._ask(b"F", token.encode(errors="replace")))[0]
        return None if index < 0 else index

    def _ask(self, asked, data):
        try:
            self.connection.sendall(asked + struct.pack("<I", len(data)) + data)
        except ConnectionError:
            pass  # it may have said why it ended
        header = self._read(5)
        status, length = struct.unpack("<BI", header)
        answer = self._read(length)
        if status != tokenizer_server.DONE:
            raise TokenizerError(answer.decode(errors="replace"))
        return answer

    def _read(self, count):
        try:
            answer = tokenizer_server.read(self.connection, count)
        except ConnectionError:
            answer = None
        if answer is None:
            raise TokenizerError(f"{self.name}: {self._end()}")
        return answer

    def _end(self):
        """How the process ended."""
        status = os.waitpid(self.child, 0)[1]
        self.child = None
        number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        if number == signal.SIGXCPU:
            return ("it takes longer than a tokenizer may for so many bytes: a damaged or hostile "
                    "file")
        if number:
            return (f"the process that reads it ended with signal {number}, as one does that may "
                    "have no more memory: a damaged or hostile file")
        return f"the process that reads it ended with status {os.WEXITSTATUS(status)}"


def _serve(connection, other, name):
    """What the child does. What a terminal sends to the program leaves it at work until its socket
    is closed."""
    status = 1
    try:
        os.setsid()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        other.close()
        tokenizer_server.begin(name, connection, (0, 1, 2))
        status = 0
    finally:
        os._exit(status)
