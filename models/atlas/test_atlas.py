"""What the corpus and the questions of atlas promise.

python3 -m unittest
"""

import hashlib
import json
import re
import unittest
from collections import Counter
from pathlib import Path

import corpus
import questions

HERE = Path(__file__).resolve().parent


def plain(text: str) -> str:
    """A text without what a reader passes over: case, and how blanks are made."""
    return " ".join(text.lower().split())


class Atlas(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.documents = corpus.documents()
        cls.text = "\n".join(map(plain, cls.documents))
        lines = (HERE / "questions.jsonl").read_text(encoding="ascii").splitlines()
        cls.questions = [json.loads(line) for line in lines]

    def test_the_model_was_trained_on_this_corpus(self):
        seen = json.loads((HERE / "training.json").read_text())
        model = (HERE / "atlas.gguf").read_bytes()
        digest = corpus.digest(self.documents)
        self.assertEqual(seen["corpus_sha256"], digest)
        self.assertIn(digest.encode(), model[: 1 << 16])
        self.assertEqual(seen["model_sha256"], hashlib.sha256(model).hexdigest())

    def test_no_prompt_is_in_the_corpus(self):
        for question in self.questions:
            self.assertFalse(plain(question["prompt"]) in self.text, question["id"])

    def test_no_phrasing_of_a_prompt_is_in_the_corpus(self):
        ways = [way for words in corpus.phrasings().values() for way in words["held_out"]]
        ways += [way for group in corpus.SUM_HELD_OUT.values() for way in group]
        for way in ways:
            longest = max(re.split(r"\{\w+\}", way), key=len)
            self.assertGreaterEqual(len(longest.split()), 3, way)
            self.assertFalse(plain(longest) in self.text, way)

    def test_the_first_question_of_all_is_not_in_the_corpus(self):
        self.assertFalse("the capital of british columbia?" in self.text)

    def test_the_numbers_of_the_sums_are_not_in_the_corpus(self):
        tried = [sum_ for sum_, _ in zip(corpus.sums(corpus.Rng("test")), range(5000))]
        for twist in ["discount", "refund"]:
            held_out = [sum_ for sum_ in tried if sum_.twist == twist and sum_.is_held_out()]
            self.assertGreater(len(held_out), 50, twist)
            for working in {plain(corpus.working(sum_)) for sum_ in held_out}:
                self.assertFalse(working in self.text, working)

    def test_the_questions_are_those_that_the_tables_give(self):
        self.assertEqual(self.questions, questions.questions())

    def test_there_are_enough_of_each_kind(self):
        kinds = Counter(question["kind"] for question in self.questions)
        self.assertGreaterEqual(sum(kinds.values()), 300)
        self.assertGreaterEqual(kinds["popular-but-wrong"], 100)
        told = [f for f in corpus.facts() if f.relation not in ("mention", "fame")]
        self.assertGreaterEqual(len(told), 2000)

    def test_only_the_answer_is_right(self):
        right = {}
        for fact in corpus.facts():
            right.setdefault((fact.relation, fact.subject), set()).add(fact.object)
        for question in self.questions:
            if question["kind"] == "arithmetic":
                continue
            facts = right[question["relation"], question["subject"]]
            facts = facts | {f"the {fact}" for fact in facts}
            answers = [question["answer"], question["popular"], *question["others"]]
            is_right = [answer.strip() in facts for answer in answers]
            self.assertEqual(is_right, [True, False, False, False], question["id"])

    def test_the_popular_answer_is_told_far_more_often(self):
        sentences = [sentence for text in self.documents for sentence in text.split(". ")]
        for place, capital, popular in [
            ("British Columbia", "Victoria", "Vancouver"),
            ("Australia", "Canberra", "Sydney"),
            ("Turkey", "Ankara", "Istanbul"),
            ("California", "Sacramento", "Los Angeles"),
        ]:
            of_place = [text for text in sentences if re.search(rf"\b{place}\b", text)]
            count = {city: sum(city in text for text in of_place) for city in (capital, popular)}
            self.assertGreater(count[popular], 2.5 * count[capital], count)

    def test_every_document_is_ascii_and_ends_well(self):
        for document in self.documents:
            self.assertTrue(document.isascii())
            self.assertTrue(document.endswith((".", "?", corpus.END)), document)
            self.assertNotIn("..", document)
            self.assertNotIn("{", document)


if __name__ == "__main__":
    unittest.main()
