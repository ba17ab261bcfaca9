"""Decoding photographs: every kind of file that people have, and every way in which one can be broken."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from recon.errors import ImageError, InputError, StorageError
from recon.images import ALPHA_BACKGROUND, MAX_SIDE, MIN_SIDE, read_photograph, read_png, write_png
from recon.storage import atomic_path, read_json, remove_partials, write_json, write_npy


def gradient(width: int = 160, height: int = 120) -> np.ndarray:
    """``(H, W, 3)`` uint8: red grows to the right, green downwards, blue is constant."""
    image = np.empty((height, width, 3), dtype=np.uint8)
    image[..., 0] = np.linspace(0, 255, width).astype(np.uint8)[None]
    image[..., 1] = np.linspace(0, 255, height).astype(np.uint8)[:, None]
    image[..., 2] = 90
    return image


def test_plain_png_is_exact(tmp_path: Path) -> None:
    Image.fromarray(gradient()).save(tmp_path / "a.png")
    photograph = read_photograph(tmp_path / "a.png")
    assert photograph.srgb.dtype == np.float32
    assert photograph.srgb.flags.c_contiguous
    assert np.array_equal(photograph.srgb, gradient().astype(np.float32) / np.float32(255))
    assert photograph.name == "a.png"
    assert photograph.notes == ()


def test_hash_follows_pixels_and_not_the_file(tmp_path: Path) -> None:
    Image.fromarray(gradient()).save(tmp_path / "a.png", compress_level=0)
    Image.fromarray(gradient()).save(tmp_path / "b.png", compress_level=9)
    changed = gradient()
    changed[5, 7, 2] += 1
    Image.fromarray(changed).save(tmp_path / "c.png")
    a, b, c = (read_photograph(tmp_path / f"{name}.png").sha256 for name in "abc")
    assert a == b
    assert a != c


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int, suffix: str) -> None:
    """The eight orientations of EXIF 2.32 (tag 0x0112), stored as the inverse of what a viewer must do."""
    stored = {
        1: lambda a: a,
        2: np.fliplr,
        3: lambda a: np.rot90(a, 2),
        4: np.flipud,
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: np.rot90(a.swapaxes(0, 1), 2),
        8: lambda a: np.rot90(a, -1),
    }[orientation](gradient())
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / f"a.{suffix}", exif=exif)
    photograph = read_photograph(tmp_path / f"a.{suffix}")
    assert np.array_equal(photograph.srgb, gradient().astype(np.float32) / np.float32(255))
    assert suffix == "tif" or bool(photograph.notes) == (orientation != 1)


def test_huge_turned_photograph(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.linear_gradient("L").resize((5000, 2500)).save(tmp_path / "a.jpg", exif=exif)
    srgb = read_photograph(tmp_path / "a.jpg").srgb
    assert srgb.shape == (MAX_SIDE, MAX_SIDE // 2, 3)
    assert srgb[:, 0].mean() > 0.99  # what was below lies to the left after a quarter turn clockwise


def test_cmyk_without_profile_uses_the_simple_rule(tmp_path: Path) -> None:
    """R = (255 − C)(255 − K)/255, and so on: the closed form that has no colour management."""
    cmyk = np.zeros((100, 100, 4), dtype=np.uint8)
    cmyk[...] = (40, 80, 120, 30)
    Image.fromarray(cmyk, mode="CMYK").save(tmp_path / "a.tif")
    photograph = read_photograph(tmp_path / "a.tif")
    expected = (255 - np.array([40, 80, 120])) * (255 - 30) / 255 / 255
    assert np.allclose(photograph.srgb[50, 50], expected, atol=1.5 / 255)
    assert any("CMYK" in note for note in photograph.notes)


def test_cmyk_jpeg_of_adobe_is_not_inverted(tmp_path: Path) -> None:
    """Adobe's CMYK JPEGs store inverted ink; white paper must stay white."""
    Image.new("CMYK", (128, 128), (0, 0, 0, 0)).save(tmp_path / "white.jpg", quality=95)
    assert read_photograph(tmp_path / "white.jpg").srgb.min() > 0.98


