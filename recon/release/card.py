"""The data card: what the data set is, how it was made, who is in it, under which terms, and what it is not for.

After Gebru et al., *Datasheets for Datasets* (2021), and Pushkarna et al., *Data Cards* (2022). Everything in it
follows from the records, so the same data set has the same card.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from recon.release.split import TEST, TRAIN, is_numeric
from recon.rendering.export.provenance import licence_address

Records = Sequence[Mapping[str, Any]]

# An attribute with more levels than this is counted, not listed.
_MOST_LEVELS = 20

_CONTENTS = """\
| file | what |
|---|---|
| `subjects.csv`, `subjects.parquet` | one row a subject: attributes, split, licence, shares, fit |
| `subjects/<id>/albedo.exr` | complete albedo map, {size}×{size}, linear RGB (Rec. 709, D65), half float |
| `subjects/<id>/albedo.png` | the same, sRGB-encoded, 8 bits |
| `subjects/<id>/seen.png` | mask: texels whose colour is the photograph's; everything else is completed |
| `subjects/<id>/skin.png` | mask, part of `seen.png`: skin, without brows, eyes, lip interior, hair, beard, glasses |
| `subjects/<id>/vertices.npy` | `(V, 3)` float32 positions in the topology of `{model}`, in its unit ({unit}) |
| `subjects/<id>/head.glb`, `head.obj` | the textured head in metres, y up: skin, scalp and neck, eyes, teeth, lashes |
| `subjects/<id>/preview.png` | rendered from the front and turned by 35° |
| `subjects/<id>/subject.json` | attributes, split, licence, provenance, quality of the fit, sha256 of every file |
| `splits/train.txt`, `splits/test.txt` | ids |
| `database.json`, `entries/` | the same people as a texture database for mesoface |
| `LICENCE.txt`, `SHA256SUMS` | terms; checksums (`sha256sum -c SHA256SUMS`) |

Maps follow the OBJ convention: u to the right, v up, row 0 at v = 1. All meshes share one topology and one UV layout,
so vertex i and texel (r, c) are the same place of every face."""

_MADE = """\
Each photograph was decoded to sRGB and upright; 68 landmarks were found; the morphable model `{model}` was fitted to
them (identity, expression, pose, perspective camera) together with second-order spherical-harmonics lighting. The
photograph, divided by the fitted shading, was unwrapped to UV where the surface is seen by the camera. What it does not
show was completed: first by the mirror image of the other half in this half's colour, then by the mean face of the
**training** subjects carried over by a smooth colour ratio; nobody of the test set has a part in anybody else's map.
Subjects whose fit failed are left out; `fit.verdict` in `subject.json` marks the doubtful ones."""

_LIMITS = """\
- The albedo is estimated from one photograph. What the lighting model does not explain (highlights, cast shadows, the
  colour of the light) remains in it; tone is comparable within one studio's photographs, not measured reflectance.
- Only texels in `seen.png` were observed. Sides of the face, ears, neck, and what hair, beard or glasses cover are
  completed, and plausible at best: do not judge or train fine detail outside of that mask.
- Detail finer than a pixel of the photograph does not exist in the map; between the outer eye corners the photographs
  have {interocular} pixels.
