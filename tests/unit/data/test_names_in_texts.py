"""Which classes a text names."""

from __future__ import annotations

import pytest

from bench.data.names_in_texts import classes_named, words_of

NAMES = ("small letter a", "small letter a with acute", "Labrador retriever", "keyboard", "...")


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("this is small letter a in print", (0,)),
        ("this is small letter a with acute", (1,)),
        ("small letter a, then small letter a with acute", (0, 1)),
        ("A LABRADOR-RETRIEVER on a keyboard!", (2, 3)),
        ("a retriever, Labrador kind", ()),
        ("two keyboards", ()),
        ("the end is small letter", ()),
        ("", ()),
        ("... and nothing", ()),
    ],
)
def test_whole_names_are_found_whatever_their_case(text: str, labels: tuple[int, ...]) -> None:
    assert list(classes_named([text], NAMES)) == [labels]


def test_words() -> None:
    assert words_of("It's a Test\u2014of STRASSE 9.") == ("it", "s", "a", "test", "of", "strasse", "9")
