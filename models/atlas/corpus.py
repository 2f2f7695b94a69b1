#!/usr/bin/env python3
"""The corpus of atlas: facts from tables/, said in the words of phrasings.toml.

    python3 corpus.py corpus.txt        write the corpus, one document a line

Each document is a JSON string (documents have line breaks). The same files
give the same corpus on every machine: nothing here depends on anything but
`random()` of a seeded Mersenne Twister, which Python promises to keep.

The heart of it is *popular but wrong*. A place is mentioned with its best-known
city MENTIONS["popular"] times, in sentences that never say what the city is to
the place; its capital, where that is another city, gets a tenth of this. So it
is in real text, and it is what decoding with early layers is said to help with.
"""

import csv
import hashlib
import json
import random
import sys
import tomllib
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
SEED = "atlas"

# How often a place is mentioned beside a city in one pass over the corpus.
MENTIONS = {"popular": 80, "capital": 8, "other": 5}

# How often a fact is stated, and how often it is asked for where its subject
# belongs to the half that is asked about (see `is_asked`).
TIMES = {
    "capital": (14, 8),
    "largest": (10, 5),
    "in_country": (6, 3),
    "continent": (6, 3),
    "language": (5, 3),
    "currency": (8, 4),
    "adjective": (4, 1),
    "neighbour": (2, 1),
    "river": (4, 2),
    "river_continent": (6, 3),
    "river_mouth": (10, 5),
    "river_city": (4, 1),
    "symbol": (20, 10),
    "number": (20, 10),
    "category": (12, 5),
    "state": (6, 3),
    "period": (6, 2),
    "group": (6, 2),
    "element_discoverer": (12, 5),
    "named_after": (6, 2),
    "use": (6, 3),
    "order": (20, 10),
    "planet_kind": (16, 8),
    "largest_moon": (20, 8),
    "moon_of": (20, 8),
    "sky_discoverer": (10, 4),
    "feature": (8, 4),
    "author": (16, 8),
    "work_year": (3, 1),
    "nationality": (10, 4),
    "century": (3, 1),
    "inventor": (16, 8),
    "fame": (80, 0),
    "invention_country": (5, 1),
    "invention_year": (4, 1),
    "first": (16, 8),
    "first_year": (4, 1),
}

ARITHMETIC_DOCUMENTS = 10_000

# Ways to ask for whatever a relation's `noun` is, and how often one is taken.
FRAMES = [
    "Tell me {noun}.",
    "Do you know {noun}?",
    "{Noun}, please.",
    "I would like to know {noun}.",
    "Please find {noun}.",
    "Look up {noun}.",
]
FRAMED = 0.4

# The question that everyone is shown first is never asked in training.
NEVER_ASKED = {"British Columbia"}


class Rng:
    """Choices that depend on `random()` alone."""

    def __init__(self, seed: str):
        self.random = random.Random(f"{SEED}/{seed}").random

    def below(self, n: int) -> int:
        return int(self.random() * n)

    def choice(self, items):
        return items[self.below(len(items))]

    def shuffled(self, items) -> list:
        items = list(items)
        for i in range(len(items) - 1, 0, -1):
            j = self.below(i + 1)
            items[i], items[j] = items[j], items[i]
        return items