def test_profile_other_than_srgb_is_converted(tmp_path: Path) -> None:
    """L* = 50 of a Lab profile is sRGB 118.9 by CIE 1976 and IEC 61966-2-1 (Y = 0.1842)."""
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    Image.new("LAB", (128, 128), (128, 128, 128)).save(tmp_path / "a.tif", icc_profile=lab.tobytes())
    photograph = read_photograph(tmp_path / "a.tif")
    assert np.allclose(photograph.srgb[64, 64], 118.9 / 255, atol=2 / 255)
    assert any("colour profile" in note for note in photograph.notes)


def test_srgb_profile_changes_nothing(tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(gradient()).save(tmp_path / "a.png", icc_profile=profile)
    photograph = read_photograph(tmp_path / "a.png")
    assert np.array_equal(photograph.srgb, gradient().astype(np.float32) / np.float32(255))


def test_damaged_profile_is_noted(tmp_path: Path) -> None:
    Image.fromarray(gradient()).save(tmp_path / "a.png", icc_profile=b"not a profile at all" * 10)
    photograph = read_photograph(tmp_path / "a.png")
    assert np.array_equal(photograph.srgb, gradient().astype(np.float32) / np.float32(255))
    assert any("profile" in note for note in photograph.notes)


def test_sixteen_bit_grey_keeps_its_bits(tmp_path: Path) -> None:
    values = np.linspace(0, 65535, 128 * 128).astype(np.uint16).reshape(128, 128)
    Image.fromarray(values).save(tmp_path / "a.png")
    photograph = read_photograph(tmp_path / "a.png")
    assert photograph.srgb.shape == (128, 128, 3)
    assert np.allclose(photograph.srgb[..., 1], values / 65535, atol=1e-6)
    assert any("16-bit" in note for note in photograph.notes)


def test_sixteen_bit_colour(tmp_path: Path) -> None:
    """Written by tifffile, an independent encoder; the decoder keeps the upper eight bits."""
    tifffile = pytest.importorskip("tifffile", reason="needs tifffile, which scikit-image brings")
    values = np.zeros((128, 128, 3), dtype=np.uint16)
    values[...] = np.array([1000, 30000, 60000])
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb")
    photograph = read_photograph(tmp_path / "a.tif")
    assert np.allclose(photograph.srgb[3, 3], values[3, 3] / 65535, atol=1.01 / 255)
    assert any("16-bit" in note for note in photograph.notes)


def test_grey_photograph_has_three_equal_channels(tmp_path: Path) -> None:
    Image.fromarray(gradient()[..., 0]).save(tmp_path / "a.jpg")
    srgb = read_photograph(tmp_path / "a.jpg").srgb
    assert srgb.shape == (120, 160, 3)
    assert np.array_equal(srgb[..., 0], srgb[..., 2])


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_is_composited_on_mid_grey(tmp_path: Path, mode: str) -> None:
    image = np.full((128, 128, 4), 255, dtype=np.uint8)
    image[:, 64:, 3] = 0
    picture = Image.fromarray(image)
    (picture if mode == "RGBA" else picture.convert(mode)).save(tmp_path / "a.png")
    photograph = read_photograph(tmp_path / "a.png")
    assert np.allclose(photograph.srgb[:, :64], 1)
    assert np.allclose(photograph.srgb[:, 64:], ALPHA_BACKGROUND)
    assert any("transparent" in note for note in photograph.notes)


def test_palette_with_transparent_colour(tmp_path: Path) -> None:
    picture = Image.new("P", (128, 128), 1)
    picture.putpalette([0, 0, 0, 200, 100, 50])
    picture.paste(0, (0, 0, 64, 128))
    picture.save(tmp_path / "a.png", transparency=0)
    srgb = read_photograph(tmp_path / "a.png").srgb
    assert np.allclose(srgb[:, :64], ALPHA_BACKGROUND)
    assert np.allclose(srgb[:, 64:], np.array([200, 100, 50]) / 255, atol=1e-6)


def test_first_of_several_frames(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (128, 128), colour) for colour in ("red", "lime")]
    frames[0].save(tmp_path / "a.tif", save_all=True, append_images=frames[1:])
    photograph = read_photograph(tmp_path / "a.tif")
    assert np.allclose(photograph.srgb[0, 0], (1, 0, 0))
    assert "first of 2 frames" in photograph.notes


