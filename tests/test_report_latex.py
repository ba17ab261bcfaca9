"""LaTeX of a comparison: it says the comparison's numbers, escapes what TeX would obey, and TeX sets it."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from made_up_comparison import AWKWARD, DETAIL, METHODS, PSNR, comparison, standing, two_runs

from metrics.comparison import Comparison
from metrics.report.latex import as_document, as_latex, escaped


def tables(text: str) -> dict[str, str]:
    """Each table by its label."""
    found = re.findall(r"\\begin\{table\}.*?\\end\{table\}", text, re.DOTALL)
    return {re.search(r"\\label\{(.*?)\}", table)[1]: table for table in found}  # type: ignore[index]


def rows_of(table: str) -> dict[str, list[str]]:
    """The cells of each row below the heading, by its first."""
    body = table.split(r"\midrule")[1].split(r"\bottomrule")[0]
    lines = [re.split(r"(?<!\\)&", line.removesuffix(r"\\")) for line in map(str.strip, body.splitlines()) if line]
    return {line[0].strip(): [cell.strip() for cell in line[1:]] for line in lines}


def test_a_table_says_the_means_and_who_is_best() -> None:
    """Numbers of the made-up comparison: means of three, their extremes as intervals."""
    found = rows_of(tables(as_latex(comparison()))["tab:mesoface-identity-uv-albedo-skin-all"])
    assert found["meso"][0] == r"$\underline{32.00}_{31.00}^{33.00}$"  # 31, 32, 33; tied for best
    assert found["pca"][0] == r"$22.00_{21.00}^{23.00}$"
    assert found["meso"][1] == r"$\underline{1.000}_{0.500}^{2.000}$"  # geometric mean of ½, 1, 2
    assert [line[-1] for line in found.values()] == ["3"] * 3
    image = rows_of(tables(as_latex(comparison()))["tab:mesoface-identity-image-fitted-skin-all"])
    assert image["meso"][0] == r"$\mathbf{0.130}_{0.110}^{0.160}$"  # alone the best
    assert [line[1] for line in image.values()] == [
        r"$2.000_{1.000}^{3.000}$", r"$2.000_{1.500}^{2.500}$", r"$2.000_{1.000}^{3.000}$",
    ]  # fmt: skip  # all tied: no mark
    assert image["meso"][2] == r"$0.010$"  # of a whole set: no interval
    assert image["meso"][3] == "--"


def test_differences_have_signs_and_say_who_is_better() -> None:
    found = rows_of(tables(as_latex(comparison()))["tab:mesoface-identity-uv-albedo-skin-all-differences"])
    assert found["meso $-$ pca"][0] == r"$\mathbf{+10.00}_{+10.00}^{+10.00}$"
    assert found[f"meso $-$ {escaped(AWKWARD)}"][0] == r"$0.00_{-0.50}^{+1.00}$"  # −½, −½, 1
    turned = as_latex(comparison(), pairs=[("pca", "meso")])
    other = rows_of(tables(turned)["tab:mesoface-identity-uv-albedo-skin-all-differences"])
    assert other["pca $-$ meso"][0] == r"$\mathit{-10.00}_{-10.00}^{-10.00}$"


def test_gaps_between_groups_and_changes_between_runs_are_there() -> None:
    fair = rows_of(tables(as_latex(comparison()))["tab:mesoface-identity-image-fitted-skin-all-fairness"])
    assert fair == {"meso": [r"$\mathbf{0.0300}_{0.0100}^{0.0600}$", "3"]}
    split = comparison(standings=tuple(row for row in comparison().standings if row.place.group))
    assert "tab:mesoface-identity-image-fitted-skin-all-fairness" in tables(as_latex(split)), "also of groups alone"
    changed = tables(as_latex(two_runs()))
    assert rows_of(changed["tab:mesoface-identity-uv-albedo-skin-all-changes"]) == {
        "second:meso $-$ first:meso": [r"$\mathbf{+10.00}_{+9.00}^{+11.00}$", "3"]
    }
    assert not any(name.endswith("differences") for name in changed), "a change is not printed twice"


def test_where_skin_was_withheld_the_parts_stand_apart() -> None:
    """One table more for each part; elsewhere the whole of the skin stands for its parts."""
    parts = [replace(PSNR, region="skin/visible"), replace(PSNR, protocol="occlude:right")]
    more = [standing(place, name, {"anna": 1.0, "bert": 2.0}, 0, False) for place in parts for name in METHODS]
    labels = set(tables(as_latex(comparison(standings=(*comparison().standings, *more)))))
    assert "tab:mesoface-occlude-right-uv-albedo-skin-withheld" in labels
    assert "tab:mesoface-occlude-right-uv-albedo-skin-all" not in labels
    assert "tab:mesoface-identity-uv-albedo-skin-visible" not in labels
    alone = tables(as_latex(comparison(standings=tuple(more), fairness=())))
    assert "tab:mesoface-identity-uv-albedo-skin-visible" in alone, "what was asked for alone is shown"


def test_what_tex_obeys_is_escaped() -> None:
    """The ten special characters of TeX (The TeXbook, chapter 7), and signs of the field."""
    assert escaped(r"\{}$&#^_%~") == (
        r"\textbackslash{}\{\}\$\&\#\textasciicircum{}\_\%\textasciitilde{}"
    )  # fmt: skip
    assert escaped("ΔE σ ° − → ↓") == r"$\Delta$E $\sigma$ \textdegree{} $-$ $\rightarrow$ $\downarrow$"
    assert escaped("Ωα Άα") == r"$\Omega$$\alpha$ [U+0386]$\alpha$"
    assert escaped("a-b --all –") == r"a-b -{}-all \textendash{}"
    assert escaped("Zoë Łódź") == "Zoë Łódź"
    assert escaped("日\n本") == "[U+65E5] [U+672C]"


def test_a_wide_table_goes_on_in_another() -> None:
    """Forty metrics do not fit beside each other: every one is in exactly one table, with all methods."""
    places = [replace(PSNR, metric=f"metric number {index:02d}") for index in range(40)]
    many = [standing(place, name, {"anna": 31.25, "bert": 30.0}, 0, False) for place in places for name in METHODS]
    found = tables(as_latex(comparison(standings=tuple(many), contrasts=(), fairness=())))
    assert len(found) > 4
    text = " ".join(found.values()).replace(r"\\{}", " ")
    for place in places:
        assert len(re.findall(rf"metric\s+number\s+{place.metric[-2:]}", text)) == 1
    assert all(set(rows_of(table)) == {escaped(name) for name in METHODS} for table in found.values())


@pytest.mark.parametrize("made", [comparison(), two_runs()])
def test_tables_are_well_formed(made: Comparison) -> None:
    """As many cells in every row as columns, braces and environments in pairs; also where no TeX is installed."""
    for table in tables(as_latex(made, caption="{a} & b")).values():
        columns = re.search(r"\\begin\{tabular\}\{@\{\}(l+r+)@\{\}\}", table)
        assert columns and all(len(cells) + 1 == len(columns[1]) for cells in rows_of(table).values())
        bare = table.replace(r"\{", "").replace(r"\}", "")
        assert bare.count("{") == bare.count("}") and bare.count("$") % 2 == 0
        assert sorted(re.findall(r"\\begin\{(\w+)\}", table)) == sorted(re.findall(r"\\end\{(\w+)\}", table))


def test_caption_and_label_are_the_callers() -> None:
    text = as_latex(comparison(), caption="Faces & 50%.", label="tab:mine")
    assert all(name.startswith("tab:mine-") for name in tables(text))
    assert text.count(r"\caption{Faces \& 50\%. ") == len(tables(text))
    assert r"\usepackage{booktabs}" in text.split(r"\begin{table}")[0]


@pytest.mark.parametrize("made", [comparison(), two_runs(), comparison(standings=(), contrasts=())])
def test_the_document_compiles(made: Comparison, tmp_path: Path) -> None:
    """pdfTeX stops at the first thing that it does not understand; an overfull line would stick out of the page."""
    engine = shutil.which("pdflatex")
    if engine is None:
        pytest.skip("needs pdflatex with booktabs and lmodern (Debian: texlive-latex-recommended, lmodern)")
    (tmp_path / "report.tex").write_text(as_document(made, caption="σ & co_"), encoding="utf-8")
    command = [engine, "-halt-on-error", "-interaction=nonstopmode", "-no-shell-escape", "report.tex"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stdout[-2000:]
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")
    assert "Overfull" not in ran.stdout


def test_a_ratio_says_that_its_mean_is_geometric() -> None:
    found = tables(as_latex(comparison()))
    assert "geometric mean" in found["tab:mesoface-identity-uv-albedo-skin-all"]
    assert "geometric mean" not in found["tab:mesoface-identity-image-fitted-skin-all"]
    assert escaped(DETAIL.metric.split()[0]) in found["tab:mesoface-identity-uv-albedo-skin-all"]


def test_a_unit_that_begins_a_line_of_a_heading_is_no_length(tmp_path: Path) -> None:
    """After a line break TeX would take ``[dB]`` for the space to leave."""
    place = replace(PSNR, metric="spectrum distance (luma)")
    made = comparison(standings=[standing(place, "meso", {"anna": 1.0, "bert": 2.0}, 1, False)], contrasts=())
    heading = as_latex(made).split(r"\toprule")[1].split(r"\midrule")[0]
    assert "[dB]" in heading and r"\\[" not in heading
