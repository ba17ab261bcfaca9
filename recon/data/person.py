"""Made-up people: the attributes from which their skin, hair and head are computed.

Tone groups are the six classes of the individual typology angle (Chardon et al. 1991; Del Bino and Bernerd 2013):
``ITA = atan((L* − 50) / b*)``: very light > 55°, light > 41°, intermediate > 28°, tan > 10°, brown > −30°, dark.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recon.face_model.anny import Population

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
    "black": (0.016, 0.013, 0.011),
    "dark brown": (0.038, 0.024, 0.015),
    "brown": (0.085, 0.050, 0.029),
    "blond": (0.300, 0.205, 0.110),
    "red": (0.180, 0.068, 0.026),
    "grey": (0.270, 0.260, 0.250),
    "white": (0.480, 0.470, 0.450),
}
# How the hair of the head is worn; recon.data.hair_styles says what each is.
_STYLES = {
    ("male", "straight"): {
        "cropped": 0.20,
        "side parting": 0.19,
        "swept back": 0.15,
        "fringe": 0.12,
        "tousled": 0.14,
        "shoulder": 0.07,
        "shaved": 0.07,
        "curls": 0.06,
    },
    ("female", "straight"): {
        "long": 0.24,
        "long waves": 0.20,
        "bob": 0.18,
        "tied back": 0.17,
        "bun": 0.09,
        "pixie": 0.06,
        "long curls": 0.06,
    },
    ("male", "coiled"): {"shaved": 0.25, "close coils": 0.40, "afro": 0.20, "cropped": 0.15},
    ("female", "coiled"): {"afro": 0.25, "close coils": 0.13, "tied back": 0.17, "bun": 0.20, "long curls": 0.25},
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
        style: how the hair of the head is worn, a name of :mod:`recon.data.hair_styles`; ``bald`` and ``horseshoe``
            are what is left of it.
        brow_arch, brow_weight: how far the middle of a brow rises, mm, and its breadth about 1.
        makeup: 0 none to 1: lip colour, lashes, rouge.
        smile: 0 to 1; a smile of more than a half shows teeth.
        beard_length: mm; 0 for stubble.
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
    style: str = "cropped"
    brow_arch: float = 0.0
    brow_weight: float = 1.0
    makeup: float = 0.0
    smile: float = 0.15
    beard_length: float = 0.0

    @property
    def aged(self) -> float:
        """0 up to 30 years, rising to 1 at 72: how far lines have set in."""
        return float(np.clip((self.age - 30) / 42.0, 0.0, 1.0))

    @property
    def darkness(self) -> float:
        """0 for the lightest skin to 1 for the darkest: how far melanin hides blood."""
        return float(np.clip((75.0 - self.lab[0]) / 42.0, 0.0, 1.0))


def draw_person(name: str, seed: int, tone: int, gender: str, population: Population) -> Person:
    """The person called ``name``, of a tone group and gender; everything else is drawn from ``seed``."""
    rng = np.random.default_rng([seed, 1])
    row = _row(rng, tone, gender, population)
    years = round(20 + (float(population.age[row]) - 2 / 3) * 180)
    lightness, red, yellow = _TONES[tone]
    hair_name = str(rng.choice(list(_HAIR_CHANCES[tone]), p=list(_HAIR_CHANCES[tone].values())))
    if years > 45 and rng.random() < (years - 45) / 25:
        hair_name = "white" if years > 62 and rng.random() < 0.5 else "grey"
    male = gender == "male"
    style = _style(rng, tone, gender, years)
    beard = float(rng.choice([0.0, 0.35, 0.7, 1.0], p=[0.35, 0.25, 0.15, 0.25])) if male else 0.0
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
        beard=beard,
        freckles=float(rng.uniform(0.3, 1.0)) if tone <= 1 and rng.random() < 0.5 else float(rng.uniform(0.0, 0.15)),
        moles=int(rng.integers(1, 9)),
        brow_density=float(rng.uniform(0.85, 1.2) * (1.15 if male else 1.0)),
        hair_line=float(rng.normal(0.0, 3.0) + (max(0, years - 35) * 0.25 if male else 0.0)),
        row=row,
        style=style,
        brow_arch=float(rng.normal(0.6, 0.7) if male else rng.normal(1.9, 0.8)),
        brow_weight=float(rng.uniform(0.85, 1.25) if male else rng.uniform(0.72, 1.05)),
        makeup=0.0 if male or rng.random() < 0.4 else float(rng.uniform(0.3, 1.0)),
        smile=float(rng.choice([0.1, 0.3, 0.5, 0.8], p=[0.35, 0.3, 0.2, 0.15]) + rng.uniform(-0.08, 0.08)),
        beard_length=float(rng.uniform(3.0, 13.0)) if beard == 1.0 and rng.random() < 0.7 else 0.0,
    )


def _style(rng: np.random.Generator, tone: int, gender: str, years: int) -> str:
    """How the hair is worn; men lose theirs with the years (Norwood 1975: half of them by fifty)."""
    loss = float(np.clip((years - 28) / 75.0, 0.0, 0.55)) if gender == "male" else 0.0
    if rng.random() < loss:
        return str(rng.choice(["horseshoe", "bald", "receding"], p=[0.35, 0.25, 0.40]))
    texture = "coiled" if rng.random() < (0.0, 0.0, 0.05, 0.2, 0.8, 1.0)[tone] else "straight"
    chances = dict(_STYLES[gender, texture])
    if gender == "female" and years > 55:
        chances = {
            name: share * (3.0 if name in ("bob", "pixie", "tied back") else 1.0) for name, share in chances.items()
        }
    share = np.array(list(chances.values()))
    return str(rng.choice(list(chances), p=share / share.sum()))


def _row(rng: np.random.Generator, tone: int, gender: str, population: Population) -> int:
    """A row of the population of that gender, whose ancestry is not improbable for the tone."""
    same = (population.gender > 0.5) == (gender == "female")
    african = population.ancestry[:, 0]
    low, high = ((0.0, 0.25), (0.0, 0.3), (0.0, 0.5), (0.05, 0.7), (0.35, 1.0), (0.6, 1.0))[tone]
    fitting = np.flatnonzero(same & (african >= low) & (african <= high) & (population.age < 0.96))
    return int(rng.choice(fitting))