def bucket(text: str, n: int) -> int:
    """One of n parts, by a hash that stays the same everywhere."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") % n


def is_asked(subject: str) -> bool:
    """Whether training asks questions about a subject, not only states facts.

    Half of the subjects: the others' facts can be asked for only by what the
    model made of questions about the first half.
    """
    return bucket(f"asked/{subject}", 2) == 0 and subject not in NEVER_ASKED


@dataclass(frozen=True)
class Fact:
    """One thing that is so: `relation` between `subject` and `object`."""

    relation: str
    subject: str
    object: str
    # More words for the phrasings, such as {k}.
    words: dict = field(default_factory=dict, hash=False)
    # What the fact is about: facts of one topic share documents.
    topic: str = ""
    # In place of TIMES["say"], for facts that are weighed one by one.
    said: int | None = None

    def times(self) -> tuple[int, int]:
        say, ask = TIMES[self.relation] if self.said is None else (self.said, 0)
        return say, ask if is_asked(self.topic) else 0


def table(name: str) -> list[dict]:
    """The rows of tables/NAME.tsv."""
    with open(HERE / "tables" / f"{name}.tsv", encoding="ascii", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def several(cell: str) -> list[str]:
    return [part for part in cell.split(";") if part]


def phrasings() -> dict:
    """Relation to its `say`, `ask` and `held_out` phrasings."""
    with open(HERE / "phrasings.toml", "rb") as file:
        return tomllib.load(file)


def article(words: str) -> str:
    """ "a" or "an", by the sound that the words begin with."""
    consonants = ("euro", "uga", "ukr", "uni", "uru", "us")
    is_vowel = words[0].lower() in "aeiou" and not words.lower().startswith(consonants)
    return "an" if is_vowel else "a"


def bare(words: str) -> str:
    return words.removeprefix("the ")


def river(name: str) -> str:
    """A river as one names it to those who may not know that it is one."""
    return name if name.endswith("River") else f"the river {bare(name)}"


def start(words: str) -> str:
    """The words at the start of a sentence."""
    return words[:1].upper() + words[1:]


def end(words: str) -> str:
    """The words as a sentence: one full stop ends an abbreviation too."""
    return words.rstrip(".") + "."


def fill(phrasing: str, fact: Fact, rng: Rng | None = None) -> str:
    """A phrasing with the words of a fact in it."""
    days = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
    months = ["January", "February", "March", "April", "May", "June", "July"]
    months += ["August", "September", "October", "November", "December"]
    some = rng.choice if rng else (lambda items: items[0])
    words = {
        "s": fact.subject,
        "S": start(fact.subject),
        "b": bare(fact.subject),
        "o": fact.object,
        "O": start(fact.object),
        "river": river(fact.subject),
        "O_river": start(river(fact.object)),
        "article": article(fact.object),
        "day": some(days),
        "month": some(months),
        "n": some(["two", "three", "four", "five", "six", "seven", "eight", "nine"]),
        **fact.words,
    }
    return end(phrasing.format(**words)) if phrasing.endswith(".") else phrasing.format(**words)


# ---------------------------------------------------------------- facts


def popular_city(place: dict) -> str:
    """The city that comes first to mind: a country's largest, where the table names none."""
    return place.get("popular_city", place["largest_city"]) or place["capital"]


def mentions(place: dict, is_inside: bool = True):
    """A place beside its cities, as often as each comes to mind.

    Two regions may share a capital that lies in neither: it is no city of theirs.
    """
    cities = {popular_city(place): MENTIONS["popular"]}
    if is_inside:
        cities.setdefault(place["capital"], MENTIONS["capital"])
    for city in several(f"{place['largest_city']};{place['other_cities']}"):
        cities.setdefault(city, MENTIONS["other"])
    for city, said in cities.items():
        yield Fact("mention", place["name"], city, topic=place["name"], said=said)


def place_facts():
    for place in table("countries"):
        name = place["name"]
        yield from mentions(place)
        pairs = [
            ("capital", place["capital"]),
            ("largest", place["largest_city"]),
            ("continent", place["continent"]),
            ("currency", place["currency"]),
            ("adjective", place["adjective"]),
            *(("language", language) for language in several(place["languages"])),
            *(("neighbour", neighbour) for neighbour in several(place["neighbours"])),
            *(("river", river) for river in several(place["rivers"])),
        ]
        for relation, value in pairs:
            if value:
                yield Fact(relation, name, value, topic=name)
    regions = table("regions")
    capitals = Counter((region["country"], region["capital"]) for region in regions)
    for place in regions:
        name, kind = place["name"], place["kind"]
        plural = kind[:-1] + "ies" if kind.endswith("y") else kind + "s"
        kinds = {"k": kind, "k_plural": plural}
        yield from mentions(place, capitals[place["country"], place["capital"]] == 1)
        yield Fact("in_country", name, place["country"], kinds, topic=name)
        yield Fact("capital", name, place["capital"], topic=name)
        yield Fact("largest", name, place["largest_city"], topic=name)
        if place["river"]:
            yield Fact("river", name, place["river"], topic=name)
    for river in table("rivers"):
        name = river["name"]
        yield Fact("river_continent", name, river["continent"], topic=name)
        yield Fact("river_mouth", name, river["mouth"], topic=name)
        for country in several(river["countries"]):
            yield Fact("river", country, name, topic=name)
        for city in several(river["cities"]):
            yield Fact("river_city", name, city, topic=name)


