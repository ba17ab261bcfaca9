"""Skin tone as dermatology groups it: the individual typology angle, and six groups from very light to dark.

``ITA = atan2(L* − 50, b*)`` in degrees, of a CIE L*a*b* colour (Chardon, Cretois and Hourseau 1991), cut at 55, 41, 28,
10 and −30° as in FAIR (Feng et al. 2022, arXiv 2205.03962).
"""

from __future__ import annotations

import math

TONE_GROUPS = ("very light", "light", "intermediate", "tan", "brown", "dark")
TONE_CUTS = (55.0, 41.0, 28.0, 10.0, -30.0)
"""Degrees above which an angle belongs to the group of that place in :data:`TONE_GROUPS`; the last has no lower end."""


def individual_typology_angle(lab: tuple[float, float, float]) -> float:
    """ITA in degrees of a CIE L*a*b* colour; high for light skin."""
    return math.degrees(math.atan2(lab[0] - 50.0, lab[2]))


def tone_group(angle: float) -> str:
    """The group of an angle in degrees, one that lies on a cut belongs to the darker side; empty for NaN."""
    return "" if math.isnan(angle) else TONE_GROUPS[sum(angle <= cut for cut in TONE_CUTS)]
