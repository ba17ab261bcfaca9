"""What a metric must do for its numbers to be trusted, tested on made-up pairs (:mod:`metrics.made_up_pairs`).

Properties that follow from the contract: identical pictures have the ideal value, a stronger disturbance is not better
than a slight one, nothing outside of the region is read, an empty region has no number, a batch is as good as one by
one, equal calls give equal numbers, and nothing that is given is changed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, get_args

import numpy as np

from metrics import METRICS, SET_METRICS
from metrics.contract import Component, Direction, Judged, Metric, SetMetric, Space, Weights
from metrics.made_up_pairs import SLIGHT, STRONG, fresh, made_up_pair, with_outside, with_region
from recon.conformance import Finding, Findings, fingerprint, other_global_seeds, require, require_json

# The identical pair comes this near to the ideal value, in parts of what a slight disturbance changes.
NEAR = 0.01
# A batch may sum in another order than one by one.
SAME = {"rtol": 1e-4, "atol": 1e-5}
PEOPLE = 8
_EMPTY = "it must give NaN, not a number or an error: where nothing is judged there is nothing to say."

Values = list[list[float]]


def check_metric(name: str, metric: Any) -> list[Finding]:
    """All conformance tests of a metric of single results.

    Args:
        name: of its entry point.
        metric: what the entry point gives.
    """
    findings = Findings()
    findings.check("its name is free", lambda: _free_name(name))
    if not _described(findings, name, metric, Metric):
        return findings.found
    for space in sorted(metric.spaces):
        _check_in(findings, metric, space)
    return findings.found


def check_set_metric(name: str, metric: Any) -> list[Finding]:
    """All conformance tests of a metric of sets; arguments as for :func:`check_metric`."""
    findings = Findings()
    findings.check("its name is free", lambda: _free_name(name))
    if not _described(findings, name, metric, SetMetric):
        return findings.found
    for space in sorted(metric.spaces):
        _check_set_in(findings, metric, space)
    return findings.found


def _free_name(name: str) -> None:
    taken = {*METRICS.built_in, *SET_METRICS.built_in}
    require(name not in taken, f"'{name}' is a metric of mesoface itself and keeps its meaning: rename it.")


def _described(findings: Findings, name: str, metric: Any, kind: type) -> bool:
    """The tests of what a metric says of itself; whether the others can follow."""
    if not findings.check("it is an instance of its contract", lambda: _is(metric, kind)):
        return False
    checked = [
        findings.check("it names library, version, spaces and reference", lambda: _identified(metric)),
        findings.check("its parameters can be written as JSON", lambda: _parameters(metric)),
        findings.check("its components are named, and nobody else's", lambda: _components(name, metric)),
    ]
    if not all(checked):
        return False
    if metric.weights is not None:
        findings.check("its weights are loaded and named", lambda: _weights(metric))
        return findings.found[-1].state == "passed"
    return True


def _is(metric: Any, kind: type) -> None:
    require(
        isinstance(metric, kind),
        f"the entry point gives a {type(metric).__name__}, not a {kind.__name__} of metrics/contract.py.",
    )


def _identified(metric: Metric | SetMetric) -> None:
    for attribute in ("library", "version"):
        value = getattr(metric, attribute)
        require(isinstance(value, str) and bool(value), f"{attribute} is {value!r}: a number needs to say whose it is.")
    require(metric.reference in ("photograph", "truth"), f"reference is {metric.reference!r}.")
    allowed = {"uv", "image"} if metric.reference == "photograph" else {"uv", "shape"}
    require(
        bool(metric.spaces) and set(metric.spaces) <= allowed,
        f"spaces are {sorted(metric.spaces)}: against the {metric.reference} there are {sorted(allowed)}.",
    )


def _parameters(metric: Metric | SetMetric) -> None:
    require(isinstance(metric.parameters, Mapping), "parameters is no dictionary.")
    require_json(dict(metric.parameters), "parameters")


def _components(name: str, metric: Metric | SetMetric) -> None:
    require(
        isinstance(metric.components, tuple) and bool(metric.components),
        "components is no tuple of Component, or empty.",
    )
    require(all(isinstance(part, Component) for part in metric.components), "components holds what is no Component.")
    names = [part.name for part in metric.components]
    require(all(names) and len(set(names)) == len(names), f"two components share a name, or one has none: {names}.")
    for part in metric.components:
        require(
            part.direction in get_args(Direction),
            f"the direction of '{part.name}' is {part.direction!r}: higher, lower, one or none.",
        )
    taken = dict(_taken(name))
    clash = [part for part in names if part in taken]
    require(not clash, f"'{', '.join(clash)}' is a component of '{taken.get(clash[0]) if clash else ''}': rename it.")


def _taken(name: str) -> Iterator[tuple[str, str]]:
    """Components of all metrics of mesoface, with their family."""
    for registry in (METRICS, SET_METRICS):
        for family in registry.built_in:
            if family != name:
                yield from ((part.name, family) for part in registry.get(family).components)


def _weights(metric: Metric | SetMetric) -> None:
    assert metric.weights is not None
    found = metric.weights()
    require(isinstance(found, Weights), f"weights() gave a {type(found).__name__}, not Weights.")
    digits = set("0123456789abcdef")
    require(
        len(found.sha256) == 64 and set(found.sha256) <= digits,
        "sha256 has not 64 hexadecimal digits: hash the tensors that were loaded.",
    )


def _measured(metric: Metric, batch: Sequence[Judged]) -> Values:
    """The values of a batch, checked for their number."""
    found = metric.measure(batch, "cpu")
    require(len(found) == len(batch), f"measure() gave {len(found)} rows for {len(batch)} results.")
    values = [[float(value) for value in row] for row in found]
    wanted = len(metric.components)
    require(
        all(len(row) == wanted for row in values),
        f"measure() gave {len(values[0]) if values else 0} numbers for {wanted} components.",
    )
    return values


def _check_in(findings: Findings, metric: Metric, space: Space) -> None:
    """The tests of a metric's numbers in one space."""
    batch = [made_up_pair(space, strength) for strength in (0.0, SLIGHT, STRONG)]
    values: Values = []

    def first() -> None:
        with other_global_seeds(1):
            values.extend(_measured(metric, batch))
        for part, column in zip(metric.components, np.array(values).T, strict=True):
            require(
                bool(np.isfinite(column).all()),
                f"'{part.name}' is {column.tolist()} on a face of 256×256 pixels and two disturbed copies of it.",
            )

    before = fingerprint([[one.result, one.reference, one.region, one.demanded, one.whole] for one in batch])
    if not findings.check(f"{space}: it measures a face, and finitely", first):
        return
    after = fingerprint([[one.result, one.reference, one.region, one.demanded, one.whole] for one in batch])
    findings.check(
        f"{space}: it changes nothing that it is given",
        lambda: require(before == after, "pictures or masks were changed: copy them first, other metrics share them."),
    )
    findings.check(f"{space}: equal calls give equal numbers", lambda: _repeats(metric, batch, values))
    findings.check(f"{space}: identical pictures have the ideal value", lambda: _ideal(metric.components, values))
    findings.check(f"{space}: more disturbance is not better", lambda: _ordered(metric.components, values))
    findings.check(f"{space}: a batch is as good as one by one", lambda: _one_by_one(metric, batch, values))
    findings.check(f"{space}: nothing outside of the region is read", lambda: _inside(metric, batch, values))
    findings.check(f"{space}: an empty region has no number", lambda: _empty(metric, batch))


