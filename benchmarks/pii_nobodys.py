# ruff: noqa: E501 (kinds are read across)
"""Precision on numbers that are nobody's: what is found where nothing is personal, beside stock Presidio.

    python benchmarks/pii_nobodys.py [--each 60] [--seed 18] [--all-languages] [--shown]

Fifty kinds of numbers as reports, logs, code, papers, shops and mails hold them, none behind the label of a
personal value, each drawn ``--each`` times: 3,000 by default. A finding that touches one is false. Bar: no type
false in more than 1 % of them. Dates are among them nowhere, as they are personal where a day is told. Stock is
``AnalyzerEngine`` with Presidio's own recognisers at the same threshold. ``--shown`` prints the texts with a
finding: all of them are invented.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator

from mlmguard.corpus.detect import finder, presidio
from mlmguard.corpus.detect import reference as stock_engine
from mlmguard.corpus.detect.languages import LANGUAGES
from mlmguard.corpus.detect.spans import Span, resolve

BAR = 0.01
KINDS: dict[str, tuple[str, ...]] = {
    # "§" is any digit, "¤" one that is not 0, "~" a hexadecimal digit, "¿" a capital
    "fraction": ("the ratio fell to 0.§§§§§§§§§ in the second run", "weights [0.§§§§§§§§, 0.§§§§§§§, -0.§§§§§§§§§]", "p=0.§§§§§§§§§§"),
    "long decimal": ("mean ¤§§.§§§§§§§§, deviation ¤.§§§§§§§§§", "converged at ¤.§§§§§§§§e-¤§", "x = ¤§.§§§§§§§§§§§"),
    "epoch seconds": ("started at 1¤§§§§§§§§ and ended", "ts=16§§§§§§§§.§§§ level=info", "mtime 17§§§§§§§§"),
    "epoch milliseconds": ("at 16§§§§§§§§§§§ the queue was empty", '{"time": 17§§§§§§§§§§§, "ok": true}', "17§§§§§§§§§§§ ms"),
    "ten digits in a row": ("order ¤§§§§§§§§§ was packed", "row ¤§§§§§§§§§ of the table", "batch ¤§§§§§§§§§ passed"),
    "nine digits in a row": ("item ¤§§§§§§§§ is out of stock", "we saw ¤§§§§§§§§ rows", "block ¤§§§§§§§§ was mined"),
    "eight digits in a row": ("job ¤§§§§§§§ failed", "seed ¤§§§§§§§", "process ¤§§§§§§§ ended"),
    "seven digits in a row": ("bug ¤§§§§§§ is fixed", "patch ¤§§§§§§ was merged", "lot ¤§§§§§§, shelf 4"),
    "eleven digits in a row": ("dataset ¤§§§§§§§§§§ was exported", "offset ¤§§§§§§§§§§ bytes", "GTIN 0¤§§§§§§§§§§"),
    "bar code": ("EAN 40§§§§§§§§§§§§ on the box", "scan 50§§§§§§§§§§§ twice", "UPC 0§§§§§§§§§§§"),
    "sixteen digits": ("trace ¤§§§§§§§§§§§§§§§ sampled", "span ¤§§§§§§§§§§§§§§§", "the counter reads ¤§§§§§§§§§§§§§§§"),
    "seventeen to twenty digits": ("IMG_¤§§§§§§§§§§§§§§§§.jpg", "snowflake id ¤§§§§§§§§§§§§§§§§§§", "¤§§§§§§§§§§§§§§§§§§§ rows in theory"),
    "sum with commas": ("a total of ¤§§,§§§,§§§ rows", "$¤,§§§,§§§.§§ in revenue", "¤§§,§§§ of ¤,§§§,§§§ voters"),
    "sum with points": ("insgesamt ¤§§.§§§.§§§ Zeilen", "Umsatz ¤.§§§.§§§,§§ EUR", "EUR ¤§§.§§§,§§"),
    "sum with spaces": ("il y a ¤§§ §§§ §§§ lignes", "au total ¤§ §§§ §§§ habitants", "¤§§ §§§ km"),
    "version": ("version ¤§.§§.§§§§ is out", "Chrome/¤§§.0.§§§§.§§§ was used", "upgrade to v¤.§.§§-rc¤"),
    "four-part version": ("build ¤.¤.§§§§.§§§§§ green", "driver ¤§.§§.¤§.§§§§ installed", "kernel ¤.¤§.¤§.¤§§"),
    "commit": ("commit ~~~~~~~ of the tree", "merge ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~ into main", "since ~~~~~~~~~~~~"),
    "object address": ("at 0x7f~~~~~~~~~~ in main", "<Node object at 0x~~~~~~~~~~~~>", "page fault at 0x~~~~~~~~"),
    "colour": ("color: #~~~~~~; background: #~~~~~~", "rgb(¤§§, ¤§, ¤§§)", "fill=#~~~~~~~~"),
    "ISBN of ten": ("ISBN 0-¤§§-§§§§§-§", "ISBN ¤-§§§§-§§§§-§, 2nd edition", "isbn ¤§§§§§§§§§"),
    "ISBN of thirteen": ("ISBN 978-0-¤§§-§§§§§-§", "ISBN-13: 978¤§§§§§§§§§", "978-¤-§§§§-§§§§-§"),
    "ISSN": ("ISSN ¤§§§-§§§§", "ISSN §§§§-§§§X (online)", "issn: §§§§-§§§§"),
    "DOI": ("doi:10.¤§§§/s¤§§§§-0§§-§§§§§-§", "doi 10.¤§§§/j.cell.20§§.0§.0§§", "DOI 10.¤§§§/¤§§§§§§.¤§§§§§§"),
    "preprint": ("arXiv:2¤0¤.§§§§§v¤", "PMID ¤§§§§§§§", "PMC¤§§§§§§ and PMC¤§§§§§§"),
    "patent": ("U.S. Pat. No. ¤,§§§,§§§", "EP ¤§§§§§§ B1", "see US 20§§/0§§§§§§"),
    "statute": ("42 U.S.C. ¤§§§ and ¤§§§", "¤§§ F.3d ¤§§§, ¤§§§", "section ¤§§.¤§§(b)(¤)"),
    "chemical": ("CAS ¤§§§-§§-§, ¤§ g", "CAS No. ¤§§§§-§§-§", "EC ¤§§-¤§§-¤"),
    "grant": ("grant R01CA¤§§§§§", "award DMS-¤§§§§§§", "supported by NSF ¤§§§§§§"),
    "range of pages": ("pp. ¤§§§-¤§§§", "vol. ¤§, no. ¤, pp. ¤§§--¤§§", "lines ¤§§§§-¤§§§§"),
    "range of years and counts": ("¤§§-¤§§ seats per plane", "between ¤,§§§ and ¤,§§§", "¤§§§-¤§§§ were surveyed"),
    "coordinates": ("at ¤§.§§§§§§, -¤§.§§§§§§", "lat=¤§.§§§§§§§ lon=¤§§.§§§§§§§", "(¤§§§, ¤§§§, ¤§§§§)"),
    "size of a picture": ("pixel ¤§§§x¤§§§ at depth ¤§", "¤§§§×¤§§§ px", "tile_¤§§§§§§§_¤§§§§§§§.png"),
    "time of a run": ("took ¤§§.§§§ s, then ¤§.§§§ s", "real ¤m§§.§§§s user ¤m§§.§§§s", "elapsed 00:¤§:¤§.§§§§§§"),
    "lottery": ("the draw was ¤, ¤§, ¤§, ¤§, ¤§ and ¤§", "numbers ¤§ ¤§ ¤§ ¤§ ¤§ ¤§", "¤§-¤§-¤§-¤§-¤§"),
    "score": ("won 6-¤, 3-6, 7-¤", "¤§§-¤§§ at half time, ¤§§-¤§§ at the end", "¤§:¤§ in overtime"),
    "combination in the shape of an SSN": ("part ¤§§-¤§-¤§§§ was ordered", "model ¤§§-§§-§§§§ of the pump", "see item ¤§§-¤§-§§§§"),
    "combination in the shape of a phone": ("catalogue ¤§§-¤§§-¤§§§", "part no ¤§§.¤§§.¤§§§", "drawing ¤§§-¤§§§-¤§"),
    "part with letters": ("part ¿¿-¤§§§§§-¿", "SKU ¿¤§§-¤§§§§", "type ¿¿¤§§§¿¤"),
    "message id": ("Message-ID: <20§§§§§§§§§§§§.¿¿§§§§§@mail.example.org>", "In-Reply-To: <¤§§§§§§§.¤§§§§@old-mill.example.org>", "References: <¤§§§§§§§§.GA¤§§§@example.org>"),
    "boundary": ("----=_NextPart_000_00~~_01C~~~~~.~~~~~~~~", 'boundary="=====¤§§§§§§§§§§§§§§§§=="', "--¤§§§§§§§§§§§§.¤§§§§§§§§§"),
    "register": ("mov r¤, #¤§§§§", "port ¤§§§§ is closed", "errno ¤§§ on fd ¤§§"),
    "table": ("¤.§§  ¤§.§§  ¤§§.§§  ¤§§§.§§", "¤§ | ¤§§ | ¤§§§ | ¤§§§§", "¤§§§\t¤§§\t¤§\t¤§§§§"),
    "percent": ("¤§.§§ % of ¤,§§§", "up ¤§.§ % from ¤§.§ %", "¤§§.§% (n=¤§§§)"),
    "dose": ("¤§§ mg of it in ¤§ ml", "Hb ¤§.§, WBC ¤.§, PLT ¤§§", "BP ¤§§/¤§, pulse ¤§"),
    "instrument": ("glucose ¤§§, sodium ¤§§, creatinine ¤.§", "Na ¤§§ K ¤.§ Cl ¤§§", "¤.¤§ x 10^¤"),
    "electric": ("¤§§V, ¤§.§ kHz, ¤§§ ohm", "¤.¤§ GHz and ¤§§ MB", "¤§§§ rpm"),
    "money": ("$¤§,§§§.§§", "USD ¤§§,§§§ a year", "¤§§ euros and ¤§ cents"),
    "line of a log": ("[¤§§§§.§§§§§§] usb 1-¤: new device number ¤§", "pid ¤§§§§: exit ¤", "GET /p/¤§§§§§§§§ 200 ¤§§§§"),
    "module in C++": ("std::array<int, ¤§§> a¤; ", "cafe::f¤(0x~~)", "ab::cd::e¤"),
}  # fmt: skip
_DRAWN = {"§": "0123456789", "¤": "123456789", "~": "0123456789abcdef", "¿": "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}


def texts(each: int, seed: int) -> Iterator[tuple[str, str]]:
    """(kind, text), each template of a kind as often as the others."""
    draw = random.Random(seed)
    for kind, templates in KINDS.items():
        for number in range(each):
            template = templates[number % len(templates)]
            yield kind, "".join(draw.choice(_DRAWN[c]) if c in _DRAWN else c for c in template)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--each", type=int, default=60, help="texts of a kind")
    parser.add_argument("--seed", type=int, default=18)
    parser.add_argument("--all-languages", action="store_true", help="with the words of every language")
    parser.add_argument("--shown", action="store_true", help="print the texts in which something is found")
    options = parser.parse_args()
    languages = ("en", *LANGUAGES) if options.all_languages else finder.ENGLISH
    plain = stock_engine.reference(presidio.recognizers([]))
    engines: dict[str, Callable[[str], list[Span]]] = {
        "ours": finder.finder(languages=languages).find,
        "stock": lambda text: resolve(stock_engine.analyze_as_reference(plain, text, finder.THRESHOLD)),
    }
    rows = list(texts(options.each, options.seed))
    by_type: dict[str, Counter[str]] = {name: Counter() for name in engines}
    by_kind: dict[tuple[str, str], Counter[str]] = {}
    touched: dict[str, int] = dict.fromkeys(engines, 0)
    for kind, text in rows:
        for name, find in engines.items():
            rules = {span.rule for span in find(text)}
            touched[name] += bool(rules)
            by_type[name].update(rules)
            by_kind.setdefault((kind, name), Counter()).update(rules)
            if rules and name == "ours" and options.shown:
                print(f"    {kind}: {text!r}: {', '.join(sorted(rules))}")
    print(f"{len(rows)} texts; with a finding: " + ", ".join(f"{name} {n}" for name, n in touched.items()))
    print("| type | ours: false (share) | stock |\n|---|---|---|")
    for rule in sorted(by_type["ours"] | by_type["stock"]):
        ours, stock = by_type["ours"][rule], by_type["stock"][rule]
        over = " OVER" if ours > BAR * len(rows) else ""
        print(f"| {rule} | {ours} ({ours / len(rows):.2%}{over}) | {stock} ({stock / len(rows):.2%}) |")
    print("by kind, ours:")
    for kind in KINDS:
        if its := by_kind[kind, "ours"]:
            print(
                f"    {kind}: " + ", ".join(f"{rule} {n} of {options.each}" for rule, n in its.most_common())
            )
    return int(any(n > BAR * len(rows) for n in by_type["ours"].values()))


if __name__ == "__main__":
    sys.exit(main())
