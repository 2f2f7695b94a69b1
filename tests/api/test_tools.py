"""Tools: the model has no place for them, but a template may give it one."""

import json
import unittest
from pathlib import Path

import openai
from serving import Server, asked

TEMPLATE = Path(__file__).with_name("tools.jinja")

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "The weather in a city.",
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"enum": ["Victoria", "Vancouver"]},
                    "days": {"type": "integer", "minimum": 1, "maximum": 7},
                },
                "required": ["city", "days"],
                "additionalProperties": False,
            },
            "strict": True,
        },
    },
    {"type": "function", "function": {"name": "time", "parameters": {"type": "object"}}},
]
WEATHER = {"type": "function", "function": {"name": "weather"}}


def setUpModule():
    global client
    server = Server("--chat-template-file", TEMPLATE)
    unittest.addModuleCleanup(server.stop)
    client = server.client()


def chat(**options):
    options = {"model": "atlas", "messages": asked(), "tools": TOOLS, **options}
    return client.chat.completions.create(**options)


class Tools(unittest.TestCase):
    def check(self, call):
        self.assertEqual(("function", "weather"), (call.type, call.function.name))
        self.assertTrue(call.id)
        arguments = json.loads(call.function.arguments)
        self.assertEqual({"city", "days"}, set(arguments))
        self.assertIn(arguments["city"], ["Victoria", "Vancouver"])
        self.assertIn(arguments["days"], range(1, 8))

    def test_a_call_and_its_answer(self):
        [choice] = chat(tool_choice=WEATHER, parallel_tool_calls=False).choices
        self.assertEqual("tool_calls", choice.finish_reason)
        [call] = choice.message.tool_calls
        self.check(call)
        result = {"role": "tool", "tool_call_id": call.id, "content": "It rains."}
        said = chat(messages=[*asked(), choice.message, result], tool_choice="none", max_tokens=4)
        self.assertTrue(said.choices[0].message.content)
        self.assertIsNone(said.choices[0].message.tool_calls)

    def test_a_call_that_is_streamed(self):
        options = {"model": "atlas", "messages": asked(), "tools": TOOLS}
        with client.chat.completions.stream(
            **options, tool_choice=WEATHER, parallel_tool_calls=False
        ) as stream:
            kinds = {event.type for event in stream}
            [choice] = stream.get_final_completion().choices
        self.assertIn("tool_calls.function.arguments.delta", kinds)
        self.assertEqual("tool_calls", choice.finish_reason)
        [call] = choice.message.tool_calls
        self.check(call)
        self.assertEqual(json.loads(call.function.arguments), call.function.parsed_arguments)

    def test_any_call(self):
        [choice] = chat(tools=TOOLS[:1], tool_choice="required", parallel_tool_calls=False).choices
        [call] = choice.message.tool_calls
        self.check(call)

    def test_none_where_none_is_allowed(self):
        [choice] = chat(tool_choice="none").choices
        self.assertIsNone(choice.message.tool_calls)

    def test_the_choice_is_among_the_tools(self):
        with self.assertRaises(openai.BadRequestError) as caught:
            chat(tools=TOOLS[1:], tool_choice=WEATHER)
        self.assertEqual("tool_choice", caught.exception.param)