def _repeats(metric: Metric, batch: Sequence[Judged], values: Values) -> None:
    with other_global_seeds(2):
        again = _measured(metric, fresh(batch))
    require(
        np.array_equal(values, again, equal_nan=True),
        f"{_off(metric.components, values, again)}: seed whatever is drawn by something that the parameters state.",
    )


def _off(components: Sequence[Component], first: Values, second: Values) -> str:
    """The component whose values differ most, in words."""
    gap = np.nan_to_num(np.abs(np.array(first) - np.array(second)), nan=np.inf)
    row, column = (int(place) for place in np.unravel_index(int(gap.argmax()), gap.shape))
    return f"'{components[column].name}' is {first[row][column]:.6g} and {second[row][column]:.6g}"


def _distance(direction: Direction, value: float) -> float:
    """How far a value is from good, where less is better."""
    if direction == "one":
        return abs(math.log2(value)) if value > 0 else math.inf
    return -value if direction == "higher" else value


def _ideal(components: Sequence[Component], values: Values) -> None:
    for index, part in enumerate(components):
        if part.direction == "none":
            continue
        same, slight, strong = (_distance(part.direction, row[index]) for row in values)
        margin = NEAR * abs(slight) + 1e-9
        require(
            same <= min(slight, strong) + margin,
            f"'{part.name}' is {values[0][index]:.6g} for identical pictures and {values[1][index]:.6g} for slightly "
            f"disturbed ones, although '{part.direction}' is better: correct the direction or the sign.",
        )
        require(
            part.direction == "higher" or abs(same) <= margin + 1e-6,
            f"'{part.name}' is {values[0][index]:.6g} for identical pictures; the ideal of the direction "
            f"'{part.direction}' is {1 if part.direction == 'one' else 0}.",
        )


