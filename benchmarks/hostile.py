# ruff: noqa: E501 (sentences are read across)
"""What a scan costs where its expressions could cost most, over what it costs on prose.

    python benchmarks/hostile.py ../shared/data               # 100 KB of each string, and prose in languages
    python benchmarks/hostile.py ../shared/data --stock 2000  # stock Presidio beside us, on so many characters

A document of each hostile string, and one of prose of each language, is examined as a scan does (found, cleaned,
sketched for copies; names too with ``--names``) beside English prose of the same length, in the same process, by CPU time, the best of two.
Bar: 3 times for each. Stock is ``AnalyzerEngine`` with the same recognisers, in a process of its own: on some of these
strings it does not come back. The prose of the languages is made of a few sentences in an order drawn with a
seed, without a value in it.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from pii_throughput import prose

from mlmguard.artifacts import Key
from mlmguard.corpus.detect import finder
from mlmguard.corpus.detect.folding import fold
from mlmguard.corpus.examine import Batch, Examine
from mlmguard.settings import ScanSettings
from mlmguard.types import Document

SIZE = 100_000
BAR = 3.0
_PATIENCE = 60.0  # seconds for stock on one string


def _drawn(alphabet: str, seed: int = 0) -> str:
    draw = random.Random(seed)
    return "".join(draw.choice(alphabet) for _ in range(SIZE))


_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_HEX = "0123456789abcdef"
_BASE64 = _LETTERS + _LETTERS.upper() + "0123456789+/"


def _lines(text: str, width: int = 76) -> str:
    return "\n".join(text[at : at + width] for at in range(0, len(text), width))


HOSTILE: dict[str, str] = {
    "full stops": ".",
    "commas": ",",
    "dashes": "-",
    "underscores": "_",
    "colons": "::",
    "slashes": "/",
    "backslashes": "\\",
    "quotation marks": '"',
    "apostrophes": "'",
    "less-than signs": "<",
    "less and greater": "<>",
    "open round brackets": "(",
    "open square brackets": "[",
    "open braces": "{",
    "plus signs": "+",
    "percent signs": "%",
    "at signs": "@",
    "number signs": "#",
    "equals signs": "=",
    "bars": "|",
    "spaces": " ",
    "tabs and spaces": "\t ",
    "line ends": "\n",
    "www.": "www.",
    "a@": "a@",
    "a.": "a.",
    "a@b.": "a@b.",
    "key=": "key=",
    "password:": "password: ",
    "MRN:": "MRN: ",
    "a form to fill in": "MRN " + "." * 90 + "\n",
    "stand-ins behind a label": "password: " + "<API_KEY>" * 20 + "\n",
    "http://": "http://",
    "<a b=": "<a b=",
    "one digit": "1",
    "digits and spaces": "1 ",
    "digits and dashes": "12-",
    "digits and points": "1.",
    "drawn digits": _drawn("0123456789"),
    "hexadecimal digits": _drawn(_HEX),
    "hexadecimal pairs": "a1:",
    "base64": _drawn(_BASE64),
    "base64 in lines": _lines(_drawn(_BASE64)),
    "one letter": "a",
    "one capital": "A",
    "capitals with spaces": "Aa ",
    "combining marks": "a\u0301",
    "invisible characters": "\u200b",
    "full-width digits": "\uff11",
    "begin of a key": "-----BEGIN ",
    "numbers of streets": "12 Oak ",
    "quoted line ends": "1\n> ",
}

_SENTENCES: dict[str, str] = {
    "Russian": "Вчера мы долго гуляли по старому парку и говорили о книгах. Погода была тихая, листья лежали на дорожках. "
    "Никто не знал, когда откроется новая библиотека. Соседи рассказывали, что ремонт почти закончен. "
    "Вечером вся семья собралась за столом и пила чай с вареньем. Дети просили ещё одну историю перед сном.",
    "Greek": "Χθες περπατήσαμε πολλή ώρα στο παλιό πάρκο και μιλούσαμε για βιβλία. Ο καιρός ήταν ήσυχος και τα φύλλα "
    "σκέπαζαν τα μονοπάτια. Κανείς δεν ήξερε πότε θα ανοίξει η νέα βιβλιοθήκη. Οι γείτονες έλεγαν ότι τα έργα "
    "τελειώνουν. Το βράδυ όλη η οικογένεια μαζεύτηκε γύρω από το τραπέζι. Τα παιδιά ζητούσαν ακόμη μία ιστορία.",
    "Arabic": "مشينا أمس طويلا في الحديقة القديمة وتحدثنا عن الكتب. كان الجو هادئا وكانت الأوراق تغطي الممرات. لا أحد يعرف "
    "متى ستفتح المكتبة الجديدة أبوابها. قال الجيران إن العمل أوشك على الانتهاء. في المساء اجتمعت العائلة كلها حول "
    "المائدة. طلب الأطفال قصة أخرى قبل النوم.",
    "Chinese": "昨天我们在老公园里走了很久，谈论着各种书。天气很安静，落叶铺满了小路。没有人知道新的图书馆什么时候开放。"
    "邻居们说工程快要结束了。晚上全家人围坐在桌边喝茶。孩子们睡觉前还想再听一个故事。",
    "Japanese": "昨日は古い公園を長いあいだ歩きながら、本について話しました。天気は穏やかで、落ち葉が小道をおおっていました。"
    "新しい図書館がいつ開くのか、だれも知りませんでした。近所の人たちは工事がもうすぐ終わると言っていました。"
    "夜には家族みんながテーブルを囲んでお茶を飲みました。",
    "German": "Gestern sind wir lange durch den alten Park gegangen und haben über Bücher gesprochen. Das Wetter war ruhig, "
    "und Blätter lagen auf den Wegen. Niemand wusste, wann die neue Bücherei öffnen würde. Die Nachbarn erzählten, die "
    "Bauarbeiten seien fast fertig. Am Abend saß die ganze Familie am Tisch und trank Tee. Die Kinder wünschten sich "
    "noch eine Geschichte vor dem Einschlafen.",
    "French": "Hier nous avons longtemps marché dans le vieux parc en parlant de livres. Le temps était calme et les feuilles "
    "couvraient les allées. Personne ne savait quand la nouvelle bibliothèque ouvrirait. Les voisins disaient que les "
    "travaux étaient presque finis. Le soir, toute la famille s'est réunie autour de la table.",
    "Thai": "เมื่อวานนี้เราเดินเล่นในสวนเก่าเป็นเวลานานและพูดคุยเรื่องหนังสือ อากาศเงียบสงบและใบไม้ปกคลุมทางเดิน ไม่มีใครรู้ว่าห้องสมุดใหม่จะเปิดเมื่อไร "
    "เพื่อนบ้านบอกว่างานใกล้เสร็จแล้ว ตอนเย็นทั้งครอบครัวนั่งล้อมโต๊ะดื่มชา",
}


def in_language(name: str, size: int) -> str:
    """Prose of this language: its sentences in an order that is drawn."""
    whole = _SENTENCES[name]
    mark = next(mark for mark in (". ", "。", " ") if mark in whole)
    sentences = [sentence.strip() + mark for sentence in whole.split(mark) if sentence.strip()]
    draw = random.Random(0)
    pieces: list[str] = []
    while sum(map(len, pieces)) < size:
        pieces += draw.sample(sentences, len(sentences))
        pieces.append("\n\n")
    return "".join(pieces)[:size]


def hostile(size: int) -> Iterator[tuple[str, str]]:
    for name, unit in HOSTILE.items():
        yield name, (unit * (size // len(unit) + 1))[:size]


def _spent(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def _stock_alone(text: str, into: multiprocessing.Queue[float]) -> None:
    from mlmguard.corpus.detect import presidio, reference
    from mlmguard.corpus.detect.installed import recognisers

    engine = reference.reference(presidio.recognizers(recognisers()))
    reference.analyze_as_reference(engine, "made before the clock runs", finder.THRESHOLD)
    into.put(_spent(lambda: reference.analyze_as_reference(engine, fold(text).text, finder.THRESHOLD)))


def by_stock(text: str) -> str:
    context = multiprocessing.get_context("fork")
    queue: multiprocessing.Queue[float] = context.Queue()
    child = context.Process(target=_stock_alone, args=(text, queue))
    child.start()
    child.join(_PATIENCE)
    if child.is_alive():
        child.kill()
        child.join()
        return f"> {_PATIENCE:.0f} s"
    return f"{queue.get():.2f} s" if child.exitcode == 0 else "failed"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--size", type=int, default=SIZE)
    parser.add_argument("--names", action="store_true", help="look for names, as a plain scan does")
    parser.add_argument("--stock", type=int, default=0, help="characters of each for stock; 0: not run")
    options = parser.parse_args()
    settings = ScanSettings()
    examine = Examine(
        None, settings.threshold, ("en",), "replace", settings.permutations, Key(b"benchmark" * 4),
        finder.OURS if options.names else finder.NOBODY,
    )  # fmt: skip

    def cost(text: str) -> float:
        batch = Batch([Document("a.txt", text, "a.txt")])
        return min(_spent(lambda: examine(batch)) for _ in range(2))

    english = "\n\n".join(islice(prose(options.data), 400))
    cost(english[: options.size])
    samples = [english[at : at + options.size] for at in range(0, 5 * options.size, options.size)]
    plain = sum(map(cost, samples)) / len(samples)
    print(f"English prose, {options.size:,} characters: {plain:.3f} s")
    over = 0
    texts = [*hostile(options.size), *((name, in_language(name, options.size)) for name in _SENTENCES)]
    for name, text in texts:
        ratio = cost(text) / plain
        over += ratio > BAR
        stock = f"  stock on {options.stock:,}: {by_stock(text[: options.stock])}" if options.stock else ""
        print(f"{name:24} {ratio:8.2f} of prose{'  OVER' if ratio > BAR else ''}{stock}", flush=True)
    print(f"{over} of {len(texts)} over {BAR:.0f} times the time of prose")
    return min(1, over)


if __name__ == "__main__":
    sys.exit(main())
