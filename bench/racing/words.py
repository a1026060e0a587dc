"""How a race ended, in words."""

from __future__ import annotations

from bench.racing.race import Outcome


def told(outcome: Outcome, rounds: int, seconds: float) -> list[str]:
    """Return a sentence on who won and how sure that is, and a line for each other candidate.

    Parameters
    ----------
    rounds : int
        That the race could have had.
    seconds : float
        That it took.
    """
    count = f"{outcome.right[outcome.winner]} of {outcome.images} held-out images"
    after = f"after {outcome.rounds} of {rounds} rounds and {seconds:.3g} seconds"
    if outcome.decided and outcome.left:
        said = f"{outcome.winner} wins {after}: right on {count}, and every other candidate is shown to be worse"
    else:
        why = (
            "the time was over"
            if outcome.out_of_time
            else "the images were used up"
            if outcome.left or len(outcome.stayed) > 1
            else "no other could be fitted"
        )
        said = f"{outcome.winner} is ahead {after}: right on {count}"
        others = list(outcome.stayed[1:])
        said += f"; {why}, and {', '.join(others)} not shown to be worse" if others else f"; {why}"
    lines = [f"{said}."]
    lines += [f"{name}: right on {outcome.right[name]} of {outcome.images}" for name in outcome.stayed[1:]]
    lines += [
        f"{one.name}: left in round {one.round}, after {one.images} images; {one.better} is better"
        for one in reversed(outcome.left)
    ]
    lines += [f"{name}: not tried, for lack of time" for name in outcome.untried]
    lines += [f"{name}: {why}" for name, why in outcome.unfit.items()]
    return lines
