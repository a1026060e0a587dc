from collections import Counter

import pytest

from bench.data.glyphs import catalogue, render
from bench.data.glyphs.catalogue import characters
from tools.glyphs import survey


def test_stored_catalogue_is_what_the_survey_computes() -> None:
    assert survey.survey() == characters()


def test_splits_are_disjoint_and_large_enough() -> None:
    everything = characters()
    assert len({c.codepoint for c in everything}) == len({c.name for c in everything}) == len(everything)
    sizes = Counter(c.split for c in everything)
    assert sizes["validation"] == sizes["unseen"] == survey.HELD_OUT
    assert sizes["seen"] >= 1500
    assert [c for split in catalogue.SPLITS for c in characters(split)] != []
    assert sum(len(characters(split)) for split in catalogue.SPLITS) == len(everything)


def test_words_of_held_out_names_occur_in_seen_names() -> None:
    count = Counter(word for c in characters("seen") for word in set(catalogue.words(c.name)))
    for character in characters("validation") + characters("unseen"):
        assert min(count[word] for word in catalogue.words(character.name)) >= survey.MIN_NAMES_PER_WORD


def test_every_face_draws_every_held_out_class() -> None:
    for character in characters("validation") + characters("unseen"):
        assert render.faces_with(character.char) == render.FACES


def test_lookalikes_are_dropped_and_the_lower_code_point_stays() -> None:
    latin, greek, cyrillic, other = 0x41, 0x391, 0x410, 0x42
    found = [(c, "") for c in (latin, other, greek, cyrillic)]
    assert [c for c, _ in survey.without_lookalikes(found)] == [latin, other]


def test_split_needs_enough_characters() -> None:
    with pytest.raises(ValueError, match="qualify"):
        survey.split([(0x41, "latin capital letter a")])


def test_catalogue_text_round_trips() -> None:
    assert catalogue.parse(catalogue.format_catalogue(characters())) == characters()


@pytest.mark.parametrize("line", ["0041", "0041\tseen", "0041\tother\tname", "0041\tseen\ta\tb"])
def test_damaged_catalogue_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="line 1"):
        catalogue.parse(line)
