"""Progress of works that consist of several loops, or that take some of their rows at a time."""

from itertools import count

from lipe_core.diffusion.ddim import OnStep


def counted_steps(on_step: OnStep, total: int) -> OnStep:
    """Report the steps of one loop after the other as steps of the whole work; further steps repeat the last."""
    calls = count(1)
    return lambda step, steps: on_step(min(next(calls), total), total)


def steps_of_rows(on_step: OnStep, steps: int, rows: range, count: int) -> OnStep:
    """Report the `steps` of some of `count` rows as their share of the steps of all."""
    return counted_steps(lambda step, _: on_step((steps * rows.start + step * len(rows)) // count, steps), steps)
