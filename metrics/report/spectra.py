"""Mean power spectra of a run's albedo maps beside those of the photographs: how much relief of each size there is.

For every subject the region is the judged skin (the withheld part where some is withheld) for which all methods vouch,
so that every line of a figure is of the same texels. Spectra are averaged over subjects as logarithms, since their
powers span decades.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from metrics.comparison import Comparison
from metrics.report.sources import Sources
from recon.errors import MesofaceError
from recon.images import read_png

Spectrum = NDArray[np.float64]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Spectra:
    """Spectra under one protocol.

    Attributes:
        protocol: its name.
        frequencies: ``(F,)`` in cycles per texel of a map of 512².
        reference: ``(F,)`` mean power of the photographs' albedo.
        methods: ``(F,)`` mean power by method.
        relative: ``(F,)`` mean of method over photograph in dB, by method, over the subjects that the method has.
        people: how many subjects were averaged.
        problems: what could not be read, in words.
    """

    protocol: str
    frequencies: Spectrum
    reference: Spectrum
    methods: dict[str, Spectrum]
    relative: dict[str, Spectrum]
    people: int
    problems: tuple[str, ...]


def mean_spectra(
    comparison: Comparison, sources: Sources, protocol: str, most: int, progress: Progress | None = None
) -> Spectra:
    """The spectra under ``protocol`` over at most ``most`` subjects, spread evenly over the list.

    Args:
        progress: called with the subjects done and their number, before each.
    """
    names = [name for name in comparison.subjects if sources.run_of(name, protocol) is not None]
    chosen = [
        names[index] for index in np.unique(np.linspace(0, len(names) - 1, min(most, len(names))).round().astype(int))
    ]
    frequencies = np.zeros(0)
    references: list[Spectrum] = []
    powers: dict[str, list[Spectrum]] = {method: [] for method in comparison.methods}
    relative: dict[str, list[Spectrum]] = {method: [] for method in comparison.methods}
    problems: list[str] = []
    for done, subject in enumerate(chosen):
        if progress is not None:
            progress(done, len(chosen))
        try:
            frequencies, reference, found = _of_subject(comparison.methods, sources, protocol, subject)
        except (MesofaceError, ValueError) as error:
            problems.append(f"{subject}: {_without_folders(str(error), sources)}")
            continue
        if not np.isfinite(reference).all():
            problems.append(f"{subject}: the judged skin is too small for a spectrum")
            continue
        references.append(reference)
        for method, power in found.items():
            powers[method].append(power)
            relative[method].append(power / reference)
    return Spectra(
        protocol,
        frequencies,
        _mean(references),
        {method: _mean(found) for method, found in powers.items() if found},
        {method: 10 * np.log10(_mean(found)) for method, found in relative.items() if found},
        len(references),
        tuple(problems),
    )


def _mean(powers: Sequence[Spectrum]) -> Spectrum:
    """Geometric mean."""
    if not powers:
        return np.zeros(0)
    return np.asarray(np.exp(np.mean(np.log(np.maximum(powers, 1e-12)), axis=0)))


def _of_subject(
    methods: Sequence[str], sources: Sources, protocol: str, subject: str
) -> tuple[Spectrum, Spectrum, dict[str, Spectrum]]:
    """Frequencies, the reference's power, and each method's."""
    from metrics.spectrum import radial_spectrum

    run = sources.run_of(subject, protocol)
    assert run is not None
    judged = sources.runs[run].judged(subject, protocol)
    region = _mask(judged / "skin.png")
    withheld = _mask(judged / "withheld.png")
    region = region & withheld if (region & withheld).any() else region
    albedos = {}
    for method in methods:
        place = sources.result(method, protocol, subject)
        if place is None or sources.runs[place[0]].finished(place[1]) is None:
            continue
        folder = sources.runs[place[0]].result(place[1])
        albedo = _colours(folder / "albedo.png")
        if albedo.shape[:2] != region.shape:
            raise ValueError(f"the albedo maps are not of one size, {albedo.shape[0]} and {region.shape[0]} texels")
        albedos[method] = albedo
        region = region & _mask(folder / "mask.png")
    frequencies, reference = radial_spectrum(_colours(judged / "albedo.png"), region)
    return frequencies, reference, {name: radial_spectrum(albedo, region)[1] for name, albedo in albedos.items()}


def _colours(path: Path) -> NDArray[np.float32]:
    found = read_png(path)
    if found.ndim != 3:
        raise ValueError(f"'{path.name}' is no colour picture")
    return found.astype(np.float32)


def _mask(path: Path) -> NDArray[np.bool_]:
    return np.asarray(read_png(path) > 0)


def _without_folders(message: str, sources: Sources) -> str:
    """The message without the runs' own folders: a report is passed on."""
    for folder in sources.runs.values():
        message = message.replace(f"{folder.path}/", "")
    return message
