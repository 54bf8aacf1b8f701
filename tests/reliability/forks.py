"""Commands in processes that are forked from one which has imported everything already.

As a program it is that process: it reads a job a line from standard input, lets a fork of itself
do it, and says how it ended. So a command costs half a second and not four, and what hangs, crashes
or takes all memory ends alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any

MEMORY = 12 << 30
"""Bytes of addresses that a command may have."""


class Forks:
    """Runs `segkit` commands one after the other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> Forks:
        """Start the process that forks."""
        self.process = subprocess.Popen(
            [sys.executable, __file__, str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"},
        )
        return self

    def __exit__(self, *error: object) -> None:
        """End it."""
        self.process.communicate()

    def __call__(self, words: list[str], cwd: Path, seconds: float) -> Any:
        """How `segkit WORDS` ends in the folder `cwd`, if it is given so many seconds."""
        from campaign import Ended

        assert self.process.stdin is not None
        assert self.process.stdout is not None
        job = {"words": words, "cwd": str(cwd), "seconds": seconds}
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        said = json.loads(self.process.stdout.readline())
        out, err = (
            (self.folder / name).read_text(encoding="utf-8", errors="replace")
            for name in ("stdout", "stderr")
        )
        return Ended(said["code"], out, err, said["hung"])


def serve(folder: Path) -> None:
    """Do the jobs that come in."""
    warm_up(folder)
    for line in sys.stdin:
        job = json.loads(line)
        child = os.fork()
        if child == 0:
            work(job, folder)
        code = waited(child, job["seconds"])
        hung = code is None
        print(json.dumps({"code": -1 if hung else code, "hung": hung}), flush=True)


def warm_up(folder: Path) -> None:
    """Import what a run imports, by a run."""
    from campaign import STEPS

    from segkit.cli.main import main

    flags = ["--dataset", "shapes", "--shapes.count", "1", "--quiet", "-o", str(folder / "first")]
    kept = os.dup(1)
    os.dup2(2, 1)  # standard output is for answers
    with contextlib.suppress(SystemExit):
        main(["run", *flags, *STEPS])
    os.dup2(kept, 1)


def work(job: dict[str, Any], folder: Path) -> None:
    """Be the command; does not return."""
    from segkit.cli.main import main

    os.setsid()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
    os.chdir(job["cwd"])
    code = 70
    try:
        main(job["words"])
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def waited(child: int, seconds: float) -> int | None:
    """A child's exit code, negative for a signal; None if it had to be killed."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    serve(Path(sys.argv[1]))
