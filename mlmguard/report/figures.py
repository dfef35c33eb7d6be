"""Figures as SVG text that takes its colours from the page, the same bytes for the same numbers.

matplotlib draws with stand-in colours, which become CSS variables afterwards: one drawing serves light, dark
and print. It is imported when the first figure is drawn, so that formats without figures stay light.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from mlmguard.measures import claim
from mlmguard.report.clearance import Case
from mlmguard.report.tables import by_copies, curves, figure, of, thinned
from mlmguard.report.words import dp_ceiling
from mlmguard.showing import show_epsilon
from mlmguard.types import Curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# stand-ins: colours nobody would choose, so that replacing them is safe
_INK, _MUTED, _GRID, _PAPER = "#010101", "#020202", "#030303", "#040404"
_FIRST, _SECOND, _THIRD = "#050505", "#060606", "#070707"
_VARIABLES = {
    _INK: "var(--ink)",
    _MUTED: "var(--muted)",
    _GRID: "var(--rule)",
    _PAPER: "var(--paper)",
    _FIRST: "var(--blue)",
    _SECOND: "var(--orange)",
    _THIRD: "var(--violet)",
}
_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "font.size": 11,
    "text.color": _INK,
    "axes.edgecolor": _GRID,
    "axes.labelcolor": _MUTED,
    "axes.labelsize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 1.0,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "xtick.color": _MUTED,
    "ytick.color": _MUTED,
    "xtick.labelsize": 10.5,
    "ytick.labelsize": 10.5,
    "xtick.major.size": 3.5,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "axes.grid": False,
    "legend.frameon": False,
    "legend.fontsize": 10.5,
    "path.simplify": True,
}
#: Colour, dash and marker together, so that a series is known without its colour (Okabe and Ito's blue and
#: vermilion, which differ for every common kind of colour blindness).
_SERIES = ((_FIRST, "-", "o"), (_SECOND, (0, (5, 2)), "s"), (_THIRD, (0, (1, 1.6)), "^"))
_POINTS = 160
_LARGEST = 1e15
"""No axis holds more: places of its marks are no longer told apart, and their distances are infinite."""


def within_axes(case: Case) -> Case:
    """``case`` with its numbers cut to what can be drawn; the tables beside the drawings have them whole."""

    def cut(value: float) -> float:
        return min(max(value, -_LARGEST), _LARGEST)

    def cut_all(values: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(map(cut, values))

    def cut_if(value: float | None) -> float | None:
        return None if value is None else cut(value)

    drawn = replace(
        case.evidence,
        curves=tuple(
            replace(c, x=cut_all(c.x), y=cut_all(c.y), low=cut_all(c.low), high=cut_all(c.high))
            for c in case.evidence.curves
        ),
        measurements=tuple(
            replace(
                m, value=cut_if(m.value), low=cut_if(m.low), high=cut_if(m.high), ceiling=cut_if(m.ceiling)
            )
            for m in case.evidence.measurements
        ),
    )
    return replace(case, evidence=drawn)


def _draw(name: str, size: tuple[float, float], paint: Callable[[Axes], None]) -> str:
    """SVG markup of one pair of axes, without sizes, dates or fonts of its own."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(cast(Any, {**_STYLE, "svg.hashsalt": f"mlmguard {name}"})):
        drawing = Figure(figsize=size, dpi=72, layout="constrained")
        paint(drawing.add_subplot())
        stream = io.StringIO()
        # Date and Creator would tie the bytes to a day and a version
        drawing.savefig(stream, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    svg = stream.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"font: (?:\w+ )*([\d.]+)px [^;\"]+", r"font-size: \1px", svg)
    svg = re.sub(r"; ?font-family: [^;\"]+", "", svg)
    svg = re.sub(
        r"<svg [^>]*viewBox=\"([^\"]+)\"[^>]*>", r'<svg viewBox="\1" aria-hidden="true">', svg, count=1
    )
    svg = re.sub(r"<!--.*?-->\s*", "", svg)
    # groups are numbered from 1 in every drawing, and several drawings stand on one page
    svg = re.sub(r"<g id=\"[^\"]*\"", "<g", svg)
    for stand_in, variable in _VARIABLES.items():
        svg = svg.replace(stand_in, variable)
    return re.sub(r"\n\s*", "\n", svg).strip()