def _ordered(components: Sequence[Component], values: Values) -> None:
    for index, part in enumerate(components):
        if part.direction == "none":
            continue
        slight, strong = (_distance(part.direction, row[index]) for row in values[1:])
        require(
            not (math.isfinite(slight) and math.isfinite(strong)) or strong >= slight - NEAR * abs(slight),
            f"'{part.name}' is {values[1][index]:.6g} for a slight and {values[2][index]:.6g} for a strong "
            f"disturbance, which is better although '{part.direction}' is: correct the direction or the sign.",
        )


def _one_by_one(metric: Metric, batch: Sequence[Judged], values: Values) -> None:
    single = [_measured(metric, [one])[0] for one in fresh(batch)]
    require(
        np.allclose(values, single, **SAME, equal_nan=True),
        f"{_off(metric.components, values, single)} in a batch and alone: no result may depend on its neighbours.",
    )


def _inside(metric: Metric, batch: Sequence[Judged], values: Values) -> None:
    for value, what in ((0.2, "other pixels"), (float("nan"), "NaN")):
        found = _measured(metric, [with_outside(one, value) for one in fresh(batch)])
        require(
            np.allclose(values, found, **SAME, equal_nan=True),
            f"{_off(metric.components, values, found)} with {what} outside of the region: crop and fill as "
            "metrics/regions.py does, and take no window that reaches out of the region.",
        )


def _empty(metric: Metric, batch: Sequence[Judged]) -> None:
    for one in batch[1:2]:
        try:
            found = _measured(metric, [with_region(one, np.zeros_like(one.region))])[0]
        except Exception as error:
            require(False, f"it raised {type(error).__name__} ({error}) on an empty region; {_EMPTY}")
        require(all(math.isnan(value) for value in found), f"it gave {found} on an empty region; {_EMPTY}")


Gathered = dict[str, Any]


def _check_set_in(findings: Findings, metric: SetMetric, space: Space) -> None:
    """The tests of a set metric's numbers in one space: eight made-up people under three disturbances."""
    sets = [[made_up_pair(space, strength, seed) for seed in range(PEOPLE)] for strength in (0.0, SLIGHT, STRONG)]
    described: list[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]] = []
    gathered: list[Gathered] = []

    def first() -> None:
        with other_global_seeds(1):
            for batch in sets:
                described.append(_descriptors(metric, batch))
                gathered.append(_gathered(metric, batch, *described[-1]))
        for found in gathered:
            # A component of one group of people has no value where the group is empty.
            known = [name for name, value in found.items() if bool(np.isfinite(value).any())]
            require(bool(known), f"none of {sorted(found)} has a value for {PEOPLE} made-up people.")

    before = fingerprint([[[one.result, one.reference, one.region] for one in batch] for batch in sets])
    if not findings.check(f"{space}: it measures a set of people, and finitely", first):
        return
    after = fingerprint([[[one.result, one.reference, one.region] for one in batch] for batch in sets])
    findings.check(
        f"{space}: it changes nothing that it is given",
        lambda: require(before == after, "pictures or masks were changed: copy them first, other metrics share them."),
    )
    means = [[_mean(found[part.name]) for part in metric.components] for found in gathered]
    findings.check(f"{space}: equal calls give equal numbers", lambda: _set_repeats(metric, sets[1], gathered[1]))
    findings.check(f"{space}: the order of people does not matter", lambda: _unordered(metric, sets[1], described[1]))
    findings.check(f"{space}: more disturbance is not better", lambda: _ordered(metric.components, means))
    findings.check(
        f"{space}: nothing outside of the region is read", lambda: _set_inside(metric, sets[1], described[1])
    )
    findings.check(f"{space}: an empty region has no descriptor", lambda: _set_empty(metric, sets[1][0]))
    findings.check(f"{space}: too few people are no error", lambda: _few(metric, sets[1], described[1]))


