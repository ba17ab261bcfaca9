"""The texture database: complete albedo maps of many people in one UV layout.

On disk a folder::

    database.json            face model, size, source, recipe (version of the code that made the entries), entries (id,
                             photograph's sha256, attributes, licence), skipped
    entries/<id>.npy         (S, S, 3) float16, sRGB-encoded albedo, 0 where unseen
    entries/<id>.masks.npy   (S, S) uint8, bit 0 visible, bit 1 skin
    derived/…                what is computed once per database: completed textures, statistics, correlations

``database.json`` is written last: without it the folder is a build that can be continued.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from recon.colour import linear_to_srgb
from recon.errors import DatabaseError
from recon.face_model.model import MorphableModel
from recon.fitting.fit import AlbedoModel
from recon.storage import read_json, write_json, write_npy
from recon.texture.gaussian import filtering_on
from recon.texture.masked import dilate, erode, extend, feather, large_components, masked_gaussian
from recon.texture.pca import TexturePCA, fit_pca
from recon.texture.skin import face_mask, feature_mask
from recon.texture.symmetry import mirror_coordinates, mirrored
from recon.texture.uv_map import UVMap, uv_map
from recon.texture.vertex_albedo import vertex_albedo_model

# Raise when entries or derived files change meaning, so that old caches are not read.
FORMAT = 2
_VISIBLE, _SKIN = 1, 2
# Fewer textures than this span no convex hull worth the name.
LEAST_ENTRIES = 4
# Share of the people who must show a texel as skin for it to belong to the common skin mask.
_AGREEMENT = 0.5
# Width in texels at 512² over which seen and completed texture blend into each other.
_FEATHER = 8.0
# Rim of the seen skin that is not trusted to be skin alone, texels at 512².
_RIM = 3.0


@dataclass(frozen=True)
class Entry:
    """One person of the database.

    Attributes:
        id: subject id.
        sha256: of the photograph's pixels (or of the texture for made ones); a person is recognised by it as well.
        attributes: as recorded by the source.
        licence: name of the licence.
    """

    id: str
    sha256: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    licence: str = "unknown"


@dataclass(frozen=True, eq=False)
class TextureDatabase:
    """An opened database, or a part of one (:meth:`without`).

    Attributes:
        folder: where it lies.
        model: the face model whose UV square it uses.
        size: side of the textures in texels.
        entries: the people, in order of id.
        recipe: version of the code that made the entries.
    """

    folder: Path
    model: MorphableModel
    size: int
    entries: tuple[Entry, ...]
    recipe: str = ""

    @property
    def ids(self) -> tuple[str, ...]:
        """Subject ids, in the order of every array here."""
        return tuple(entry.id for entry in self.entries)

    @property
    def hashes(self) -> frozenset[str]:
        """sha256 of the source photographs."""
        return frozenset(entry.sha256 for entry in self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    @cached_property
    def identity(self) -> str:
        """Names this very set of textures; part of every key of a derived file."""
        text = "\n".join(
            [str(FORMAT), self.model.name, self.model.version, str(self.size), *([self.recipe] if self.recipe else [])]
            + [f"{entry.id} {entry.sha256}" for entry in self.entries]
        )
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def without(self, ids: Iterable[str] = (), hashes: Iterable[str] = ()) -> TextureDatabase:
        """The same database less the people named by id or by the hash of their photograph."""
        left_ids, left_hashes = set(ids), set(hashes)
        kept = tuple(e for e in self.entries if e.id not in left_ids and e.sha256 not in left_hashes)
        return replace(self, entries=kept)

    def require_absent(self, subject_id: str, sha256: str) -> None:
        """Raises :class:`DatabaseError` if the tested person is in the database, by id or by photograph."""
        for entry in self.entries:
            if entry.id == subject_id or entry.sha256 == sha256:
                raise DatabaseError(
                    f"subject '{subject_id}' is in the texture database '{self.folder.name}' as '{entry.id}': "
                    "nobody may be tested with their own texture; build the database with --exclude."
                )

    def require_enough(self) -> None:
        """Raises :class:`DatabaseError` if there are too few people to combine."""
        if len(self) < LEAST_ENTRIES:
            raise DatabaseError(
                f"texture database '{self.folder.name}' holds {len(self)} usable people, {LEAST_ENTRIES} are the "
                "least that can be combined: add photographs to its source or test fewer subjects."
            )

    @cached_property
    def layout(self) -> UVMap:
        """Raster of the UV square at the database's size."""
        return uv_map(self.model, self.size)

    def masks(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """``(N, S, S)`` bool visible and skin masks."""
        visible, skin = zip(*(self.masks_of(name) for name in self.ids), strict=True)
        return np.stack(visible), np.stack(skin)

    def sure_skin(self) -> NDArray[np.bool_]:
        """``(N, S, S)`` bool: skin without the rim of what was seen, where hair and background bleed into it."""
        _, skin = self.masks()
        return np.stack([erode(mask, _RIM * self.size / 512.0) for mask in skin])

    def derived(self, name: str, make: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        """An array that is computed once for this set of textures and then read (memory-mapped) from disk."""
        path = self.folder / "derived" / self.identity / f"{name}.npy"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            # Workers wait for the one that is already computing it; the lock of a killed one is free again.
            with FileLock(path.with_suffix(".lock")):
                if not path.exists():
                    with filtering_on("cpu"):  # kept for whoever comes, so the same whoever made it
                        made = make()
                    write_npy(path, made)
        return np.load(path, mmap_mode="r")

    @cached_property
    def skin_mask(self) -> NDArray[np.bool_]:
        """``(S, S)`` bool: skin of (nearly) everybody, cleaned: the domain of all texture statistics.

        Texels that half of the people show as skin (a fringe must not take the forehead from all) and that lie in
        no facial feature, without specks.
        """

        def make() -> NDArray[np.bool_]:
            scale = self.size / 512.0
            agreed = self.sure_skin().mean(axis=0) >= _AGREEMENT
            closed = ~dilate(erode(~agreed, 1.0 * scale), 1.0 * scale)
            usable = closed & face_mask(self.model, self.layout) & ~feature_mask(self.model, self.layout)
            return large_components(erode(usable, 1.0 * scale), share=0.02)

        return np.asarray(self.derived("skin-mask", make))

    @cached_property
    def textures(self) -> NDArray[np.float16]:
        """``(N, S, S, 3)`` float16, sRGB-encoded, complete over the whole square (memory-mapped)."""
        return self.derived("complete", self._complete)

    def _complete(self) -> NDArray[np.float16]:
        """Fills what was not seen: mirrored skin first, then the mean face carried over by a smooth colour ratio."""
        out = np.zeros((len(self), self.size, self.size, 3), np.float16)
        for index, name in enumerate(self.ids):
            out[index] = self.completed(name)
        return out

    def completed(self, name: str) -> NDArray[np.float32]:
        """``(S, S, 3)`` float32 sRGB-encoded texture of one person, completed by its mirror image and the mean face.

        Args:
            name: id of anybody whose entry lies in the folder; who is not among ``ids`` is completed by the mean of
                those who are, and has no part in it.
        """
        coordinates = mirror_coordinates(self.model, self.size)
        return complete_symmetric(self.seen_texture(name), self.trusted(name), self.mean_texture, coordinates)

    @cached_property
    def mean_texture(self) -> NDArray[np.float32]:
        """``(S, S, 3)`` float32 sRGB-encoded mean of what is known of everybody, extended over the whole square."""
        return np.asarray(self.derived("mean", self._mean))

    def _mean(self) -> NDArray[np.float32]:
        """One person in memory at a time."""
        tones = np.stack([self.seen_texture(name)[self.trusted(name)].mean(axis=0) for name in self.ids])
        total = np.zeros((self.size, self.size, 3), np.float32)
        count = np.zeros((self.size, self.size), np.int64)
        for name, tone in zip(self.ids, tones, strict=True):
            known = self.trusted(name)
            # Everybody in the same tone, or the mean would jump where other people begin to contribute.
            toned = self.seen_texture(name) * (tones.mean(axis=0) / np.maximum(tone, 0.02))
            total += np.where(known[..., None], toned, 0)
            count += known
        often = count >= max(2, len(self) // 4)
        return extend(total / np.maximum(count, 1)[..., None], often)

    def trusted(self, name: str) -> NDArray[np.bool_]:
        """``(S, S)`` bool: texels of one person whose colour is the face's own: skin, and features that are seen."""
        visible, skin = self.masks_of(name)
        return np.asarray(skin | (visible & self._features))

    def masks_of(self, name: str) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """``(S, S)`` bool visible and skin masks of one person."""
        bits = np.load(self.folder / "entries" / f"{name}.masks.npy")
        return (bits & _VISIBLE) > 0, (bits & _SKIN) > 0

    @cached_property
    def _features(self) -> NDArray[np.bool_]:
        return feature_mask(self.model, self.layout)

    def seen_texture(self, name: str) -> NDArray[np.float32]:
        """``(S, S, 3)`` float32 sRGB-encoded texture of one person as it was seen, 0 elsewhere; nothing completed."""
        return np.asarray(np.load(self.folder / "entries" / f"{name}.npy"), dtype=np.float32)

    @cached_property
    def pca(self) -> TexturePCA:
        """Principal components of the complete textures (memory-mapped)."""

        def make() -> NDArray[np.float32]:
            made = fit_pca(np.asarray(self.textures, dtype=np.float32))
            return np.concatenate([made.mean[None], made.basis])

        kept = np.asarray(self.derived("pca", make))
        return TexturePCA(kept[0], kept[1:])

    @cached_property
    def albedo_model(self) -> AlbedoModel:
        """Vertex albedo of these people, for the photometric fit."""

        def make() -> NDArray[np.float32]:
            made = vertex_albedo_model(self.model, self.textures)
            return np.concatenate([made.mean[None], made.basis])

        kept = np.asarray(self.derived("vertex-albedo", make))
        return AlbedoModel(kept[0], kept[1:])


def complete_symmetric(
    texture: NDArray[np.float32],
    known: NDArray[np.bool_],
    mean: NDArray[np.float32],
    coordinates: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Completes an ``(S, S, 3)`` sRGB-encoded texture: by its mirror image, then by ``mean`` (see below).

    Args:
        known: ``(S, S)`` bool texels to keep.
        mean: ``(S, S, 3)`` complete texture that fills what neither side shows.
        coordinates: from :func:`recon.texture.symmetry.mirror_coordinates`.
    """
    width = _FEATHER * known.shape[0] / 512.0
    other, has_other = mirrored(texture, known, coordinates)
    both = complete_from(other, has_other, mean, width)
    # The mirrored half is given the colour of this half before it is used.
    return complete_from(texture, known, both, width)


def complete_from(
    texture: NDArray[np.float32], known: NDArray[np.bool_], fill: NDArray[np.float32], width: float
) -> NDArray[np.float32]:
    """Fills an ``(S, S, 3)`` sRGB-encoded texture with ``fill`` times the smoothly extended low-pass ratio to it.

    Inside ``known`` the texture is kept, over ``width`` texels from its rim it blends into the fill, so that no seam
    can show.
    """
    if not known.any():
        return fill
    smooth = masked_gaussian(texture, known, width) / np.maximum(masked_gaussian(fill, known, width), 0.02)
    filled = np.clip(fill * extend(np.clip(smooth, 0.2, 5.0), known), 0.0, 1.0)
    alpha = feather(known, width)[..., None]
    return np.asarray(alpha * texture + (1.0 - alpha) * filled, dtype=np.float32)


def write_entry(
    folder: Path,
    name: str,
    albedo: NDArray[np.floating],
    visible: NDArray[np.bool_],
    skin: NDArray[np.bool_],
) -> None:
    """Writes one person's texture (``albedo`` linear RGB) and masks, the masks last."""
    entries = folder / "entries"
    entries.mkdir(parents=True, exist_ok=True)
    encoded = linear_to_srgb(np.where(visible[..., None], albedo, 0)).astype(np.float16)
    write_npy(entries / f"{name}.npy", encoded)
    write_npy(entries / f"{name}.masks.npy", (visible * _VISIBLE + skin * _SKIN).astype(np.uint8))


def write_index(
    folder: Path,
    model: MorphableModel,
    size: int,
    source: str,
    entries: Sequence[Entry],
    skipped: Sequence[Any] = (),
    recipe: str = "",
) -> None:
    """Writes ``database.json``, which makes the folder a database."""
    write_json(
        folder / "database.json",
        {
            "format": FORMAT,
            "face_model": {"name": model.name, "version": model.version},
            "size": size,
            "source": source,
            "recipe": recipe,
            "entries": [
                {"id": e.id, "sha256": e.sha256, "attributes": dict(e.attributes), "licence": e.licence}
                for e in sorted(entries, key=lambda e: e.id)
            ],
            "skipped": [list(item) for item in skipped],
        },
    )


def open_database(folder: Path, model: MorphableModel | None = None) -> TextureDatabase:
    """Opens a database folder.

    Args:
        model: the face model it must belong to; by default the one it names is loaded.

    Raises:
        DatabaseError: no database, unfinished, of another format, or of another face model.
    """
    index = folder / "database.json"
    if not index.exists():
        raise DatabaseError(
            f"{folder} is not a finished texture database (no database.json): run 'mesoface database build' to the end."
        )
    stored = read_json(index)
    if stored.get("format") != FORMAT:
        raise DatabaseError(f"{index} has format {stored.get('format')}, this mesoface reads {FORMAT}: build it again.")
    if model is None:
        from recon.face_model import load_face_model

        model = load_face_model(stored["face_model"]["name"])
    named = (stored["face_model"]["name"], stored["face_model"]["version"])
    if named != (model.name, model.version):
        raise DatabaseError(
            f"{folder} was made for face model {named[0]} ({named[1]}), not {model.name} ({model.version}): "
            "build it again or choose that model with --face-model."
        )
    entries = tuple(Entry(e["id"], e["sha256"], e["attributes"], e["licence"]) for e in stored["entries"])
    return TextureDatabase(folder, model, int(stored["size"]), entries, stored.get("recipe", ""))
