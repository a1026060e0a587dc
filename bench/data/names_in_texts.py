"""Which classes a text names: captions and training texts that give a class away."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence


def words_of(text: str) -> tuple[str, ...]:
    """Return the words of a text, in lower case: runs of letters and digits."""
    return tuple("".join(sign if sign.isalnum() else " " for sign in text.casefold()).split())


def classes_named(texts: Iterable[str], names: Sequence[str]) -> Iterator[tuple[int, ...]]:
    """Yield for each text the classes whose whole name stands in it, ascending.

    Case and punctuation do not count. Where a name lies within a longer one (*small letter a* in *small letter a with
    acute*), the longer one alone is named. A name whose words stand apart, in another order or in another form is not
    found.

    Parameters
    ----------
    names : sequence of str
        Position is class id. Give all that may be named, so that a longer one covers a shorter.
    """
    known: dict[tuple[str, ...], int] = {}
    for label, name in enumerate(names):
        known.setdefault(words_of(name), label)
    known.pop((), None)
    lengths = sorted({len(name) for name in known}, reverse=True)
    for text in texts:
        words, place, found = words_of(text), 0, set()
        while place < len(words):
            for length in lengths:
                named = known.get(words[place : place + length])
                if named is not None and place + length <= len(words):
                    found.add(named)
                    place += length
                    break
            else:
                place += 1
        yield tuple(sorted(found))
