"""Train, validation and test, so that neither a person nor a near copy is in two splits.

What may not be separated is a connected component over units and copies: all documents of a unit, all
units that share a cluster of copies, and all that are one text once their values are taken out: of letters of
one form, some trained on and some held out, an audit would measure copies. A keyed hash orders the
components, so nobody can steer a record into a split, and neither the order of the files nor their number of
workers matters.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mlmguard.corpus.copies.dedup import Clusters
from mlmguard.corpus.copies.minhash import Array
from mlmguard.settings import ScanSettings
from mlmguard.settings.scan import SPLITS as SPLITS

FRACTIONS: Mapping[str, float] = ScanSettings().shares


def assign(
    orders: Array,
    clusters: Array,
    kept: Array,
    fractions: Mapping[str, float] = FRACTIONS,
    forms: Array | None = None,
) -> Array:
    """Assign every document to a split, by its number in :data:`SPLITS`, int8[documents].

    ``orders[i]`` (uint64) is a keyed name of whose document ``i`` is, ``clusters[i]`` the first of the copies
    it belongs with, ``forms[i]`` (uint64) what it is without its values. Documents that are not ``kept``
    belong to their component too. The largest component always trains; test and validation are filled to
    their share with the others in an order that their keyed names draw, none of them empty where there are
    enough components.
    """
    component = components(orders, clusters, forms)
    weight = np.zeros(len(orders), np.uint32)
    np.add.at(weight, component[kept], 1)  # bincount would take four times the memory
    candidates = _by_name(np.flatnonzero(weight).astype(np.uint32), component, orders)
    split_of = np.zeros(len(orders), np.int8)
    if len(candidates) > 1:
        largest = np.flatnonzero(weight[candidates] == weight[candidates].max())[-1]
        candidates = np.delete(candidates, largest)
        for name in ("test", "validation"):
            taken = _fill(weight[candidates], fractions[name] * int(weight.sum()))
            split_of[candidates[taken]] = SPLITS.index(name)
            candidates = np.delete(candidates, taken)
    return split_of[component]


def _by_name(candidates: Array, component: Array, orders: Array) -> Array:
    """Components in an order that follows from the least keyed name in each, whatever their sizes."""
    names = np.full(len(orders), np.iinfo(np.uint64).max)
    np.minimum.at(names, component, orders)
    names = _mixed(names[candidates])  # by the same name, so that the other is free: a scan's peak is here
    return candidates[np.argsort(names, kind="stable")]


def _mixed(names: Array) -> Array:
    """The names by another order, as good as random beside their own (the finaliser of SplitMix64).

    The least of three names lies before the least of one more often than not: in the order of the names
    themselves, texts of which there were copies would be held out nearly twice as often as others, and
    members and held-out documents would differ in kind.
    """
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        names = (names ^ (names >> np.uint64(shift))) * np.uint64(factor)
    mixed: Array = names ^ (names >> np.uint64(31))
    return mixed


def components(orders: Array, clusters: Array, forms: Array | None = None) -> Array:
    """Of each document the first that it cannot be separated from, uint32."""
    together = Clusters(len(orders))
    for names in (orders, forms) if forms is not None else (orders,):
        by_name = np.argsort(names, kind="stable").astype(np.uint32)
        of_name = names[by_name]
        for place in np.flatnonzero(of_name[1:] == of_name[:-1]):
            together.join(int(by_name[place]), int(by_name[place + 1]))
        del by_name, of_name
    for index in np.flatnonzero(clusters != np.arange(len(orders), dtype=np.uint32)):
        together.join(int(index), int(clusters[index]))
    return together.roots()


def _fill(weights: Array, quota: float) -> list[int]:
    """Places in order until the quota is reached, passing over those that would overshoot it by half."""
    if quota <= 0 or not len(weights):
        return []
    taken: list[int] = []
    size = 0
    for place, weight in enumerate(map(int, weights)):
        if size >= quota:
            break
        if size + weight <= max(1.5 * quota, 1):
            taken.append(place)
            size += weight
    return taken or [int(np.argmin(weights))]
