"""Many at a time, more than there is room for, and those that leave."""

import asyncio
import contextlib
import threading
import unittest

import openai
from serving import Server, asked

PLACES = ["France", "Japan", "Kenya", "Peru", "Ohio", "Texas", "Norway", "Egypt"]
QUESTIONS = [f"What is the {what} of {place}?" for place in PLACES for what in ["capital", "name"]]

ENDLESS = {"model": "atlas", "prompt": "The", "extra_body": {"ignore_eos": True}}


class Together(unittest.TestCase):
    def setUp(self):
        self.server = Server("--parallel", "4")
        self.addCleanup(self.server.stop)

    def test_sixteen_streams(self):
        client = self.server.client()

        def options(index: int) -> dict:
            method = ["greedy", "sled"][index % 2]
            messages = asked(QUESTIONS[index])
            return {"model": f"atlas@{method}", "messages": messages, "max_tokens": 12}

        async def stream(client, index: int) -> tuple[str, int]:
            text, count = "", 0
            async for chunk in await client.chat.completions.create(stream=True, **options(index)):
                text += chunk.choices[0].delta.content or ""
                count += 1
            return text, count

        async def all_streams():
            async with self.server.client(openai.AsyncOpenAI) as client:
                return await asyncio.gather(*[stream(client, index) for index in range(16)])

        together = asyncio.run(all_streams())
        for index, (text, count) in enumerate(together):
            alone = client.chat.completions.create(**options(index)).choices[0].message.content
            self.assertEqual(alone, text, QUESTIONS[index])
            self.assertGreater(count, 3)
        self.server.wait('luge_texts_total{ending="finished"}', 32)

    def test_a_task_that_is_cancelled(self):
        async def cancel():
            async with self.server.client(openai.AsyncOpenAI) as client:
                request = client.completions.create(max_tokens=500, n=64, **ENDLESS)
                task = asyncio.create_task(request)
                await asyncio.to_thread(self.server.wait, "luge_texts_running", 4)
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

        asyncio.run(cancel())
        self.server.wait("luge_texts_running", 0)
        self.assertGreater(self.server.metric('luge_texts_total{ending="cancelled"}'), 32)


class OneAtATime(unittest.TestCase):
    def setUp(self):
        self.server = Server("--parallel", "1", "--max-queue", "63")
        self.addCleanup(self.server.stop)
        self.client = self.server.client(strict=False)

    def full(self):
        """A stream that fills the server for a long time."""
        stream = self.client.completions.create(stream=True, n=64, max_tokens=500, **ENDLESS)
        next(stream)
        return stream

    def test_a_stream_that_is_closed_makes_room(self):
        with self.full():
            self.assertEqual(1, self.server.metric("luge_texts_running"))
        self.server.wait("luge_texts_running", 0)
        self.assertEqual(0, self.server.metric("luge_texts_waiting"))
        # All but what was at its end before the stream was closed.
        self.assertGreater(self.server.metric('luge_texts_total{ending="cancelled"}'), 32)
        again = self.client.completions.create(model="atlas", prompt="The", max_tokens=2)
        self.assertEqual(2, again.usage.completion_tokens)

    def test_who_finds_no_room_may_come_back(self):
        with self.full() as stream:
            # A text may end at any time, and leave a place: as many as there are do not fit.
            many = {"model": "atlas", "prompt": ["The"] * 64, "max_tokens": 1}
            with self.assertRaises(openai.RateLimitError) as caught:
                self.client.completions.create(**many)
            self.assertEqual("rate_limit_error", caught.exception.type)
            self.assertGreaterEqual(int(caught.exception.response.headers["retry-after"]), 1)
            # The client waits as long as it is told, and asks again.
            leave = threading.Timer(0.5, stream.close)
            leave.start()
            patient = self.client.with_options(max_retries=5)
            raw = patient.completions.with_raw_response.create(**many)
            leave.join()
        self.assertGreater(raw.retries_taken, 0)
        self.assertEqual(64, len(raw.parse().choices))
