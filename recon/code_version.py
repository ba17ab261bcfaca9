"""The version of a piece of the program, by the content of its source: a key for what is made once and kept.

A number that somebody must remember to raise is forgotten, and then an old cache is read as if it were new. Comments,
docstrings and formatting do not count.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent
# They say where files and names come from, what failed, how far work is and what is old, and decide no value.
_ELSEWHERE = ("assets", "asset_table", "download", "storage", "errors", "progress", "worker_pool", "registry",
              "late_names")  # fmt: skip
_WITHOUT_WEIGHT = frozenset(f"recon.{name}" for name in (*_ELSEWHERE, "code_version"))


@lru_cache(maxsize=16)
def code_version(module: str) -> str:
    """Twelve hexadecimal digits that name the code of ``module`` and of all that it imports from this package.

    Args:
        module: dotted name, ``recon.texture.observe``.

    Raises:
        ModuleNotFoundError: no source file has that name.
    """
    if _source(module) is None:
        raise ModuleNotFoundError(f"no source of '{module}'", name=module)
    digest = hashlib.sha256()
    for name in sorted(_closure(module)):
        path = _source(name)
        if path is not None:
            digest.update(f"{name}\n{_meaning(ast.parse(path.read_text(encoding='utf-8')))}\n".encode())
    return digest.hexdigest()[:12]


def _closure(module: str) -> set[str]:
    """``module`` and the modules that it imports, directly or not."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = _source(name)
        if path is None or name in found or name in _WITHOUT_WEIGHT:
            continue
        found.add(name)
        waiting += _imports(ast.parse(path.read_text(encoding="utf-8")))
    return found


def _imports(tree: ast.Module) -> Iterator[str]:
    """Dotted names of whatever may be a module of this package; imports inside functions count."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _source(module: str) -> Path | None:
    """The file of a module of this room, or None."""
    if module.partition(".")[0] != "recon":
        return None
    place = _ROOT.joinpath(*module.split("."))
    return next((path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file()), None)


def _meaning(tree: ast.Module) -> str:
    """The source without comments, docstrings and formatting."""
    for node in ast.walk(tree):
        if not isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        if ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)
