"""mixtape tokenize: text to token ids, which `mixtape train ids` trains on (mixtape.tokenizing).

This module takes signals before it imports the others, which a person may be too impatient for.
"""

import signal
import sys

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _stop(number, _):
    for other in SIGNALS:  # what is removed now is removed whole
        signal.signal(other, signal.SIG_IGN)
    raise SystemExit(128 + number)


def main(arguments=None):
    """The status of the command."""
    for number in SIGNALS:  # end it at once, since there is nothing to remove yet
        signal.signal(number, signal.SIG_DFL)
    from mixtape.tokenizing import run

    for number in SIGNALS:
        signal.signal(number, _stop)
    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