- The mesh is the closest shape that a linear model can make: no wrinkles, no hair, and depth as one view tells it.
- The back of the head, eyes, teeth and lashes are neutral stand-ins, drawn by rule, the same for everybody.
- Attributes are as the source recorded them."""

_USE = """\
For research on facial texture: training and testing reconstruction and synthesis, rendering studies, statistics of
skin. Not for recognising, ranking or inferring traits of the people shown, for putting them into scenes that they have
not agreed to, or for products that decide about people."""


def data_card(title: str, records: Records, settings: Mapping[str, Any], failed: Sequence[Sequence[str]]) -> str:
    """The Markdown text of the card.

    Args:
        title: name of the data set.
        records: ``subject.json`` of all subjects.
        settings: ``dataset.json``'s settings.
        failed: id and reason of everybody who was left out.
    """
    interocular = [record["fit"]["interocular"] for record in records]
    values = {
        "size": settings["size"],
        "model": settings["face_model"]["name"],
        "unit": settings["face_model"]["unit"],
        "interocular": f"{min(interocular):.0f} to {max(interocular):.0f}",
    }
    sections = [
        f"# {title}",
        _summary(records, settings),
        "## What is in it\n\n" + _CONTENTS.format(**values),
        "## How it was made\n\n" + _MADE.format(**values) + "\n\n" + _made_with(settings),
        "## Who is in it\n\n" + _people(records),
        "## Split\n\n" + _split(records, settings),
        "## Licence and citation\n\n" + _terms(records, settings),
        "## Intended use\n\n" + _USE,
        "## Known limits\n\n" + _LIMITS.format(**values),
        "## Left out\n\n" + _left_out(failed),
    ]
    return "\n\n".join(sections) + "\n"


def _summary(records: Records, settings: Mapping[str, Any]) -> str:
    seen = float(np.mean([record["seen_share"] for record in records]))
    restricted = sum(bool(record["restricted"]) for record in records)
    text = (
        f"3-D face models with albedo maps of {len(records)} people, made from one photograph each of the data set "
        f"`{settings['data']}`. On average {seen:.0%} of a map, which reaches "
        "from the scalp to the neck and around both ears, has its colour from the photograph; the rest is completed."
    )
    if restricted:
        text += (
            f"\n\n**Restricted: {restricted} of the {len(records)} subjects may not be redistributed** (column "
            "`restricted`). This copy is for the use of those who hold the photographs."
        )
    return text


def _made_with(settings: Mapping[str, Any]) -> str:
    model = settings["face_model"]
    return (
        f"Made with mesoface {settings['mesoface']}, face model `{model['name']}` version {model['version']} "
        f"({model['licence']})."
    )


def _people(records: Records) -> str:
    """Counts by attribute and split; numbers as range and median."""
    names = sorted({name for record in records for name in record["attributes"]})
    if not names:
        return "The source records no attributes."
    rows = ["| attribute | value | train | test | all |", "|---|---|---:|---:|---:|"]
    for name in names:
        values = {record["id"]: record["attributes"].get(name, "") for record in records}
        if is_numeric(values.values()):
            rows.append(_number_row(name, records))
            continue
        levels = sorted(set(values.values()))
        if len(levels) > _MOST_LEVELS:
            rows.append(f"| {name} | {len(levels)} different | {_counts(records)} |")
            continue
        for level in levels:
            chosen = [record for record in records if values[record["id"]] == level]
            rows.append(f"| {name} | {level or 'not recorded'} | {_counts(chosen)} |")
    rows.append(f"| **all** | | {_counts(records)} |")
    return "\n".join(rows)


def _number_row(name: str, records: Records) -> str:
    def told(chosen: Records) -> str:
        numbers = [float(one["attributes"][name]) for one in chosen if one["attributes"].get(name)]
        return f"{min(numbers):g}–{max(numbers):g}, median {np.median(numbers):g}" if numbers else "–"

    sides = [[record for record in records if record["split"] == side] for side in (TRAIN, TEST)]
    return f"| {name} | range | {told(sides[0])} | {told(sides[1])} | {told(records)} |"


def _counts(records: Records) -> str:
    sides = Counter(record["split"] for record in records)
    return f"{sides[TRAIN]} | {sides[TEST]} | {len(records)}"


def _split(records: Records, settings: Mapping[str, Any]) -> str:
    sides = Counter(record["split"] for record in records)
    return (
        f"{sides[TRAIN]} subjects to train, {sides[TEST]} to test (share {settings['test_fraction']:g}, seed "
        f"{settings['seed']}). Nobody is in both, subjects with the same attribute `person` stay together, and people "
        "are drawn systematically along their attributes, so that both sides have the same mix."
    )


def _terms(records: Records, settings: Mapping[str, Any]) -> str:
    """Every licence with its citation and the number of subjects under it."""
    found = Counter((r["licence"]["name"], r["licence"]["citation"], bool(r["restricted"])) for r in records)
    lines = []
    for (name, citation, restricted), count in sorted(found.items()):
        address = licence_address(name)
        lines.append(
            f"- {count} subjects: {f'[{name}]({address})' if address else name}"
            f"{'; **not to be redistributed**' if restricted else ''}.{f' {citation}' if citation else ''}"
        )
    lines.append(
        f"- The meshes' topology and UV layout are those of the face model `{settings['face_model']['name']}`: "
        f"{settings['face_model']['licence']}."
    )
    return "\n".join(lines)


def _left_out(failed: Sequence[Sequence[str]]) -> str:
    if not failed:
        return "Nobody."
    reasons: dict[str, list[str]] = {}
    for name, why in failed:
        reasons.setdefault(why, []).append(name)
    return "\n".join(f"- {', '.join(sorted(names))}: {why}" for why, names in sorted(reasons.items()))
