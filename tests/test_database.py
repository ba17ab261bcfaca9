"""The texture database: entries, who may not be in it, continuing, derived files, completion, mirror images, PCA."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from texture_toy import (
    PEOPLE,
    SIZE,
    face,
    grainy_texture,
    known_fit,
    photograph_of,
    skin_area,
    skin_texture,
    toy_database,
)

from recon.colour import linear_to_srgb, srgb_to_linear
from recon.data.subject import Licence, Photograph, Subject, TestSet
from recon.errors import DatabaseError, FaceNotFoundError, StorageError
from recon.images import write_png
from recon.runs.databases import content_key
from recon.texture import database_build, observe
from recon.texture.database import TextureDatabase, complete_from, complete_symmetric, open_database, write_index
from recon.texture.database_build import build_database, database_from_textures
from recon.texture.masked import erode
from recon.texture.pca import TexturePCA, fit_pca
from recon.texture.symmetry import mirror_coordinates, mirrored
from recon.texture.uv_map import uv_map
from recon.texture.vertex_albedo import sample_at_vertices, vertex_albedo_model


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> TextureDatabase:
    return toy_database(tmp_path_factory.mktemp("database"))


# --- entries and who may not be among them ---------------------------------------------------------------------------


def test_textures_are_kept_to_half_precision(database: TextureDatabase) -> None:
    assert database.ids == tuple(sorted(PEOPLE)) and len(database) == 6 and len(database.hashes) == 6
    for index, name in enumerate(PEOPLE):
        stored = database.seen_texture(name)
        assert np.abs(stored - linear_to_srgb(skin_texture(index))).max() < 1e-3
    visible, skin = database.masks()
    assert visible.all() and np.array_equal(skin, np.broadcast_to(skin_area(), skin.shape))


def test_a_person_is_left_out_by_id_or_by_photograph(database: TextureDatabase) -> None:
    cyd = database.entries[2]
    assert database.without(["cyd"]).ids == ("ada", "ben", "dov", "eva", "fay")
    assert database.without(hashes=[cyd.sha256]).ids == database.without(["cyd"]).ids
    assert database.without(["nobody"]).identity == database.identity
    assert database.without(["cyd"]).identity != database.identity


def test_the_tested_person_is_refused_by_id_and_by_photograph(database: TextureDatabase) -> None:
    with pytest.raises(DatabaseError, match=r"'cyd'.*--exclude"):
        database.require_absent("cyd", "another photograph")
    with pytest.raises(DatabaseError, match=r"'renamed' .* as 'cyd'"):
        database.require_absent("renamed", database.entries[2].sha256)
    database.require_absent("gil", "another photograph")
    database.without(["cyd"]).require_absent("cyd", database.entries[2].sha256)


def test_too_few_people_are_refused(database: TextureDatabase) -> None:
    database.without(["ada", "ben"]).require_enough()
    with pytest.raises(DatabaseError, match=r"holds 3 usable people, 4 are the least"):
        database.without(["ada", "ben", "cyd"]).require_enough()


def test_opening_checks_what_it_is(database: TextureDatabase, tmp_path: Path) -> None:
    assert open_database(database.folder, face()).identity == database.identity
    with pytest.raises(DatabaseError, match="not a finished texture database"):
        open_database(tmp_path, face())
    with pytest.raises(DatabaseError, match=r"face model toy \(1\), not toy \(2\)"):
        open_database(database.folder, replace(face(), version="2"))
    write_index(tmp_path, face(), SIZE, "toy", database.entries)
    index = tmp_path / "database.json"
    index.write_text(index.read_text().replace('"format": ', '"format": 9'))
    with pytest.raises(DatabaseError, match="build it again"):
        open_database(tmp_path, face())


def test_a_texture_of_another_size_is_refused(tmp_path: Path) -> None:
    wrong = [("ada", skin_texture(0, 64), np.ones((64, 64), bool))]
    with pytest.raises(DatabaseError, match=r"'ada' is \(64, 64, 3\), the database holds 128×128"):
        database_from_textures(wrong, face(), tmp_path, SIZE, "toy", "CC0", skin_area())
    assert not (tmp_path / "database.json").exists()


# --- building from photographs ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def test_set(tmp_path_factory: pytest.TempPathFactory) -> TestSet:
    folder = tmp_path_factory.mktemp("photographs")
    subjects = []
    for index, name in enumerate(PEOPLE):
        path = folder / f"{name}.png"
        write_png(path, photograph_of(skin_texture(index, 64), known_fit(), samples=1).srgb)
        subjects.append(Subject(name, "toy", path, Licence("CC0"), {"age": str(20 + index)}))
    return TestSet("toy", tuple(subjects))


@pytest.fixture
def observed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Photographs in the order in which they were unwrapped; the fit is known, so nothing is detected."""
    names: list[str] = []
    real = observe.observe

    def with_known_fit(photograph: Photograph, *rest: Any) -> Any:
        names.append(photograph.name.removesuffix(".png"))
        return real(photograph, *rest, fit=known_fit())

    monkeypatch.setattr(observe, "observe", with_known_fit)
    return names


