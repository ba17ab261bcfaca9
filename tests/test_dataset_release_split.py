"""Who may be in a data set of face models, and on which side of its split."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from recon.data.subject import Licence, Subject
from recon.release.licences import allows_release, why_not
from recon.release.split import TEST, TRAIN, split_subjects

# --- who may be in it -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("CC BY 4.0", True),
        ("CC-BY-SA 3.0", True),
        ("CC BY-NC 4.0", True),
        ("CC0", True),
        ("public domain (NASA)", True),
        ("CC BY-ND 4.0", False),
        ("CC BY-NC-ND 4.0", False),
        ("unknown", False),
        ("", False),
        ("all rights reserved", False),
        ("not CC BY 4.0", False),
    ],
)
def test_a_licence_must_allow_adaptations_to_be_shared(name: str, allowed: bool) -> None:
    """As the licences say: an albedo map is an adaptation, which NoDerivatives forbids to share."""
    assert allows_release(Licence(name)) is allowed
    assert allows_release(Licence(name, redistributable=True))
    assert "--allow-restricted" in why_not(Licence(name))


# --- split ------------------------------------------------------------------------------------------------------------


def people(count: int, seed: int = 0, **more: str) -> list[Subject]:
    rng = np.random.default_rng(seed)
    return [
        Subject(
            f"p{i:03d}",
            "toy",
            Path("x"),
            Licence("CC0"),
            {
                "gender": str(rng.choice(["female", "male"])),
                "ethnicity": str(rng.choice(["black", "white", "east_asian"])),
                "age": str(rng.integers(18, 60)),
                **more,
            },
        )
        for i in range(count)
    ]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("fraction", [0.1, 0.2, 0.37, 0.5])
def test_every_stratum_gives_its_share_to_within_one(seed: int, fraction: float) -> None:
    """Of n neighbours in an ordered list a systematic sample takes ⌊n·f⌋ or ⌈n·f⌉ (Kish 1965)."""
    everybody = people(83, seed)
    split = split_subjects(everybody, fraction, seed)
    assert set(split) == {one.id for one in everybody} and set(split.values()) <= {TRAIN, TEST}
    for key in (lambda one: "all", lambda one: one.attributes["gender"],
                lambda one: (one.attributes["gender"], one.attributes["ethnicity"])):  # fmt: skip
        size = Counter(key(one) for one in everybody)
        tested = Counter(key(one) for one in everybody if split[one.id] == TEST)
        for level, count in size.items():
            assert np.floor(count * fraction) <= tested[level] <= np.ceil(count * fraction)


def test_the_split_follows_from_seed_and_people_alone() -> None:
    everybody = people(40)
    assert split_subjects(everybody, 0.25, 3) == split_subjects(everybody[::-1], 0.25, 3)
    assert split_subjects(everybody, 0.25, 3) != split_subjects(everybody, 0.25, 4)
    assert set(split_subjects(everybody, 0.0, 3).values()) == {TRAIN}


def test_pictures_of_one_person_stay_together() -> None:
    everybody = [
        Subject(f"{i:02d}-{k}", "toy", Path("x"), Licence("CC0"), {"person": f"{i}", "mood": "glad" if k else "calm"})
        for i in range(20)
        for k in range(3)
    ]
    split = split_subjects(everybody, 0.3, 0)
    assert all(len({split[f"{i:02d}-{k}"] for k in range(3)}) == 1 for i in range(20))
    assert sum(side == TEST for side in split.values()) == 18
