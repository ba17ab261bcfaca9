"""A person in a test set: photograph, what is known of it, and the licence under which it may be used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from recon.face_model.model import MorphableModel


@dataclass(frozen=True)
class Licence:
    """Terms that travel with a subject's pictures.

    Attributes:
        name: short name, for example ``CC BY 4.0``; ``unknown`` where the source does not say.
        citation: how the source wants to be cited; may be empty.
        redistributable: whether derived pictures may leave this machine.
    """

    name: str
    citation: str = ""
    redistributable: bool = False


@dataclass(frozen=True, eq=False)
class Photograph:
    """A decoded photograph.

    Attributes:
        srgb: ``(H, W, 3)`` float32 in [0, 1], sRGB-encoded, upright (EXIF orientation applied).
        name: file name, for messages.
        sha256: of the pixel array, so that a changed picture is a changed input.
        notes: what decoding did that the user should know (16-bit reduced, alpha dropped, …).
    """

    srgb: NDArray[np.float32]
    name: str
    sha256: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class GroundTruth:
    """What is known of a captured or synthetic subject; files, so that a test set stays small in memory.

    Attributes:
        face_model: name of the model whose UV and topology the files use.
        albedo: ``.npy`` ``(S, S, 3)`` float16 or float32 linear RGB, row 0 at v = 1.
        mask: ``.npy`` ``(S, S)`` bool: where the albedo is known.
        vertices: ``.npy`` ``(V, 3)`` float32, or None.
        maps: further ``.npy`` maps ``(S, S, C)`` by kind: ``specular`` (linear RGB), ``roughness``, ``normal`` (unit,
            model frame), ``displacement``.
        record: JSON about how the truth was made, for captures with the registration residual; or None.
    """

    face_model: str
    albedo: Path
    mask: Path
    vertices: Path | None = None
    maps: Mapping[str, Path] = field(default_factory=dict)
    record: Path | None = None


class TruthSource(Protocol):
    """Makes the ground truth for whatever face model and size a run has; must be picklable."""

    def truth(self, model: MorphableModel, size: int) -> GroundTruth:
        """The truth in the UV square of ``model`` at ``size`` texels; kept on disk, so that it is made once."""
        ...


@dataclass(frozen=True)
class Subject:
    """One person of a test set.

    Attributes:
        id: unique within its source; results pair by it. Letters, digits, ``-``, ``_`` and ``.`` only.
        source: name of the data set, for example ``london``.
        photograph: the image file.
        licence: terms of the picture.
        attributes: age, gender, ethnicity … as recorded by the source (strings).
        landmarks: ``(68, 2)`` float32 pixel positions where the source supplies them, else None.
        truth: ground truth where it exists, else None.
        synthetic: whether the subject is computer-made.
        capture: makes the ground truth where that depends on the face model, else None; see :meth:`truth_for`.
    """

    id: str
    source: str
    photograph: Path
    licence: Licence
    attributes: Mapping[str, str] = field(default_factory=dict)
    landmarks: NDArray[np.float32] | None = field(default=None, compare=False)
    truth: GroundTruth | None = None
    synthetic: bool = False
    capture: TruthSource | None = field(default=None, compare=False)

    def truth_for(self, model: MorphableModel, size: int) -> GroundTruth | None:
        """The ground truth for a run with ``model`` at ``size`` texels; of a capture it is made now (some seconds).

        Raises:
            InputError: the capture cannot be used.
        """
        return self.truth if self.capture is None else self.capture.truth(model, size)


@dataclass(frozen=True)
class TestSet:
    """Subjects of one source, in order of id.

    Attributes:
        name: the source as the user named it, for example ``london``.
        subjects: the usable ones.
        skipped: what was left out: file name and reason, for the report.
    """

    __test__ = False  # a data set, not a pytest class

    name: str
    subjects: tuple[Subject, ...]
    skipped: tuple[tuple[str, str], ...] = ()

    def __len__(self) -> int:
        return len(self.subjects)