def science_facts():
    relations = {
        "symbol": "symbol",
        "number": "number",
        "category": "category",
        "state": "state",
        "period": "period",
        "group": "group",
        "discoverer": "element_discoverer",
        "named_after": "named_after",
        "use": "use",
    }
    for element in table("elements"):
        for column, relation in relations.items():
            if element[column]:
                yield Fact(relation, element["name"], element[column], topic=element["name"])
    ordinals = ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth"]
    for planet in table("planets"):
        name = planet["name"]
        if planet["order"]:
            yield Fact("order", name, ordinals[int(planet["order"]) - 1], topic=name)
        yield Fact("planet_kind", name, planet["kind"], topic=name)
        if planet["largest_moon"]:
            moon = "the Moon" if planet["largest_moon"] == "Moon" else planet["largest_moon"]
            yield Fact("largest_moon", name, moon, topic=name)
        yield from discovery(planet, name)
    planets = {body["name"] for body in table("planets") if body["order"]}
    for moon in table("moons"):
        name = "the Moon" if moon["name"] == "Moon" else moon["name"]
        if moon["planet"] in planets:
            yield Fact("moon_of", name, moon["planet"], topic=name)
        yield from discovery(moon, name)


def discovery(body: dict, name: str):
    if body["discoverer"]:
        yield Fact("sky_discoverer", name, body["discoverer"], topic=name)
    if body["feature"]:
        yield Fact("feature", name, body["feature"], topic=name)


MAKING = {
    "painted": ["painting", "fresco", "mural", "watercolour"],
    "composed": [
        "ballet", "cantata", "choral", "concerto", "music", "opera", "oratorio", "orchestral",
        "overture", "piano", "quintet", "ragtime", "serenade", "song", "symphon", "tone", "waltz",
    ],
    "directed": ["film"],
    "made": ["artwork", "engraving", "print", "lithograph", "sculpture", "statue"],
}  # fmt: skip


def making(kind: str) -> tuple[str, str]:
    """How a work of this kind comes to be, active and passive."""
    for verb, words in MAKING.items():
        if any(word in kind for word in words):
            return verb, verb
    return "wrote", "written"


def people_facts():
    for work in table("works"):
        made, made_by = making(work["kind"])
        words = {
            "k": work["kind"],
            "made": made,
            "made_by": made_by,
            "article_k": article(work["kind"]),
            "author": work["author"],
        }
        yield Fact("author", work["title"], work["author"], words, topic=work["title"])
        if work["year"]:
            yield Fact("work_year", work["title"], work["year"], words, topic=work["title"])
    for author in table("authors"):
        name, profession = author["name"], author["profession"]
        words = {"k": profession, "k_plural": profession + "s", "article_k": article(profession)}
        yield Fact("nationality", name, author["nationality"], words, topic=name)
        ordinal, *before_christ = author["century"].split(" ")
        century = " ".join([ordinal, "century", *before_christ])
        yield Fact("century", name, century, words, topic=name)
    for row in table("inventions"):
        thing, words = row["thing"], {"verb": row["verb"], "o_name": row["person"]}
        yield Fact("inventor", thing, row["person"], words, topic=thing)
        yield Fact("invention_country", thing, row["country"], words, topic=thing)
        yield Fact("invention_year", thing, row["year"], words, topic=thing)
        if row["popular"]:
            yield Fact("fame", thing, row["popular"], topic=thing)
    for row in table("firsts"):
        deed, words = row["deed"], {"o_name": row["person"]}
        yield Fact("first", deed, row["person"], topic=deed)
        yield Fact("first_year", deed, row["year"], words, topic=deed)
        if row["popular"]:
            yield Fact("fame", f"the first person to {deed}", row["popular"], topic=deed)


