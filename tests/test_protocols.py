"""Protocols: spelling, what each does to a photograph in linear light, and what it leaves alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recon.colour import linear_to_srgb, luminance, srgb_to_linear
from recon.data.protocols import parse_protocol, parse_protocols
from recon.data.subject import Photograph
from recon.errors import UsageError


@pytest.fixture(scope="module")
def photograph() -> Photograph:
    srgb = np.random.default_rng(0).uniform(size=(48, 60, 3)).astype(np.float32)
    return Photograph(srgb=srgb, name="noise.png", sha256="of noise", notes=("16 bit reduced",))


@pytest.mark.parametrize(
    ("text", "name", "folder", "kind", "argument"),
    [
        ("identity", "identity", "identity", "identity", ""),
        (" blur:8.0 ", "blur:8", "blur-8", "blur", "8"),
        ("blur:0.5", "blur:0.5", "blur-0.5", "blur", "0.5"),
        ("occlude:right", "occlude:right", "occlude-right", "occlude", "right"),
        ("lowres:04", "lowres:4", "lowres-4", "lowres", "4"),
        ("grayscale", "grayscale", "grayscale", "grayscale", ""),
    ],
)
def test_spellings(text: str, name: str, folder: str, kind: str, argument: str) -> None:
    found = parse_protocol(text)
    assert (found.name, found.folder, found.kind, found.argument) == (name, folder, kind, argument)
    assert parse_protocol(found.name) == found
    assert found.withheld_side == ("right" if kind == "occlude" else None)
    assert found.degrades_photograph == (kind in {"blur", "lowres", "grayscale"})


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("blurr:8", "did you mean 'blur'"),
        ("oclude:left", "did you mean 'occlude'"),
        ("", "unknown protocol"),
        ("identity:3", "takes no argument"),
        ("grayscale:1", "takes no argument"),
        ("occlude", "which half"),
        ("occlude:top", "which half"),
        ("blur", "between 0 and 200"),
        ("blur:0", "between 0 and 200"),
        ("blur:-3", "between 0 and 200"),
        ("blur:nan", "between 0 and 200"),
        ("blur:201", "between 0 and 200"),
        ("lowres:1", "between 2 and 100"),
        ("lowres:2.5", "between 2 and 100"),
        ("lowres:101", "between 2 and 100"),
    ],
)
def test_wrong_spellings_say_what_is_right(text: str, hint: str) -> None:
    with pytest.raises(UsageError, match=hint):
        parse_protocol(text)


@given(st.text(max_size=12))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        found = parse_protocol(text)
    except UsageError:
        return
    assert parse_protocol(found.name) == found
    assert not set(found.folder) & set(":/\\ ")


def test_lists_keep_their_order_and_each_once() -> None:
    assert [p.name for p in parse_protocols("occlude:left, blur:8,identity,blur:8.0")] == [
        "occlude:left",
        "blur:8",
        "identity",
    ]
    with pytest.raises(UsageError, match="no protocol"):
        parse_protocols(" , ")


@pytest.mark.parametrize("text", ["identity", "occlude:left"])
def test_the_photograph_itself_is_left_alone(photograph: Photograph, text: str) -> None:
    assert parse_protocol(text).given(photograph) is photograph


@pytest.mark.parametrize("text", ["blur:2", "lowres:4", "grayscale"])
def test_degraded_photographs_are_photographs(photograph: Photograph, text: str) -> None:
    before = photograph.srgb.copy()
    found = parse_protocol(text).given(photograph)
    assert found.srgb.shape == photograph.srgb.shape and found.srgb.dtype == np.float32
    assert found.srgb.min() >= 0 and found.srgb.max() <= 1
    assert (found.name, found.sha256, found.notes) == (photograph.name, photograph.sha256, photograph.notes)
    assert np.array_equal(photograph.srgb, before)


@pytest.mark.parametrize("text", ["blur:3", "lowres:4"])
def test_blur_and_low_resolution_average_light_not_code_values(text: str) -> None:
    """A fine checkerboard of black and white becomes half the light, which is 0.735 encoded."""
    board = np.repeat((np.indices((48, 48)).sum(axis=0) % 2)[..., None], 3, axis=2).astype(np.float32)
    inner = parse_protocol(text).degrade(board)[16:32, 16:32]
    assert inner == pytest.approx(linear_to_srgb(np.array([0.5]))[0], abs=0.01)
    assert linear_to_srgb(np.array([0.5]))[0] == pytest.approx(0.735, abs=1e-3)


def test_blur_has_the_width_it_says() -> None:
    """A line of light becomes a Gaussian of that standard deviation."""
    line = np.zeros((9, 81, 3), np.float32)
    line[:, 40] = 1.0
    spread = srgb_to_linear(parse_protocol("blur:4").degrade(line))[4, :, 0].astype(np.float64)
    at = np.arange(81) - 40
    assert np.sqrt((spread * at**2).sum() / spread.sum()) == pytest.approx(4.0, rel=0.01)


def test_low_resolution_removes_fine_and_keeps_coarse_detail() -> None:
    x = np.arange(96)
    for period, low, high in ((3, 0.0, 0.05), (48, 0.85, 1.05)):
        wave = 0.5 + 0.3 * np.sin(2 * np.pi * x / period)
        picture = linear_to_srgb(np.broadcast_to(wave[None, :, None], (96, 96, 3)))
        found = srgb_to_linear(parse_protocol("lowres:8").degrade(picture))[48, 16:-16, 1]
        assert low <= (found.max() - found.min()) / 0.6 <= high


def test_grey_keeps_luminance(photograph: Photograph) -> None:
    grey = parse_protocol("grayscale").degrade(photograph.srgb)
    assert (grey[..., 0] == grey[..., 1]).all() and (grey[..., 0] == grey[..., 2]).all()
    linear = srgb_to_linear(photograph.srgb)
    assert srgb_to_linear(grey)[..., 0] == pytest.approx(luminance(linear), abs=1e-5)
