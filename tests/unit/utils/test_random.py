"""Both derivations of random keys, byte for byte: runs, the glyphs and their encoder depend on every bit."""

from __future__ import annotations

import numpy as np
import pytest

from bench.utils.random import Stream, labelled_generator, labelled_key

STREAMS: list[tuple[int, tuple[str | int, ...], str]] = [
    (0, (), "5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9"),
    (1, (), "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"),
    (1099511627776, (), "2aae49a9170833b25b48195eedda0138d526120e6232d01dd4c51d8b56295cec"),
    (-1, (), "1bad6b8cf97131fceab8543e81f7757195fbb1d36b376ee994ad1cf17699c464"),
    (0, ("shots",), "5f45599380407ad9ebd5f24543f9ae56559d864412262ec6c0c4ebb1c2e90a80"),
    (0, ("shots", 1), "1055ad397bd7c045f3ccae832fb3396d6e6af44eb435a51296c9e906373e053c"),
    (0, ("shots", "1"), "65bc69cb6cabb797d2902e0a2656acb700ee94b31d6b97397b9590ae5ab75a1b"),
    (0, ("shots", 10), "6a0c1b843b4395e6e164e256f3b9417bc49c3d3dd6ffb381682e3c7b78944938"),
    (7, ("scenario", "incremental", "digits"), "97324ba042bade3122f953e277e3b8db5e7446efed6a41258e339576d1066108"),
    (
        7,
        ("scenario", "incremental", "digits", "class-order"),
        "ef80397e3cc3aa62ac4601d80284a9d805b5f143071966e8710a93c14cc8168a",
    ),
    (3, ("episode", 0, "classes"), "426bae8c7937a92c730baed3d3f3e86b3fed2057d25c43f56e7c412af1ecc8c2"),
    (3, ("episode", 0, "queries", "shots", 5), "b219a7b9fb5f2b3b320b1e0a554ccf154102b630d850c0a051c13ea769b63500"),
    (0, ("noise", "images", "rows"), "e49e6a1f5999160d909e850700c672e25867d0f3830b047cf05cb05174d757f5"),
    (0, ("ab",), "90bf486a3ec463cccb3140d7989c276a460d7672b511e17fbae6da54165317bb"),
    (0, ("a", "b"), "ca1c7b6e4cb0f7a3a002acdc576578f8316dfbb064147a0fff89d7c94ceb4316"),
    (0, ("",), "d4c73c9dda1eba0c0af053af65bf8b0c13125ac832aa24670c2b15c61ceb782c"),
    (0, ("\x1f",), "430cf67de98076d6e61f6c82ea45de5f7ab2ca627ae8a82d270e64faf419a5d6"),
    (0, ("é", "漢字"), "b767b89c2200dc7fbaade6fa8e4f637de45281a61464039248922c64f67b9f0a"),
    (5, ("held-out", -2), "f31806e3929ea9c83c9711f90827d4fbcbc5ee4e26ccb4aac65f15658d6603c3"),
    (11, ("edit", 1, "vectors"), "88d0ac5f170a865bf1a6cb24d43460dfbf3ca9ef7d978ba05b1caa74f3264103"),
]
"""Seed, path and key."""

LABELS: list[tuple[tuple[str | int, ...], str]] = [
    ((), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    ((0,), "08f71659ab0d55d02d0711618627b00290aee699bfe4ba5ab9a096fa98952b49"),
    (("0",), "95c89a0e0c12e5e0d5488c5f4965392b771cc76db3f2b2fbbe78c288c1b31065"),
    ((0, "draw"), "ecfca8b6f41ee0f9c1083e6ea0065a49cae9667db4938a2bf4f2a62732ef7fc6"),
    ((0, "draw", "train", "U+0041", 3), "c0493bdb29fb99d79d2fdcd04f7ee5f3cd501a8e5361818934ce0d26d53fc9d0"),
    ((0, "draw", "train", "U+0041", "3"), "bacc305f3f061b2f4dd9a851b4ed1c438e7ea68c5ce334bf8197f691b5767abb"),
    ((1, "draw", "train", "U+0041", 3), "37f25b4e60c9e3b78ae0925423e86365452786fad947ebb4b3b33db15550ac5e"),
    (("a", "b"), "76dc69478d1360d96eddbd071f93d9705215270a8c75174e8f07262984b2173d"),
    (("ab",), "58fe41ea16b5083a7e4a8f441e55a17b0137b74dff8262151a34a4984e06f384"),
    (("ab", ""), "4d0d9accf427f2cb9928d904c9fe109d3758887876efc13b296ab10cf18fd030"),
    (("", "ab"), "5ca7f8390ceb5c51aa8d0dc2c1dfd9b5dd1a64d29c394fa6465466b2adfa62ad"),
    ((1000000000000,), "52859cda8f77a8e6b28cf11f6fbb16e2ef1e258d4ddefaa3f85f5e3fe1184347"),
    ((-5,), "8e746b7d998f7ea9c8f453d24022536a0edbfbd53dfc711408ecce6487739a55"),
    (("encoder", 0), "8e9816f5633752e924f1f74c7d70a11dc3c34515228a34ab26fe4be5cb1a86c7"),
    (("encoder", "weights", "conv1"), "c27bd8ff10dd9b4d526b299f62be1f796afbc2718cfd7458d77037eca9b40697"),
    (("web", 0, "U+4E2D", 7), "486de264836c0c55305a73d4a91447a29d895c5c89bd0bbdc5bfdd601d486306"),
    (("é", "漢字"), "e873ed74cc93241de56787d699189eae9a316254b3826bcdb95cfe90921bf1bf"),
    (("int:1",), "d87c97e9192fbfd151fb596ed37160405b78e751befa9f848b05a54c34df859a"),
    ((1, 2, 3), "37b3115663c22617e76cc4ed25a5f8d68585eadc92a3ccde1d74404202a2ed69"),
    ((12, 3), "9ee1afc4d12d2a3e49569adcd5d89e5518e8132e6e1678a51dd0df9e574cb1c5"),
]
"""Labels and key."""


@pytest.mark.parametrize(("seed", "path", "key"), STREAMS)
def test_keys_of_streams(seed: int, path: tuple[str | int, ...], key: str) -> None:
    assert Stream(seed, path).key().hex() == key
    assert Stream(seed).child(*path).key().hex() == key


@pytest.mark.parametrize(("labels", "key"), LABELS)
def test_keys_of_labels(labels: tuple[str | int, ...], key: str) -> None:
    assert labelled_key(*labels).hex() == key


def test_there_are_twenty_of_each_and_no_two_are_alike() -> None:
    keys = [*(key for *_, key in STREAMS), *(key for _, key in LABELS)]
    assert len(STREAMS) == len(LABELS) == 20
    assert len(set(keys)) == 40


def test_what_is_drawn_from_them() -> None:
    stream = Stream(7).child("scenario", "incremental", "digits")
    assert stream.permutation(10).tolist() == [8, 9, 1, 6, 3, 4, 5, 7, 0, 2]
    assert stream.torch().initial_seed() == 42558021875972830
    assert labelled_generator(0, "draw").integers(1000, size=5).tolist() == [784, 416, 434, 235, 631]


def test_numpys_strings_and_integers_are_the_same_keys_as_pythons() -> None:
    plain = Stream(7, ("shots", 3, "item")).key()
    assert Stream(np.int64(7)).child(np.str_("shots"), np.int32(3), np.str_("item")).key() == plain  # type: ignore[arg-type]
    assert Stream(7).child("shots", "3", "item").key() != plain
