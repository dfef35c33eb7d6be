"""Train, validation and test, so that neither a person nor a near copy is on two sides.

What may not be separated is a connected component over units and copies: all documents of a unit, all
units that share a cluster of copies. A keyed hash orders the components, so nobody can steer a record
into a split, and neither the order of the files nor their number of workers matters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from mlmguard.corpus.dedup import Clusters
from mlmguard.errors import InputError

SPLITS = ("train", "validation", "test")
FRACTIONS: Mapping[str, float] = {"train": 0.90, "validation": 0.05, "test": 0.05}


def check_fractions(fractions: Mapping[str, float]) -> None:
    """:class:`InputError` unless these are shares of the three splits."""
    wrong = set(fractions) ^ set(SPLITS)
    if wrong or any(not 0 <= f <= 1 for f in fractions.values()) or abs(sum(fractions.values()) - 1) > 1e-6:
        raise InputError("splits", "not shares of a whole", f"{', '.join(SPLITS)}, adding up to 1")


def assign(
    units: Sequence[str],
    clusters: Sequence[int],
    kept: Sequence[bool],
    keyed: Callable[[str], str],
    fractions: Mapping[str, float] = FRACTIONS,
) -> list[str]:
    """The split of every document, by position. Documents that are not kept belong to their component too.

    ``units[i]`` says whose document ``i`` is, ``clusters[i]`` which copies it belongs with. The largest
    component always trains; test and validation are filled to their share with the others in the order
    of ``keyed``, none of them empty where there are enough components.
    """
    check_fractions(fractions)
    component = _components(units, clusters)
    weight: Counter[int] = Counter()
    name: dict[int, str] = {}
    for index, root in enumerate(component):
        weight[root] += kept[index]
        here = keyed(units[index])
        name[root] = min(name.get(root, here), here)

    order = sorted((root for root in name if weight[root]), key=lambda root: name[root])
    split = dict.fromkeys(name, "train")
    if len(order) > 1:
        order.remove(max(order, key=lambda root: (weight[root], name[root])))
        total = sum(weight.values())
        for side in ("test", "validation"):
            for root in _fill(order, weight, fractions[side] * total):
                split[root] = side
                order.remove(root)
    return [split[root] for root in component]


def _components(units: Sequence[str], clusters: Sequence[int]) -> list[int]:
    together = Clusters(len(units))
    first_of_unit: dict[str, int] = {}
    first_of_cluster: dict[int, int] = {}
    for index, (unit, cluster) in enumerate(zip(units, clusters, strict=True)):
        together.join(index, first_of_unit.setdefault(unit, index))
        together.join(index, first_of_cluster.setdefault(cluster, index))
    return [together.root(index) for index in range(len(units))]


def _fill(order: Sequence[int], weight: Mapping[int, int], quota: float) -> list[int]:
    """Components in order until the quota is reached, passing over those that would overshoot it by half."""
    if quota <= 0 or not order:
        return []
    taken: list[int] = []
    size = 0
    for root in order:
        if size >= quota:
            break
        if size + weight[root] <= max(1.5 * quota, 1):
            taken.append(root)
            size += weight[root]
    return taken or [min(order, key=lambda root: weight[root])]
