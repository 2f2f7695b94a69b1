"""Completions: of texts and of tokens, with what was given and its log-probabilities."""

import unittest

from serving import CLOSE, QUESTION, Server

PROMPT = "The capital of British Columbia is"


def setUpModule():
    global server, client, lenient
    server = Server()
    unittest.addModuleCleanup(server.stop)
    client, lenient = server.client(), server.client(strict=False)


def complete(prompt=PROMPT, **options):
    is_known = options.keys().isdisjoint(["echo", "stream"])
    return (client if is_known else lenient).completions.create(**{"model": "atlas", "prompt": prompt, **options})


def tokens(text: str, **options) -> list[int]:
    root = client.with_options(base_url=server.address)
    body = {"content": text, **options}
    return root.post("/tokenize", cast_to=object, body=body)["tokens"]


class Completions(unittest.TestCase):
    def test_a_text_and_its_tokens(self):
        by_text = complete()
        self.assertEqual(" Victoria.", by_text.choices[0].text)
        self.assertEqual("stop", by_text.choices[0].finish_reason)
        by_tokens = complete(tokens(PROMPT, add_special=True))
        self.assertEqual(by_text.choices, by_tokens.choices)
        self.assertEqual(by_text.usage.prompt_tokens, by_tokens.usage.prompt_tokens)

    def test_several_prompts_with_several_choices(self):
        prompts = [PROMPT, "The capital of Pennsylvania is", QUESTION]
        one_by_one = [complete(prompt, max_tokens=4).choices[0].text for prompt in prompts]
        choices = complete(prompts, n=2, max_tokens=4).choices
        self.assertEqual(list(range(6)), [choice.index for choice in choices])
        twice = [text for text in one_by_one for _ in range(2)]
        self.assertEqual(twice, [choice.text for choice in choices])

    def test_a_stream(self):
        *chunks, last = complete(stream=True, stream_options={"include_usage": True})
        self.assertEqual(" Victoria.", "".join(chunk.choices[0].text for chunk in chunks))
        self.assertEqual("stop", chunks[-1].choices[0].finish_reason)
        self.assertEqual(complete().usage.total_tokens, last.usage.total_tokens)

    def test_a_stop_text_is_left_out(self):
        [choice] = complete(stop=["tor", "nothing"], logprobs=1).choices
        self.assertEqual((" Vic", "stop"), (choice.text, choice.finish_reason))

    def test_seeds(self):
        def text(seed: int) -> str:
            options = {"temperature": 5, "max_tokens": 8, "extra_body": {"ignore_eos": True}}
            return complete(seed=seed, **options).choices[0].text

        self.assertEqual(text(1), text(1))
        self.assertNotEqual(text(1), text(2))


class Echo(unittest.TestCase):
    def test_the_prompt_comes_back_with_its_logprobs(self):
        [choice] = complete(echo=True, logprobs=2, max_tokens=1).choices
        logprobs = choice.logprobs
        self.assertEqual(PROMPT + " Victoria", choice.text)
        count = len(tokens(PROMPT, add_special=True)) + 1
        for each in [logprobs.tokens, logprobs.token_logprobs, logprobs.text_offset]:
            self.assertEqual(count, len(each))
        # The first one, of which nothing is known, begins every text and has none itself.
        self.assertEqual((None, None), (logprobs.token_logprobs[0], logprobs.top_logprobs[0]))
        self.assertEqual(choice.text, "".join(logprobs.tokens[1:]))
        for token, offset in zip(logprobs.tokens[1:], logprobs.text_offset[1:]):
            self.assertEqual(token, choice.text[offset : offset + len(token)])
        rest = zip(logprobs.tokens[1:], logprobs.token_logprobs[1:], logprobs.top_logprobs[1:])
        for token, logprob, top in rest:
            self.assertLess(logprob, 0)
            self.assertEqual(logprob, top[token])
            # The two best, and the token where it is none of them.
            self.assertEqual(2 + (logprob < sorted(top.values())[-2]), len(top))

    def test_the_prompt_alone(self):
        [choice] = complete(echo=True, max_tokens=0, logprobs=0).choices
        self.assertEqual((PROMPT, "length"), (choice.text, choice.finish_reason))
        self.assertEqual(PROMPT, "".join(choice.logprobs.tokens[1:]))

    def test_what_was_written_is_scored_as_it_was(self):
        [written] = complete(logprobs=0, max_tokens=2).choices
        [echoed] = complete(PROMPT + written.text, echo=True, logprobs=0, max_tokens=0).choices
        pairs = zip(written.logprobs.token_logprobs, echoed.logprobs.token_logprobs[-2:])
        for one, other in pairs:
            self.assertAlmostEqual(one, other, delta=CLOSE)

    def test_without_an_echo_only_what_was_written(self):
        [choice] = complete(logprobs=1, max_tokens=2).choices
        self.assertEqual(choice.text, "".join(choice.logprobs.tokens))
