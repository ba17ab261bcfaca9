"""The data set ``demo``: needs no download and no permission, so that the whole way can be tried at once.

One real person, NASA's public-domain portrait of the astronaut Eileen Collins, which scikit-image ships; and a few
computer-made people whose true albedo is known.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from recon.data.subject import Licence, Subject, TestSet
from recon.errors import UsageError
from recon.images import write_png

SYNTHETIC_SUBJECTS = 4
"""How many computer-made people the set has."""

SYNTHETIC_SIZE = 512
"""Side of their true albedo maps, in texels."""


def load_demo(path: Path | None) -> TestSet:
    """The embedded set, written to the cache on first use.

    Raises:
        UsageError: a path was given; the set has none.
        StorageError: the cache cannot be written.
    """
    if path is not None:
        raise UsageError("the data set 'demo' is built in and takes no path: --data demo.")
    from recon.assets import cache_folder
    from recon.data.synthetic import demo_subjects
    from recon.progress import progress_bar

    folder = cache_folder("demo")
    with progress_bar("making synthetic people") as progress:
        made = demo_subjects(folder / "synthetic", size=SYNTHETIC_SIZE, count=SYNTHETIC_SUBJECTS, progress=progress)
    subjects = [astronaut(folder), *made]
    return TestSet("demo", tuple(sorted(subjects, key=lambda subject: subject.id)))


def astronaut(folder: Path) -> Subject:
    """NASA's portrait of Eileen Collins, 512×512, written to ``folder`` as PNG if it is not there yet."""
    file = folder / "astronaut.png"
    if not file.exists():
        from skimage.data import astronaut as portrait

        write_png(file, portrait().astype(np.float32) / np.float32(255))
    return Subject(
        id="astronaut",
        source="demo",
        photograph=file,
        licence=Licence("public domain", "NASA: portrait of Eileen Collins, Great Images in NASA", True),
        attributes={"name": "Eileen Collins", "gender": "female"},
    )
