"""Children say when they are ready, never return into their caller, and never outlive their parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

from vesalius.app.process import fork_child


def test_a_child_says_when_it_is_ready_and_its_code_is_its_exit_code() -> None:
    pid, pipe = fork_child("test", lambda ready: ready() or 7)
    os.set_blocking(pipe, True)
    assert os.read(pipe, 1) == b"r"
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    os.close(pipe)


def test_a_child_that_dies_first_closes_its_pipe() -> None:
    def die(_ready: object) -> int:
        raise SystemExit(3)

    pid, pipe = fork_child("test", die)
    os.set_blocking(pipe, True)
    assert os.read(pipe, 1) == b""
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3
    os.close(pipe)


def test_a_child_dies_with_its_parent() -> None:
    program = (
        "import os, signal, time\n"
        "from vesalius.app.process import fork_child\n"
        "pid, pipe = fork_child('test', lambda ready: ready() or time.sleep(60) or 0)\n"
        "os.set_blocking(pipe, True); os.read(pipe, 1)\n"
        "print(pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    end = time.monotonic() + 5
    while time.monotonic() < end:
        try:
            with open(f"/proc/{child}/stat") as stat:
                if stat.read().rsplit(")", 1)[1].split()[0] == "Z":
                    return
        except (FileNotFoundError, ProcessLookupError):
            return
        time.sleep(0.02)
    raise AssertionError("the child outlived its parent")
