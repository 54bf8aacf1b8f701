"""A plan of toys from end to end, and what a run of it leaves."""

from __future__ import annotations

import json

from toys import Best, Bright, Flood, Note, Paint, Peak, Right, Squares

from segkit import plan

END = (Best(), Paint(), Right(), Note())


def full(*, prompt=None, data=None, bright=None, flood=None):
    """A plan of toys from end to end."""
    head = (data or Squares(), bright or Bright())
    return plan([*head, prompt or Peak(), flood or Flood(), *END])


def lines(folder):
    return [json.loads(t) for t in (folder / "results.jsonl").read_text().splitlines()]
