"""Whether the rendered face is still the same person: cosine similarity of dlib's face embeddings, and impostors.

The network (dlib's ResNet-29; King 2009 and 2017) maps a chip of 150 × 150 pixels, cut and turned by five landmarks, to
128 numbers; *identity similarity* ``= e(result) · e(photograph) / (‖e(result)‖ ‖e(photograph)‖)``.

*What is shown to the network.* The view is laid over the photograph, so eyes, hair and background are the
photograph's own on both sides, and would say "same person" whatever the method did. Both pictures therefore hold one
colour, the one that the network subtracts, everywhere but in

- an ellipse in the chip, inside the jaw of a face seen from the front and up to just above the brows, the same for
  everybody, so that the shape of what is shown says little of the person; less one ellipse over each eye;
- and of that, what the method vouches for: masks of skin know nothing of brows and lips, so inside the convex hull of
  the judged skin a pixel counts as the judged pixel that is nearest to it; beyond lie hair and background. For the
  regions ``skin/visible`` and ``skin/withheld`` the chip shows the part of the face around them. This is the one metric
  that reads beyond its region, since a face without brows and mouth is nobody's; judged pixels outside its region it
  never reads.

Where less than a fifth of the ellipse is shown there is no value. Landmarks are those of the fit to the photograph, for
both sides: the result is rendered in its place, and must not choose its own crop.

*How to read it.* Filled chips look more alike than whole ones, and so do people of one studio: only the distance from
impostors means something. ``identity-impostors`` compares each result with the photographs of all other subjects of the
set: *identity margin* is the similarity with one's own photograph less that with the best impostor; over the set, the
*rank-1 rate* (share whose nearest photograph is their own), the *equal error rate* and
``d′ = (μ_own − μ_impostor) / √((σ²_own + σ²_impostor) / 2)``. dlib's threshold, a Euclidean distance of 0.6, belongs to
whole chips and is not used.

*Bias.* dlib's network tells people of Asian and African descent apart less well than Europeans (reports and answers in
dlib's issues 480 and 2816, face_recognition's issue 362), and face matchers in general women less well than men
(Albiero et al. 2020, arXiv 2002.00065). Over the whole chips of 76 portraits of the London set, impostors have a mean
similarity of 0.89 among Black people, 0.90 among East Asian and 0.85 among white people; 0.86 among women and 0.84
among men. Compare methods on the same people, not people.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metrics.contract import Batch, Component, Judged, Metric, SetMetric, Weights
from metrics.regions import filled, region_key
from recon.errors import AssetError, InputError

Mask = NDArray[np.bool_]

ASSET = "dlib-embedding"
CHIP, PADDING = 150, 0.25
"""Side of the chip in pixels and margin around the face: those that the network was trained with."""
NUMBERS = 128
FILL = (123, 117, 104)
"""8-bit RGB outside what is shown: what dlib subtracts from its input, rounded."""

# In pixels of the chip: centre x, y and half axes. Over the fits of 24 London portraits under two protocols the jaw
# lies at x = 26 and 124 beside the mouth, the chin at y = 145 ± 5, the brows at y = 31, the eyes' corners inside 33–61
# and 88–114 and their lids inside 40–53.
FACE = (75.0, 78.0, 48.0, 56.0)
EYES = ((47.5, 48.0, 16.0, 9.0), (101.0, 48.0, 16.0, 9.0))
LEAST_SHOWN = 0.2
"""Part of the ellipse without the eyes that must be shown."""


def _ellipse(x: float, y: float, half_width: float, half_height: float) -> Mask:
    rows, columns = np.mgrid[:CHIP, :CHIP] + 0.5
    return np.asarray(((columns - x) / half_width) ** 2 + ((rows - y) / half_height) ** 2 <= 1.0)


@functools.lru_cache(maxsize=1)
def face_window() -> Mask:
    """``(150, 150)`` bool: the part of a chip that is shown of everybody."""
    return np.asarray(_ellipse(*FACE) & ~_ellipse(*EYES[0]) & ~_ellipse(*EYES[1]))


@functools.lru_cache(maxsize=1)
def _network() -> tuple[Any, Weights]:
    """dlib's network, and the hash of the very file that it was read from.

    Raises:
        AssetError: the file is absent or is none that dlib can read.
    """
    from recon.assets import file_sha256, require

    path = require(ASSET)  # absent weights are told at once, without the import of dlib
    import dlib

    try:
        network = dlib.face_recognition_model_v1(str(path))
    except RuntimeError as error:
        raise AssetError(
            f"'{path}' is no face recognition network of dlib's ({error}): run `mesoface assets fetch {ASSET} "
            f"--again`, or name the right file with `mesoface assets add {ASSET} PATH`."
        ) from error
    return network, Weights("dlib-resnet-29", file_sha256(path), path.name)


def loaded_weights() -> Weights:
    """The network that is used, loaded.

    Raises:
        AssetError: it is not on this machine, or damaged.
    """
    return _network()[1]


def _chip_place(landmarks: NDArray[np.floating]) -> Any:
    """Where dlib cuts the chip of a face with these landmarks ``(68, 2)`` (pixel centres at half)."""
    import dlib

    # dlib's points are whole numbers, and its pixel centres too.
    points = np.rint(np.asarray(landmarks, np.float64) - 0.5).astype(int)
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    box = dlib.rectangle(int(left), int(top), int(right), int(bottom))
    shape = dlib.full_object_detection(box, dlib.points([dlib.point(int(x), int(y)) for x, y in points]))
    return dlib.get_face_chip_details(shape, CHIP, PADDING)


@dataclass(frozen=True, eq=False)
class Shown:
    """What the network is shown of both pictures of a pair.

    Attributes:
        place: where dlib cuts the chip.
        barred: ``(H, W)`` bool: pixels of the pictures that must not be read.
        window: ``(150, 150)`` bool: pixels of the chip that are shown.
    """

    place: Any
    barred: Mask
    window: Mask

    @property
    def key(self) -> tuple[str, str, str]:
        """Equal for what gives equal chips of a picture."""
        return region_key(self.barred), region_key(self.window), repr((self.place.rect, self.place.angle))


def shown_of(demanded: Mask, region: Mask, whole: Mask, landmarks: NDArray[np.floating]) -> Shown:
    """What is shown of a face; see the module.

    Args:
        demanded, region, whole: ``(H, W)`` bool, as in :class:`metrics.contract.Judged`.
        landmarks: ``(68, 2)`` pixels, centres at half.
    """
    from scipy.ndimage import distance_transform_edt
    from skimage.morphology import convex_hull_image

    place = _chip_place(landmarks)
    judged = demanded | whole
    known, wanted = (_in_chip(mask, place) for mask in (judged, region))
    if wanted.sum() < LEAST_SHOWN * face_window().sum() / 2:
        return Shown(place, judged & ~region, np.zeros_like(wanted))
    nearest = distance_transform_edt(~known, return_distances=False, return_indices=True)
    around = wanted[nearest[0], nearest[1]] & convex_hull_image(known)
    return Shown(place, judged & ~region, face_window() & around)


def _in_chip(mask: Mask, place: Any) -> Mask:
    """``(150, 150)`` bool: a mask of the picture as the chip sees it."""
    import dlib

    (seen,) = dlib.extract_image_chips(np.where(mask, np.uint8(255), np.uint8(0)), [place])
    return np.asarray(seen > 127)


def face_chip(srgb: NDArray[np.floating], shown: Shown) -> NDArray[np.uint8] | None:
    """The chip that the network sees of ``srgb`` ``(H, W, 3)``, sRGB-encoded in [0, 1].

    Returns:
        ``(150, 150, 3)`` uint8, :data:`FILL` where nothing is shown; None where too little is.
    """
    import dlib

    if shown.window.sum() < LEAST_SHOWN * face_window().sum():
        return None
    # Filled before it is resampled, so that nothing barred can reach a pixel of the chip.
    colours = np.nan_to_num(filled(srgb, ~shown.barred, np.array(FILL) / 255.0), nan=0.0).clip(0.0, 1.0)
    (chip,) = dlib.extract_image_chips(np.rint(colours * 255.0).astype(np.uint8), [shown.place])
    chip[~shown.window] = FILL
    return np.asarray(chip, np.uint8)


def embedding(chip: NDArray[np.uint8]) -> NDArray[np.float32]:
    """``(128,)`` float32 embedding of a chip ``(150, 150, 3)``; its length is about 1.4.

    Raises:
        AssetError: see :func:`loaded_weights`.
    """
    return np.array(_network()[0].compute_face_descriptor(np.ascontiguousarray(chip), 0), np.float32)


def similarity(first: NDArray[np.floating], second: NDArray[np.floating]) -> NDArray[np.float64]:
    """``(N, M)`` float64 cosines between the rows of ``first`` ``(N, D)`` and those of ``second`` ``(M, D)``."""
    rows = [np.asarray(side, np.float64) for side in (first, second)]
    left, right = (side / np.linalg.norm(side, axis=1, keepdims=True) for side in rows)
    return np.asarray(left @ right.T)


def _embeddings(judged: Judged) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """``(128,)`` of the result and of the photograph, NaN where too little is shown; each worked out once.

    Raises:
        InputError: the landmarks are missing.
    """
    if judged.landmarks is None or not np.isfinite(judged.landmarks).all():
        raise InputError(
            f"the reference of '{judged.subject}' has no landmarks: run 'mesoface run' again into another folder with "
            "--out, or give them with the pictures (landmarks=)."
        )
    shown = shown_of(judged.demanded, judged.region, judged.whole, judged.landmarks)
    key = ("dlib embedding", *shown.key)
    return (
        judged.of_result.get(key, lambda: _embedding_of(judged.result, shown)),
        judged.of_reference.get(key, lambda: _embedding_of(judged.reference, shown)),
    )


def _embedding_of(picture: NDArray[np.float32], shown: Shown) -> NDArray[np.float32]:
    chip = face_chip(picture, shown)
    return np.full(NUMBERS, np.nan, np.float32) if chip is None else embedding(chip)


def _measure(batch: Batch, device: str) -> list[list[float]]:
    return [[float(similarity(*(side[None] for side in _embeddings(judged)))[0, 0])] for judged in batch]


def _describe(batch: Batch, device: str) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    return [_embeddings(judged) for judged in batch]


def equal_error_rate(own: NDArray[np.floating], impostor: NDArray[np.floating]) -> float:
    """Share of errors, in [0, 1], at the threshold where as many owners are refused as impostors accepted.

    Args:
        own, impostor: ``(N,)``, ``(M,)`` similarities; whoever reaches the threshold is accepted.

    Returns:
        Where both shares meet, linear between observed thresholds.
    """
    thresholds = np.unique(np.concatenate([own, impostor, [np.inf]]))
    refused = np.searchsorted(np.sort(own), thresholds, side="left") / len(own)
    accepted = 1.0 - np.searchsorted(np.sort(impostor), thresholds, side="left") / len(impostor)
    apart = refused - accepted  # rises from -1 to 1
    after = int(np.searchsorted(apart, 0.0, side="left"))
    part = -apart[after - 1] / (apart[after] - apart[after - 1])
    return float(refused[after - 1] + part * (refused[after] - refused[after - 1]))


MEAN, UPPER, MARGIN = "impostor similarity (mean)", "impostor similarity (95th percentile)", "identity margin"
RANK_1, EQUAL_ERROR, D_PRIME = "identity rank-1 rate", "identity equal error rate", "identity d′"
OWN_MEAN, OWN_LOWER = "own similarity (mean)", "own similarity (5th percentile)"
EVERY_MEAN, EVERY_UPPER = (
    "impostor similarity (mean, all pairs)",
    "impostor similarity (95th percentile, all pairs)",
)
LEAST_SUBJECTS = 3
"""Fewer give each person one impostor, and no spread."""


def gather_impostors(
    subjects: Sequence[str], of_results: NDArray[np.float32], of_references: NDArray[np.float32]
) -> dict[str, float | NDArray[np.floating]]:
    """Results ``(N, D)`` against the photographs ``(N, D)`` of all; see the module. NaN for fewer than three people."""
    count = len(subjects)
    if count < LEAST_SUBJECTS:
        alone = np.full(count, np.nan)
        wanting = dict.fromkeys((RANK_1, EQUAL_ERROR, D_PRIME, OWN_MEAN, OWN_LOWER, EVERY_MEAN, EVERY_UPPER), np.nan)
        return {MEAN: alone, UPPER: alone, MARGIN: alone, **wanting}
    table = similarity(of_results, of_references)
    own = np.diag(table)
    others = table[~np.eye(count, dtype=bool)].reshape(count, count - 1)
    spread = np.sqrt((own.var(ddof=1) + others.var(ddof=1)) / 2)
    margin = own - others.max(axis=1)
    return {
        MEAN: others.mean(axis=1),
        UPPER: np.quantile(others, 0.95, axis=1),
        MARGIN: margin,
        RANK_1: float((margin > 0).mean()),
        EQUAL_ERROR: equal_error_rate(own, others.ravel()),
        D_PRIME: float((own.mean() - others.mean()) / spread) if spread > 0 else float("nan"),
        OWN_MEAN: float(own.mean()),
        OWN_LOWER: float(np.quantile(own, 0.05)),
        EVERY_MEAN: float(others.mean()),
        EVERY_UPPER: float(np.quantile(others, 0.95)),
    }


PARAMETERS = {
    "chip": f"{CHIP} px, padding {PADDING}, landmarks of the fit",
    "jitter": 0,
    "window": {"face": FACE, "eyes less": EYES, "in": "pixels of the chip"},
    "fill": FILL,
    "shown": "in the convex hull of judged pixels, where the nearest of them is of the region",
    "least shown": LEAST_SHOWN,
    "recipe": 1,
}

IDENTITY = Metric(
    components=(Component("identity similarity", direction="higher"),),
    library="dlib",
    version=version("dlib-bin"),
    parameters={**PARAMETERS, "similarity": "cosine"},
    spaces=frozenset({"image"}),
    measure=_measure,
    weights=loaded_weights,
)

IMPOSTORS = SetMetric(
    components=(
        Component(MEAN, direction="none"),
        Component(UPPER, direction="none"),
        Component(MARGIN, direction="higher"),
        Component(RANK_1, direction="higher"),
        Component(EQUAL_ERROR),
        Component(D_PRIME, direction="higher"),
        Component(OWN_MEAN, direction="none"),
        Component(OWN_LOWER, direction="none"),
        Component(EVERY_MEAN, direction="none"),
        Component(EVERY_UPPER, direction="none"),
    ),
    library="dlib",
    version=version("dlib-bin"),
    parameters={**PARAMETERS, "similarity": "cosine", "impostors": "photographs of all other subjects of the set"},
    spaces=frozenset({"image"}),
    describe=_describe,
    gather=gather_impostors,
    weights=loaded_weights,
)
