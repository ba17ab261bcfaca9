"""What is put into a rehearsal: how real each condition looks, and how raters differ; and what that should come out as.

Abilities are in the unit of the design's own analysis:

============  ======================================================================================================
page          ability of a condition
============  ======================================================================================================
real-or-fake  d′ from photographs: a rendering gives evidence ``N(d′, 1)``, a photograph ``N(0, 1)``, and a rater says
              *fake* above a threshold of their own (Green and Swets 1966)
choice,       position in z: each look gives ``N(a, ½)``, so that ``P(i before j) = Φ(a_i − a_j)`` (Thurstone 1927,
ranking       case V)
scales        position on the scale: a score is ``a`` + the rater's bias + noise of the rater's inconsistency, rounded
              to a step (the subject model of ITU-T P.910)
============  ======================================================================================================

Lapses are trials answered by lot; careless raters answer all of theirs by lot. With ``g = 1 − (1 − careless) (1 −
lapses)`` of all answers by lot, a probability ``p`` becomes ``(1 − g) p + g p₀``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from recon.errors import InputError
from study.contract import PHOTOGRAPH
from study.designs import DESIGNS
from study.specification import Specification
from study.study_block import Block, Name
from study.study_file import read_model

Float = NDArray[np.float64]

# Of the ready-made abilities, from the first condition of the study file to the last.
_SPREAD = {"real-or-fake": (0.4, 2.0), "choice": (0.6, -0.6), "ranking": (0.6, -0.6), "scales": (4.0, 2.0)}
_NODES = 41


class Population(Block):
    """Model raters."""

    abilities: dict[Name, float] = Field(
        default_factory=dict, description="Of every condition; empty: evenly spread in the order of the study file."
    )
    criterion: float = Field(default=0.0, description="Real or fake: mean tendency to say real, in z.")
    criterion_deviation: float = Field(default=0.4, ge=0, description="Of raters' criteria, in z.")
    bias_deviation: float = Field(default=0.4, ge=0, description="Scales: of raters' biases, in steps.")
    inconsistency: float = Field(default=0.7, gt=0, description="Scales: median over raters, in steps.")
    inconsistency_spread: float = Field(default=0.3, ge=0, description="Scales: deviation of its logarithm.")
    lapses: float = Field(default=0.02, ge=0, le=1, description="Share of trials that a rater answers by lot.")
    careless: float = Field(default=0.05, ge=0, le=1, description="Share of raters who answer all trials by lot.")

    @property
    def by_lot(self) -> float:
        """Share of all answers that are by lot."""
        return 1 - (1 - self.careless) * (1 - self.lapses)


def read_population(path: Path) -> Population:
    """The file ``path``, YAML or JSON.

    Raises:
        InputError: it cannot be read, or says something that no population can be.
    """
    return read_model(path, Population)


def complete(population: Population, specification: Specification) -> Population:
    """The population with an ability for every condition that competes in the study.

    Raises:
        InputError: abilities are given, and one is missing or of a condition that the study does not have.
    """
    page = DESIGNS.get(specification.design).page
    names = [name for name in specification.conditions if page != "real-or-fake" or name != PHOTOGRAPH]
    if not population.abilities:
        values = np.linspace(*_SPREAD[page], len(names)) if len(names) > 1 else np.mean(_SPREAD[page], keepdims=True)
        given = {name: round(float(value), 3) for name, value in zip(names, values, strict=True)}
        return population.model_copy(update={"abilities": given})
    strange = sorted({*population.abilities} - {*names})
    lacking = [name for name in names if name not in population.abilities]
    if strange or lacking:
        said = f"'{strange[0]}' does not compete in it" if strange else f"'{lacking[0]}' has none"
        raise InputError(f"the abilities do not fit '{specification.name}': {said}; give those of {', '.join(names)}.")
    return population


def mean_threshold(population: Population) -> float:
    """Evidence above which the average rater says *fake*: half way between the kinds where they have no tendency."""
    return float(np.mean([*population.abilities.values()])) / 2 + population.criterion


def called_fake(population: Population, condition: str) -> float:
    """Share of all verdicts of ``condition`` (or photographs) that should be *fake*."""
    from scipy.special import ndtr

    evidence = 0.0 if condition == PHOTOGRAPH else population.abilities[condition]
    spread = np.sqrt(1 + population.criterion_deviation**2)
    share = float(ndtr((evidence - mean_threshold(population)) / spread))
    return (1 - population.by_lot) * share + population.by_lot / 2


def preferred(population: Population, first: str, second: str) -> float:
    """Share of choices between the two in which ``first`` should come before ``second``."""
    from scipy.special import ndtr

    share = float(ndtr(population.abilities[first] - population.abilities[second]))
    return (1 - population.by_lot) * share + population.by_lot / 2


def expected_score(population: Population, condition: str, steps: int) -> float:
    """Mean of the scores that ``condition`` should get on a scale of ``steps`` steps."""
    from scipy.special import ndtr

    nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    noise = population.inconsistency * np.exp(population.inconsistency_spread * nodes)
    deviation = np.sqrt(population.bias_deviation**2 + noise**2)
    edges: Float = np.arange(1.5, steps)
    # E[score] = 1 + Σ P(score > k), over the edges between steps; the outer steps take all that lies beyond.
    beyond = ndtr((population.abilities[condition] - edges[:, None]) / deviation)
    mean = 1 + float((beyond.sum(axis=0) * weights).sum() / weights.sum())
    return (1 - population.by_lot) * mean + population.by_lot * (1 + steps) / 2


def rounded_score(value: ArrayLike, steps: int) -> NDArray[np.int64]:
    """The step that is nearest to a position on the scale."""
    return np.clip(np.floor(np.asarray(value, np.float64) + 0.5), 1, steps).astype(np.int64)


def as_record(population: Population) -> Mapping[str, object]:
    """All of it as JSON."""
    return population.model_dump(mode="json")
