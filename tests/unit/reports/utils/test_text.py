"""Words for people and names of files."""

import json

from bench.reports.utils.text import condition_text, file_name, natural, populations


def test_long_conditions_give_short_names_that_differ():
    texts = [json.dumps({f"parameter_{i}": i for i in range(20)} | {"last": x}) for x in (1, 2)]
    names = [file_name("s", "d", text, "curve") for text in texts]
    assert names[0] != names[1]
    assert max(map(len, names)) < 100


def test_conditions_in_words():
    assert (
        condition_text('{"shots": 4, "script": ["add", "remove"], "k": null}') == "shots 4, script add remove, k none"
    )


def test_conditions_sort_by_their_numbers():
    texts = ['{"shots": 16}', '{"shots": 2}', '{"shots": 1.5}']
    assert sorted(texts, key=natural) == texts[::-1]


def test_what_intervals_speak_for_names_scenarios_where_they_differ():
    assert populations([("a", "new seeds"), ("b", "new seeds"), ("b", "")]) == "new seeds"
    assert populations([("a", "new seeds"), ("a", "new classes")]) == "new classes; new seeds"
    found = populations([("b", "new seeds"), ("a", "new seeds"), ("c", "new classes")])
    assert found == "new classes (c); new seeds (a, b)"
    assert populations([]) == ""
