"""Children are ended on every way out, and say what went wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from shotline.errors import EdgeError
from shotline_replay.processes import Children

pytestmark = pytest.mark.processes

WAIT = "import sys, signal; sys.stdout.write('up\\n'); sys.stdout.flush(); signal.pause()"
PARENT = """
import signal, sys
from pathlib import Path
from shotline_replay.processes import Children
# What runs these tests in the background may have had this signal ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
with Children(Path(sys.argv[1])) as children:
    child = children.start("child", [sys.executable, "-c", sys.argv[2]])
    child.line(timeout_s=30)
    print(child.pid, flush=True)
    signal.pause()
"""


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def gone(pid: int, *, within_s: float = 20.0) -> bool:
    """Wait until a process is no more; a zombie that nobody has waited for counts as gone."""
    until_s = time.monotonic() + within_s
    while time.monotonic() < until_s:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.01)
    return False


def test_leaving_the_block_ends_all_even_by_an_error(tmp_path: Path) -> None:
    pids = []

    def fail() -> None:
        with Children(tmp_path) as children:
            for name in ("one", "two"):
                child = children.start(name, python(WAIT))
                assert child.line(timeout_s=30.0) == "up"
                pids.append(child.pid)
            raise RuntimeError("on the way")

    with pytest.raises(RuntimeError, match="on the way"):
        fail()
    assert len(pids) == 2
    assert all(gone(pid) for pid in pids)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_children_do_not_outlive_a_parent_that_is_told_to_end_or_killed(number: int, tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [*python(PARENT), str(tmp_path), WAIT], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        os.kill(parent.pid, number)
        parent.wait(30.0)
        assert gone(child)
    finally:
        parent.kill()
        parent.wait()
        assert parent.stdout is not None
        parent.stdout.close()


def test_what_went_wrong_is_told_with_the_last_words(tmp_path: Path) -> None:
    with Children(tmp_path) as children:
        child = children.start("short", python("import sys; sys.exit('no such thing')"))
        with pytest.raises(EdgeError, match=r"short ended at once with exit code 1; it said:\nno such thing"):
            child.line(timeout_s=30.0)
        quiet = children.start("quiet", python("import signal; signal.pause()"))
        with pytest.raises(EdgeError, match=r"quiet said nothing for 0\.05 s"):
            quiet.line(timeout_s=0.05)
        with pytest.raises(EdgeError, match="cannot start none: No such file"):
            children.start("none", [str(tmp_path / "none")])