def spoil(monkeypatch: pytest.MonkeyPatch, name: str, error: Callable[[], BaseException]) -> None:
    """Unwrapping that person's photograph fails."""
    before = observe.observe

    def failing(photograph: Photograph, *rest: Any) -> Any:
        if photograph.name == f"{name}.png":
            raise error()
        return before(photograph, *rest)

    monkeypatch.setattr(observe, "observe", failing)


def test_a_database_is_built_from_photographs(test_set: TestSet, observed: list[str], tmp_path: Path) -> None:
    steps: list[tuple[int, int, str]] = []
    built = build_database(test_set, face(), tmp_path, 64, exclude=["dov"], progress=lambda *s: steps.append(s))
    assert built.ids == ("ada", "ben", "cyd", "eva", "fay") and observed == list(built.ids)
    assert steps == [(n + 1, 5, name) for n, name in enumerate(built.ids)]
    assert dict(built.entries[1].attributes) == {"age": "21"} and built.entries[1].licence == "CC0"
    smooth = [gaussian_filter(t, (2, 2, 0)) for t in (built.seen_texture("eva"), linear_to_srgb(skin_texture(4, 64)))]
    skin = erode(built.masks()[1][3], 3)
    assert skin.sum() > 800 and np.abs(smooth[0] - smooth[1])[skin].max() < 0.03


def test_excluding_nobody_known_is_an_error(test_set: TestSet, tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="cannot exclude gil"):
        build_database(test_set, face(), tmp_path, 64, exclude=["gil"])


