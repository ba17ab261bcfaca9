"""What weights are is remembered as long as the files and programs that decide it are the same."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from metrics import remembered_weights
from metrics.contract import Weights
from metrics.known import find_metric, with_weights
from metrics.remembered_weights import remembered
from recon.errors import AssetError

FOUND = Weights("net", "ab" * 32, "file.pth")


class Loading:
    """Loads :data:`FOUND`, and counts how often it had to."""

    def __init__(self, error: Exception | None = None) -> None:
        self.times, self.error = 0, error

    def __call__(self) -> Weights:
        self.times += 1
        if self.error is not None:
            raise self.error
        return FOUND


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own with one weight file in it."""
    weights = tmp_path / "vgg16.pth"
    weights.write_bytes(b"weights")
    monkeypatch.setenv("MESOFACE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MESOFACE_ASSET_LPIPS_VGG", str(weights))
    return tmp_path / "home"


def test_a_network_is_loaded_once_for_all_programs() -> None:
    load = Loading()
    assert [remembered("lpips-vgg", load) for _ in range(3)] == [FOUND] * 3
    assert load.times == 1
    assert remembered("dists", load) == FOUND and load.times == 2, "another metric's note was taken"


def test_another_file_or_program_is_loaded_anew(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load = Loading()
    remembered("lpips-vgg", load)
    os.utime(tmp_path / "vgg16.pth", (1, 1))
    remembered("lpips-vgg", load)
    assert load.times == 2
    (tmp_path / "vgg16.pth").unlink()
    remembered("lpips-vgg", load)
    assert load.times == 3
    monkeypatch.setattr(remembered_weights, "_programs", lambda: ("another source",))
    remembered("lpips-vgg", load)
    assert load.times == 4
    (home / "networks" / "lpips-vgg.json").write_text('{"state": ')
    assert remembered("lpips-vgg", load) == FOUND and load.times == 5


def test_what_failed_is_tried_again_and_leaves_no_note(home: Path) -> None:
    for error in (AssetError("absent."), RuntimeError("broken")):
        load = Loading(error)
        for _ in range(2):
            with pytest.raises(type(error)):
                remembered("lpips-vgg", load)
        assert load.times == 2
    assert not (home / "networks").exists()


def test_metrics_of_others_are_always_loaded() -> None:
    load = Loading()
    assert [remembered("theirs", load) for _ in range(2)] == [FOUND, FOUND]
    assert load.times == 2


def test_a_cache_that_cannot_be_written_is_no_failure(home: Path) -> None:
    home.write_text("a file where the folder should be")
    load = Loading()
    assert [remembered("lpips-vgg", load) for _ in range(2)] == [FOUND, FOUND]
    assert load.times == 2


def test_who_measures_loads_and_who_asks_need_not() -> None:
    load = Loading()
    known = find_metric("lpips-vgg")
    known = replace(known, metric=replace(known.metric, weights=load))
    for times in (1, 1):
        assert with_weights(known, to_measure=False).weights == FOUND
        assert load.times == times
    assert with_weights(known).weights == FOUND
    assert load.times == 2