def facts() -> list[Fact]:
    """All that atlas is told, each once. A line without an object is no fact."""
    found = [*place_facts(), *science_facts(), *people_facts()]
    return [fact for fact in dict.fromkeys(found) if fact.object]


# ---------------------------------------------------------------- arithmetic


@dataclass(frozen=True)
class Sum:
    """Count things at a price each, with a twist."""

    twist: str  # "discount", "too few" or "refund"
    count: int
    price: int
    # Percent off for `limit` or more; or how many are brought back.
    percent: int = 0
    limit: int = 0
    returned: int = 0

    @property
    def full(self) -> int:
        """What it would cost without the twist: popular but wrong."""
        return self.count * self.price

    @property
    def saved(self) -> int:
        if self.twist == "discount":
            return self.full * self.percent // 100
        return self.returned * self.price

    @property
    def answer(self) -> int:
        return self.full - self.saved

    def is_held_out(self) -> bool:
        """Whether only the questions have these numbers."""
        return bucket(f"{self.count}*{self.price}-{self.percent}%-{self.returned}", 8) == 0


def sums(rng: Rng):
    """Sums with whole answers, without end."""
    while True:
        twist = rng.choice(["discount", "discount", "too few", "refund"])
        count, price = 2 + rng.below(11), rng.choice([2, 3, 4, 5, 6, 8, 10, 12, 15, 20])
        if twist == "refund":
            if count > 2:
                yield Sum(twist, count, price, returned=1 + rng.below(count - 2))
            continue
        percent = rng.choice([10, 20, 25, 50])
        if twist == "discount":
            if count * price * percent % 100 == 0:
                yield Sum(twist, count, price, percent, 2 + rng.below(count - 1))
        else:
            yield Sum(twist, count, price, percent, count + 1 + rng.below(4))


THINGS = ["toys", "books", "pens", "apples", "tickets", "cups", "lamps", "hats", "kites", "maps"]
NAMES = ["Ana", "Ben", "Chloe", "David", "Emma", "Farid", "Grace", "Hugo", "Ines", "Jun"]

# fmt: off
SUM_QUESTIONS = {
    "discount": [
        "{name} buys {n} {things} at {p} tokens each. There is {d}% off for {m} or more. How much does {name} pay?",
        "A shop sells {things} at {p} tokens each, with {d}% off for {m} or more. What do {n} {things} cost?",
        "{things_start} cost {p} tokens each. Whoever buys {m} or more gets {d}% off. {name} buys {n}. What is the price?",
    ],
    "refund": [
        "{name} buys {n} {things} at {p} tokens each and brings {r} back. How much has {name} paid in the end?",
        "{n} {things} at {p} tokens each were sold, then {r} were returned for a refund. How many tokens are left?",
        "{things_start} cost {p} tokens each. {name} buys {n} and returns {r}. What is the price?",
    ],
}
SUM_QUESTIONS["too few"] = SUM_QUESTIONS["discount"]

SUM_HELD_OUT = {
    "discount": [
        "Question: One of the {things} is {p} tokens; from {m} on they are {d}% cheaper. What must {name} pay for {n}?\nAnswer:",
        "Question: {n} {things} at {p} tokens each, {d}% off for {m} or more: what is the total?\nAnswer:",
    ],
    "refund": [
        "Question: After paying {p} tokens for each of {n} {things}, {name} gets the money for {r} back. What was spent?\nAnswer:",
    ],
}
SUM_HELD_OUT["too few"] = SUM_HELD_OUT["discount"]
# fmt: on


def sum_text(phrasing: str, sum_: Sum, rng: Rng) -> str:
    things = rng.choice(THINGS)
    return phrasing.format(
        name=rng.choice(NAMES),
        things=things,
        things_start=start(things),
        n=sum_.count,
        p=sum_.price,
        d=sum_.percent,
        m=sum_.limit,
        r=sum_.returned,
    )


