"""What goes wrong comes as the client's own exceptions."""

import tempfile
import unittest

import openai
from serving import Server, asked

ENDLESS = {"extra_body": {"ignore_eos": True}}


def setUpModule():
    global server, client
    server = Server()
    unittest.addModuleCleanup(server.stop)
    client = server.client()


class Requests(unittest.TestCase):
    def refused(self, kind, **options) -> openai.APIStatusError:
        options = {"model": "atlas", "messages": asked(), **options}
        with self.assertRaises(kind) as caught:
            client.chat.completions.create(**options)
        # What a person is told.
        self.assertTrue(caught.exception.body["message"])
        self.assertTrue(caught.exception.request_id)
        return caught.exception

    def test_a_field_that_is_wrong_is_named(self):
        for param, options in {
            "temperature": {"temperature": -1},
            "top_logprobs": {"top_logprobs": 2},
            "messages": {"messages": []},
            "messages[0].content[0].type": {
                "messages": asked([{"type": "image_url", "image_url": {"url": "data:,"}}])
            },
            "response_format.json_schema.schema": {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "x", "schema": {"type": "nothing"}},
                }
            },
            "tools": {"tools": [{"type": "function", "function": {"name": "f"}}]},
            "decoding.evolution_rat": {
                "extra_body": {"decoding": {"method": "sled", "evolution_rat": 1}}
            },
            "tempreature": {"extra_body": {"tempreature": 1}},
            "logit_bias.99999": {"logit_bias": {"99999": 1}},
        }.items():
            with self.subTest(param):
                self.assertEqual(param, self.refused(openai.BadRequestError, **options).param)

    def test_a_text_that_is_too_long(self):
        error = self.refused(openai.BadRequestError, messages=asked("word " * 600))
        self.assertEqual(("messages", "context_length_exceeded"), (error.param, error.code))

    def test_a_model_that_is_not_there(self):
        error = self.refused(openai.NotFoundError, model="gpt-5")
        self.assertEqual(("model", "model_not_found"), (error.param, error.code))
        with self.assertRaises(openai.NotFoundError):
            client.models.retrieve("gpt-5")
        self.refused(openai.BadRequestError, model="atlas@nothing")

    def test_an_address_that_is_not_there(self):
        with self.assertRaises(openai.NotFoundError):
            client.embeddings.create(model="atlas", input="text")

    def test_a_client_that_gives_up(self):
        hasty = client.with_options(timeout=0.5)
        # Its texts take many seconds.
        with self.assertRaises(openai.APITimeoutError):
            hasty.completions.create(model="atlas", prompt="x", n=64, max_tokens=500, **ENDLESS)
        server.wait("luge_texts_running", 0)
        self.assertGreater(server.metric('luge_texts_total{ending="cancelled"}'), 0)


class Keys(unittest.TestCase):
    def test_a_key_is_needed(self):
        # In a file, as others can read what a program is started with.
        with tempfile.NamedTemporaryFile("w") as file:
            print("sesame", file=file, flush=True)
            server = Server("--api-key-file", file.name)
        self.addCleanup(server.stop)
        self.assertTrue(server.client(api_key="sesame").models.list().data)
        with self.assertRaises(openai.AuthenticationError) as caught:
            server.client(api_key="open").models.list()
        self.assertEqual("invalid_api_key", caught.exception.code)


class Limits(unittest.TestCase):
    def test_a_request_that_takes_too_long(self):
        server = Server("--parallel", "1", "--timeout", "1")
        self.addCleanup(server.stop)
        client = server.client()
        options = {"model": "atlas", "prompt": "x", "n": 128, "max_tokens": 500, **ENDLESS}
        with self.assertRaises(openai.InternalServerError) as caught:
            client.completions.create(**options)
        self.assertEqual((504, "timeout"), (caught.exception.status_code, caught.exception.code))
        # As a stream it has begun by then, and ends with an error.
        with self.assertRaises(openai.APIError) as caught:
            list(server.client(strict=False).completions.create(stream=True, **options))
        self.assertEqual("timeout", caught.exception.code)
