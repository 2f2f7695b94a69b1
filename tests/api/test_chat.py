"""Chats: whole and streamed, with log-probabilities, formats, tools and layers."""

import math
import unittest
from typing import Literal

from pydantic import BaseModel
from serving import CLOSE, DISPUTED, STRONG_SLED, Server, asked


def setUpModule():
    global server, client
    server = Server()
    unittest.addModuleCleanup(server.stop)
    client = server.client()


def chat(**options):
    return client.chat.completions.create(**{"model": "atlas", "messages": asked(), **options})


# Nothing is likely at this temperature.
WILD = {"temperature": 5, "max_tokens": 8, "extra_body": {"ignore_eos": True}}


class Answers(unittest.TestCase):
    def test_an_answer(self):
        answer = chat()
        [choice] = answer.choices
        self.assertIn("Victoria", choice.message.content)
        self.assertEqual(("assistant", "stop"), (choice.message.role, choice.finish_reason))
        usage = answer.usage
        self.assertEqual(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens)
        self.assertEqual("atlas", answer.model)

    def test_a_method_by_field_and_by_name(self):
        def says(wanted: str, **options) -> str:
            answer = chat(messages=asked(DISPUTED), **options)
            self.assertIn(wanted, answer.choices[0].message.content)
            return answer.model

        self.assertEqual("atlas@greedy", says("Harrisburg", model="atlas@greedy"))
        self.assertEqual("atlas", says("Harrisburg", extra_body={"decoding": "greedy"}))
        self.assertEqual("atlas@dola", says("Philadelphia", model="atlas@dola"))
        says("Philadelphia", extra_body={"decoding": STRONG_SLED})
        says("Harrisburg", extra_body={"decoding": {**STRONG_SLED, "evolution_rate": 0}})

    def test_a_stream_says_what_the_whole_says(self):
        whole = chat()
        *chunks, last = chat(stream=True, stream_options={"include_usage": True})
        self.assertEqual("assistant", chunks[0].choices[0].delta.role)
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        self.assertEqual(whole.choices[0].message.content, text)
        reasons = [chunk.choices[0].finish_reason for chunk in chunks]
        self.assertEqual([None] * (len(chunks) - 1) + ["stop"], reasons)
        self.assertTrue(all(chunk.usage is None for chunk in chunks))
        self.assertEqual([], last.choices)
        self.assertEqual(whole.usage.total_tokens, last.usage.total_tokens)
        self.assertEqual(1, len({chunk.id for chunk in [*chunks, last]}))

    def test_the_streaming_helper(self):
        with client.chat.completions.stream(model="atlas", messages=asked()) as stream:
            said = "".join(event.delta for event in stream if event.type == "content.delta")
            self.assertEqual(said, stream.get_final_completion().choices[0].message.content)
        self.assertIn("Victoria", said)

    def test_a_chat_goes_on(self):
        answer = chat().choices[0].message
        more = [*asked(), answer, *asked("What is the capital of Australia?")]
        said = chat(messages=more, stop=["."]).choices[0]
        self.assertEqual("stop", said.finish_reason)
        self.assertTrue(said.message.content)
        self.assertNotIn(".", said.message.content)

    def test_several_choices_and_seeds(self):
        def texts(seed: int, n: int) -> list[str]:
            answer = chat(n=n, seed=seed, **WILD)
            self.assertEqual(list(range(n)), [choice.index for choice in answer.choices])
            self.assertEqual({"length"}, {choice.finish_reason for choice in answer.choices})
            return [choice.message.content for choice in answer.choices]

        three = texts(7, 3)
        self.assertEqual(3, len(set(three)))
        self.assertEqual(three, texts(7, 3))
        self.assertEqual(three[1:2], texts(8, 1))

        chunks = list(chat(n=3, seed=7, stream=True, **WILD))
        for index, text in enumerate(three):
            own = [chunk.choices[0] for chunk in chunks if chunk.choices[0].index == index]
            self.assertEqual(text, "".join(choice.delta.content or "" for choice in own))

    def test_a_bias_rules_a_word_out(self):
        root = client.with_options(base_url=server.address)
        body = {"content": " Victoria"}
        tokens = root.post("/tokenize", cast_to=object, body=body)["tokens"]
        said = chat(logit_bias={str(tokens[0]): -100}).choices[0].message.content
        self.assertTrue(said)
        self.assertNotIn("Victoria", said)