def _grid(axes: Axes, axis: Any = "y") -> None:
    axes.grid(True, axis=axis, color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)


def _percent(value: float, _: object = None) -> str:
    return f"{100 * value:.3g} %".replace("-", "\u2212")


def _lines(axes: Axes, found: Sequence[Curve], *, markers: bool, step: bool = False) -> None:
    for curve, (colour, dash, marker) in zip(found, _SERIES):
        keep = thinned(len(curve.x), _POINTS)
        x, y = [curve.x[i] for i in keep], [curve.y[i] for i in keep]
        if curve.low and curve.high:
            low, high = [curve.low[i] for i in keep], [curve.high[i] for i in keep]
            axes.fill_between(
                x, low, high, color=colour, alpha=0.14, linewidth=0, step="post" if step else None
            )
        style: dict[str, Any] = {"color": colour, "linestyle": dash, "linewidth": 1.8, "label": curve.series}
        if markers:
            style |= {"marker": marker, "markersize": 5.5, "markeredgecolor": _PAPER, "markeredgewidth": 1}
        axes.plot(x, y, drawstyle="steps-post" if step else "default", **style)


# --- the figures --------------------------------------------------------------------------------------


def epsilon_axis(case: Case) -> str:
    """Claimed ε, what was shown to be spent and the most that could have been; "" without numbers."""
    statement = claim(case.evidence)
    claimed = statement.epsilon if statement else None
    bound = next((m for m in of(case.evidence, "epsilon.one_run_lower_bound") if m.value is not None), None)
    if claimed is None and bound is None:
        return ""
    spent = bound.value if bound and bound.value is not None else None
    ceiling = bound.ceiling if bound else None
    reach = max(v for v in (claimed, spent, ceiling, 1.0) if v is not None) * 1.12

    def paint(axes: Axes) -> None:
        axes.set(xlim=(0, reach), ylim=(-1, 1), yticks=[], xlabel="ε")
        axes.spines[["left", "bottom"]].set_visible(False)
        axes.plot([0, reach], [0, 0], color=_GRID, linewidth=6, solid_capstyle="butt")
        if ceiling is not None:
            axes.plot([0, ceiling], [0, 0], color=_FIRST, linewidth=6, alpha=0.28, solid_capstyle="butt")
            axes.plot([ceiling] * 2, [-0.3, 0.3], color=_FIRST, linewidth=1.6, linestyle=(0, (2, 1.4)))
            _label(axes, ceiling, reach, -0.68, f"could have shown {figure(ceiling)}")
        if spent is not None:
            axes.plot([0, spent], [0, 0], color=_FIRST, linewidth=6, solid_capstyle="butt")
            axes.plot([spent], [0], color=_FIRST, marker=">", markersize=9, markeredgecolor=_PAPER)
            _label(axes, spent, reach, 0.5, f"shown to be spent ≥ {figure(spent)}")
        if claimed is not None:
            axes.plot([claimed], [0], color=_SECOND, marker="D", markersize=9, markeredgecolor=_PAPER)
            far = spent is None or abs(claimed - spent) > 0.45 * reach
            _label(axes, claimed, reach, 0.5 if far else 0.85, f"claimed {show_epsilon(claimed)}")

    return _draw("epsilon", (6.6, 1.5), paint)


def _label(axes: Axes, x: float, reach: float, y: float, text: str) -> None:
    align = "left" if x < 0.25 * reach else "right" if x > 0.75 * reach else "center"
    axes.text(x, y, text, ha=align, va="center", fontsize=11.5)


#: An audit that knows more than (ε, δ) gives the ceiling of its claim as a series of this name.
CEILING = "ceiling"


