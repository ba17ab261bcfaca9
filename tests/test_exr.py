"""OpenEXR files: exact for 32 bits, eleven significant bits for 16, read by another library, and refused by name."""

from __future__ import annotations

import re
import resource
from pathlib import Path

import numpy as np
import OpenEXR
import pytest

from recon.errors import AssetError, ImageError, StorageError
from recon.exr import HALF_MAX, REC_709, read_exr, write_exr

SCAN_LINES = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}


def drawn(*shape: int) -> np.ndarray:
    """Values over six decades, both signs."""
    rng = np.random.default_rng(0)
    return (rng.choice([-1, 1], shape) * np.exp(rng.normal(0, 2.5, shape))).astype(np.float32)


def as_mitsuba_reads(path: Path) -> tuple[np.ndarray, str, object]:
    """Pixels, kind of pixels and attributes, by a reader that shares no code with the package OpenEXR's bindings."""
    import drjit

    from recon.rendering.mitsuba_renderer import load_mitsuba

    mi = load_mitsuba()
    drjit.set_thread_count(2)  # its own EXR reader waits without end if it has but one
    bitmap = mi.Bitmap(str(path))
    return np.array(bitmap), str(bitmap.pixel_format()).rpartition(".")[2], bitmap.metadata()


@pytest.mark.parametrize(("shape", "kind"), [((17, 23), "Y"), ((17, 23, 3), "RGB"), ((17, 23, 4), "RGBA")])
def test_floats_are_kept_exactly_and_halves_to_eleven_bits(shape: tuple[int, ...], kind: str, tmp_path: Path) -> None:
    values = drawn(*shape)
    write_exr(tmp_path / "a" / "whole.exr", values)
    write_exr(tmp_path / "a" / "half.exr", values, half=True)
    assert {path.name for path in (tmp_path / "a").iterdir()} == {"whole.exr", "half.exr"}
    for name, kept in (("whole.exr", values), ("half.exr", values.astype(np.float16))):
        again = read_exr(tmp_path / "a" / name)
        assert again.dtype == kept.dtype
        np.testing.assert_array_equal(again, kept)
        theirs, pixels, _ = as_mitsuba_reads(tmp_path / "a" / name)
        assert theirs.dtype == kept.dtype and pixels == kind
        np.testing.assert_array_equal(theirs.reshape(shape), kept)
    np.testing.assert_allclose(read_exr(tmp_path / "a" / "half.exr").astype(np.float32), values, rtol=2**-11)


def test_what_is_said_of_a_file_is_in_it(tmp_path: Path) -> None:
    write_exr(tmp_path / "a.exr", drawn(4, 5, 3), header={**REC_709, "owner": "CC BY 4.0. Someone 2017"})
    with OpenEXR.File(str(tmp_path / "a.exr")) as file:
        primaries = file.header()["chromaticities"]
    assert primaries == pytest.approx((0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290), abs=1e-7)
    assert as_mitsuba_reads(tmp_path / "a.exr")[2]["owner"] == "CC BY 4.0. Someone 2017"  # type: ignore[index]


def test_halves_are_cut_instead_of_becoming_infinite(tmp_path: Path) -> None:
    write_exr(tmp_path / "sun.exr", np.array([[1e6, -1e6, 1.0]]), half=True)
    assert read_exr(tmp_path / "sun.exr").tolist() == [[HALF_MAX, -HALF_MAX, 1.0]]


def test_what_cannot_be_written_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.exr"
    before = drawn(4, 5, 3)
    write_exr(path, before)
    spoilt = before.copy()
    spoilt[1, 2, 0] = np.nan
    with pytest.raises(ImageError, match=r"a\.exr' was not written: 1 of its values are not finite"):
        write_exr(path, spoilt)
    for shape in ((4, 5, 2), (4,), (0, 5, 3)):
        with pytest.raises(ImageError, match=rf"a\.exr' was not written: {re.escape(str(shape))}"):
            write_exr(path, np.zeros(shape))
    np.testing.assert_array_equal(read_exr(path), before)


def test_a_full_disk_is_called_one(tmp_path: Path) -> None:
    """The library loses the system's error number; a limit on the size of files stands for the disk's."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(StorageError, match=r"disk is full: '.*a\.exr'"):
            write_exr(tmp_path / "a.exr", drawn(200, 200, 3))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.iterdir())


def test_channels_are_asked_for_by_name(tmp_path: Path) -> None:
    colour = drawn(4, 5, 3)
    OpenEXR.File(dict(SCAN_LINES), {"RGB": colour, "Z": colour[..., 0].copy()}).write(str(tmp_path / "layers.exr"))
    np.testing.assert_array_equal(read_exr(tmp_path / "layers.exr"), colour)
    OpenEXR.File(dict(SCAN_LINES), {"height": colour[..., 1].copy()}).write(str(tmp_path / "grey.exr"))
    np.testing.assert_array_equal(read_exr(tmp_path / "grey.exr"), colour[..., 1])
    with pytest.raises(ImageError, match=r"layers\.exr' has the channels RGB, Z, not RGBA"):
        read_exr(tmp_path / "layers.exr", ("RGBA",))
    layers = {"Z": colour[..., 0].copy(), "height": colour[..., 1].copy()}
    OpenEXR.File(dict(SCAN_LINES), layers).write(str(tmp_path / "two.exr"))
    with pytest.raises(ImageError, match=r"two\.exr' has the channels Z, height, not RGB or RGBA or Y"):
        read_exr(tmp_path / "two.exr")


def test_files_that_cannot_be_read_are_named_with_the_mend(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"absent\.exr' does not exist: put it there"):
        read_exr(tmp_path / "absent.exr")
    write_exr(tmp_path / "whole.exr", drawn(40, 50, 3))
    whole = (tmp_path / "whole.exr").read_bytes()
    for name, content in (("none.exr", b"no picture"), ("begun.exr", whole[:100]), ("cut.exr", whole[:-500])):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ImageError, match=rf"{name}' cannot be read as EXR \(.*truncated or damaged; copy"):
            read_exr(tmp_path / name)
    window = {"displayWindow": (np.array([0, 0], np.int32), np.array([59, 39], np.int32))}
    OpenEXR.File(SCAN_LINES | window, {"RGB": drawn(40, 50, 3)}).write(str(tmp_path / "part.exr"))
    with pytest.raises(ImageError, match=r"part\.exr' holds another window.*without crop"):
        read_exr(tmp_path / "part.exr")


def test_without_the_package_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "OpenEXR", None)
    with pytest.raises(AssetError, match="pip install OpenEXR"):
        write_exr(tmp_path / "a.exr", drawn(4, 5))
    assert not list(tmp_path.iterdir())
