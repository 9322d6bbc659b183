"""Figures of results/, read where they are shown: no number of a page is typed twice.

{m}`quadrotor/evaluation.json:gap_mean:.2%`     one figure: file below results/, key (a/b goes in), format
docs/generated/results/NAME.md                  tables: benchmarks and their robustness, the gallery, optima, the speed
"""

from __future__ import annotations

from pathlib import Path

from docutils import nodes
from figures import RESULTS, compiling, cures, figure, gallery, networks, optima, records, robustness, speed, sweeps
from generated import FOLDER, write_pages
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxRole

from pontryagin.training.benchmark.table import markdown


class Figure(SphinxRole):
    """{m}`file:key:format`; a warning, and so an error of the build, where there is no such figure."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        try:
            return [nodes.Text(figure(self.text))], []
        except ValueError as error:
            return [], [self.inliner.reporter.error(str(error), line=self.lineno)]


def write(app: Sphinx, config: object) -> None:
    problems = [path.name for path in sorted((RESULTS / "benchmark").iterdir()) if list(path.glob("*-*.json"))]
    pages = {f"benchmark_{name}": markdown(records(name)) for name in problems}
    pages |= {f"robustness_{name}": robustness(name) for name in problems}
    write_pages(
        Path(app.srcdir, FOLDER, "results"),
        {
            **pages,
            **{f"robust_{name}": robustness(name, "robust") for name in ("quadrotor", "bicycle5")},
            "gallery": gallery(),
            "strangers": gallery("strangers"),
            "networks": networks(),
            "sweeps": sweeps(),
            "cures": cures(),
            "speed": speed(),
            "compiling": compiling(),
            "optima": optima(),
        },
    )


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_role("m", Figure())
    app.connect("config-inited", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
