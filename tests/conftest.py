"""Fixtures that every room's tests share: real data where this machine has it, and a cache of the session's own.

Real data lies in the folder ``../shared/data`` beside the checkout, or where ``MESOFACE_TEST_DATA`` points; tests that
need it skip with the reason elsewhere. ``MESOFACE_TEST_HOME`` names a cache folder that outlives the session, so that
expensive conversions are made once.
"""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# Before numpy or torch are imported: two test processes share two cores, and one thread each is the fastest then.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

import pytest  # noqa: E402

CHECKOUT = Path(__file__).resolve().parent.parent


def _find_shared_data() -> tuple[Path | None, str]:
    """The folder of real data, or None and the reason."""
    given = os.environ.get("MESOFACE_TEST_DATA")
    folder = Path(given) if given else CHECKOUT.parent / "shared" / "data"
    if folder.is_dir():
        return folder, ""
    place = "MESOFACE_TEST_DATA names a folder that does not exist" if given else "no folder ../shared/data"
    return None, f"needs real data: {place} (set MESOFACE_TEST_DATA)"


@pytest.fixture(scope="session", autouse=True)
def mesoface_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The cache folder of this session, shared by its worker processes; the user's own cache is only read.

    Assets that the user already has, and those in the shared data, are announced through ``MESOFACE_ASSET_…``.
    """
    from recon.assets import ASSETS, asset_variable, locate

    patch = pytest.MonkeyPatch()
    data, _ = _find_shared_data()
    real = {}
    if data is not None:
        real = {"ict": data / "ict-facekit" / "ICT-FaceKit-master.zip", "london": data / "london"}
    for name in ASSETS:
        path = real.get(name)
        found = path if path is not None and path.exists() else locate(name)
        if found is not None:
            patch.setenv(asset_variable(name), str(found))
    kept = os.environ.get("MESOFACE_TEST_HOME")
    base = tmp_path_factory.getbasetemp()
    # Each xdist worker has a base folder of its own inside the session's: the parent is common to them.
    home = Path(kept) if kept else (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "mesoface-home"
    home.mkdir(parents=True, exist_ok=True)
    patch.setenv("MESOFACE_HOME", str(home))
    yield home
    patch.undo()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real data (see ``README.md`` in it); skips where there is none."""
    folder, reason = _find_shared_data()
    if folder is None:
        pytest.skip(reason)
    return folder


@pytest.fixture(scope="session")
def london_folder(shared_data: Path) -> Path:
    """The London set: ``neutral_front/`` and ``london_info.csv``; skips where it is absent."""
    folder = shared_data / "london"
    if not (folder / "neutral_front").is_dir():
        pytest.skip("needs the Face Research Lab London Set in the folder 'london' of the shared data")
    return folder


@pytest.fixture(scope="session")
def ict_zip(shared_data: Path) -> Path:
    """GitHub's zip of ICT-FaceKit; skips where it is absent."""
    path = shared_data / "ict-facekit" / "ICT-FaceKit-master.zip"
    if not path.is_file():
        pytest.skip("needs ict-facekit/ICT-FaceKit-master.zip in the shared data")
    return path


@pytest.fixture(scope="session")
def asset(mesoface_home: Path) -> Callable[[str], Path]:
    """``asset(name)`` gives the asset's path, fetching it once a session; skips where it cannot be had."""
    from recon.assets import fetch
    from recon.errors import AssetError

    def find(name: str) -> Path:
        try:
            return fetch(name)
        except AssetError as error:
            pytest.skip(f"needs the asset '{name}': {error}")

    return find


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever connects to anything, or fetches an asset, fails the test."""
    from recon import assets

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was touched")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(assets, "fetch", refuse)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """Playwright's browser; skips where there is none.

    Not for longer than a module: while it lives, its event loop counts as running in this thread.
    """
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs the Python package playwright")
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("needs Chromium: no 'chromium', 'chromium-browser' or 'google-chrome' on the path")
    with sync_api.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()
