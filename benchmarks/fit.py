"""Accuracy and speed of fitting over a folder of portraits.

    python benchmarks/fit.py ../shared/data/london/neutral_front --limit 20

Prints one line a photograph, then the distribution of what the verdict is decided on (the source of its thresholds),
the time of each stage, and the verdicts. With ``--albedo-people N`` an albedo model is first made of every other
photograph (N at most), none of which is then fitted, so that the photometric stage is measured too.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recon.data.subject import Photograph
from recon.errors import MesofaceError
from recon.face_model import load_face_model
from recon.face_model.model import MorphableModel, vertex_normals
from recon.fitting import AlbedoModel, Fit, fit_face
from recon.fitting.samples import face_box, painted_triangles, pyramid
from recon.images import read_photograph

MODES = 20


def visible_colours(photograph: Photograph, model: MorphableModel, fit: Fit) -> NDArray[np.float32]:
    """``(V, 3)`` photograph divided by shading at the vertices; not a number where the camera does not see them."""
    from recon.rendering.rays import RayScene

    normals = vertex_normals(fit.vertices, model.triangles)
    towards = fit.camera.centre - fit.vertices
    distance = np.linalg.norm(towards, axis=1)
    hits = RayScene(fit.vertices, model.triangles).first_hit(fit.camera.centre, -towards / distance[:, None])
    seen = (np.sum(normals * towards, axis=1) > 0.3 * distance) & (hits.distance > distance * 0.998)
    positions = fit.camera.project(fit.vertices)
    painted = np.unique(model.triangles[painted_triangles(model)])
    level = pyramid(photograph.srgb, None, face_box(positions[painted]), (max(1, round(fit.interocular / 100)),))[0]
    radiance, _, known = level.read(positions)
    colours = (radiance / fit.lighting.shading(normals)).astype(np.float32)
    colours[~(seen & known)] = np.nan
    return colours


def albedo_model(colours: NDArray[np.float32]) -> AlbedoModel:
    """PCA of ``(N, V, 3)`` colours; what is hidden takes the mean, moved by the person's own difference from it."""
    seen = np.isfinite(colours[:, :, 0])
    often = seen.sum(axis=0) >= 3
    mean = np.where(often[:, None], np.nansum(colours, axis=0) / np.maximum(seen.sum(axis=0), 1)[:, None], 0)
    mean[~often] = np.median(mean[often], axis=0)
    difference = colours - mean
    typical = np.nanmedian(difference[:, often], axis=1)
    difference = np.where(seen[:, :, None], difference, typical[:, None])
    _, sizes, modes = np.linalg.svd(difference.reshape(len(colours), -1), full_matrices=False)
    count = min(MODES, len(colours) - 1)
    scaled = modes[:count] * (sizes[:count] / np.sqrt(len(colours)))[:, None]
    return AlbedoModel(mean.astype(np.float32), scaled.reshape(count, -1, 3).astype(np.float32))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--limit", type=int, default=20)
    parser.add_argument("--model", default="auto")
    parser.add_argument("--albedo-people", type=int, default=0)
    options = parser.parse_args()
    model = load_face_model(options.model)
    files = sorted(path for path in options.folder.iterdir() if path.suffix.lower() in {".jpg", ".jpeg", ".png"})
    albedo = None
    if options.albedo_people:
        others = [read_photograph(path) for path in files[0::2][: options.albedo_people]]
        albedo = albedo_model(np.stack([visible_colours(one, model, fit_face(one, model)) for one in others]))
        files = files[1::2]
    report(*fit_all(files[: options.limit], model, albedo))


def fit_all(
    files: list[Path], model: MorphableModel, albedo: AlbedoModel | None
) -> tuple[list[Fit], list[tuple[str, str]]]:
    """Fits of all photographs, one printed line each, and what failed."""
    fits, failed = [], []
    for path in files:
        try:
            fit = fit_face(read_photograph(path), model, albedo_model=albedo)
        except MesofaceError as error:
            failed.append((path.name, str(error)))
            continue
        fits.append(fit)
        print(
            f"{path.name:16} {fit.verdict:6} mean {fit.record['landmark_error_mean']:5.2f} px  "
            f"rms {fit.landmark_error:5.2f} px  {sum(fit.record['seconds'].values()):5.2f} s  {'; '.join(fit.reasons)}"
        )
    return fits, failed


def report(fits: list[Fit], failed: list[tuple[str, str]]) -> None:
    """Prints the distributions."""
    print(f"\n{'quantity':28}{'median':>10}{'95 %':>10}{'largest':>10}")
    rows = {key: [fit.record["measured"].get(key, np.nan) for fit in fits] for key in fits[0].record["measured"]}
    rows["landmark error mean, px"] = [fit.record["landmark_error_mean"] for fit in fits]
    rows["landmark error rms, px"] = [fit.landmark_error for fit in fits]
    for stage in fits[0].record["seconds"]:
        rows[f"seconds: {stage}"] = [fit.record["seconds"].get(stage, np.nan) for fit in fits]
    rows["seconds: all"] = [sum(fit.record["seconds"].values()) for fit in fits]
    for name, values in rows.items():
        print(f"{name:28}{np.nanmedian(values):10.3f}{np.nanpercentile(values, 95):10.3f}{np.nanmax(values):10.3f}")
    print("verdicts:", dict(Counter(fit.verdict for fit in fits)), "failed:", failed)


if __name__ == "__main__":
    main()
