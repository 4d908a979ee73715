"""What runs between fork and exec of a child: `python -I -S launch.py OPTIONS -- COMMAND…`.

A process of its own instead of a `preexec_fn`, so that nothing is ever executed in the fork of a
process that has threads. Standard library only: it starts in 20 ms and needs no installed package.

The child gets the signal `--signal` when the thread that started it ends, whatever ended it (Linux
only). Started by root, it can change to an unprivileged user; if that user cannot reach the paths
that the child needs, the child keeps CAP_DAC_READ_SEARCH alone, so that nobody has to open a parent
folder for it.
"""

import argparse
import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_KEEPCAPS = 8
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CAP_DAC_READ_SEARCH = 2
CAPABILITY_VERSION_3 = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)


class _CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapabilitySets(ctypes.Structure):
    """Effective, permitted, inheritable, for capabilities 0-31 and again for 32-63."""

    _fields_ = (("words", ctypes.c_uint32 * 6),)


def main() -> None:
    """Become the command, as the options say; exit 126 with one line where that is not possible."""
    options = _options()
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    try:
        if options.user:
            _become(options.user, options.reach)
        _die_with_parent(options.parent, options.signal)
        os.execv(options.command[0], options.command)  # noqa: S606 - to become the child is its purpose
    except OSError as error:
        sys.exit(f"{options.command[0]}: {error.strerror}" + (f": {error.filename}" if error.filename else ""))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="start a child of citybroker")
    parser.add_argument("--parent", type=int, required=True, help="process id of who starts it")
    parser.add_argument("--signal", type=int, required=True, help="sent when the parent ends")
    parser.add_argument("--user", help="UID:GID to change to")
    parser.add_argument("--reach", action="append", default=[], help="path that the user must reach")
    parser.add_argument("command", nargs="+")
    return parser.parse_args()


def _become(user: str, reach: Sequence[str]) -> None:
    """Change to `user` for good; keep the capability to pass closed folders only if it is needed."""
    uid, gid = (int(part) for part in user.split(":"))
    _prctl(PR_SET_KEEPCAPS, 1)
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    os.environ.pop("HOME", None)
    if all(_reaches(path) for path in reach):
        _capset(0)
        return
    _capset(1 << CAP_DAC_READ_SEARCH)
    _prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_READ_SEARCH)
    for path in reach:
        Path(path).stat()


def _reaches(path: str) -> bool:
    try:
        Path(path).stat()
    except OSError:
        return False
    return True


def _die_with_parent(parent: int, number: int) -> None:
    """Comes last: a change of user or capabilities clears it. The parent may be gone already."""
    if not sys.platform.startswith("linux"):
        return
    _prctl(PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:
        sys.exit("its parent has gone")


def _prctl(option: int, *arguments: int) -> None:
    padded = [ctypes.c_ulong(value) for value in (*arguments, 0, 0, 0, 0)[:4]]
    if _libc.prctl(option, *padded) != 0:
        _raise_errno()


def _capset(mask: int) -> None:
    header = _CapabilityHeader(CAPABILITY_VERSION_3, 0)
    sets = _CapabilitySets((ctypes.c_uint32 * 6)(mask, mask, mask, 0, 0, 0))
    if _libc.capset(ctypes.byref(header), ctypes.byref(sets)) != 0:
        _raise_errno()


def _raise_errno() -> None:
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number))


if __name__ == "__main__":
    main()
