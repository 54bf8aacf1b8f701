"""git, as far as a new package asks for it."""

from __future__ import annotations

import subprocess
from pathlib import Path


def init_git(folder: Path) -> bool:
    """Make the folder a repository of git's; whether it has become one.

    Nothing is done inside of another repository, or without git.
    """
    if git("rev-parse", "--is-inside-work-tree", folder=folder) != "":
        return False
    git("init", "--quiet", "--initial-branch", "main", folder=folder)
    return (folder / ".git").is_dir()


def git(*arguments: str, folder: Path | None = None) -> str | None:
    """What git prints, empty where it refuses; None without git."""
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=folder,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return "" if done.returncode else done.stdout.strip()
