"""Trees of classes from files laid out as WordNet's nouns and iNaturalist's annotations are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.sampling.taxonomies import read_synsets, read_tree
from bench.utils.errors import BenchError

HEADER = "".join(f"  {n} what the licence says, of which no line is a synset  \n" for n in range(1, 30))
SYNSETS = {  # name: (words, what is above it)
    "entity": (["entity"], []),
    "animal": (["animal", "beast"], ["entity"]),
    "fish": (["fish"], ["animal"]),
    "tench": (["tench", "Tinca_tinca"], ["fish"]),
    "goldfish": (["goldfish"], ["fish"]),
    "bird": (["bird"], ["animal"]),
    "crane": (["crane"], ["bird"]),
    "thing": (["thing"], ["entity"]),
    "machine": (["crane"], ["thing", "animal"]),
    "lake": (["Ladoga"], ["thing"]),
}


def nouns(path: Path) -> dict[str, str]:
    """Write SYNSETS as WordNet 3.0 does, and return the synset of each name."""

    def line(name: str, places: dict[str, int]) -> str:
        words, above = SYNSETS[name]
        pointers = [f"@{'i' if name == 'lake' else ''} {places.get(up, 0):08} n 0000" for up in above]
        pointers.append("#m 00000001 n 0000")
        spelt = " ".join(f"{word} 0" for word in words)
        start = f"{places.get(name, 0):08} 05 n {len(words):02x} {spelt} {len(pointers):03} "
        return start + " ".join(pointers) + f' | a {name} @ n; "x"  \n'

    places, at = {}, len(HEADER)
    for name in SYNSETS:
        places[name] = at
        at += len(line(name, {}))
    path.write_text(HEADER + "".join(line(name, places) for name in SYNSETS))
    return {name: f"n{place:08}" for name, place in places.items()}


def read(path: Path, names: list[str], synsets: list[str | None] | None = None) -> list[list[str]]:
    paths = read_tree(path, names, "toy", synsets or [None] * len(names))
    return [[node.split()[0] for node in path] for path in paths]


def test_wordnet_by_word_number_and_given_synset(tmp_path: Path) -> None:
    path = tmp_path / "data.noun"
    ids = nouns(path)
    names = ["tinca Tinca", "goldfish", f"crane ({ids['crane']})", "hoist", "ladoga"]
    found = read(path, names, [None, None, None, ids["machine"], None])
    # Of the machine's two hypernyms the first counts. The bird's branch has one class, and is no node.
    assert found == [["entity", "animal", "fish"]] * 2 + [["entity", "animal"]] + [["entity", "thing"]] * 2
    assert read(path, names[:2]) == [["fish"]] * 2, "what is above holds one branch alone"


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["tench", "crane"], "'crane' is 2 synsets of .*, n0000.... first; say by hierarchy.synsets which"),
        (["tench", "roach"], "leaves out 1 classes of toy, 'roach' first"),
        (["tench", "n00000007"], "has no synset n00000007 .* WordNet 3.0"),
        (["tench", "n99999999"], "has no synset n99999999"),
    ],
)
def test_classes_that_wordnet_does_not_tell_are_refused(tmp_path: Path, names: list[str], said: str) -> None:
    path = tmp_path / "data.noun"
    nouns(path)
    with pytest.raises(BenchError, match=said):
        read(path, names)


def test_a_synset_above_itself_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.noun"
    ids = nouns(path)
    path.write_text(path.read_text().replace(f"@ {ids['entity'][1:]}", f"@ {ids['animal'][1:]}"))
    with pytest.raises(BenchError, match="what is above it"):
        read(path, ["tench"])


def species(name: str, family: str, genus: str, common: str) -> dict[str, object]:
    ranks = {"kingdom": "Animalia", "phylum": "Chordata", "class": "Aves", "order": "Gruiformes", "family": family}
    epithet = name.split()[1]
    folder = f"00000_Animalia_Chordata_Aves_Gruiformes_{family}_{genus}_{epithet}"
    return {
        "id": 0, "name": name, "common_name": common, "supercategory": "Birds", **ranks, "genus": genus,
        "specific_epithet": epithet, "image_dir_name": folder,
    }  # fmt: skip


CATEGORIES = [
    species("Grus grus", "Gruidae", "Grus", "Common Crane"),
    species("Grus americana", "Gruidae", "Grus", "Crane"),
    species("Fulica atra", "Rallidae", "Fulica", "Coot"),
    species("Fulica americana", "Rallidae", "Fulica", "Coot"),
]


@pytest.mark.parametrize("bare", [False, True])
def test_inaturalist_by_name_folder_and_common_name(tmp_path: Path, bare: bool) -> None:
    path = tmp_path / "val.json"
    whole = {"info": {"year": 2021}, "images": [], "categories": CATEGORIES, "annotations": [], "licenses": []}
    path.write_text(json.dumps(CATEGORIES if bare else whole))
    names = ["grus grus", "crane", "00000_Animalia_Chordata_Aves_Gruiformes_Rallidae_Fulica_atra"]
    above = ["Animalia", "Chordata", "Aves", "Gruiformes"]
    ranks = read_tree(path, names, "toy", [None] * 3)
    assert ranks == [[*above, "Gruidae", "Grus"]] * 2 + [[*above, "Rallidae", "Fulica"]]
    with pytest.raises(BenchError, match="leaves out 1 classes of toy, 'coot' first"):
        read_tree(path, ["Fulica atra", "coot"], "toy", [None] * 2)


def test_a_species_without_a_rank_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "categories.json"
    path.write_text(json.dumps([{**CATEGORIES[0], "family": ""}]))
    with pytest.raises(BenchError, match="the category of 'Grus grus' has no family"):
        read_tree(path, ["Grus grus"], "toy", [None])


def test_synsets_by_name_or_in_order(tmp_path: Path) -> None:
    path = tmp_path / "synsets.txt"
    path.write_text("n00000002 goldfish, Carassius auratus\nn00000001\ttench\n\n")
    assert read_synsets(path, ["tench", "Goldfish"], "toy") == ["n00000001", "n00000002"]
    path.write_text("n00000003\nn00000001\n")
    assert read_synsets(path, ["tench", "goldfish"], "toy") == ["n00000003", "n00000001"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("n00000001 tench\n", "has 1 lines and none for 'goldfish' of toy's 2 classes"),
        ("n00000001 carp\nn00000002 tench\n", "has 2 lines and none for 'goldfish'"),
        ("tench n00000001\n", "line 1: 'tench' is no synset such as n01440764"),
    ],
)
def test_synsets_that_do_not_fit_are_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "synsets.txt"
    path.write_text(text)
    with pytest.raises(BenchError, match=said):
        read_synsets(path, ["tench", "goldfish"], "toy")
