"""What the LM Evaluation Harness gets from `luge serve` is what `luge score` says.

For each method the harness asks questions of the built-in model through the API, and every
log-likelihood that it finds is compared with that of the same tokens on the command line.

make test-lm-eval
"""

import functools
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "api"))
from serving import LUGE, ROOT, Server  # noqa: E402 (it lies beside this folder)

HERE = Path(__file__).resolve().parent
# Of each kind of question some.
SAMPLES = list(range(0, 810, 27))

# One at a time, the server computes what the command line does, in the same order. The harness
# adds up the log-likelihoods of an answer's tokens, which may round otherwise.
ALONE = 1e-6
# Several at a time, texts share the cache, and attention adds up in another order. The last
# bits of that decide which way activations are rounded to eight bits, which takes some
# tenths of a nat here and there. It goes either way: in the mean little is left. A token or
# a layer amiss would be nats.
TOGETHER, TOGETHER_MEAN = 0.6, 0.02

# The methods, how many requests at a time, and how far what they say may be off.
RUNS = [
    ("greedy", 1, ALONE, ALONE),
    ("sled", 1, ALONE, ALONE),
    ("greedy", 4, TOGETHER, TOGETHER_MEAN),
]


def harness(server: Server, method: str, at_a_time: int, folder: Path) -> list[dict]:
    """What the harness notes of each question."""
    arguments = {
        "--model": "local-completions",
        # That the server has the tokenizer, it finds out.
        "--model_args": f"model=atlas@{method},base_url={server.address}/v1/completions,"
        f"num_concurrent={at_a_time},max_length=512",
        "--include_path": str(HERE),
        "--tasks": "luge-atlas",
        "--samples": json.dumps({"luge-atlas": SAMPLES}),
        "--output_path": str(folder),
    }
    own = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "cache"), "OPENAI_API_KEY": "none"}
    subprocess.run(
        [Path(sys.executable).with_name("lm_eval"), "run", "--log_samples"]
        + [part for pair in arguments.items() for part in pair],
        cwd=ROOT,
        env=os.environ | own,
        check=True,
    )
    [file] = folder.glob("**/samples_*.jsonl")
    return [json.loads(line) for line in file.read_text().splitlines()]


@functools.cache
def score(method: str, prompt: str, continuation: str) -> float:
    """What the command line says of a continuation, both given as token ids."""
    command = [LUGE, "score", "-m", "atlas", "--threads", "1", "--format", "json"]
    ids = ["--prompt-ids", prompt, "--continuation-ids", continuation]
    said = subprocess.run(
        [*command, "--method", method, *ids], check=True, stdout=subprocess.PIPE
    ).stdout
    return json.loads(said)["sum_logprob"]


def listed(ids: list[int]) -> str:
    return ",".join(map(str, ids))


def main():
    server = Server()
    root = server.client().with_options(base_url=server.address)

    def tokens(text: str) -> list[int]:
        return root.post("/tokenize", cast_to=object, body={"content": text})["tokens"]

    try:
        for method, at_a_time, most, most_in_the_mean in RUNS:
            off = []
            with tempfile.TemporaryDirectory() as folder:
                samples = harness(server, method, at_a_time, Path(folder))
            assert len(samples) == len(SAMPLES)
            for sample in samples:
                asked = sample["arguments"].values()
                # Of each the log-likelihood, and whether the method would have said so.
                for arguments, (logprob, _) in zip(asked, sample["filtered_resps"], strict=True):
                    # As the harness tells the two apart.
                    start = tokens(arguments["arg_0"])
                    whole = tokens(arguments["arg_0"] + arguments["arg_1"])
                    own = score(method, listed(start), listed(whole[len(start) :]))
                    off.append(float(logprob) - own)
            worst, mean = max(map(abs, off)), statistics.fmean(off)
            print(
                f"{method}, {at_a_time} at a time: {len(off)} answers, "
                f"at most {worst:.2g} nats off, {mean:+.2g} in the mean",
                flush=True,
            )
            if worst > most or abs(mean) > most_in_the_mean:
                raise SystemExit("the harness and luge score do not agree")
    finally:
        server.stop()


if __name__ == "__main__":
    main()
