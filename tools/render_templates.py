"""Writes the expected texts of crates/luge/tests/chat.rs.

    python3 -m venv venv && venv/bin/pip install jinja2==3.1.6
    venv/bin/python tools/render_templates.py

Templates are rendered with Jinja2, set up as transformers' `apply_chat_template` does
it; none of luge's code is in it. With --check nothing is written, and differences are
an error.
"""

import json
import sys
from datetime import datetime
from pathlib import Path

from jinja2.exceptions import TemplateError
from jinja2.ext import Extension
from jinja2 import nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

FOLDER = Path(__file__).parent.parent / "crates/luge/tests/templates"
TIME = datetime(2024, 7, 26, 14, 5, 9)


class Generation(Extension):
    """`{% generation %}`: what is inside, as it is."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return nodes.Scope(body, lineno=line)


def raise_exception(message):
    raise TemplateError(message)


def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def environment():
    result = ImmutableSandboxedEnvironment(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=[Generation, "jinja2.ext.loopcontrols"],
    )
    result.filters["tojson"] = tojson
    result.globals["raise_exception"] = raise_exception
    result.globals["strftime_now"] = TIME.strftime
    return result


def main():
    data = json.loads((FOLDER / "cases.json").read_text())
    stale = []
    (FOLDER / "expected").mkdir(exist_ok=True)
    for case in data["cases"]:
        template = (FOLDER / f"{case['template']}.jinja").read_text()
        variables = {
            "messages": data["chats"][case["chat"]],
            "tools": data["tools"] if case.get("tools") else None,
            "add_generation_prompt": case.get("prompt", False),
            "bos_token": "<bos>",
            "eos_token": "<eos>",
            **case.get("variables", {}),
        }
        name = f"{case['template']}-{case['name']}"
        try:
            text = environment().from_string(template).render(**variables)
        except TemplateError as error:
            text = f"raises: {error}"
        assert text.startswith("raises: ") == case.get("raises", False), (name, text)
        path = FOLDER / "expected" / f"{name}.txt"
        if not path.exists() or path.read_bytes() != text.encode():
            stale.append(name)
            if "--check" not in sys.argv:
                path.write_bytes(text.encode())
    if "--check" in sys.argv and stale:
        sys.exit(f"these differ: {', '.join(stale)}")


if __name__ == "__main__":
    main()
