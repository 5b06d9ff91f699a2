"""Files on their way to their place, as libmixtape has them: written beside it under a name of
their own, `.NAME.XXXXXXXX.part`, and locked as long as their writer lives. What a writer that was
killed left there the next of the same NAME removes.
"""

import errno
import fcntl
import os
import re
import secrets

LONGEST = 200  # bytes of a name that are kept: what is beside has a longer one


def _begin(path):
    folder, name = os.path.split(path)
    return folder, f".{os.fsdecode(os.fsencode(name)[:LONGEST])}."


def name(path):
    """A name beside the path, which nobody has."""
    folder, begin = _begin(path)
    return os.path.join(folder, f"{begin}{secrets.token_hex(4)}.part")


def _lock(handle):
    """False: another has it. Where a file system has no locks, nobody has."""
    try:
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EACCES, errno.EAGAIN)
    return True


def _remove_if_left(path):
    """A file that cannot be opened or removed stays."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if _lock(handle):
            os.unlink(path)
    except OSError:
        pass
    finally:
        os.close(handle)


def remove_left(path):
    """Removes what is beside the path and has no writer."""
    folder, begin = _begin(path)
    left = re.compile(re.escape(begin) + r"[0-9a-f]{8}\.part")
    try:
        names = os.listdir(folder)
    except OSError:  # whoever writes there says so
        names = []
    for entry in names:
        if left.fullmatch(entry):
            _remove_if_left(os.path.join(folder, entry))


def create(part, mode=0o666):
    """The handle of a new file of that name, locked."""
    handle = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    if _lock(handle) and os.fstat(handle).st_nlink > 0:
        return handle
    os.close(handle)  # another took it for one that was left, before it had its lock
    raise OSError(errno.EAGAIN, "another process removed what is written beside it", part)
