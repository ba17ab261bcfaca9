"""Pictures of runs over HTTP: every kind, nothing from outside a run, made once, kept within bounds."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import study_runs
import viewer_run
from PIL import Image
from skimage.color import deltaE_ciede2000, rgb2lab
from starlette.applications import Starlette
from starlette.testclient import TestClient

from dashboard import catalogue
from dashboard.pictures import kept as keeping
from dashboard.pictures import thumbnails
from dashboard.pictures.addresses import Kind, Picture
from dashboard.pictures.differences import RANGES, STOPS, _measured, coloured
from dashboard.pictures.routes import picture_routes
from dashboard.pictures.sources import source_of, why_missing
from dashboard.pictures.tokens import blind_address
from dashboard.settings import Settings, use
from metrics.flip import flip
from metrics.pixel import delta_e
from recon.images import read_png, write_png
from recon.runs.folder import RunFolder
from recon.storage import read_json, write_json

WIDTH, HEIGHT = study_runs.CROP[2] - study_runs.CROP[0], study_runs.CROP[3] - study_runs.CROP[1]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return viewer_run.make_run(tmp_path_factory.mktemp("runs") / "first")


@pytest.fixture
def client(made: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """A server of the pictures of ``made`` with a cache of its own."""
    monkeypatch.setattr(catalogue, "_found", {})
    monkeypatch.setattr(keeping, "_sizes", {})
    use(Settings(made.path.parent, None, False, tmp_path / "cache"))
    with TestClient(Starlette(routes=picture_routes())) as client:
        yield client


def _picture(kind: Kind, method: str = "", view: str = "", subject: str = "s1") -> Picture:
    return Picture("first", kind, "identity", subject, method, view)


def _image(client: TestClient, address: str) -> Image.Image:
    answer = client.get(address)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/webp"
    return Image.open(io.BytesIO(answer.content))


@pytest.mark.parametrize(
    ("picture", "size"),
    [
        (_picture("photograph"), (WIDTH, HEIGHT)),
        (_picture("view", "alpha", "fitted"), (WIDTH, HEIGHT)),
        (_picture("difference", "alpha", "fitted"), (WIDTH, HEIGHT)),
        (_picture("flip", "alpha", "fitted"), (WIDTH, HEIGHT)),
        (_picture("albedo", "alpha"), (64, 64)),
        (_picture("mask", "alpha"), (64, 64)),
    ],
)
def test_every_kind_of_picture_is_served(client: TestClient, picture: Picture, size: tuple[int, int]) -> None:
    assert _image(client, picture.address()).size == size
    assert _image(client, picture.address(160)).size[0] == min(160, size[0])
    assert _image(client, blind_address(picture)).size == size


def test_a_picture_as_it_is_has_every_pixel_of_the_file(client: TestClient, made: RunFolder) -> None:
    own = np.asarray(_image(client, _picture("view", "alpha", "fitted").address()).convert("RGB"))
    with Image.open(made.path / "results/alpha/identity/s1/views/fitted.png") as file:
        np.testing.assert_array_equal(own, np.asarray(file.convert("RGB")))
    photograph = np.asarray(_image(client, _picture("photograph").address()).convert("RGB"))
    whole = (study_runs.photograph(0) * 255).round().astype(np.uint8)
    left, top, right, bottom = study_runs.CROP
    np.testing.assert_array_equal(photograph, whole[top:bottom, left:right])


def test_a_head_is_served_as_glb_and_an_unchanged_picture_is_not_sent_twice(client: TestClient) -> None:
    head = client.get(_picture("head", "alpha").address())
    assert head.headers["content-type"] == "model/gltf-binary"
    assert head.content[:4] == b"glTF"
    again = client.get(_picture("head", "alpha").address(), headers={"If-None-Match": head.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    "address",
    [
        "/pictures/first/view/identity/alpha/s1/..%2F..%2Fresult/0",
        "/pictures/first/view/identity/alpha/s1/..~..~..~s2~views~fitted/0",
        "/pictures/first/view/identity/alpha/s1/~etc~passwd/0",
        "/pictures/first/view/identity/alpha/%2e%2e/fitted/0",
        "/pictures/first/view/identity/..~alpha/s1/fitted/0",
        "/pictures/first/view/..%252F/alpha/s1/fitted/0",
        "/pictures/%2e%2e/photograph/identity/-/s1/-/0",
        "/pictures/..~secret/photograph/identity/-/s1/-/0",
        "/pictures/second/photograph/identity/-/s1/-/0",
        "/pictures/first/photograph/identity/-/s1%00/-/0",
        "/pictures/first/photograph/identity/-/s1/-/999999",
        "/pictures/first/photograph/identity/-/s1/-/-1",
        "/pictures/first/run.json/identity/-/s1/-/0",
        "/pictures/first/difference/identity/alpha/s1/studio-front/0",
        "/pictures/blind/0123456789abcdef/0",
        "/pictures/blind/..%2F..%2Fetc/0",
    ],
)
def test_what_no_run_has_is_not_there(client: TestClient, made: RunFolder, address: str) -> None:
    (made.path.parent / "secret").mkdir(exist_ok=True)
    assert client.get(address).status_code == 404


def test_nothing_outside_a_run_is_opened_through_a_link_or_a_name(
    client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = viewer_run.make_run(tmp_path / "runs" / "first", ("alpha",))
    use(Settings(tmp_path / "runs", None, False, tmp_path / "cache"))
    monkeypatch.setattr(catalogue, "_found", {})
    secret = tmp_path / "secret"
    write_png(secret / "photo.png", study_runs.photograph(7))
    view = folder.path / "results/alpha/identity/s1/views/fitted.png"
    assert client.get(_picture("view", "alpha", "fitted").address()).status_code == 200
    view.unlink()
    view.symlink_to(secret / "photo.png")
    assert client.get(_picture("view", "alpha", "fitted").address()).status_code == 404
    # A run.json that names a folder outside as a subject, with everything there that a subject needs.
    os.rename(folder.judged("s2", "identity"), secret / "identity")
    viewer_run.change_config(folder, subjects=["s1", "../../../secret", 7, None])
    monkeypatch.setattr(catalogue, "_found", {})
    assert client.get("/pictures/first/photograph/identity/-/..~..~..~secret/-/0").status_code == 404
    assert source_of(Picture("first", "photograph", "identity", "../../../secret")) is None


def test_a_missing_picture_says_why(client: TestClient, made: RunFolder) -> None:
    run = catalogue.runs()["first"]
    assert why_missing(run, _picture("view", "alpha", "fitted")) == ""
    assert why_missing(run, _picture("view", "gamma", "fitted", "s4")) == viewer_run.REASON
    assert "imported as views" in why_missing(run, _picture("head", "beta"))
    assert "mesoface render" in why_missing(run, _picture("view", "alpha", "mitsuba/studio-front"))
    assert "choose the view 'fitted'" in why_missing(run, _picture("flip", "alpha", "mitsuba/studio-front"))
    write_json(made.result(viewer_run.FAILED) / "failure.json", ["broken"])
    assert "cannot be read" in why_missing(run, _picture("view", "gamma", "fitted", "s4"))
    write_json(made.result(viewer_run.FAILED) / "failure.json", {"message": viewer_run.REASON})


def test_views_of_other_renderers_are_served_by_their_record_alone(client: TestClient, made: RunFolder) -> None:
    place = made.path / "results/alpha/identity/s2/views/mitsuba"
    write_png(place / "studio-front.png", study_runs.rendering(5))
    picture = _picture("view", "alpha", "mitsuba/studio-front", "s2")
    assert client.get(picture.address()).status_code == 404
    write_json(place / "studio-front.json", {"files": {"studio-front.png": "0"}})
    assert _image(client, picture.address()).size == (WIDTH, HEIGHT)


def test_a_damaged_picture_is_a_sentence(client: TestClient, made: RunFolder) -> None:
    path = made.path / "results/beta/identity/s3/views/fitted.png"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    for kind in ("view", "difference"):
        answer = client.get(_picture(kind, "beta", "fitted", "s3").address())
        assert answer.status_code == 422
        assert "fitted.png" in answer.text and "Traceback" not in answer.text
    path.write_bytes(whole)
    assert client.get(_picture("view", "beta", "fitted", "s3").address()).status_code == 200


def test_the_same_picture_asked_for_twenty_times_at_once_is_made_once(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, begun = [], threading.Barrier(20)
    really = thumbnails._made
    monkeypatch.setattr(thumbnails, "_made", lambda *what: made.append(1) or really(*what))

    def ask(_number: int) -> bytes:
        begun.wait()
        return client.get(_picture("view", "alpha", "fitted", "s3").address(160)).content

    with ThreadPoolExecutor(20) as threads:
        answers = set(threads.map(ask, range(20)))
    assert (len(made), len(answers)) == (1, 1)
    assert not keeping._busy


def test_the_cache_stays_within_its_bound_and_forgets_what_is_oldest(
    client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files: list[Path] = []
    monkeypatch.setattr(keeping, "MOST_BYTES", 10_000)
    for number in range(40):
        files.append(keeping.kept(f"{number:02x}" * 32, ".webp", lambda: bytes(1000)))
        os.utime(files[-1], (1_000_000 + number, 1_000_000 + number))
        there = list((tmp_path / "cache").rglob("*.webp"))
        assert sum(path.stat().st_size for path in there) <= 10_000
    assert [path.exists() for path in files[-5:]] == [True] * 5
    assert not files[0].exists()
    assert not list((tmp_path / "cache").rglob("*.partial*"))


def test_what_cannot_be_made_leaves_nothing_and_can_be_asked_for_again(client: TestClient) -> None:
    def fails() -> bytes:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        keeping.kept("ab" * 32, ".webp", fails)
    assert keeping.kept("ab" * 32, ".webp", lambda: b"whole").read_bytes() == b"whole"
    assert not keeping._busy


def test_a_blind_address_tells_nothing_and_stays_the_same(client: TestClient) -> None:
    first, second = (blind_address(_picture("view", method, "fitted")) for method in ("alpha", "beta"))
    assert first != second
    assert first == blind_address(_picture("view", "alpha", "fitted"))
    for name in ("alpha", "beta", "first", "s1", "fitted", "identity"):
        assert name not in first + second
    headers = client.get(first).headers
    assert not any("alpha" in value for value in headers.values())


def test_the_maps_have_the_means_of_the_metrics(client: TestClient, made: RunFolder) -> None:
    left, top, right, bottom = study_runs.CROP
    photograph = read_png(made.reference("s1") / "photo.png")[top:bottom, left:right].astype(np.float32)
    view = read_png(made.path / "results/alpha/identity/s1/views/fitted.png").astype(np.float32)
    skin = study_runs.skin()
    values, known = _measured("difference", view, photograph, skin)
    assert values[known].mean() == pytest.approx(delta_e(view, photograph, skin), rel=1e-5)
    np.testing.assert_allclose(
        values[known], deltaE_ciede2000(rgb2lab(photograph), rgb2lab(view))[skin], rtol=1e-4, atol=1e-4
    )
    values, known = _measured("flip", view, photograph, skin)
    assert values[known].mean() == pytest.approx(flip(view, photograph, skin), rel=1e-5)
    assert not (known & ~skin).any()


def test_a_map_is_coloured_from_dark_to_light_and_grey_outside() -> None:
    share = np.array([[0.0, 0.5, 1.0, 7.0, 0.3]], np.float32)
    known = np.array([[True, True, True, True, False]])
    painted = coloured(share, known, np.full((1, 5, 3), 0.5, np.float32))[0]

    def colour(stop: str) -> list[int]:
        return [int(stop[at : at + 2], 16) for at in (1, 3, 5)]

    assert painted[0].tolist() == colour(STOPS[0])
    assert painted[2].tolist() == painted[3].tolist() == colour(STOPS[-1])
    np.testing.assert_allclose(painted[1], colour(STOPS[4]), atol=2)
    assert len(set(painted[4].tolist())) == 1
    assert all(one.top > 0 for one in RANGES.values())


def test_a_picture_that_is_made_anew_is_served_anew(client: TestClient, made: RunFolder) -> None:
    path = made.path / "results/alpha/identity/s4/views/fitted.png"
    address = _picture("view", "alpha", "fitted", "s4").address()
    before = client.get(address)
    write_png(path, study_runs.rendering(99))
    after = client.get(address, headers={"If-None-Match": before.headers["etag"]})
    assert after.status_code == 200
    assert after.content != before.content
    assert read_json(made.config)["methods"]
