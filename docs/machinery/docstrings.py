"""How docstrings become pages: what follows ``name :`` in a section is prose here, which griffe takes for a type."""

from __future__ import annotations

from typing import Any

from griffe import (
    DocstringSectionKind,
    DocstringSectionText,
    Extension,
    GriffeLoader,
    Module,
    Object,
)

NAMED = (DocstringSectionKind.parameters, DocstringSectionKind.attributes)
RAISED = (DocstringSectionKind.raises, DocstringSectionKind.warns)


class Prose(Extension):
    """Moves types that are prose into the descriptions."""

    def on_package(self, *, pkg: Module, loader: GriffeLoader, **kwargs: Any) -> None:
        rewrite(pkg)


def rewrite(thing: Object) -> None:
    """Rewrite the docstrings of a module or class and of all that is in it."""
    sections = thing.docstring.parsed if thing.docstring else []
    for at, section in enumerate(sections):
        if (
            section.kind is DocstringSectionKind.returns
        ):  # without names, which these docstrings do not have
            said = [
                joined(str(item.annotation or ""), item.description)
                for item in section.value
            ]
            sections[at] = DocstringSectionText("**Returns:** " + "; ".join(said))
        elif section.kind in NAMED:
            for item in section.value:
                item.description, item.annotation = (
                    joined(str(item.annotation or ""), item.description),
                    None,
                )
            section.value[:] = together(section.value)
        elif section.kind in RAISED:
            for item in section.value:
                kinds, _, what = str(item.annotation).partition(" : ")
                item.annotation, item.description = (
                    kinds,
                    joined(what, item.description),
                )
    for member in thing.members.values():
        if not member.is_alias:
            rewrite(member)


def together(items: list[Any]) -> list[Any]:
    """Names that are described in one line, ``price, threshold : the equilibrium``, as one entry again."""
    kept: list[Any] = []
    for item in items:
        if kept and kept[-1].description == item.description:
            kept[-1].name += f", {item.name}"
        else:
            kept.append(item)
    return kept


def joined(kind: str, text: str) -> str:
    """One text: a sentence that goes on in the next line, or a type and a sentence about it."""
    if kind and text:
        return (
            f"{kind}. {text}"
            if text[0].isupper() and kind[-1] not in ",;:.("
            else f"{kind} {text}"
        )
    return kind or text
