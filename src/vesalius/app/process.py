"""Forking done with care: a child never outlives its parent, never returns into its caller, says when it is ready."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterable

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
PR_SET_NAME = 15


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent is gone; at once if it already is."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def name_process(name: str) -> None:
    """Show `name` (cut to 15 bytes) in `ps` and `top`."""
    ctypes.CDLL(None).prctl(PR_SET_NAME, name.encode()[:15], 0, 0, 0)


def _flush() -> None:
    """What was printed goes out before or with the process, if it can: the disk behind it may be full."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()


def fork_child(name: str, main: Callable[[Callable[[], None]], int], *, close: Iterable[int] = ()) -> tuple[int, int]:
    """Start `main(ready)` in a child process; gives its pid and a pipe that reads one byte once it calls `ready`.

    The pipe reads end of file if the child dies first. `close` lists descriptors of the parent that the child
    must not keep. Signals have their default actions in the child until `main` changes that.
    """
    parent = os.getpid()
    read_end, write_end = os.pipe()
    _flush()
    pid = os.fork()
    if pid:
        os.close(write_end)
        os.set_blocking(read_end, False)
        return pid, read_end
    code = 70  # EX_SOFTWARE
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        # Ctrl-C goes to the whole foreground group; only the supervisor acts on it.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        die_with_parent(parent)
        name_process(name)
        for descriptor in (read_end, *close):
            os.close(descriptor)

        def ready() -> None:
            with contextlib.suppress(BrokenPipeError):  # nobody waits for it
                os.write(write_end, b"r")

        code = main(ready)
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:
        with contextlib.suppress(OSError):
            traceback.print_exc()
    finally:
        _flush()
        os._exit(code)
    return 0, 0  # pragma: no cover  (never reached: the child has exited)
