"""The attacks of this package, as ``mlmguard.measures`` lists them, and those of plug-ins."""

from __future__ import annotations

from importlib.metadata import EntryPoint

from mlmguard import measures, plugins
from mlmguard.errors import InputError
from mlmguard.leakage.attack import Attack

ATTACKS: tuple[Attack, ...] = tuple(
    EntryPoint(name, place, "mlmguard.attacks").load() for name, place in measures.ATTACKS.items()
)


def attacks() -> tuple[Attack, ...]:
    """Return the attacks of this package, and after them those that plug-ins registered.

    Raises :class:`InputError` for a plug-in that does not load, is no :class:`Attack`, has a name that is
    taken, or names a metric outside its own family: a gap in an audit would read as safety.
    """
    found = list(ATTACKS)
    taken = {part.name for attack in found for part in attack.parts}
    for name, attack in sorted(plugins.every("attacks", {}).items()):
        thing = f"plug-in {name}"
        if not isinstance(attack, Attack):
            raise InputError(thing, type(attack).__name__, "an Attack of mlmguard.leakage.attack")
        for part in attack.parts:
            if part.name in taken:
                raise InputError(thing, f"an attack {part.name!r} there is already", "a name of its own")
            taken.add(part.name)
            for metric in part.metrics:
                if metric.family != part.name:
                    raise InputError(thing, f"a metric {metric.name!r}", f"one that begins with {part.name}.")
        found.append(attack)
    return tuple(found)
