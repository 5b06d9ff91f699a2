"""Signals that end a program: at once while it has begun nothing, then when what it began is
removed. One that was ignored from the start, as under nohup, stays so."""

import signal

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _stop(number, _):
    for other in SIGNALS:  # what is removed now is removed whole
        signal.signal(other, signal.SIG_IGN)
    raise SystemExit(128 + number)


def _take(action):
    for number in SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, action)


def at_once():
    _take(signal.SIG_DFL)


def cleanly():
    _take(_stop)