def roc(case: Case) -> str:
    """True against false positives on log axes, under the ceiling of the claim."""
    found = curves(case.evidence, "membership", "roc")
    if not found:
        return ""
    statement = case.evidence.statement

    def paint(axes: Axes) -> None:
        from matplotlib.ticker import FuncFormatter, LogLocator

        least = 1e-3
        grid = [10 ** (-3 + 3 * i / 90) for i in range(91)]
        axes.plot(grid, grid, color=_MUTED, linewidth=1, linestyle=(0, (1, 2)), label="chance")
        ceiling = next((c for c in found if c.series == CEILING), None)
        style: dict[str, Any] = {"color": _INK, "linewidth": 1.2, "linestyle": (0, (6, 2, 1, 2))}
        if ceiling is not None:
            axes.plot(ceiling.x, ceiling.y, label="ceiling of the claim", **style)
        elif statement is not None and statement.private and statement.epsilon is not None:
            top = [dp_ceiling(statement.epsilon, statement.delta or 0.0, f) for f in grid]
            axes.plot(grid, top, label="ceiling of the claim", **style)
        # a log axis has no zero: points below it are drawn on its edge
        shown = [_clipped(curve, least) for curve in found if curve.series != CEILING]
        _lines(axes, shown, markers=False, step=False)
        axes.set(xscale="log", yscale="log", xlim=(least, 1.05), ylim=(least, 1.2))
        axes.set(xlabel="false positives", ylabel="true positives")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(LogLocator(10))
            axis.set_major_formatter(FuncFormatter(_percent))
        _grid(axes, "both")
        axes.legend(loc="lower right")

    return _draw("roc", (5.8, 4.4), paint)


def _clipped(curve: Curve, least: float) -> Curve:
    def up(values: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(max(value, least) for value in values)

    return Curve(
        curve.attack,
        curve.name,
        curve.x_label,
        curve.y_label,
        curve.series,
        up(curve.x),
        up(curve.y),
        up(curve.low),
        up(curve.high),
    )


def unknown(case: Case) -> str:
    """How often phrases are completed, by how many of their tokens are hidden."""
    return _recovery(case, "ngram", "unknown")


def _recovery(case: Case, attack: str, name: str) -> str:
    found = curves(case.evidence, attack, "k-unknown")
    if not found:
        return ""

    def paint(axes: Axes) -> None:
        from matplotlib.ticker import FuncFormatter, MaxNLocator

        _lines(axes, found, markers=True)
        axes.set(xlabel=found[0].x_label, ylabel=found[0].y_label)
        # at least a tenth, so that noise around zero does not look like a finding
        axes.set_ylim(0, max(0.1, axes.get_ylim()[1]))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.yaxis.set_major_formatter(FuncFormatter(_percent))
        _grid(axes)
        axes.legend(loc="upper right")

    return _draw(name, (5.2, 3.5), paint)


def secrets(case: Case) -> str:
    """How often planted secrets are completed, by how many of their tokens are hidden."""
    return _recovery(case, "canary", "secrets")


def exposure(case: Case) -> str:
    """Exposure of planted canaries and of their twins, beside what chance gives."""
    found = curves(case.evidence, "canary", "exposure")
    if not found:
        return ""

    def paint(axes: Axes) -> None:
        from matplotlib.ticker import FuncFormatter

        most = max(max(curve.x) for curve in found)
        grid = [most * i / 60 for i in range(61)]
        axes.plot(
            grid,
            [2**-bits for bits in grid],
            color=_MUTED,
            linewidth=1,
            linestyle=(0, (1, 2)),
            label="chance",
        )
        _lines(axes, found, markers=False)
        axes.set(xlabel=found[0].x_label, ylabel=found[0].y_label, ylim=(0, 1.02))
        axes.yaxis.set_major_formatter(FuncFormatter(_percent))
        _grid(axes)
        axes.legend(loc="upper right")

    return _draw("exposure", (5.2, 3.5), paint)


def copies(case: Case) -> str:
    """Excess of training over held-out phrases, by how often they were copied."""
    found = by_copies(case)
    if not found:
        return ""

    def paint(axes: Axes) -> None:
        from matplotlib.ticker import FuncFormatter

        for i, m in enumerate(found):
            value = m.value if m.value is not None else 0.0
            if m.low is not None and m.high is not None:
                axes.plot(
                    [m.low, m.high], [i, i], color=_FIRST, linewidth=2, alpha=0.5, solid_capstyle="butt"
                )
            axes.plot([value], [i], color=_FIRST, marker="o", markersize=7, markeredgecolor=_PAPER)
        axes.axvline(0, color=_MUTED, linewidth=1, linestyle=(0, (1, 2)))
        axes.set_yticks(range(len(found)), [m.slice for m in found], color=_INK)
        axes.set(ylim=(len(found) - 0.4, -0.6), xlabel="completed more often than unseen phrases")
        axes.xaxis.set_major_formatter(FuncFormatter(_percent))
        axes.spines["left"].set_visible(False)
        _grid(axes, "x")

    return _draw("copies", (5.2, 1.2 + 0.45 * len(found)), paint)


def clusters(case: Case) -> str:
    """How large the clusters of copies were."""
    manifest = case.evidence.manifest
    if manifest is None or not manifest.duplicates.clusters:
        return ""
    names = [label for label, _, _ in CLUSTER_BINS]
    counts = cluster_counts(manifest.duplicates.clusters)

    def paint(axes: Axes) -> None:
        bars = axes.bar(names, counts, color=_FIRST, width=0.62)
        axes.bar_label(bars, [f"{n:,}" if n else "" for n in counts], padding=2, fontsize=10.5)
        axes.set(xlabel="documents in the cluster", ylabel="clusters")
        axes.margins(y=0.15)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)

    return _draw("clusters", (5.2, 2.9), paint)