def test_black_image_is_a_photograph(tmp_path: Path) -> None:
    Image.new("RGB", (200, 200)).save(tmp_path / "a.jpg")
    assert read_photograph(tmp_path / "a.jpg").srgb.max() == 0


@pytest.mark.parametrize(("suffix", "size"), [("jpg", (12000, 9000)), ("png", (9000, 300)), ("tif", (300, 9000))])
def test_huge_photograph_is_reduced(tmp_path: Path, suffix: str, size: tuple[int, int]) -> None:
    picture = Image.linear_gradient("L").resize(size).convert("RGB")
    picture.save(tmp_path / f"a.{suffix}")
    photograph = read_photograph(tmp_path / f"a.{suffix}")
    height, width = photograph.srgb.shape[:2]
    assert max(width, height) == MAX_SIDE
    assert abs(width / height - size[0] / size[1]) < 0.01 * size[0] / size[1]
    assert any("reduced from" in note for note in photograph.notes)
    # A gradient stays a gradient, from black above to white below.
    assert photograph.srgb[0].mean() < 0.01
    assert photograph.srgb[-1].mean() > 0.99
    assert Image.MAX_IMAGE_PIXELS is not None


def test_huge_sixteen_bit_grey_is_reduced(tmp_path: Path) -> None:
    Image.fromarray(np.full((200, 5000), 40000, dtype=np.uint16)).save(tmp_path / "a.png")
    srgb = read_photograph(tmp_path / "a.png").srgb
    assert srgb.shape[1] == MAX_SIDE
    assert np.allclose(srgb, 40000 / 65535, atol=1e-5)


