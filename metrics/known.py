"""The metrics that an evaluation can use, each with all that identifies its numbers, its loaded weights included.

A metric of an outside package may be broken in any way; what cannot be loaded is named and left out, and the others go
on. Who measures loads weights, once a process: what a row says of them is the hash of the very tensors that are in
memory. Who only asks what there is takes the hash that is remembered, and waits for no network.
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from metrics import METRICS, SET_METRICS
from metrics.contract import Component, Metric, SetMetric, Weights
from metrics.remembered_weights import remembered
from recon.errors import AssetError, InputError, UsageError


@dataclass(frozen=True, eq=False)
class KnownMetric:
    """A metric under its registry name.

    Attributes:
        name: the ``family`` of its rows.
        metric: itself.
        parameters: JSON, as rows say it.
        weights: the network it loaded; None where it uses none, or where it is absent.
        absent: why its weights are not there; an empty string where they are, or where it needs none.
    """

    name: str
    metric: Metric | SetMetric
    parameters: str
    weights: Weights | None = None
    absent: str = ""

    @property
    def identity(self) -> tuple[str, str, str, str, str, str]:
        """Library, version, parameters, reference, net and hash of the weights, as rows say them."""
        net, sha256 = (self.weights.net, self.weights.sha256) if self.weights else ("", "")
        piece = self.metric
        return piece.library, piece.version, self.parameters, piece.reference, net, sha256

    def columns(self, space: str, component: Component, value: float, reason: str) -> dict[str, Any]:
        """What a row in ``space`` says of the metric and its number; a reason leaves the value empty."""
        library, version, parameters, reference, net, weights = self.identity
        return {
            "metric": component.name,
            "value": math.nan if reason else float(value),
            "reason": reason,
            "unit": component.unit,
            "direction": component.direction,
            "family": self.name,
            "library": library,
            "version": version,
            "parameters": parameters,
            "reference": reference,
            "colour_space": "sRGB" if space in {"uv", "image"} else "",
            "net": net,
            "weights": weights,
        }


def all_names() -> list[str]:
    """Registry names of all metrics, those of sets last."""
    return list(dict.fromkeys([*METRICS.names(), *SET_METRICS.names()]))


def check_names(names: Iterable[str]) -> None:
    """Nothing, if all ``names`` are known.

    Raises:
        UsageError: one is not; the message offers the nearest.
    """
    known = all_names()
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
            raise UsageError(f"unknown metric '{name}': did you mean '{near}'? Known: {', '.join(known)}.")


def find_metric(name: str) -> KnownMetric:
    """The metric ``name``; its weights are not loaded yet.

    Raises:
        UsageError: there is none.
        InputError: it cannot be imported, or is no metric.
    """
    try:
        piece: object = METRICS.get(name) if name in METRICS else SET_METRICS.get(name)
    except UsageError:
        raise
    except Exception as error:
        raise InputError(
            f"the metric '{name}' cannot be loaded ({type(error).__name__}: {error}): mend or uninstall its package."
        ) from error
    if not isinstance(piece, (Metric, SetMetric)):
        raise InputError(f"the metric '{name}' is no Metric but a {type(piece).__name__}: mend its package.")
    try:
        parameters = json.dumps(dict(piece.parameters), sort_keys=True, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"the parameters of metric '{name}' have no JSON form ({error}): mend its package.") from error
    return KnownMetric(name, piece, parameters)


def with_weights(known: KnownMetric, *, to_measure: bool = True) -> KnownMetric:
    """The same metric with its network loaded, or with the reason why it is absent.

    Args:
        to_measure: otherwise weights that are remembered will do, without the network
            (:mod:`metrics.remembered_weights`).
    """
    load = known.metric.weights
    if load is None:
        return known
    try:
        return replace(known, weights=load() if to_measure else remembered(known.name, load))
    except AssetError as error:
        return replace(known, absent=str(error))
    except Exception as error:
        return replace(known, absent=f"loading its weights failed ({type(error).__name__}: {error})")


def load_metrics(names: Sequence[str]) -> tuple[dict[str, KnownMetric], list[str]]:
    """The metrics ``names`` with what their weights are, and a sentence for each that cannot be used."""
    found: dict[str, KnownMetric] = {}
    problems: list[str] = []
    owners: dict[str, str] = {}
    for name in names:
        try:
            known = find_metric(name)
        except InputError as error:
            problems.append(str(error))
            continue
        taken = [component.name for component in known.metric.components if component.name in owners]
        if taken:
            problems.append(
                f"the metric '{name}' is left out: its component '{taken[0]}' is one of '{owners[taken[0]]}' too."
            )
            continue
        owners.update(dict.fromkeys((component.name for component in known.metric.components), name))
        found[name] = with_weights(known, to_measure=False)
    return found, problems