def frontier(case: Case) -> str:
    """Utility against what an attack finds, a point with its interval for each run that no other beats."""
    found = curves(case.evidence, "ablation", "frontier")
    if not found:
        return ""

    def paint(axes: Axes) -> None:
        for curve, (colour, dash, marker) in zip(found, _SERIES):
            ends = [
                [y - low for y, low in zip(curve.y, curve.low)],
                [high - y for y, high in zip(curve.y, curve.high)],
            ]
            axes.errorbar(
                curve.x, curve.y, yerr=ends if curve.low else None, label=curve.series, color=colour,
                linestyle=dash, marker=marker, markersize=6, elinewidth=1.2, capsize=3, linewidth=1.4,
            )  # fmt: skip
        _labelled(axes, found)

    return _draw("ablation frontier", (6.6, 3.4), paint)


def training(case: Case, name: str) -> str:
    """Draw one series that the training recorded, step by step."""
    found = curves(case.evidence, "training", name)
    if not found:
        return ""

    def paint(axes: Axes) -> None:
        _lines(axes, found, markers=False)
        _labelled(axes, found)

    return _draw(f"training {name}", (5.2, 3.2), paint)


def training_names(case: Case) -> list[str]:
    """Return the names of what the training recorded, in its order."""
    return list(dict.fromkeys(c.name for c in case.evidence.curves if c.attack == "training" and c.x and c.y))


def _labelled(axes: Axes, found: Sequence[Curve]) -> None:
    """The names of the axes, a grid, and a legend where there are several curves."""
    axes.set(xlabel=found[0].x_label, ylabel=found[0].y_label)
    _grid(axes)
    if len(found) > 1:
        axes.legend(loc="best")


CLUSTER_BINS = (
    ("2", 2, 2),
    ("3–4", 3, 4),
    ("5–9", 5, 9),
    ("10–19", 10, 19),
    ("20–49", 20, 49),
    ("50+", 50, 10**12),
)


def cluster_counts(sizes: Sequence[int]) -> list[int]:
    """How many clusters fall in each of :data:`CLUSTER_BINS`."""
    return [sum(low <= size <= high for size in sizes) for _, low, high in CLUSTER_BINS]
