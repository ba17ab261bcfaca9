"""The fields of a study file, for people (Markdown) and for editors (JSON schema), from the models themselves."""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from study.specification import Specification
from study.study_file import model_of
from study.wording import PAGE, QUESTIONS, SCALES

_KINDS: dict[Any, str] = {str: "text", int: "whole number", float: "number", bool: "true or false", Any: "anything"}


def json_schema() -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of a study file, as editors take it."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Specification.model_json_schema()}


def markdown() -> str:
    """Every field with its kind, default and meaning; then questions, ready-made scales and texts of the page."""
    lines = [
        "# The study file",
        "",
        "Indented fields belong to the one above. `–` in *default*: the field is needed.",
        "",
    ]
    for title, model in _blocks(Specification, ""):
        if title:
            lines += ["", f"## `{title}`", "", _first_sentence(model.__doc__), ""]
        lines += ["| field | kind | default | meaning |", "|---|---|---|---|"]
        lines += [_row(name, field) for name, field in model.model_fields.items()]
    lines += [
        "",
        "## Questions",
        "",
        "Texts that `wording.questions` may replace; `{real}` and `{fake}` stand for the labels of these answers.",
        "",
    ]
    lines += ["| design | identifier | text |", "|---|---|---|"]
    lines += [
        f"| {design} | `{name}` | {text} |" for design, texts in QUESTIONS.items() for name, text in texts.items()
    ]
    lines += ["", "## Ready-made scales", "", "| name | question | labels, from 1 upwards |", "|---|---|---|"]
    lines += [f"| `{name}` | {scale.question} | {' · '.join(scale.labels)} |" for name, scale in SCALES.items()]
    lines += ["", "## Texts of the page", "", "`wording.page` may say them otherwise; what is in braces is put in.", ""]
    lines += ["| identifier | text |", "|---|---|", *(f"| `{name}` | {text} |" for name, text in PAGE.items())]
    return "\n".join(lines) + "\n"


def _blocks(model: type[BaseModel], path: str) -> Iterator[tuple[str, type[BaseModel]]]:
    yield path, model
    for name, field in model.model_fields.items():
        inner = model_of(field.annotation)
        if inner is not None:
            yield from _blocks(inner, f"{path}.{name}" if path else name)


def _first_sentence(text: str | None) -> str:
    return " ".join((text or "").split("\n\n")[0].split())


def _row(name: str, field: FieldInfo) -> str:
    return f"| `{name}` | {_kind(field.annotation)} | {_default(field)} | {field.description} |"


def _kind(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return ", ".join(dict.fromkeys(_kind(part) for part in arguments if part is not type(None)))
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin is tuple:
        return f"list: {_kind(arguments[0])}"
    if origin is dict:
        return f"name: {_kind(arguments[1])}"
    if arguments:  # Annotated
        return _kind(arguments[0])
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "see below"
    return _KINDS[annotation]


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "–"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return "see below"
    if value is None or value in ("", (), {}):
        return "empty"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (tuple, dict)):
        return ", ".join(f"{k}: {v}" for k, v in value.items()) if isinstance(value, dict) else ", ".join(value)
    return str(value)
