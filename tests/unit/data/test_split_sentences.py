"""Where sentences end."""

from __future__ import annotations

import sys

import pytest

from bench.data.web.split_sentences import split_sentences
from bench.utils.errors import BenchError
from tests.unit.data.scripted_wiki import TEXT


def test_sentences() -> None:
    assert split_sentences(TEXT) == [
        "The crane is a large bird of the family Gruidae.",
        "It was described by Dr. Smith in 1758, e.g. in his book.",
        "It lives in wet places!",
        "Does it migrate in autumn?",
        "Yes, it does so every year.",
    ]
    assert split_sentences('He said "it is so." Then J. R. Tolkien went out. 1 of 3.5 m is high.') == [
        'He said "it is so."',
        "Then J. R. Tolkien went out.",
        "1 of 3.5 m is high.",
    ]
    assert split_sentences("Too short. " + "word " * 70 + "end.") == []
    assert split_sentences("The same thing is here. The same thing is here.") == ["The same thing is here."]


def test_sentences_by_pysbd(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "pysbd", None)
        with pytest.raises(BenchError, match=r"pip install 'retrieval-bench\[web\]'"):
            split_sentences(TEXT, splitter="pysbd")
    pytest.importorskip("pysbd")
    assert split_sentences(TEXT, splitter="pysbd") == split_sentences(TEXT)
    # Where the two differ, so that it is not the rules that answered.
    odd = "The firm is Yahoo! Inc. of California and nothing else."
    assert split_sentences(odd, splitter="pysbd") == [odd]
    assert odd not in split_sentences(odd, shortest=1)
