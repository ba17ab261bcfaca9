"""The study file: mistakes are named with their line and mend; ready files are whole; what is stored says the same.

Sources: the published studies (``study.analysis.published``), the lines of the texts written here, properties.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given
from hypothesis import settings as effort
from hypothesis import strategies as st
from pydantic import BaseModel

import study
from recon.errors import InputError
from study.analysis.published import RANKING, SPLIT_FACE
from study.contract import PHOTOGRAPH
from study.designs import DESIGNS
from study.schema import json_schema, markdown
from study.specification import Specification, StoppingBlock, read_specification, specification_from
from study.study_file import model_of

EXAMPLES = sorted((Path(study.__file__).parent / "examples").glob("*.yaml"))
SMALL = """\
name: small
title: Small
design: acr
conditions: [meso, pca]
raters: 10
seed: 1
scales:
  - name: realism
  - name: mine
    question: How?
    labels: [bad, good]
stimuli:
  runs: [../../runs/first]
  training_subjects: [t1]
trials:
  main: 4
  training: 1
consent:
  version: "1"
  text: You agree.
payment:
  reward: 0
  cap: 0
"""

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a study file."""

    def written(text: str) -> Path:
        path = tmp_path / "study.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return written


def refused(path: Path) -> str:
    """What reading it says."""
    with pytest.raises(InputError) as caught:
        read_specification(path)
    said = str(caught.value)
    assert str(path) in said
    assert "\n" not in said and said.endswith(".")
    return said


def test_a_small_file(write: Write) -> None:
    found = read_specification(write(SMALL))
    settings = found.settings()
    assert settings.conditions == ("meso", "pca")
    assert (settings.trials_per_rater, settings.raters, settings.seed) == (4, 10, 1)
    assert (settings.gold, settings.attention, settings.training) == (0, 0, 1)
    # Two labels are two steps; "realism" is ready-made with five (arXiv 2411.09066).
    assert settings.options == {"training_subjects": ("t1",), "scales": {"realism": 5, "mine": 2}}
    assert found.question_texts()["scores"]
    assert found.run_folders(Path("studies/small")) == (Path("studies/small/../../runs/first"),)
    assert found.worded_scales()[0].question and found.worded_scales()[1].labels == ("bad", "good")


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("raters: 10", "ratres: 10", 5, "there is no 'ratres': did you mean 'raters'?"),
        ("raters: 10", "wording: {page: {cpy: Kopieren}}\nraters: 10", 5, "no text 'cpy': did you mean 'copy'?"),
        ("raters: 10", "wording: {page: {copy: '{a}'}}\nraters: 10", 5, "for '{a}' in 'copy': it takes none"),
        (
            "raters: 10",
            "wording: {page: {contact: 'Fragen: {mail}'}}\nraters: 10",
            5,
            "nothing is put in for '{mail}' in 'contact': known are {contact}",
        ),
        ("raters: 10\n", "", 1, "'raters' is missing: add it (How many people answer)"),
        ("  main: 4\n", "", 15, "'trials.main' is missing: add it (Trials that are analysed)"),
        ("  main: 4", "  mian: 4", 16, "there is no 'trials.mian': did you mean 'trials.main'?"),
        ("    labels: [", "    lables: [", 11, "there is no 'scales[2].lables': did you mean 'scales[2].labels'?"),
        ("raters: 10", "raters: '10'", 5, "'raters' is \"10\": write a whole number, without quotes"),
        ("raters: 10", "raters: 10.5", 5, "'raters' is 10.5: write a whole number"),
        ("raters: 10", "raters: true", 5, "'raters' is true: write a whole number"),
        ("raters: 10", "raters: 0", 5, "'raters' is 0: it should be greater than or equal to 1"),
        ("  reward: 0", "  reward: 2.50", 22, "'payment.reward' is 2.5: write a whole number"),
        ("  reward: 0", "  reward: -1", 22, "'payment.reward' is -1: it should be greater than or equal to 0"),
        ('  version: "1"', "  version: 1", 19, "'consent.version' is 1: write text, in quotes"),
        ('  version: "1"', "  version: 2026-01-01", None, ""),
        ("  text: You agree.", "  text: ''", 20, "'consent.text' is \"\": write some text"),
        ("consent:\n", "consent: no\nhello:\n", 18, "'consent' is false: write lines 'name: value' below it"),
        ("[meso, pca]", "meso", 4, "'conditions' is \"meso\": write a list"),
        ("[meso, pca]", "[]", 4, "'conditions' is a list: write at least one entry"),
        ("[meso, pca]", "[meso, 'p c']", 4, "'conditions[2]' is \"p c\""),
        ("design: acr", "design: arc", 3, "there is no design 'arc': did you mean 'acr'?"),
        ("design: acr", "design: ranking", 7, "'ranking' scores nothing: take 'scales' out"),
        ("    question: How?\n", "", 9, "the scale 'mine' is not ready-made"),
        ("name: mine", "name: realism", 8, "the scale 'realism' stands there twice"),
        ("[bad, good]", "[bad]", 9, "the scale 'mine' has one step"),
        ("- name: realism", "- name: creepiness", 8, "more must be better, and on 'creepiness' less is"),
        ("training_subjects: [t1]", "training_subjects: [t1]\n  subjects: [t1, a]", 14, "'t1' is among the subjects"),
        ("training_subjects: [t1]", "subjects: [a]\n  people: 2", 15, "stimuli.subjects names 1 people"),
        ("training_subjects: [t1]", "format: png\n  quality: 95", 15, "a quality is for webp"),
        ("  cap: 0", "  cap: 0\nstopping: {usable_raters: 11}", 24, "there are only 10 raters"),
        ("  cap: 0", "  cap: 0\nwording: {questions: {score: x}}", 24, "'acr' asks no 'score': did you mean 'scores'?"),
        ("  cap: 0", "  cap: 0\nwording: {labels: {reel: x}}", 24, "no answer 'reel' to label: did you mean 'real'?"),
        ("  cap: 0", "  cap: 0\nscreen: {zoom: .inf}", 24, "'screen.zoom' is Infinity: write a number that is finite"),
        ("  cap: 0", "  cap: 0\nquality: {gold: {withholds: [money]}}", 24, "write 'use' or 'pay'"),
        ("  cap: 0", "  cap: 0\n  currency: dollars", 24, "Three capital letters"),
        ("name: small", "name: Small One", 1, "small letters, digits and '-'"),
        ("seed: 1", "seed: 1\nseed: 2", 7, "'seed' stands there a second time"),
        ("seed: 1", "seed: [1", 7, "is not valid YAML"),
        ("seed: 1", "\tseed: 1", 6, "is not valid YAML"),
        ("seed: 1", "seed: !!python/object:os.system x", 6, "is not valid YAML"),
        ("title: Small", 'title: "a\\0b"', 2, "a control sign"),
        ("title: Small", 'title: "a\\ud800b"', 2, "a control sign"),
        ('version: "1"', f"version: {'v' * 41}", 19, "it should have at most 40 characters"),
        ("seed: 1", "? [a, b]\n: 1", 6, "a name must be a word"),
        ("  cap: 0", "  cap: &a 0\n  bonus: *a", 24, "aliases"),
    ],
)
def test_mistakes_are_named_with_line_and_mend(write: Write, old: str, new: str, line: int | None, said: str) -> None:
    assert old in SMALL
    path = write(SMALL.replace(old, new, 1))
    if line is None:  # a date is text, as it was written
        assert read_specification(path).consent.version == "2026-01-01"
        return
    told = refused(path)
    assert f"line {line}" in told, told
    assert said in told, told