def test_a_killed_build_is_continued_and_repeats_nothing(
    test_set: TestSet, observed: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        spoil(patch, "dov", KeyboardInterrupt)
        with pytest.raises(KeyboardInterrupt):
            build_database(test_set, face(), tmp_path / "killed", 64)
    assert observed == ["ada", "ben", "cyd"]
    with pytest.raises(DatabaseError, match="to the end"):
        open_database(tmp_path / "killed", face())
    built = build_database(test_set, face(), tmp_path / "killed", 64)
    assert observed == list(PEOPLE)
    whole = build_database(test_set, face(), tmp_path / "whole", 64)
    assert built.identity == whole.identity
    for path in sorted((tmp_path / "whole" / "entries").iterdir()):
        assert path.read_bytes() == (tmp_path / "killed" / "entries" / path.name).read_bytes()


def test_a_replaced_photograph_is_noticed_and_done_again(
    test_set: TestSet, observed: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only that one; and the folder is no database while entry and index may disagree."""
    folder = tmp_path / "built"
    subjects = [replace(s, photograph=tmp_path / s.photograph.name) for s in test_set.subjects]
    for old, new in zip(test_set.subjects, subjects, strict=True):
        new.photograph.write_bytes(old.photograph.read_bytes())
    people = replace(test_set, subjects=tuple(subjects))
    before = build_database(people, face(), folder, 64)
    subjects[1].photograph.write_bytes(test_set.subjects[3].photograph.read_bytes())
    observed.clear()
    with monkeypatch.context() as patch:
        spoil(patch, "ben", KeyboardInterrupt)
        with pytest.raises(KeyboardInterrupt):
            build_database(people, face(), folder, 64)
    with pytest.raises(DatabaseError, match="to the end"):
        open_database(folder, face())
    after = build_database(people, face(), folder, 64)
    assert observed == ["ben"]
    assert after.identity != before.identity
    assert after.entries[1].sha256 == after.entries[3].sha256 != before.entries[1].sha256
    assert np.array_equal(after.seen_texture("ben"), after.seen_texture("dov"))
    observed.clear()
    build_database(people, face(), folder, 64)
    assert observed == []


def test_another_program_makes_another_database(
    test_set: TestSet, observed: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A changed fit changes the textures without changing a photograph: keys and identity must tell."""
    key = content_key(test_set.subjects, face(), 64)
    before = build_database(test_set, face(), tmp_path / "before", 64)
    for place in ("recon.texture.database_build.code_version", "recon.runs.databases.code_version"):
        monkeypatch.setattr(place, lambda module: "changed")
    assert content_key(test_set.subjects, face(), 64) != key
    with pytest.raises(DatabaseError, match="version of mesoface"):
        build_database(test_set, face(), tmp_path / "before", 64)
    after = build_database(test_set, face(), tmp_path / "after", 64)
    assert after.identity != before.identity == open_database(tmp_path / "before", face()).identity
    assert before.without(["ben"]).recipe == before.recipe


def test_a_folder_begun_for_something_else_is_not_continued(
    test_set: TestSet, observed: list[str], tmp_path: Path
) -> None:
    build_database(test_set, face(), tmp_path, 64)
    index = (tmp_path / "database.json").read_bytes()
    with pytest.raises(DatabaseError, match="begun with another size"):
        build_database(test_set, face(), tmp_path, 128)
    assert (tmp_path / "database.json").read_bytes() == index


def test_whoever_fails_is_named_and_the_rest_goes_on(
    test_set: TestSet, observed: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import json

    spoil(monkeypatch, "ben", lambda: FaceNotFoundError("no face was found in 'ben.png'"))
    built = build_database(test_set, face(), tmp_path, 64)
    assert "ben" not in built.ids and len(built) == 5
    assert json.loads((tmp_path / "database.json").read_text())["skipped"] == [
        ["ben", "no face was found in 'ben.png'"]
    ]


def test_too_few_usable_people_make_no_database(
    test_set: TestSet, observed: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, "ben", lambda: FaceNotFoundError("no face in ben"))
    with pytest.raises(DatabaseError, match=r"only 3 of 4 people.*no face in ben.*run the same command again"):
        build_database(test_set, face(), tmp_path, 64, exclude=["eva", "fay"])
    assert not (tmp_path / "database.json").exists()


def test_a_full_disk_stops_the_build(
    test_set: TestSet, observed: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise StorageError("the disk is full")

    monkeypatch.setattr(database_build, "write_entry", full)
    with pytest.raises(StorageError, match="the disk is full"):
        build_database(test_set, face(), tmp_path, 64)


# --- derived files ---------------------------------------------------------------------------------------------------


def test_derived_arrays_are_computed_once_for_one_set_of_people(database: TextureDatabase) -> None:
    calls: list[str] = []

    def make(value: float) -> Callable[[], np.ndarray]:
        def compute() -> np.ndarray:
            calls.append(str(value))
            return np.full(3, value)

        return compute

    assert database.derived("probe", make(1.0)).tolist() == [1, 1, 1]
    reopened = open_database(database.folder, face())
    assert reopened.derived("probe", make(2.0)).tolist() == [1, 1, 1]
    # Without one person it is another database: nothing that was computed with him is read.
    assert database.without(["ben"]).derived("probe", make(3.0)).tolist() == [3, 3, 3]
    assert calls == ["1.0", "3.0"]


def test_components_are_computed_once_for_a_set_of_people(
    database: TextureDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    textures = np.asarray(database.textures, np.float32)
    pca, albedo = fit_pca(textures), vertex_albedo_model(face(), database.textures)
    assert np.array_equal(database.pca.basis, pca.basis) and np.array_equal(database.albedo_model.mean, albedo.mean)
    monkeypatch.setattr("recon.texture.database.fit_pca", None)
    monkeypatch.setattr("recon.texture.database.vertex_albedo_model", None)
    reopened = open_database(database.folder, face())
    assert np.array_equal(reopened.pca.mean, pca.mean) and np.array_equal(reopened.pca.basis, pca.basis)
    assert np.array_equal(reopened.albedo_model.mean, albedo.mean)
    assert np.array_equal(reopened.albedo_model.basis, albedo.basis)
    with pytest.raises(TypeError):
        _ = reopened.without(["ben"]).pca


def test_the_left_out_person_leaves_no_trace(database: TextureDatabase, tmp_path: Path) -> None:
    """Statistics without a person equal those of a database that never held him."""
    part = database.without(["ben"])
    never = toy_database(tmp_path, people=tuple(name for name in PEOPLE if name != "ben"))
    assert never.identity == part.identity
    assert np.array_equal(never.skin_mask, part.skin_mask)
    assert np.array_equal(np.asarray(never.textures), np.asarray(part.textures))
    assert np.array_equal(never.pca.mean, part.pca.mean)
    assert not np.array_equal(part.pca.mean, database.pca.mean)


def test_the_skin_mask_is_what_most_people_show(tmp_path: Path) -> None:
    """A fringe of one person takes the forehead from nobody else; what four of six hide is gone."""
    rows = np.arange(SIZE)[:, None] < 40
    textures = []
    for index, name in enumerate(PEOPLE):
        known = np.ones((SIZE, SIZE), bool)
        if index == 0:
            known &= ~rows  # forehead and brows
        if index < 4:
            known[90:] = False  # the chin
        textures.append((name, skin_texture(index), known))
    built = database_from_textures(textures, face(), tmp_path, SIZE, "toy", "CC0", skin_area())
    mask = built.skin_mask
    assert not (mask & ~skin_area()).any() and not mask[90:].any()
    inner = erode(skin_area(), 3)
    assert mask[:40][inner[:40]].all() and mask[50:85][inner[50:85]].mean() > 0.95


# --- completion and symmetry -----------------------------------------------------------------------------------------


def test_mirror_coordinates_of_a_symmetric_layout_are_the_mirror_image() -> None:
    """The toy's u is its x: the mirrored texel lies in the same row, in the column counted from the other side."""
    found = mirror_coordinates(face(), SIZE)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    covered = uv_map(face(), SIZE).covered & (columns > 2) & (columns < SIZE - 3)
    # The toy's triangles are not mirrored with its shape, so steep places (the rim, the nose) are a little off.
    error = np.abs(found - np.stack([rows, SIZE - 1 - columns], -1)).max(axis=-1)[covered]
    assert np.median(error) < 0.01 and np.quantile(error, 0.99) < 0.25 and error.max() < 1.0


def test_mirroring_twice_gives_a_smooth_image_back() -> None:
    rng = np.random.default_rng(0)
    image = np.stack([gaussian_filter(rng.normal(size=(SIZE, SIZE)), 6) for _ in range(3)], -1)
    image = (0.5 + 0.2 * image / image.std()).astype(np.float32)
    coordinates, everywhere = mirror_coordinates(face(), SIZE), np.ones((SIZE, SIZE), bool)
    once, known = mirrored(image, everywhere, coordinates)
    twice, both = mirrored(once, known, coordinates)
    assert both.mean() > 0.9
    for found, expected, where in ((twice, image, both), (once, image[:, ::-1], known)):
        difference = np.abs(found - expected)[where]
        assert np.quantile(difference, 0.99) < 0.01 and difference.max() < 0.15
    assert np.abs(once - image)[known].max() > 0.5


def test_mirroring_reads_only_what_is_known() -> None:
    coordinates = mirror_coordinates(face(), SIZE)
    image = skin_texture(1)
    mask = np.zeros((SIZE, SIZE), bool)
    mask[30:90, 70:110] = True
    spoilt = np.where(mask[..., None], image, np.float32(np.nan))
    found, known = mirrored(spoilt, mask, coordinates)
    assert np.isfinite(found).all() and (found[~known] == 0).all()
    assert known[35:85, 24:52].all() and not known[:, 64:].any()
    assert np.array_equal(found, mirrored(image, mask, coordinates)[0])


def half_known() -> np.ndarray:
    known = np.zeros((SIZE, SIZE), bool)
    known[:, :70] = True
    known[40:60, 30:40] = False
    return known


def test_completion_keeps_what_was_seen() -> None:
    """Away from the rim the seen texture is unchanged; outside, nothing of it is read."""
    texture, known = linear_to_srgb(skin_texture(0)), half_known()
    fill = linear_to_srgb(skin_texture(3))
    coordinates = mirror_coordinates(face(), SIZE)
    found = complete_symmetric(texture, known, fill, coordinates)
    inner = erode(known, 2.0)  # the blend is 8 texels wide at 512
    assert np.array_equal(found[inner], texture[inner])
    assert np.isfinite(found).all() and found.min() >= 0 and found.max() <= 1
    spoilt = np.where(known[..., None], texture, np.float32(1e6))
    assert np.array_equal(complete_symmetric(spoilt, known, fill, coordinates), found)


def test_the_unseen_half_is_the_mirror_image_in_the_colour_of_the_seen() -> None:
    """A symmetric face whose right half is known comes back whole."""
    texture = linear_to_srgb(skin_texture(5))
    texture = np.ascontiguousarray(0.5 * (texture + texture[:, ::-1]))
    known = np.zeros((SIZE, SIZE), bool)
    known[:, :72] = True
    found = complete_symmetric(texture, known, np.full_like(texture, 0.5), mirror_coordinates(face(), SIZE))
    area = erode(skin_area(), 3.0)
    difference = np.abs(found - texture)[area]
    assert np.median(difference) < 0.01 and np.quantile(difference, 0.95) < 0.04


def test_the_fill_takes_over_the_colour_and_shows_no_seam() -> None:
    """Constant colours: the fill is scaled to the seen colour exactly, so the result is constant."""
    texture = np.broadcast_to(np.float32([0.6, 0.4, 0.3]), (SIZE, SIZE, 3))
    fill = np.broadcast_to(np.float32([0.4, 0.4, 0.4]), (SIZE, SIZE, 3))
    found = complete_from(texture, half_known(), fill, 2.0)
    assert found == pytest.approx(np.broadcast_to([0.6, 0.4, 0.3], found.shape), abs=1e-4)
    nothing = np.zeros((SIZE, SIZE), bool)
    assert np.array_equal(complete_from(texture, nothing, fill, 2.0), fill)


def test_database_textures_are_complete_and_keep_the_seen_skin(tmp_path: Path) -> None:
    known = half_known()
    entries = [(name, skin_texture(k), np.ones_like(known) if k else known) for k, name in enumerate(PEOPLE)]
    built = database_from_textures(entries, face(), tmp_path, SIZE, "toy", "CC0", skin_area())
    complete = built.textures
    assert complete.shape == (6, SIZE, SIZE, 3) and complete.dtype == np.float16 and complete.min() > 0
    seen = erode(built.masks()[1][0], 2.0)
    assert seen.sum() > 1500
    assert np.abs(complete[0][seen].astype(np.float32) - linear_to_srgb(skin_texture(0))[seen]).max() < 1e-3


# --- PCA and vertex albedo -------------------------------------------------------------------------------------------


def test_components_are_those_of_a_singular_value_decomposition() -> None:
    textures = np.stack([linear_to_srgb(skin_texture(k, 32)) for k in range(6)])
    found = fit_pca(textures, components=5)
    flat = textures.reshape(6, -1).astype(np.float64)
    _, values, rows = np.linalg.svd(flat - flat.mean(axis=0), full_matrices=False)
    expected = values[:5, None] / np.sqrt(5) * rows[:5]
    basis = found.basis.reshape(5, -1)
    signs = np.sign((basis * expected).sum(axis=1))
    assert np.abs(basis * signs[:, None] - expected).max() < 1e-4
    assert np.abs(found.mean.reshape(-1) - flat.mean(axis=0)).max() < 1e-6
    share = np.cumsum(values**2) / (values**2).sum()
    assert len(fit_pca(textures, variance=0.9, least=1).basis) == int(np.searchsorted(share, 0.9) + 1)


def test_people_of_very_different_lightness_keep_their_hues() -> None:
    """One component, lightness, explains 99 % here; a member's hue lies in the others."""
    rng = np.random.default_rng(0)
    lightness, hue = np.linspace(0.2, 0.8, 12), rng.uniform(-0.02, 0.02, 12)
    textures = np.empty((12, 16, 16, 3), np.float32)
    for index in range(12):
        textures[index] = lightness[index] + hue[index] * np.array([1.0, 0.0, -1.0])
    everywhere = np.ones((16, 16), bool)

    def hue_error(pca: TexturePCA) -> float:
        found = [pca.texture(pca.coefficients(texture, everywhere, ridge=1e-6)) for texture in textures]
        return float(np.abs(np.stack(found) - textures).max())

    assert len(fit_pca(textures, least=1).basis) == 1
    assert hue_error(fit_pca(textures, least=1)) > 0.01
    assert hue_error(fit_pca(textures)) < 1e-3


def test_a_member_is_found_from_part_of_its_texels() -> None:
    textures = np.stack([linear_to_srgb(skin_texture(k, 48)) for k in range(6)])
    pca = fit_pca(textures, variance=1.0)
    known = np.zeros((48, 48), bool)
    known[:, 24:] = True
    spoilt = np.where(known[..., None], textures[2], np.float32(np.nan))
    found = pca.texture(pca.coefficients(spoilt, known, ridge=1e-8))
    assert np.abs(found - textures[2]).max() < 1e-3
    # The ridge draws coefficients towards zero, the mean face.
    strong = pca.coefficients(spoilt, known, ridge=10.0)
    assert np.linalg.norm(strong) < 0.5 * np.linalg.norm(pca.coefficients(spoilt, known))


def test_coefficients_have_unit_variance_over_the_members() -> None:
    textures = np.stack([linear_to_srgb(skin_texture(k, 32)) for k in range(6)])
    pca = fit_pca(textures, variance=1.0)
    everywhere = np.ones((32, 32), bool)
    scores = np.stack([pca.coefficients(texture, everywhere, ridge=0.0) for texture in textures])
    assert np.cov(scores.T) == pytest.approx(np.eye(5), abs=1e-3)


def test_vertices_sample_their_own_texel() -> None:
    """A texture that holds its own u and v is read as the vertex' texture coordinate, away from the border."""
    steps = (np.arange(SIZE) + 0.5) / SIZE
    texture = np.stack(np.meshgrid(steps, steps[::-1]), axis=-1)
    inner = np.abs(face().uv - 0.5).max(axis=1) < 0.49
    assert np.abs(sample_at_vertices(face(), texture) - face().uv)[inner].max() < 1e-4


def test_the_vertex_albedo_model_spans_its_people() -> None:
    """In linear light, with as many components as people allow, every member lies in the span."""
    textures = np.stack([linear_to_srgb(grainy_texture(k)) for k in range(5)])
    model = vertex_albedo_model(face(), textures)
    assert model.mean.shape == face().mean.shape and len(model.basis) == 4
    basis = model.basis.reshape(4, -1).T
    for texture in textures:
        own = srgb_to_linear(sample_at_vertices(face(), texture))
        rest = (own - model.mean).ravel()
        solved = np.linalg.lstsq(basis, rest, rcond=None)[0]
        assert np.abs(basis @ solved - rest).max() < 1e-4