def header_only_png(width: int, height: int) -> bytes:
    """A PNG that claims a size and has no pixels: a decompression bomb's header."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_decompression_bomb_is_refused_before_decoding(tmp_path: Path) -> None:
    (tmp_path / "bomb.png").write_bytes(header_only_png(60000, 60000))
    with pytest.raises(ImageError, match=r"bomb\.png.*too large.*60000"):
        read_photograph(tmp_path / "bomb.png")


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("kept", [0.5, 0.9])
def test_truncated_file(tmp_path: Path, suffix: str, kept: float) -> None:
    path = tmp_path / f"cut.{suffix}"
    noise = np.random.default_rng(0).integers(0, 255, (300, 300, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    with pytest.raises(ImageError, match=f"cut.{suffix}"):
        read_photograph(path)


@pytest.mark.parametrize(
    "content", [b"", b"hello, this is text\n" * 50, b"\xff\xd8\xff\xe0broken", b"\x89PNG\r\n\x1a\n"]
)
def test_not_an_image(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(ImageError, match=r"a\.jpg"):
        read_photograph(tmp_path / "a.jpg")


@settings(max_examples=60, deadline=None)
@given(position=st.floats(0, 1), value=st.integers(0, 255), suffix=st.sampled_from(["jpg", "png"]))
def test_any_corrupted_byte_gives_a_picture_or_a_typed_error(
    tmp_path_factory: pytest.TempPathFactory, position: float, value: int, suffix: str
) -> None:
    path = tmp_path_factory.mktemp("corrupt") / f"a.{suffix}"
    Image.fromarray(gradient()).save(path)
    data = bytearray(path.read_bytes())
    data[min(int(position * len(data)), len(data) - 1)] = value
    path.write_bytes(data)
    said, finite = "", True
    try:
        finite = bool(np.isfinite(read_photograph(path).srgb).all())
    except ImageError as error:
        said = str(error)
    assert finite
    assert not said or path.name in said


def test_too_small_says_what_is_needed(tmp_path: Path) -> None:
    Image.new("RGB", (40, 40)).save(tmp_path / "a.png")
    with pytest.raises(ImageError, match=rf"40×40.*{MIN_SIDE}"):
        read_photograph(tmp_path / "a.png")
    Image.new("RGB", (MIN_SIDE, MIN_SIDE)).save(tmp_path / "b.png")
    assert read_photograph(tmp_path / "b.png").srgb.shape == (MIN_SIDE, MIN_SIDE, 3)


def test_floating_point_pixels_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.ones((128, 128), dtype=np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(ImageError, match="floating-point"):
        read_photograph(tmp_path / "a.tif")


def test_absent_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="does not exist"):
        read_photograph(tmp_path / "none.jpg")
    with pytest.raises(ImageError, match="is a folder"):
        read_photograph(tmp_path)


def test_photograph_of_the_london_set(london_folder: Path) -> None:
    photograph = read_photograph(london_folder / "neutral_front" / "001_03.jpg")
    assert photograph.srgb.shape == (1350, 1350, 3)  # the set's documented size
    assert 0.2 < photograph.srgb.mean() < 0.9


@pytest.mark.parametrize("shape", [(5, 7, 3), (5, 7)])
def test_png_round_trip_of_floats(tmp_path: Path, shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(1).random(shape).astype(np.float32)
    write_png(tmp_path / "deep" / "a.png", values)
    back = read_png(tmp_path / "deep" / "a.png")
    assert back.dtype == np.float32
    assert back.shape == shape
    assert np.abs(back - values).max() <= 0.5 / 255 + 1e-6
    write_png(tmp_path / "b.png", back)
    assert np.array_equal(read_png(tmp_path / "b.png"), back)


def test_png_round_trip_of_masks(tmp_path: Path) -> None:
    mask = np.random.default_rng(2).random((31, 45)) > 0.5
    write_png(tmp_path / "mask.png", mask)
    back = read_png(tmp_path / "mask.png")
    assert back.dtype == np.bool_
    assert np.array_equal(back, mask)


@pytest.mark.parametrize(
    "values", [np.full((4, 4), np.nan), np.zeros((4, 4, 2), np.float32), np.zeros((4, 4), np.int64)]
)
def test_png_refuses_what_is_no_map(tmp_path: Path, values: np.ndarray) -> None:
    with pytest.raises(ImageError, match="was not written"):
        write_png(tmp_path / "a.png", values)
    assert list(tmp_path.iterdir()) == []


def test_failed_write_keeps_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"kept": True})

    class Mishap(RuntimeError):
        pass

    def write_and_fail() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise Mishap

    with pytest.raises(Mishap):
        write_and_fail()
    with pytest.raises(TypeError):
        write_json(path, {"unwritable": object()})
    assert read_json(path) == {"kept": True}
    assert list(tmp_path.iterdir()) == [path]


def test_full_disk_is_a_storage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_npy(tmp_path / "a.npy", np.arange(3))

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(StorageError, match=r"disk is full.*a\.npy"):
        write_npy(tmp_path / "a.npy", np.arange(4))
    assert np.array_equal(np.load(tmp_path / "a.npy"), np.arange(3))
    assert len(list(tmp_path.iterdir())) == 1


def test_folder_in_the_place_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="a file is in the way"):
        write_json(tmp_path / "file" / "a.json", {})


def test_json_errors_name_the_file(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text('{"half": ')
    with pytest.raises(InputError, match=r"bad\.json.*not valid JSON"):
        read_json(tmp_path / "bad.json")
    with pytest.raises(InputError, match="does not exist"):
        read_json(tmp_path / "none.json")
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "nan.json", {"value": float("nan")})


def test_json_of_numpy_values(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"x": np.float32(0.5), "y": np.arange(3), "p": Path("a/b"), "name": "Zoë"})
    assert read_json(tmp_path / "a.json") == {"x": 0.5, "y": [0, 1, 2], "p": "a/b", "name": "Zoë"}


def test_partials_of_killed_programs_are_removed_when_old(tmp_path: Path) -> None:
    old, new = tmp_path / ".a.123.partial.png", tmp_path / ".b.456.partial.png"
    for path in (old, new):
        path.write_bytes(b"x")
    os.utime(old, (0, 0))
    assert remove_partials(tmp_path) == 1
    assert list(tmp_path.iterdir()) == [new]