def test_what_is_misspelt_is_not_missing(write: Write) -> None:
    told = refused(write(SMALL.replace("raters: 10", "ratres: 10").replace("  main: 4", "  mian: 4")))
    assert "missing" not in told and told.count("did you mean") == 2


def test_several_mistakes_are_told_together(write: Write) -> None:
    told = refused(write(re.sub(r": (\d+)\n", r": x\n", SMALL)))
    assert [int(number) for number in re.findall(r"line (\d+)", told)] == [5, 6, 16, 17]
    assert "and 2 more" in told


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "holds no study"),
        (b"- a\n- b\n", "holds no study"),
        (b"\xff\xfe\x00", "is not UTF-8"),
        (b"a: " + b"[" * 1000, "nested too deeply"),
        (b"a: " + b"x" * 1_000_001, "is larger than 1000 kB"),
        (b"a: 1\n---\na: 2\n", "is not valid YAML"),
    ],
)
def test_what_is_no_study_file_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "study.yaml"
    path.write_bytes(content)
    assert said in refused(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert "does not exist" in refused(tmp_path / "none.yaml")
    assert "cannot be read" in refused(tmp_path)


@effort(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_change_is_read_or_refused_in_one_sentence(tmp_path: Path, data: st.DataObject) -> None:
    """Lines lost, doubled, indented, cut or with another value: an answer or one sentence, never a failure."""
    lines = SMALL.splitlines()
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(lines) - 1))
        kind = data.draw(st.sampled_from(["drop", "double", "indent", "cut", "value", "text"]))
        line = lines[at]
        values = st.sampled_from(["", "[]", "{}", "null", "-1", "1e400", "~", "yes", "'", "!!set {a}", "&x y", "*x"])
        lines[at : at + 1] = {
            "drop": [],
            "double": [line, line],
            "indent": ["  " + line],
            "cut": [line[: len(line) // 2]],
            "value": [line.partition(":")[0] + ": " + data.draw(values)],
            "text": [data.draw(st.text(max_size=12).filter(lambda text: "\n" not in text))],
        }[kind]
        if not lines:
            lines = [""]
    path = tmp_path / "study.yaml"
    path.write_text("\n".join(lines), encoding="utf-8")
    said = None
    try:
        found = read_specification(path)
    except InputError as error:
        said = str(error)
    if said is None:
        assert specification_from(found.record()) == found
    else:
        assert "\n" not in said and str(path) in said


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_ready_files_are_whole(path: Path) -> None:
    found = read_specification(path)
    assert DESIGNS.get(found.design).name == found.design
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# ")
    assert max(map(len, text.splitlines())) <= 120
    assert found.consent.text and found.wording.instructions and found.payment.cap > 0
    # What is stored says the same, whatever the file left to defaults, and in whatever order it stood.
    record = json.loads(json.dumps(found.record()))
    assert specification_from(record) == found
    assert specification_from(dict(reversed(record.items()))).sha256() == found.sha256()


def test_every_page_has_a_ready_file() -> None:
    """The issue names five ready files."""
    names = {"split_face", "ranking", "single_image", "pairwise", "avatar_scales"}
    assert {path.stem for path in EXAMPLES} == names
    pages = {DESIGNS.get(read_specification(path).design).page for path in EXAMPLES}
    assert pages == {"real-or-fake", "ranking", "choice", "scales"}


def test_the_published_studies_are_as_published() -> None:
    """CVPR 2017 (arXiv 1612.00523): 150 raters, 11 photographs, five methods; 100 raters, 3 sets."""
    split, ranking = (read_specification(EXAMPLES[0].with_stem(stem)) for stem in ("split_face", "ranking"))
    assert (split.design, split.raters, split.stimuli.people) == ("split-face", SPLIT_FACE.raters, 11)
    assert len([name for name in split.conditions if name != PHOTOGRAPH]) == 5
    assert (ranking.design, ranking.raters, ranking.trials.main) == ("ranking", RANKING.raters, 3)
    assert {name for share in RANKING.shares for name in (share.preferred, share.other)} == {*ranking.conditions}


def test_a_written_out_default_changes_nothing(write: Write) -> None:
    plain = read_specification(write(SMALL))
    out = read_specification(write(yaml.safe_dump(plain.record(), allow_unicode=True)))
    assert out == plain and out.sha256() == plain.sha256()
    other = read_specification(write(SMALL.replace("seed: 1", "seed: 2")))
    assert other.sha256() != plain.sha256()


def test_a_record_of_another_version_is_refused(write: Write) -> None:
    record = read_specification(write(SMALL)).record()
    with pytest.raises(InputError, match="use the version that it was made with"):
        specification_from({**record, "later": 1})


def _models(model: type[BaseModel]) -> list[type[BaseModel]]:
    inner = [model_of(field.annotation) for field in model.model_fields.values()]
    return [model, *(found for part in inner if part is not None for found in _models(part))]


def test_the_schema_documents_every_field() -> None:
    text, schema = markdown(), json_schema()
    for model in _models(Specification):
        for name, field in model.model_fields.items():
            assert field.description and field.description.endswith("."), (model, name)
            assert f"| `{name}` | " in text
            assert field.description in text
    assert schema["properties"]["raters"]["description"] == "How many people answer."
    objects = [schema, *schema["$defs"].values()]
    assert len(objects) >= 10
    assert all(found["additionalProperties"] is False for found in objects if found["type"] == "object")
    width = {len(re.split(r"(?<!\\)\|", line)) for line in text.splitlines() if line.startswith("| `")}
    assert width == {4, 5, 6}


@pytest.mark.parametrize(
    ("rule", "state", "said"),
    [
        ({}, {"usable": 10**6, "days": 1e6, "half_width": 0.0}, ""),
        ({"usable_raters": 20}, {"usable": 19, "days": 1}, ""),
        ({"usable_raters": 20}, {"usable": 20, "days": 1}, "20 raters are usable"),
        ({"after_days": 7}, {"usable": 0, "days": 6.9}, ""),
        ({"after_days": 7}, {"usable": 0, "days": 7}, "open for 7.0 days"),
        ({"half_width": 0.05}, {"usable": 29, "days": 1, "half_width": 0.01}, ""),
        ({"half_width": 0.05}, {"usable": 30, "days": 1, "half_width": 0.06}, ""),
        ({"half_width": 0.05}, {"usable": 30, "days": 1}, ""),
        ({"half_width": 0.05}, {"usable": 30, "days": 1, "half_width": 0.05}, "within ±0.05"),
    ],
)
def test_when_to_stop(rule: dict[str, Any], state: dict[str, Any], said: str) -> None:
    found = StoppingBlock(**rule).reason(**state)
    assert (said in found) if said else found == ""
