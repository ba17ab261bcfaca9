"""The page: it stands alone, says what the comparison says, shows people with their terms, and survives lost files."""

from __future__ import annotations

import base64
import io
import math
import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from evaluation_toy import write_run
from made_up_comparison import AWKWARD, DETAIL, LPIPS, METHODS, PEOPLE, PSNR, VALUES, comparison, standing, two_runs
from PIL import Image

from metrics.comparison import Estimate
from metrics.report.cases import chosen_people, headline_place
from metrics.report.figures import MOST_POINTS
from metrics.report.html import write_html
from metrics.report.palette import HUES, PAPER, places_in_palette
from metrics.report.plots import Bar, Box, Line, Scale, box_plot, interval_plot, line_plot
from metrics.report.thumbnails import SIDE, Pictures, encoded, fullest_square
from recon.errors import UsageError
from recon.images import write_png
from recon.runs.folder import ResultKey, RunFolder
from recon.storage import read_json, write_json

VOID = {"meta", "img", "path", "rect", "link", "br", "input"}


class Page(HTMLParser):
    """The elements of a page, each with its attributes and the text inside it; complains of what is not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            self.open.remove(tag) if tag in self.open else None
            return
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in {"style", "title"}:
            self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


def made_run(path: Path) -> RunFolder:
    """A made-up run with the made-up comparison's people, methods, protocols and free licences."""
    folder = write_run(path, dict.fromkeys(METHODS, 0.05), PEOPLE)
    config = read_json(folder.config)
    settings = {"data": "toy", "size": 96, "seed": 7}
    made = [{"mesoface": "0.1.0", "commit": "c0ffee", "python": "3.11", "system": "Linux", "device": "cpu",
             "packages": {"numpy": "2.0"}}]  # fmt: skip
    write_json(folder.config, {**config, "settings": settings, "made_with": made, "notes": ["one <note>"]})
    for name in PEOPLE:
        licence = {"name": "CC BY 4.0", "citation": "Toy & Co (2026)", "redistributable": True}
        path = folder.reference(name) / "subject.json"
        write_json(path, {**read_json(path), "licence": licence})
        for protocol in config["protocols"]:
            write_png(folder.given(name, protocol), np.full((110, 110, 3), 0.5, np.float32))
    return folder


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run to spoil."""
    return made_run(tmp_path / "first")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Page]:
    """The page of an unspoilt run."""
    place = tmp_path_factory.mktemp("report")
    return written(made_run(place / "first"), place / "report.html")


def written(run: RunFolder, out: Path, **options: object) -> tuple[str, Page]:
    text = write_html(comparison(), [run], out, **options).read_text(encoding="utf-8")  # type: ignore[arg-type]
    return text, Page(text)


def test_the_page_stands_alone(report: tuple[str, Page]) -> None:
    """It loads nothing, runs nothing, and names no folder of the machine."""
    text, page = report
    assert not page.all("script") and not page.all("link") and not page.all("iframe")
    for _, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on")]
        assert attributes.get("src", "data:").startswith("data:image/webp;base64,") or "src" not in attributes
        assert attributes.get("href", "#").startswith("#")
    policy = next(meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")
    assert "url(" not in text and "@import" not in text
    assert not re.search(r"/(tmp|home|root|var|private|Users)/", text)


def test_targets_exist_and_ids_are_unique(report: tuple[str, Page]) -> None:
    _, page = report
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {link["href"][1:] for link in page.all("a")} <= set(ids)
    labels = {attributes["aria-labelledby"] for _, attributes in page.elements if "aria-labelledby" in attributes}
    assert labels <= set(ids)


def test_who_cannot_see_it_is_told(report: tuple[str, Page]) -> None:
    _, page = report
    assert page.all("img") and all(image["alt"] and image["width"] for image in page.all("img"))
    figures = [svg for svg in page.all("svg") if svg.get("class") == "figure"]
    assert len(figures) >= 10
    assert all(svg["role"] == "img" and len(svg["aria-label"]) > 20 for svg in figures)
    assert any("meso median 0.12" in svg["aria-label"] for svg in figures)
    assert all(th.get("scope") in {"col", "row"} for th in page.all("th"))
    assert page.all("html")[0]["lang"] == "en"


def test_it_says_what_the_comparison_says(report: tuple[str, Page]) -> None:
    _, page = report
    assert "0.130 ★" in page.text and "0.130 ☆" not in page.text  # LPIPS of meso, alone the best
    assert "32.00 ☆" in page.text  # PSNR, shared
    assert "2.000 ★" not in page.text and "2.000 ☆" not in page.text  # ΔE2000: all tied, no mark
    assert "[31.00, 33.00]" in page.text
    assert "+10.00 [10.00, 10.00]" in page.text  # meso − pca
    assert "DISTS (all methods): not computed, because its weights are absent" in page.text
    assert "no face & <nobody> in 100% of photo_1" in page.text
    assert "σ = 8 is ≥ 50 % of what_is used" in page.text
    assert "0.0300 [0.0100, 0.0600]" in page.text and "male / female" in page.text
    assert "Slope per doubling of σ: meso +0.200 [0.100, 0.300]." in page.text
    assert "commit c0ffee" in page.text and "one <note>" in page.text
    assert "Toy & Co (2026)" in page.text


def test_every_person_has_a_named_point(report: tuple[str, Page]) -> None:
    text, _ = report
    for method, values in zip(("meso", "pca", "co_op &amp; 50%&lt;b&gt;"), VALUES[LPIPS], strict=True):
        for name, value in zip(PEOPLE, values, strict=True):
            assert f"<title>{method}, {name}: {value:g}</title>" in text
    assert "all people together" in text  # KID


def test_names_cannot_become_markup(report: tuple[str, Page]) -> None:
    text, page = report
    assert not page.all("b") and "<nobody>" not in text
    assert AWKWARD in page.text


def test_pictures_are_small_and_of_the_right_people(run: RunFolder, tmp_path: Path) -> None:
    _, page = written(run, tmp_path / "report.html", worst=1)
    shown = [image["alt"] for image in page.all("img")]
    # LPIPS decides: carl is the worst of all three, and bert is the median of meso.
    assert {"photograph of carl", "carl by meso under identity", "photograph of bert"} <= set(shown)
    assert not any("anna" in alt and "identity" in alt for alt in shown)
    assert "worst for meso, pca, co_op & 50%<b>" in page.text and "typical for meso" in page.text
    for image in page.all("img"):
        data = base64.b64decode(image["src"].split(",")[1])
        with Image.open(io.BytesIO(data)) as picture:
            assert picture.format == "WEBP" and max(picture.size) == SIDE
            assert picture.size == (int(image["width"]), int(image["height"]))


def test_terms_are_said_and_a_forbidding_one_warns(run: RunFolder, tmp_path: Path) -> None:
    _, page = written(run, tmp_path / "report.html")
    assert "This file contains pictures of 3 people." in page.text
    assert "must not leave" not in page.text
    path = run.reference("carl") / "subject.json"
    write_json(path, {**read_json(path), "licence": {"name": "mine", "citation": "", "redistributable": False}})
    (run.reference("bert") / "subject.json").write_text("{", encoding="utf-8")
    _, page = written(run, tmp_path / "report.html")
    assert "The licence of 2 of them is unknown or forbids passing them on" in page.text
    _, page = written(run, tmp_path / "report.html", pictures=False)
    assert not page.all("img") and "pictures of" not in page.text.split("Licences")[0]


def test_lost_pictures_become_words(run: RunFolder, tmp_path: Path) -> None:
    """A cut photograph, a lost view, a lost result, a damaged mask: each is said in its place, the rest is there."""
    photo = run.reference("carl") / "photo.png"
    photo.write_bytes(photo.read_bytes()[:200])
    key = ResultKey("pca", "identity", "carl")
    (run.result(key) / "views" / "fitted.png").unlink()
    write_json(run.result(ResultKey("meso", "identity", "carl")) / "failure.json", {"message": "the fit & all failed"})
    (run.result(ResultKey("meso", "identity", "carl")) / "result.json").unlink()
    (run.judged("carl", "identity") / "skin.png").write_bytes(b"no picture")
    (run.judged("bert", "identity") / "reference.json").write_text("[1]", encoding="utf-8")
    text, page = written(run, tmp_path / "report.html")
    assert "'reference/carl/photo.png' is missing or cannot be read" in page.text
    assert "no complete result" in page.text  # pca lacks a file that its record names
    assert "the fit & all failed" in page.text
    assert "the mask of the skin of carl cannot be read" in page.text
    assert "the face's place in the photograph of bert cannot be read" in page.text
    assert "carl by co_op" in text
    assert str(tmp_path) not in text


def test_without_albedo_maps_there_is_no_spectrum_but_a_sentence(run: RunFolder, tmp_path: Path) -> None:
    _, page = written(run, tmp_path / "report.html")
    assert "There are no albedo maps" not in page.text
    for name in PEOPLE:
        for protocol in ("identity", "occlude:right"):
            (run.judged(name, protocol) / "albedo.png").unlink()
    text, page = written(run, tmp_path / "report.html")
    assert page.text.count("There are no albedo maps from which a spectrum could be drawn.") == 2
    assert "Left out: 3" in page.text
    assert str(tmp_path) not in text


def test_the_spectrum_of_the_photograph_itself_is_its_own(run: RunFolder, tmp_path: Path) -> None:
    """A method that returns the photograph lies at 0 dB; one of half its contrast 6.02 dB lower (20 log10 2)."""
    from metrics.report.sources import Sources
    from metrics.report.spectra import mean_spectra

    for name in PEOPLE:
        picture = np.asarray(Image.open(run.judged(name, "identity") / "albedo.png")) / np.float32(255)
        for method, contrast in (("meso", 1.0), ("pca", 0.5)):
            place = run.result(ResultKey(method, "identity", name))
            write_png(place / "albedo.png", 0.5 + contrast * (picture - 0.5))
    made = comparison()
    spectra = mean_spectra(made, Sources.of(made, [run]), "identity", 12)
    assert spectra.people == 3 and not spectra.problems
    assert np.abs(spectra.relative["meso"]).max() < 1e-9
    assert spectra.relative["pca"].mean() == pytest.approx(-20 * math.log10(2), abs=0.15)  # 8 bits, own means


def test_changes_between_runs(run: RunFolder, tmp_path: Path) -> None:
    other = write_run(tmp_path / "second", dict.fromkeys(METHODS, 0.05), PEOPLE)
    out = write_html(two_runs(), [run, other], tmp_path / "report.html")
    page = Page(out.read_text(encoding="utf-8"))
    assert "What changed between the runs" in page.text
    assert "1 differences, 1 beyond chance" in page.text
    assert "second:meso − first:meso +10.00 [9.00, 11.00] 0.010 3 better" in page.text
    assert "photograph of" in " ".join(image["alt"] for image in page.all("img"))
    with pytest.raises(UsageError, match="2 runs, 1 folders"):
        write_html(two_runs(), [run], tmp_path / "report.html")


def test_wrong_use_is_refused_and_leaves_what_was_there(run: RunFolder, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    out.write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match="is a folder"):
        write_html(comparison(), [run], tmp_path)
    with pytest.raises(UsageError, match="no method 'deep'"):
        write_html(comparison(), [run], out, pairs=[("meso", "deep")])
    with pytest.raises(UsageError, match="no metric 'beauty'"):
        write_html(comparison(), [run], out, headline="beauty")
    assert out.read_text(encoding="utf-8") == "mine"
    assert list(tmp_path.glob(".*partial*")) == []


def test_an_empty_comparison_is_a_page_too(run: RunFolder, tmp_path: Path) -> None:
    empty = comparison(standings=(), contrasts=(), gaps=(), notes=(), fairness=(), sensitivity=(), attribute="")
    page = Page(write_html(empty, [run], tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "There are no values to draw." in page.text and "No values under this protocol." in page.text


@pytest.mark.parametrize("group", ["", "gender=female"])
def test_a_hundred_people_and_eight_methods_stay_small(tmp_path: Path, group: str) -> None:
    """Only people beyond the whiskers keep a point then, and the page says so."""
    names = [f"p{index:03d}" for index in range(100)]
    methods = [f"method{index}" for index in range(8)]
    run = write_run(tmp_path / "first", dict.fromkeys(methods, 0.0), ["anna"])
    draw = np.random.default_rng(0)
    places = [replace(PSNR, metric=f"metric {index}", group=group) for index in range(50)]
    values = [dict(zip(names, draw.normal(size=100).tolist(), strict=True)) for _ in methods]
    rows = [
        standing(place, name, known, 1, True) for place in places for name, known in zip(methods, values, strict=True)
    ]
    big = comparison(methods=tuple(methods), protocols=("identity",), standings=tuple(rows), contrasts=(), fairness=(),
                     sensitivity=(), attribute="", subjects={name: {} for name in names})  # fmt: skip
    assert MOST_POINTS < 50 * 8 * 100
    out = write_html(big, [run], tmp_path / "report.html", pictures=False)
    assert out.stat().st_size < 3_000_000
    assert "points are people beyond the whiskers" in Page(out.read_text(encoding="utf-8")).text


def test_the_headline_is_what_people_notice() -> None:
    made = comparison()
    assert headline_place(made, "identity") == LPIPS
    assert headline_place(made, "identity", "detail") == DETAIL
    assert headline_place(made, "occlude:right") is not None
    assert headline_place(comparison(standings=()), "identity") is None
    rows = [row for row in made.standings if row.place == DETAIL]
    # Of meso's ratios ½, 1, 2 a half and twice as much are equally wrong; the name decides.
    why = chosen_people(rows[:1], 2)
    assert why == {"anna": "worst for meso", "carl": "2nd worst for meso", "bert": "typical for meso"}


def test_people_are_shown_where_only_groups_are_compared(run: RunFolder, tmp_path: Path) -> None:
    """The worst of all people is that of one of the groups; tables and boxes are by group."""
    split = comparison(standings=tuple(row for row in comparison().standings if row.place.group))
    assert headline_place(split, "identity") == LPIPS
    text = write_html(split, [run], tmp_path / "report.html", worst=1).read_text(encoding="utf-8")
    page = Page(text)
    assert {"photograph of carl", "photograph of bert"} <= {image["alt"] for image in page.all("img")}
    assert "0.0300 [0.0100, 0.0600]" in page.text, "the gap between them"
    assert "identity · skin/all · gender=male" in page.text and "gender female (n = 1)" in page.text


def test_the_fullest_square() -> None:
    region = np.zeros((20, 30), bool)
    region[4:14, 11:21] = True
    assert fullest_square(region, 10) == (11, 4, 21, 14)
    left, top, right, bottom = fullest_square(region, 4)
    assert region[top:bottom, left:right].all() and (left, top) == (14, 7)  # the middle of 7 × 7 that are full
    left, top, right, bottom = fullest_square(region, 100)  # larger than the map: all of its height
    assert (right - left, bottom - top) == (20, 20) and left <= 11 and right >= 21


def test_a_thumbnail_keeps_its_colours_and_its_shape(tmp_path: Path) -> None:
    found = encoded(np.full((300, 150, 3), (0.8, 0.4, 0.2), np.float32), "skin")
    assert (found.width, found.height) == (SIDE // 2, SIDE)
    with Image.open(io.BytesIO(base64.b64decode(found.uri.split(",")[1]))) as picture:
        colours = np.asarray(picture.convert("RGB")).reshape(-1, 3).mean(axis=0)
    assert np.abs(colours - np.array([204, 102, 51])).max() < 5  # WebP is lossy
    assert Pictures(RunFolder(tmp_path)).photograph("nobody", "identity").uri == ""


def luminance(colour: str) -> float:
    """Relative luminance of WCAG 2.1."""
    parts = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


def test_colours_have_the_contrast_that_they_need(report: tuple[str, Page]) -> None:
    """WCAG 2.1: 3:1 for graphics (1.4.11), 4.5:1 for text (1.4.3), in both themes."""
    for theme, paper in enumerate(PAPER):
        assert all(contrast(hue[theme], paper) >= 3 for hue in HUES)
    text, _ = report
    themes = re.findall(r"--paper: (#\w+); --card: (#\w+); --ink: (#\w+); --faint: (#\w+);", text)
    assert len(themes) == 2
    for paper, card, ink, faint in themes:
        assert all(contrast(colour, ground) >= 4.5 for colour in (ink, faint) for ground in (paper, card))
    for name in ("mark", "link"):
        found = re.findall(rf"--{name}: (#\w+)", text)
        assert all(contrast(colour, paper) >= 4.5 for colour, paper in zip(found, PAPER, strict=True))
    for ink, ground in zip(re.findall(r"--warn-ink: (#\w+)", text), re.findall(r"--warn: (#\w+)", text), strict=True):
        assert contrast(ink, ground) >= 4.5


def test_the_first_colours_stay_apart_for_the_colour_blind() -> None:
    """Protanopia and deuteranopia after Machado, Oliveira and Fernandes (2009), table 1, severity 1.

    Colours of the methods of a default run; a CIEDE2000 of 15 is plain to see, one of about 1 is just noticed.
    """
    from skimage.color import deltaE_ciede2000, rgb2lab

    from recon.colour import linear_to_srgb, srgb_to_linear

    matrices = (
        np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]),
        np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]),
    )
    chosen = places_in_palette(["meso", "deep", "pca", "mirror"]).values()
    for theme in range(2):
        colours = np.array([[int(HUES[i][theme][k : k + 2], 16) / 255 for k in (1, 3, 5)] for i in chosen])
        for matrix in matrices:
            seen = rgb2lab(linear_to_srgb(srgb_to_linear(colours) @ matrix.T).astype(np.float64))
            apart = deltaE_ciede2000(seen[:, None], seen[None])
            assert apart[~np.eye(len(seen), dtype=bool)].min() > 15


def test_a_method_keeps_its_colour() -> None:
    alone, among = places_in_palette(["pca"]), places_in_palette(["mine", "deep", "pca", "meso"])
    assert alone["pca"] == among["pca"]
    assert len(set(among.values())) == 4
    assert places_in_palette(["first:meso", "second:meso"])["first:meso"] == places_in_palette(["meso"])["meso"]
    assert len(set(places_in_palette([f"m{index}" for index in range(10)]).values())) == 10
    assert len(places_in_palette([f"m{index}" for index in range(25)])) == 25


@pytest.mark.parametrize(
    ("low", "high", "logarithmic"),
    [(0, 1, False), (-3e-5, 2e-5, False), (0.1, 9, True), (1e-6, 10, True), (5, 5, False)],
)
def test_ticks_are_round_and_inside(low: float, high: float, logarithmic: bool) -> None:
    scale = Scale.around([low, high], 0, 100, logarithmic)
    ticks = scale.ticks()
    assert 2 <= len(ticks) <= 8
    assert all(0 <= scale.at(tick) <= 100 for tick in ticks)
    assert scale.at(low) < scale.at(high) or low == high
    for tick in ticks:
        digits = f"{abs(tick):.0e}"[0] if tick else "1"
        assert digits in "1234568"


def test_places_on_a_scale() -> None:
    """Linear: the middle of the values is the middle of the axis. Logarithmic: their geometric mean is."""
    assert Scale.around([2, 6], 10, 110).at(4) == pytest.approx(60)
    assert Scale.around([2, 8], 10, 110, logarithmic=True).at(4) == pytest.approx(60)


def drawn_numbers(svg: str) -> Iterator[float]:
    for attribute in re.findall(r' (?:d|x|y|width|height)="([^"]*)"', svg):
        yield from (float(number) for number in re.findall(r"-?\d+\.?\d*(?:e-?\d+)?", attribute))


def test_figures_survive_awkward_values() -> None:
    """Nothing, one value, equal values, zeros of a ratio, no interval: no number that is none reaches a figure."""
    nothing = Box("empty", 1, {}, math.nan, math.nan, math.nan)
    same = Box("same", 0, {"a": 3.0, "b": 3.0}, 3.0, 3.0, 3.0)
    zero = Box("zero", 2, {"a": 0.0, "b": 2.0}, 1.0, 0.5, 1.5)
    assert box_plot({"x": [nothing]}, name="n", axis="a") == ""
    for boxes in ([same], [same, nothing], [zero]):
        svg = box_plot({"x": boxes}, name="n", axis="a", ideal=1.0, logarithmic=True)
        assert "nan" not in svg and "inf" not in svg
        assert ("no value" in svg) == (nothing in boxes)
        assert all(math.isfinite(number) for number in drawn_numbers(svg))
    bare = Bar("a − b", Estimate(1.0, math.nan, math.nan, 1), "1.0", "", None)
    lost = Bar("a − c", Estimate(math.nan, math.nan, math.nan, 0), "–", "", None)
    assert interval_plot({"x": [lost]}, name="n", axis="a") == ""
    assert "nan" not in interval_plot({"x": [bare, lost]}, name="n", axis="a")
    gone = Line("l", np.array([0.0, 1.0]), np.array([1.0, math.nan]), 0)
    assert line_plot([gone], name="n", across="x", up="y", log_across=True) == ""
    assert "nan" not in line_plot([gone], name="n", across="x", up="y")
