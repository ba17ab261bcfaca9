"""Made-up people: the attributes from which their skin, hair and head are computed.

Tone groups are the six classes of the individual typology angle (Chardon et al. 1991; Del Bino and Bernerd 2013):
``ITA = atan((L* − 50) / b*)``: very light > 55°, light > 41°, intermediate > 28°, tan > 10°, brown > −30°, dark.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recon.face_model.anny import Population

TONE_GROUPS = ("very light", "light", "intermediate", "tan", "brown", "dark")
# CIE L*a*b* (D65) of the cheek in the middle of each group.
_TONES = (
    (71.0, 11.0, 13.5),
    (67.5, 11.0, 16.0),
    (63.0, 12.5, 18.5),
    (56.0, 13.5, 19.0),
    (45.5, 13.0, 17.5),
    (34.0, 11.0, 13.0),
)
# Hair by melanin (linear RGB): black, dark brown, brown, blond, red, grey.
_HAIR = {
    "black": (0.010, 0.008, 0.007),
    "dark brown": (0.022, 0.014, 0.009),
    "brown": (0.060, 0.034, 0.019),
    "blond": (0.235, 0.155, 0.080),
    "red": (0.140, 0.050, 0.018),
    "grey": (0.270, 0.260, 0.250),
}
_HAIR_CHANCES = (
    {"dark brown": 0.3, "brown": 0.35, "blond": 0.22, "red": 0.13},
    {"black": 0.1, "dark brown": 0.4, "brown": 0.35, "blond": 0.15},
    {"black": 0.4, "dark brown": 0.45, "brown": 0.15},
    {"black": 0.65, "dark brown": 0.35},
    {"black": 0.85, "dark brown": 0.15},
    {"black": 1.0},
)


@dataclass(frozen=True)
class Person:
    """One made-up person.

    Attributes:
        id: unique name.
        seed: of every random pattern on this person.
        tone: index into ``TONE_GROUPS``.
        lab: CIE L*a*b* (D65) of the skin's mean.
        gender: ``female`` or ``male``.
        age: years.
        hair: linear RGB of the hair; ``hair_name`` in words.
        beard: 0 none to 1 dense stubble.
        freckles, moles: 0 to 1, and a number.
        brow_density, hair_line: individual variation about 1 and 0.
        row: the person's row in the population of the face model ``anny``.
    """

    id: str
    seed: int
    tone: int
    lab: tuple[float, float, float]
    gender: str
    age: int
    hair: tuple[float, float, float]
    hair_name: str
    beard: float
    freckles: float
    moles: int
    brow_density: float
    hair_line: float
    row: int

    @property
    def darkness(self) -> float:
        """0 for the lightest skin to 1 for the darkest: how far melanin hides blood."""
        return float(np.clip((75.0 - self.lab[0]) / 42.0, 0.0, 1.0))


def draw_person(name: str, seed: int, tone: int, gender: str, population: Population) -> Person:
    """The person called ``name``, of a tone group and gender; everything else is drawn from ``seed``."""
    rng = np.random.default_rng([seed, 1])
    row = _row(rng, tone, gender, population)
    years = round(25 + (float(population.age[row]) - 2 / 3) * 3 * 45)
    lightness, red, yellow = _TONES[tone]
    names = list(_HAIR_CHANCES[tone])
    hair_name = str(rng.choice(names, p=list(_HAIR_CHANCES[tone].values())))
    if years > 45 and rng.random() < (years - 45) / 25:
        hair_name = "grey"
    male = gender == "male"
    return Person(
        id=name,
        seed=seed,
        tone=tone,
        lab=(
            lightness + float(rng.uniform(-1.6, 1.6)),
            red + float(rng.normal(0.0, 0.8)),
            yellow + float(rng.normal(0.0, 0.9)),
        ),
        gender=gender,
        age=years,
        hair=_HAIR[hair_name],
        hair_name=hair_name,
        beard=float(rng.choice([0.0, 0.35, 0.7, 1.0], p=[0.3, 0.3, 0.2, 0.2])) if male else 0.0,
        freckles=float(rng.uniform(0.3, 1.0)) if tone <= 1 and rng.random() < 0.6 else float(rng.uniform(0.0, 0.15)),
        moles=int(rng.integers(1, 9)),
        brow_density=float(rng.uniform(0.85, 1.2) * (1.15 if male else 0.9)),
        hair_line=float(rng.normal(0.0, 3.0) + (max(0, years - 35) * 0.25 if male else 0.0)),
        row=row,
    )


def _row(rng: np.random.Generator, tone: int, gender: str, population: Population) -> int:
    """A row of the population of that gender, whose ancestry is not improbable for the tone."""
    same = (population.gender > 0.5) == (gender == "female")
    african = population.ancestry[:, 0]
    low, high = ((0.0, 0.25), (0.0, 0.3), (0.0, 0.5), (0.05, 0.7), (0.35, 1.0), (0.6, 1.0))[tone]
    fitting = np.flatnonzero(same & (african >= low) & (african <= high) & (population.age < 0.9))
    return int(rng.choice(fitting))
