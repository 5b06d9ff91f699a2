"""What goes between the command and a tokenizer's process, where a call that sends it fails."""

import errno
import os
import subprocess
import tempfile
import unittest

# Programs that ask such a process (tokenizer_answers.c): one that is forked, and one of Python.
PROGRAMS = [os.environ[name] for name in ("ANSWERS_LIBRARY", "ANSWERS_PYTHON")]


class SendingTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def write(self, name, data):
        path = os.path.join(self.folder, name)
        with open(path, "wb") as file:
            file.write(data)
        return path

    def environment(self, call):
        reader = self.write("reader", b"#!/bin/sh\nexec cat >/dev/null\n")  # has nothing to say
        os.chmod(reader, 0o700)
        return {**os.environ, "MIXTAPE_PYTHON": reader, "LD_PRELOAD": os.environ["FAILING_CALLS"],
                "FAIL_CALLS": "sendto", "FAIL_COUNT": self.write("count", bytes(8)),
                "FAIL_AT": str(call), "FAIL_ERROR": str(errno.ENOMEM)}

    def test_a_request_that_is_sent_in_part_is_an_error(self):
        """Neither side waits for the other."""
        path = self.write("tokenizer.model", b"\n\x0c" + bytes(1000))
        for program in PROGRAMS:
            for call in (1, 2):  # of a frame's header, and of its bytes
                with self.subTest(program, call=call):
                    done = subprocess.run([program, path], capture_output=True, timeout=60,
                                          stdin=subprocess.DEVNULL, env=self.environment(call))
                    self.assertEqual(done.returncode, 1)
                    self.assertRegex(done.stderr, b"the process that reads it .* ended with")


if __name__ == "__main__":
    unittest.main()
