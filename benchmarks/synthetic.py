"""Time of making synthetic people, and how their skin compares with that of photographed ones.

    python benchmarks/synthetic.py --people 6

Makes people with albedo maps of 1024² and photographs of 512², prints the seconds of each step beside the target of
30 s a person on two cores, and then two statistics of the albedo: the individual typology angle of the cheeks beside
the limits of the person's tone group, and the detail of a cheek, 100 times the standard deviation of log luminance in
four bands (differences of Gaussians of the widths given), beside those of photographed faces of the Face Research Lab
London Set, which hold shading and noise too. CPU seconds are printed beside wall seconds, because other work on the
machine lengthens only the latter.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from recon.colour import linear_to_srgb, luminance
from recon.data.skin import skin_surface
from recon.data.studio import photograph
from recon.data.synthetic import SyntheticHead, synthetic_head, synthetic_person
from recon.face_model import load_face_model
from recon.rendering.rays import RayScene
from recon.skin_tone import TONE_GROUPS, individual_typology_angle

Float = NDArray[np.float32]

TARGET_SECONDS = 30.0
BANDS = ((0.3, 0.6), (0.6, 1.2), (1.2, 2.4), (2.4, 4.8))  # Gaussians, mm
REAL = (0.81, 0.65, 0.62, 0.81)
REAL_RED_GREEN = (0.24, 0.30, 0.41, 0.51)
LIMITS = (90.0, 55.0, 41.0, 28.0, 10.0, -30.0, -90.0)
_PIXELS_PER_MM = 1.8


def cheek(head: SyntheticHead, side: int) -> Float:
    """``(h, w, 3)`` linear albedo of a cheek at 1.8 pixels a millimetre, seen along z on the head itself."""
    model = head.model
    places = head.vertices * np.float32(1000.0 * model.metres_per_unit)
    marks = model.landmarks(places)
    middle = 0.5 * marks[31 if side < 0 else 35] + 0.5 * marks[2 if side < 0 else 14]
    steps = np.arange(-15.0, 15.0, 1.0 / _PIXELS_PER_MM, dtype=np.float32)
    x, y = np.meshgrid(middle[0] + steps, middle[1] + steps)
    origins = np.stack([x.ravel(), y.ravel(), np.full(x.size, 400.0, np.float32)], axis=1)
    face = model.uv_triangle_ids
    ahead = np.broadcast_to(np.array([0.0, 0.0, -1.0], np.float32), origins.shape)
    hits = RayScene(places, model.triangles[face]).first_hit(origins, ahead)
    uv = np.einsum("ncx,nc->nx", model.uv[model.uv_triangles[face[hits.triangle]]], hits.barycentric)
    size = head.painted.albedo.shape[0]
    row = np.clip(((1.0 - uv[:, 1]) * size).astype(int), 0, size - 1)
    column = np.clip((uv[:, 0] * size).astype(int), 0, size - 1)
    return head.painted.albedo[row, column].reshape(*x.shape, 3)


def band_energies(values: Float) -> list[float]:
    """100 · standard deviation of a map's four bands, its margin left out."""
    passes = [[gaussian_filter(values, sigma * _PIXELS_PER_MM) for sigma in band] for band in BANDS]
    return [100.0 * float((fine - coarse)[8:-8, 8:-8].std()) for fine, coarse in passes]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=6)
    parser.add_argument("--seed", type=int, default=10_000_000)
    parser.add_argument("--face-model", default="anny")
    parser.add_argument("--size", type=int, default=1024, help="side of the maps in texels")
    parser.add_argument("--photograph", type=int, default=512, help="side of the photograph in pixels")
    wanted = parser.parse_args()
    model = load_face_model(wanted.face_model)
    surface = skin_surface(model, wanted.size)
    print(
        f"{'person':14}{'hair':16}{'maps s':>8}{'photo s':>9}{'wall s':>8}{'CPU s':>8}   target {TARGET_SECONDS:.0f} s"
    )
    luma, hue = [], []
    angles = []
    for index in range(wanted.people):
        person = synthetic_person(index, wanted.seed)
        start, busy = time.perf_counter(), time.process_time()
        head = synthetic_head(person, model, wanted.size)
        painted = time.perf_counter()
        photograph(model, head.vertices, surface, head.painted, person, wanted.photograph)
        end, done = time.perf_counter(), time.process_time()
        steps = f"{painted - start:8.1f}{end - painted:9.1f}{end - start:8.1f}{done - busy:8.1f}"
        print(
            f"{person.id:14}{person.style:16}{steps}   {'met' if end - start <= TARGET_SECONDS else 'MISSED'}",
            flush=True,
        )
        angles.append((person, _angle(head)))
        if person.beard == 0.0:
            for side in (-1, 1):
                logs = np.log(np.maximum(cheek(head, side), 1e-3))
                luma.append(band_energies(np.log(luminance(np.exp(logs)))))
                hue.append(band_energies(logs[..., 0] - logs[..., 1]))
    print("\ncheeks' typology angle, degrees, and the limits of the tone group")
    for person, angle in angles:
        limits = f"{LIMITS[person.tone + 1]:.0f} to {LIMITS[person.tone]:.0f}"
        print(f"{person.id:14}{TONE_GROUPS[person.tone]:14}{angle:7.1f}   {limits}")
    if luma:
        print(f"\n{'detail of a cheek, mm':26}" + "".join(f"{low:>6}–{high}" for low, high in BANDS))
        for name, real, made in (("luminance", REAL, luma), ("red over green", REAL_RED_GREEN, hue)):
            print(f"{name + ', photographed':26}" + "".join(f"{value:10.2f}" for value in real))
            print(f"{name + ', made':26}" + "".join(f"{value:10.2f}" for value in np.mean(made, axis=0)))


def _angle(head: SyntheticHead) -> float:
    from skimage.color import rgb2lab

    surface = skin_surface(head.model, head.painted.albedo.shape[0])
    share = surface.raster.interpolate(head.model.regions["cheeks"][:, None].astype(np.float32))[..., 0]
    mean = head.painted.albedo[(share > 0.9) & head.painted.skin].mean(axis=0)
    return individual_typology_angle(tuple(rgb2lab(linear_to_srgb(mean))))


if __name__ == "__main__":
    main()
