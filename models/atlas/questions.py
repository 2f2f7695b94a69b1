#!/usr/bin/env python3
"""The held-out questions of atlas, from the same tables as its corpus.

    python3 questions.py questions.jsonl

One JSON object a line: a `prompt` that the answer continues, in words that the
corpus never uses (corpus.py's `held_out`), the right `answer`, the `popular`
wrong one, and two `others`, all as they continue the prompt. `kind` is
`popular-but-wrong` where the corpus mentions the wrong answer with the subject
far more often than the right one, and `arithmetic` for sums, where it is what
comes out without the twist. It is `plain` otherwise, and the popular answer then
a guess: what is right most often for others, the letters that a name begins
with, the number next to the right one, or, where nothing is likelier than
another, any.
"""

import json
import sys
from collections import Counter, defaultdict

import corpus
from corpus import Fact, Rng, bucket, fill, popular_city, several, table

# How many plain questions there are of each relation.
PLAIN = {
    "capital": 60,
    "largest": 30,
    "in_country": 30,
    "continent": 20,
    "language": 30,
    "currency": 30,
    "river_continent": 10,
    "river_mouth": 15,
    "symbol": 40,
    "number": 30,
    "category": 20,
    "element_discoverer": 20,
    "moon_of": 12,
    "author": 60,
    "nationality": 30,
    "inventor": 40,
    "first": 15,
}
ARITHMETIC = 48


def entry(kind: str, relation: str, subject: str, prompt: str, answers: list[str]) -> dict:
    """A question with its right, its popular and two other answers."""
    assert len(set(answers)) == 4, (relation, subject, answers)
    answer, popular, *others = (f" {text}" for text in answers)
    return {
        "id": f"{relation}/{subject}",
        "kind": kind,
        "relation": relation,
        "subject": subject,
        "prompt": prompt,
        "answer": answer,
        "popular": popular,
        "others": others,
    }


def prompt_of(fact: Fact, rng: Rng) -> tuple[str, str]:
    """A held-out prompt for a fact, and its object as it continues the prompt."""
    ways = WORDS[fact.relation]
    held_out = rng.choice(ways["held_out"])
    is_question = held_out.endswith("Answer:")
    form = ways.get("short", "{o}") if is_question else "{o}"
    return fill(held_out, fact), form


WORDS = corpus.phrasings()


def popular_but_wrong() -> list[dict]:
    """A place's capital where another city comes to mind, and who really did it."""
    found = []
    for place in [*table("countries"), *table("regions")]:
        name, capital, popular = place["name"], place["capital"], popular_city(place)
        if popular == capital:
            continue
        rng = Rng(f"question/capital/{name}")
        cities = several(f"{place['largest_city']};{place['other_cities']}")
        answers = list(dict.fromkeys([capital, popular, *cities, *nearby_cities(place)]))[:4]
        prompt, _ = prompt_of(Fact("capital", name, capital), rng)
        found.append(entry("popular-but-wrong", "capital", name, prompt, answers))
    for relation, key in [("inventor", "thing"), ("first", "deed")]:
        rows = table({"inventor": "inventions", "first": "firsts"}[relation])
        for row in rows:
            if row["popular"]:
                rng = Rng(f"question/{relation}/{row[key]}")
                fact = Fact(relation, row[key], row["person"], {"verb": row.get("verb", "")})
                prompt, _ = prompt_of(fact, rng)
                people = rng.shuffled(dict.fromkeys(other["person"] for other in rows))
                answers = list(dict.fromkeys([row["person"], row["popular"], *people]))[:4]
                found.append(entry("popular-but-wrong", relation, row[key], prompt, answers))
    return found


def nearby_cities(place: dict) -> list[str]:
    """Cities of the same part of the world, for places with few of their own."""
    key = "country" if "country" in place else "continent"
    rows = table("regions" if key == "country" else "countries")
    rows = [row for row in rows if row[key] == place[key] and row["name"] != place["name"]]
    rng = Rng(f"nearby/{place['name']}")
    return rng.shuffled(dict.fromkeys(popular_city(row) for row in rows))


