"""Formulae as MathML, which browsers draw by themselves: no script, no font and no network is asked for them."""

from __future__ import annotations

import re

from docutils import nodes
from docutils.utils.math import latex2mathml
from sphinx.application import Sphinx


def convert(latex: str, block: bool) -> str:
    """LaTeX as a ``<math>`` element.

    Raises:
        ValueError: with the formula, where docutils cannot read it, or reads a fraction without braces wrongly.
    """
    if re.search(r"frac(?!\{)", latex):
        raise ValueError(f"a fraction in {latex!r} has no braces; expected \\frac{{1}}{{2}}")
    try:
        return latex2mathml.tex2mathml(latex.strip(), as_block=block)
    except Exception as error:
        raise ValueError(f"cannot write {latex!r} as MathML: {error}") from error


def visit_inline(translator: nodes.NodeVisitor, node: nodes.Element) -> None:
    translator.body.append(convert(node.astext(), block=False))
    raise nodes.SkipNode


def visit_block(translator: nodes.NodeVisitor, node: nodes.Element) -> None:
    translator.body.append(f'<div class="math">{convert(node.astext(), block=True)}</div>\n')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
