"""Reading a study file: YAML, whose mistakes are named with their line.

YAML is read with the safe loader, without aliases (which let a small file grow without bounds) and without a key that
stands twice. What it says is validated in JSON's types, strictly: ``"150"`` is no number, and 2.5 no number of raters.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from recon.errors import InputError

MOST_BYTES = 1_000_000
DEEPEST = 20
# More mistakes than these are counted, not told: mending the first often mends the rest.
TOLD = 4

_UNPRINTABLE = re.compile("[\\x00-\\x08\\x0b-\\x1f\\x7f\\ud800-\\udfff]")

Model = TypeVar("Model", bound=BaseModel)


def read_model(path: Path, model: type[Model]) -> Model:
    """What a YAML file says, as ``model``.

    Raises:
        InputError: the file cannot be read, is no YAML, or says something that the model does not allow; one sentence
            with the lines.
    """
    return model_from_text(_text(path), path, model)


def model_from_text(text: str, path: Path, model: type[Model]) -> Model:
    """What ``text``, that is or will be the file ``path``, says as ``model``.

    Raises:
        InputError: as of :func:`read_model`.
    """
    root = _compose(path, text)
    try:
        content = json.dumps(_Constructor("").construct_document(root), default=str)
        return model.model_validate_json(content)
    except ValidationError as error:
        raise InputError(_told(path, root, model, error)) from error
    except yaml.YAMLError as error:
        raise InputError(f"'{path}'{_line_of(error)} is not valid YAML ({_problem(error)}): mend that line.") from error


class _Constructor(yaml.SafeLoader):
    """Dates stay the text that they were written as."""


_Constructor.yaml_implicit_resolvers = {
    sign: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for sign, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _text(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            content = stream.read(MOST_BYTES + 1)
    except FileNotFoundError as error:
        raise InputError(f"'{path}' does not exist: copy one of the examples and change it.") from error
    except OSError as error:
        raise InputError(f"'{path}' cannot be read ({error.strerror or error}): give a study file.") from error
    if len(content) > MOST_BYTES:
        raise InputError(f"'{path}' is larger than {MOST_BYTES // 1000} kB: a study file is a page of text.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"'{path}' is not UTF-8 (byte {error.start}): save it as UTF-8.") from error


def _compose(path: Path, text: str) -> yaml.MappingNode:
    depth = 0
    try:
        for event in yaml.parse(text, Loader=_Constructor):
            line = _number(event)
            if isinstance(event, yaml.AliasEvent):
                raise InputError(f"'{path}', line {line}: aliases ('*') are not read: write the value out.")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > DEEPEST:
                raise InputError(f"'{path}', line {line}: nested too deeply: a study file has few levels.")
        root = yaml.compose(text, Loader=_Constructor)
    except yaml.YAMLError as error:
        raise InputError(f"'{path}'{_line_of(error)} is not valid YAML ({_problem(error)}): mend that line.") from error
    if not isinstance(root, yaml.MappingNode):
        raise InputError(f"'{path}' holds no study: it must be made of lines 'name: value'.")
    for line, problem in _problems(root):
        raise InputError(f"'{path}', line {line}: {problem}.")
    return root


def _problems(node: yaml.Node) -> Iterator[tuple[int, str]]:
    """What YAML allows and a study file does not, with the line."""
    line = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            at = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                yield at, "a name must be a word: write 'name: value'"
            elif key.value in seen:
                yield at, f"'{key.value}' stands there a second time: keep one of them"
            else:
                seen.add(key.value)
                yield from _problems(key)
            yield from _problems(value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _problems(value)
    elif _UNPRINTABLE.search(node.value):
        yield line, "a text holds a control sign, which databases and browsers refuse: take it out"


def _number(event: yaml.Event) -> int:
    mark = event.start_mark
    return 0 if mark is None else mark.line + 1


def _line_of(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    return f", line {mark.line + 1}," if mark is not None else ""


def _problem(error: yaml.YAMLError) -> str:
    return str(getattr(error, "problem", None) or getattr(error, "reason", None) or error).replace("\n", " ")


def _told(path: Path, root: yaml.MappingNode, model: type[BaseModel], error: ValidationError) -> str:
    entries = [(_place(entry), entry) for entry in error.errors(include_url=False)]
    misspelt = {_nearest(model, place) for place, entry in entries if entry["type"] == "extra_forbidden"}
    mistakes = sorted(
        (_line(root, place), _sentence(model, place, entry))
        for place, entry in entries
        # What is there under a misspelt name is not missing.
        if entry["type"] != "missing" or place not in misspelt
    )
    told = [f"line {line}: {sentence}" for line, sentence in mistakes[:TOLD]]
    more = len(mistakes) - len(told)
    return f"'{path}', " + "; ".join(told) + (f"; and {more} more" if more > 0 else "") + "."


def _place(entry: Mapping[str, Any]) -> tuple[str | int, ...]:
    """Where the mistake is; what several fields say together names the one to look at itself."""
    at = entry.get("ctx", {}).get("at")
    return (*entry["loc"], *(int(step) if step.isdigit() else step for step in (at.split(".") if at else ())))


def _line(root: yaml.Node, place: Sequence[str | int]) -> int:
    """The line of what stands at ``place``, or of what it is missing from."""
    line, node = root.start_mark.line, root
    for step in place:
        if isinstance(node, yaml.MappingNode):
            found = next(((key, value) for key, value in node.value if key.value == str(step)), None)
            if found is None:
                break
            line, node = found[0].start_mark.line, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            line = node.start_mark.line
        else:
            break
    return int(line) + 1


def _sentence(model: type[BaseModel], place: tuple[str | int, ...], entry: Mapping[str, Any]) -> str:
    name = _said(place)
    kind, context = entry["type"], entry.get("ctx", {})
    if kind == "extra_forbidden":
        return f"there is no '{name}': did you mean '{_said(_nearest(model, place))}'?"
    if kind == "missing":
        return f"'{name}' is missing: add it ({_meaning(model, place)})"
    if kind == "study":
        return str(entry["msg"])
    given = _short(entry["input"])
    wanted = {
        "string_type": "write text, in quotes where it looks like a number or a date",
        "int_type": "write a whole number, without quotes",
        "int_from_float": "write a whole number",
        "float_type": "write a number, without quotes",
        "bool_type": "write true or false",
        "tuple_type": "write a list, a line '- value' each",
        "too_short": "write at least one entry, a line '- value' each",
        "string_too_short": "write some text",
        "dict_type": "write lines 'name: value' below it",
        "model_type": "write lines 'name: value' below it",
        "model_attributes_type": "write lines 'name: value' below it",
        "finite_number": "write a number that is finite",
        "literal_error": f"write {context.get('expected', '')}",
        "string_pattern_mismatch": _meaning(model, place),
    }.get(kind)
    # The library's sentences begin with a noun of its own: "Input should be greater than 0".
    return f"'{name}' is {given}: {wanted or 'it ' + entry['msg'].partition(' ')[2]}"


def _said(place: Sequence[str | int]) -> str:
    """``payment.reward``, ``scales[1].labels`` with numbers from 1, as people count."""
    text = ""
    for step in place:
        text += f"[{step + 1}]" if isinstance(step, int) else f"{'.' if text else ''}{step}"
    return text


def _short(value: Any) -> str:
    if isinstance(value, (dict, list)):
        return "a list" if isinstance(value, list) else "a group of values"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 40 else text[:37] + "…"


def _nearest(model: type[BaseModel], place: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """The known field that is spelt most like the unknown one at ``place``."""
    owner = _model_at(model, place[:-1])
    known = list(owner.model_fields) if owner is not None else []
    return (*place[:-1], *difflib.get_close_matches(str(place[-1]), known, n=1, cutoff=0.0))


def _meaning(model: type[BaseModel], place: tuple[str | int, ...]) -> str:
    owner = _model_at(model, place[:-1])
    field = owner.model_fields.get(str(place[-1])) if owner is not None else None
    description = (field.description or "") if field is not None else ""
    return description.split(". ")[0].rstrip(".")


def _model_at(model: type[BaseModel], place: Sequence[str | int]) -> type[BaseModel] | None:
    found: type[BaseModel] | None = model
    for step in place:
        if isinstance(step, int) or found is None:
            continue  # entries of a list are of the model that the list is of
        field = found.model_fields.get(step)
        found = None if field is None else model_of(field.annotation)
    return found


def model_of(annotation: Any) -> type[BaseModel] | None:
    """The model in ``Model``, ``Model | None`` or ``tuple[Model, ...]``; None where there is none."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := model_of(part)) is not None), None)