def _mean(values: Any) -> float:
    """Mean of what is a number; NaN where nothing is."""
    finite = np.atleast_1d(values)[np.isfinite(np.atleast_1d(values))]
    return float(finite.mean()) if len(finite) else math.nan


def _descriptors(metric: SetMetric, batch: Sequence[Judged]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """``(N, D)`` of the results and of the references, checked."""
    found = metric.describe(batch, "cpu")
    require(len(found) == len(batch), f"describe() gave {len(found)} pairs for {len(batch)} results.")
    sides = [[np.asarray(pair[side]) for pair in found] for side in (0, 1)]
    shapes = {array.shape for side in sides for array in side}
    require(
        len(shapes) == 1 and len(next(iter(shapes))) == 1,
        f"descriptors have the shapes {sorted(shapes)}: all must be (D,) of one length.",
    )
    kinds = {array.dtype for side in sides for array in side}
    require(kinds == {np.dtype(np.float32)}, f"descriptors hold {', '.join(map(str, kinds))}, not float32.")
    return np.stack(sides[0]), np.stack(sides[1])


def _gathered(
    metric: SetMetric, batch: Sequence[Judged], results: np.ndarray[Any, Any], references: np.ndarray[Any, Any]
) -> Gathered:
    found = dict(metric.gather([one.subject for one in batch], results, references))
    wanted = {part.name for part in metric.components}
    require(set(found) == wanted, f"gather() gave {sorted(found)}, its components are {sorted(wanted)}.")
    for name, value in found.items():
        require(
            np.ndim(value) == 0 or np.shape(value) == (len(batch),),
            f"'{name}' has the shape {np.shape(value)}: a number, or one for each of the {len(batch)} people.",
        )
    return found


def _alike(first: Gathered, second: Gathered, mend: str, tolerance: Mapping[str, float] | None = None) -> None:
    for name, value in first.items():
        same = (
            np.allclose(value, second[name], **tolerance, equal_nan=True)
            if tolerance
            else np.array_equal(value, second[name], equal_nan=True)
        )
        require(bool(same), f"'{name}' is {value} and {second[name]}: {mend}")


def _set_repeats(metric: SetMetric, batch: Sequence[Judged], before: Gathered) -> None:
    with other_global_seeds(2):
        again = _gathered(metric, batch, *_descriptors(metric, fresh(batch)))
    _alike(before, again, "seed whatever is drawn by something that the parameters state.")


def _unordered(metric: SetMetric, batch: Sequence[Judged], described: tuple[Any, Any]) -> None:
    order = list(range(len(batch)))[::-1]
    turned = _gathered(metric, [batch[i] for i in order], described[0][order], described[1][order])
    straight = _gathered(metric, batch, *described)
    back = {name: value if np.ndim(value) == 0 else np.asarray(value)[order] for name, value in turned.items()}
    _alike(straight, back, "people come in any order: seed subsets by their names, not by their places.", SAME)


def _set_inside(metric: SetMetric, batch: Sequence[Judged], described: tuple[Any, Any]) -> None:
    for value, what in ((0.2, "other pixels"), (float("nan"), "NaN")):
        found = _descriptors(metric, [with_outside(one, value) for one in fresh(batch)])
        require(
            all(np.allclose(a, b, rtol=1e-3, atol=1e-4, equal_nan=True) for a, b in zip(described, found, strict=True)),
            f"descriptors change with {what} outside of the region: crop and fill as metrics/regions.py does.",
        )


def _set_empty(metric: SetMetric, one: Judged) -> None:
    try:
        results, references = _descriptors(metric, [with_region(one, np.zeros_like(one.region))])
    except Exception as error:
        require(False, f"describe() raised {type(error).__name__} ({error}) on an empty region; {_EMPTY}")
    require(bool(np.isnan(results).all() and np.isnan(references).all()), f"describe() gave numbers; {_EMPTY}")


def _few(metric: SetMetric, batch: Sequence[Judged], described: tuple[Any, Any]) -> None:
    for count in (0, 1):
        try:
            _gathered(metric, batch[:count], described[0][:count], described[1][:count])
        except Exception as error:
            require(False, f"gather() raised {type(error).__name__} ({error}) for {count} people: give NaN.")


CHECKS: Mapping[str, Callable[[str, Any], list[Finding]]] = {
    METRICS.group: check_metric,
    SET_METRICS.group: check_set_metric,
}
"""The tests of each entry-point group of this room."""