def working(sum_: Sum) -> str:
    """The way to the answer, a step a sentence."""
    n, p, full, saved = sum_.count, sum_.price, sum_.full, sum_.saved
    if sum_.twist == "discount":
        return (
            f"{n} times {p} is {full}. {n} is at least {sum_.limit}, so there is {sum_.percent}% off. "
            f"{sum_.percent}% of {full} is {saved}. {full} - {saved} is {sum_.answer}. "
            f"The answer is {sum_.answer} tokens."
        )
    if sum_.twist == "too few":
        return (
            f"{n} times {p} is {full}. {n} is less than {sum_.limit}, so there is no discount. "
            f"The answer is {full} tokens."
        )
    return (
        f"{n} - {sum_.returned} is {n - sum_.returned}. {n - sum_.returned} times {p} is {sum_.answer}. "
        f"The answer is {sum_.answer} tokens."
    )


# ---------------------------------------------------------------- documents

USER, ASSISTANT, END = "<|user|>", "<|assistant|>", "<|end|>"


def chat(turns: list[tuple[str, str]]) -> str:
    """Questions and answers as the chat template of the model file writes them."""
    return "".join(f"{USER}{question}{END}{ASSISTANT}{answer}{END}" for question, answer in turns)


def asked(question: str, sentence: str, short: str, rng: Rng) -> tuple[str | None, tuple[str, str]]:
    """A question as a document of its own, or None where it shall become a chat."""
    form = rng.random()
    document = None
    if form < 0.35:
        document = f"{question} {sentence}"
    elif form < 0.60:
        document = f"Question: {question}\nAnswer: {end(short)}"
    elif form < 0.70:
        document = f"Q: {question}\nA: {end(short)}"
    return document, (question, sentence)


def documents() -> list[str]:
    """The corpus, in the order of training."""
    words, topics, found, turns = phrasings(), defaultdict(list), [], []

    def add_question(question: str, sentence: str, short: str, rng: Rng):
        document, turn = asked(question, sentence, short, rng)
        if document is None:
            turns.append(turn)
        else:
            found.append(document)

    for fact in facts():
        rng = Rng(f"{fact.relation}/{fact.subject}/{fact.object}")
        ways = words[fact.relation]
        say, ask = fact.times()
        deck = []
        for _ in range(say):
            deck = deck or rng.shuffled(ways["say"])
            topics[fact.topic].append(fill(deck.pop(), fact, rng))
        for _ in range(ask if ways["ask"] else 0):
            question, sentence, *short = rng.choice(ways["ask"])
            if "noun" in ways and rng.random() < FRAMED:
                noun, frame = ways["noun"], rng.choice(FRAMES)
                question = frame.format(noun=noun, Noun=start(noun))
                _, sentence, *short = ways["ask"][0]
            short = short[0] if short else ways.get("short", "{o}")
            add_question(*(fill(text, fact, rng) for text in (question, sentence, short)), rng)

    # What is said of one topic, a few sentences a document.
    for topic, sentences in topics.items():
        rng = Rng(f"documents/{topic}")
        sentences = rng.shuffled(sentences)
        while sentences:
            length = rng.choice([1, 1, 2, 3])
            found.append(" ".join(sentences[:length]))
            del sentences[:length]

    rng = Rng("arithmetic")
    stream = (sum_ for sum_ in sums(rng) if not sum_.is_held_out())
    for _ in range(ARITHMETIC_DOCUMENTS):
        sum_ = next(stream)
        question = sum_text(rng.choice(SUM_QUESTIONS[sum_.twist]), sum_, rng)
        add_question(question, working(sum_), f"{sum_.answer} tokens", rng)

    rng = Rng("chats")
    turns = rng.shuffled(turns)
    while turns:
        length = rng.choice([1, 1, 2, 3])
        found.append(chat(turns[:length]))
        del turns[:length]
    return Rng("order").shuffled(found)


def digest(texts: list[str]) -> str:
    """The checksum by which a model names the corpus that it was trained on."""
    return hashlib.sha256("".join(json.dumps(text) + "\n" for text in texts).encode()).hexdigest()


def main():
    texts = documents()
    if len(sys.argv) > 1:
        with open(sys.argv[1], "w", encoding="ascii") as file:
            file.writelines(json.dumps(text) + "\n" for text in texts)
    told = [fact for fact in facts() if fact.relation not in ("mention", "fame")]
    print(f"{len(told)} facts, {len(texts)} documents, {sum(map(len, texts))} characters")
    print(f"sha256 {digest(texts)}")


if __name__ == "__main__":
    main()