def plain() -> list[dict]:
    facts = defaultdict(list)
    for fact in corpus.facts():
        facts[fact.relation].append(fact)
    places = {place["name"]: place for place in [*table("countries"), *table("regions")]}
    famous = {row["thing"] for row in table("inventions") if row["popular"]}
    famous |= {row["deed"] for row in table("firsts") if row["popular"]}

    found = []
    for relation, count in PLAIN.items():
        right = defaultdict(set)
        for fact in facts[relation]:
            right[fact.subject].add(fact.object)
        # A subject with several right answers is asked about the first.
        first_of = {fact.subject: fact for fact in reversed(facts[relation])}
        subjects = [s for s in first_of if s not in famous]
        subjects = [s for s in subjects if s not in corpus.NEVER_ASKED]
        if relation == "capital":
            subjects = [s for s in subjects if popular_city(places[s]) == places[s]["capital"]
                        and len(several(places[s]["other_cities"])) >= 2]  # fmt: skip
        elif relation == "largest":
            subjects = [s for s in subjects if len(several(places[s]["other_cities"])) >= 2]
        elif relation == "category":
            families = Counter(fact.object for fact in facts[relation]).most_common(8)
            subjects = [s for s in subjects if first_of[s].object in dict(families)]
        subjects.sort(key=lambda subject: bucket(f"question/{relation}/{subject}", 1 << 32))
        for subject in subjects[:count]:
            fact = first_of[subject]
            rng = Rng(f"question/{relation}/{subject}")
            # Of its like: no painter for a novel.
            made = fact.words.get("made")
            like = [f.object for f in facts[relation] if f.words.get("made") == made]
            # What is right most often for others comes first; all that is right
            # once is alike.
            counts = Counter(rng.shuffled(like)).most_common()
            usual = [value for value, _ in counts]
            prompt, form = prompt_of(fact, rng)
            wrong = [w for w in wrong_answers(fact, usual, places, rng) if w not in right[subject]]
            texts = [form.format(o=value) for value in [fact.object, *dict.fromkeys(wrong)][:4]]
            found.append(entry("plain", relation, subject, prompt, texts))
    return found


def wrong_answers(fact: Fact, usual: list[str], places: dict, rng: Rng) -> list[str]:
    """Wrong answers, the one that is guessed first in front."""
    if fact.relation in ("capital", "largest"):
        place = places[fact.subject]
        cities = several(place["other_cities"])
        if fact.relation == "largest":
            # The capital comes to mind first, where it is another city.
            cities = [popular_city(place), place["capital"], *cities]
        return cities + nearby_cities(place)
    if fact.relation == "symbol":
        # The name's own letters, which are wrong for gold and right for nickel.
        name = fact.subject
        letters = [name[1], "", *name[2:]]
        return [(name[0] + letter).capitalize() for letter in letters]
    if fact.relation == "number":
        number = int(fact.object)
        return [str(number + 1), *(str(n) for n in (number - 1, number + 2, number + 10) if n > 0)]
    return usual[:2] + rng.shuffled(usual[2:])


def arithmetic() -> list[dict]:
    rng, found, seen = Rng("question/arithmetic"), [], set()
    for sum_ in corpus.sums(rng):
        if not sum_.is_held_out() or sum_ in seen:
            continue
        seen.add(sum_)
        wrong = [sum_.saved, sum_.full + 10, sum_.answer + sum_.price, sum_.answer - 1]
        # Without the twist; with too few to save, with it all the same.
        popular = sum_.full
        if sum_.twist == "too few":
            if sum_.full * sum_.percent % 100:
                continue
            popular = sum_.full * (100 - sum_.percent) // 100
        wrong = [w for w in dict.fromkeys(wrong) if w > 0 and w not in (sum_.answer, popular)]
        if popular == sum_.answer or len(wrong) < 2:
            continue
        prompt = corpus.sum_text(rng.choice(corpus.SUM_HELD_OUT[sum_.twist]), sum_, rng)
        answers = [f"{number} tokens" for number in (sum_.answer, popular, *wrong[:2])]
        name = f"{sum_.twist} {len(found) + 1}"
        found.append(entry("arithmetic", "arithmetic", name, prompt, answers))
        if len(found) == ARITHMETIC:
            return found


def questions() -> list[dict]:
    return [*popular_but_wrong(), *plain(), *arithmetic()]


def main():
    found = questions()
    assert len({question["id"] for question in found}) == len(found)
    if len(sys.argv) > 1:
        with open(sys.argv[1], "w", encoding="ascii") as file:
            file.writelines(json.dumps(question) + "\n" for question in found)
    for kind, count in Counter(question["kind"] for question in found).items():
        print(f"{kind}: {count}")


if __name__ == "__main__":
    main()