class Logprobs(unittest.TestCase):
    def test_of_the_answer(self):
        answer = chat(logprobs=True, top_logprobs=3)
        [choice] = answer.choices
        tokens = choice.logprobs.content
        self.assertEqual(choice.message.content, "".join(token.token for token in tokens))
        data = b"".join(bytes(token.bytes) for token in tokens)
        self.assertEqual(choice.message.content.encode(), data)
        # The one that ends the message has no text.
        self.assertEqual(answer.usage.completion_tokens, len(tokens))
        for token in tokens:
            best = [top.logprob for top in token.top_logprobs]
            self.assertEqual(3, len(best))
            self.assertEqual(sorted(best, reverse=True), best)
            self.assertLessEqual(sum(map(math.exp, best)), 1.0001)
            # It is decoded greedily.
            self.assertEqual((token.token, token.logprob), (token.top_logprobs[0].token, best[0]))

    def test_streamed(self):
        whole = chat(logprobs=True, top_logprobs=2).choices[0].logprobs.content
        chunks = chat(logprobs=True, top_logprobs=2, stream=True)
        parts = [chunk.choices[0].logprobs for chunk in chunks]
        streamed = [token for part in parts if part for token in part.content]
        self.assertEqual([token.token for token in whole], [token.token for token in streamed])
        for one, other in zip(whole, streamed):
            self.assertAlmostEqual(one.logprob, other.logprob, delta=CLOSE)

    def test_without_any_beside(self):
        for token in chat(logprobs=True).choices[0].logprobs.content:
            self.assertEqual([], token.top_logprobs)
        self.assertIsNone(chat().choices[0].logprobs)


class City(BaseModel, extra="forbid"):
    name: Literal["Victoria", "Vancouver"]
    is_capital: bool


class Formats(unittest.TestCase):
    def test_a_schema(self):
        schema = {"name": "city", "strict": True, "schema": City.model_json_schema()}
        format = {"type": "json_schema", "json_schema": schema}
        City.model_validate_json(chat(response_format=format).choices[0].message.content)

    def test_a_schema_from_a_class(self):
        [choice] = client.chat.completions.parse(
            model="atlas", messages=asked(), response_format=City
        ).choices
        self.assertIsInstance(choice.message.parsed, City)
        with client.chat.completions.stream(
            model="atlas", messages=asked(), response_format=City
        ) as stream:
            [streamed] = stream.get_final_completion().choices
        self.assertEqual(choice.message.parsed, streamed.message.parsed)

    def test_any_object(self):
        [choice] = chat(response_format={"type": "json_object"}, max_tokens=32).choices
        self.assertRegex(choice.message.content, r'^\s*\{\s*("|\})')

    def test_a_regular_expression(self):
        [choice] = chat(extra_body={"regex": "(yes|no)!"}).choices
        self.assertRegex(choice.message.content, "^(yes|no)!$")


class Layers(unittest.TestCase):
    def test_what_they_said(self):
        wanted = {"decoding": STRONG_SLED, "layers": {"top": 2}}
        answer = chat(messages=asked(DISPUTED), extra_body=wanted)
        self.assertEqual("sled", answer.model_extra["decoding"]["name"])
        [choice] = answer.choices
        tokens = choice.model_extra["layers"]["tokens"]
        self.assertEqual(choice.message.content, "".join(token["text"] for token in tokens))
        [changed] = [token for token in tokens if token["changed"]]
        self.assertEqual(" Har", changed["before"]["text"])
        self.assertEqual((" Phil", changed["id"]), (changed["text"], changed["after"]["id"]))
        layers = changed["layers"]
        depth = client.models.retrieve("atlas").model_extra["layers"]
        self.assertEqual(list(range(depth + 1)), [layer["layer"] for layer in layers])
        self.assertTrue(all(len(layer["top"]) == 2 for layer in layers))

        chunks = chat(messages=asked(DISPUTED), stream=True, extra_body=wanted)
        parts = [(chunk.choices[0].model_extra or {}).get("layers") for chunk in chunks]
        streamed = [token for part in parts if part for token in part["tokens"]]
        self.assertEqual([token["id"] for token in tokens], [token["id"] for token in streamed])

    def test_not_unless_asked_for(self):
        answer = chat(model="atlas@sled")
        self.assertFalse(answer.model_extra)
        self.assertFalse(answer.choices[0].model_extra)


class Models(unittest.TestCase):
    def test_each_method_is_one(self):
        names = [model.id for model in client.models.list()]
        for name in ["atlas", "atlas@greedy", "atlas@sled", "atlas@dola", "atlas@ensemble"]:
            self.assertIn(name, names)
            self.assertEqual(name, client.models.retrieve(name).id)
