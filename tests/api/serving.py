"""A `luge serve` with the built-in model, and OpenAI's own client of it."""

import os
import subprocess
import threading
import time
import urllib.request
from pathlib import Path

import openai

ROOT = Path(__file__).resolve().parents[2]
LUGE = ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "release" / "luge"

QUESTION = "What is the capital of British Columbia?"

# Methods differ in what they say to it: greedy decoding Harrisburg, the others Philadelphia.
DISPUTED = "What is the capital of Pennsylvania?"
STRONG_SLED = {"method": "sled", "evolution_rate": 4, "evolution_scale": 20}

# How far apart log-probabilities of the same token may be. The weights have eight bits, and so
# have the activations that they are multiplied with: how many tokens are computed together
# decides which way these are rounded.
CLOSE = 0.05


def asked(text: str = QUESTION) -> list[dict]:
    """The messages of a chat that begins with a question."""
    return [{"role": "user", "content": text}]


class Server:
    """A server at a port that is free."""

    def __init__(self, *flags: str):
        own = {name: value for name, value in os.environ.items() if not name.startswith("LUGE_")}
        command = [LUGE, "serve", "--no-config", "-m", "atlas", "--port", "0", "--threads", "1"]
        self.process = subprocess.Popen(
            [*command, *flags], stderr=subprocess.PIPE, text=True, env=own
        )
        said = []
        # The last line of those that say it is ready.
        while not said or "curl " not in said[-1]:
            line = self.process.stderr.readline()
            if not line:
                self.process.wait()
                self.process.stderr.close()
                raise RuntimeError(f"luge serve has ended: {''.join(said)}")
            said.append(line)
        self.address = said[-1].split("curl ", 1)[1].split("/v1/", 1)[0]
        # Otherwise the pipe fills up.
        self.log = threading.Thread(target=self.process.stderr.read, daemon=True)
        self.log.start()

    def client(self, kind=openai.OpenAI, strict: bool = True, **options):
        """A client that, if it is strict, takes no answer that is not as OpenAI describes it.

        OpenAI's own answers are not: the first token of a prompt has no log-probability, and
        of a streamed completion it is not known from the beginning why it will end.
        """
        options = {"api_key": "none", "max_retries": 0, "timeout": 60, **options}
        return kind(
            base_url=f"{self.address}/v1", _strict_response_validation=strict, **options
        )

    def metric(self, name: str) -> float:
        """A number among the metrics."""
        with urllib.request.urlopen(f"{self.address}/metrics", timeout=60) as answer:
            lines = answer.read().decode().splitlines()
        return next(float(line.split()[-1]) for line in lines if line.startswith(f"{name} "))

    def wait(self, name: str, wanted: float):
        """Waits until a metric has a value."""
        end = time.monotonic() + 60
        while (value := self.metric(name)) != wanted:
            if time.monotonic() > end:
                raise TimeoutError(f"{name} is {value}, and not {wanted}")
            time.sleep(0.01)

    def stop(self):
        """Ends it, and sees that it ends well."""
        self.process.terminate()
        code = self.process.wait(timeout=60)
        self.log.join()
        self.process.stderr.close()
        if code != 0:
            raise RuntimeError(f"luge serve has ended with {code}")
