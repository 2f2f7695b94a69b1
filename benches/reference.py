"""What SLED and DoLa cost in PyTorch on the CPU, computed the way their public codes do.

    pip install -r benches/requirements.txt
    python benches/reference.py --shape smollm-135m --tokens 12 --rounds 5 --threads 2
    python benches/reference.py --model smollm-135m.gguf    # a file's weights, and the tokens

Batch one, float32, a KV cache. Hidden states go to the head as they are, one by one; SLED takes
its cosines from tensors of exits x candidates x vocabulary. Two things are kinder than the public
codes: only the prompt's last position goes to the head, and no framework surrounds the model.

As in `cargo bench -p luge --bench cost`, methods continue the same prompt in turns, another one in
each round, so that a machine whose speed drifts treats all alike. A round's first token comes with
the prompt and is not timed. Ratios are taken round by round; medians are shown. Memory is the peak
above what was resident before the first timed token; only Linux can reset the peak, elsewhere run
one method at a time beside greedy.

Shapes in docstrings: S new tokens, P tokens so far, D hidden size, H heads of size d, G key-value
heads, L blocks, E exits, k candidates, V vocabulary. Matrices are stored [outputs, inputs].
"""

import argparse
import contextlib
import ctypes
import json
import math
import resource
import statistics
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from gguf import GGUFReader
from gguf.quants import dequantize
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))
from random_model import SHAPES, Shape, tensor_shapes

METHODS = ("greedy", "sled", "dola")
PROMPT_LENGTH = 32
FIRST_TOKEN = 5  # of a prompt; what comes before are special tokens


# --- model ---------------------------------------------------------------------------------------


@dataclass
class Llama:
    """A llama-architecture decoder, float32."""

    shape: Shape
    norm_eps: float
    tensors: dict[str, Tensor]  # llama.cpp's names
    frequencies: Tensor = field(init=False)  # of the rotation, [d / 2]

    def __post_init__(self) -> None:
        """Sets the rotation's frequencies, divided by the file's factors if it has some."""
        d = self.head_size
        powers = self.shape.rope_base ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)
        self.frequencies = powers.float() / self.tensors.get("rope_freqs.weight", 1.0)

    @property
    def head_size(self) -> int:
        """A head's width d."""
        return self.tensors["blk.0.attn_q.weight"].shape[0] // self.shape.n_head

    @property
    def tied(self) -> bool:
        """Whether the head is the embedding matrix."""
        return "output.weight" not in self.tensors

    def linear(self, x: Tensor, name: str) -> Tensor:
        """Product of x [S, inputs] with the matrix `name`: [S, outputs]."""
        return F.linear(x, self.tensors[f"{name}.weight"])

    def norm(self, x: Tensor, name: str) -> Tensor:
        """Root mean square norm of x [S, D] with the weights `name`."""
        return F.rms_norm(x, x.shape[-1:], self.tensors[f"{name}.weight"], self.norm_eps)

    def head(self, h: Tensor) -> Tensor:
        """Logits [S, V] of hidden states [S, D] as they are."""
        return self.linear(h, "token_embd" if self.tied else "output")

    def new_cache(self) -> list[Tensor]:
        """Keys and values of every block, [2, G, P, d] each, for no token yet."""
        empty = torch.empty(2, self.shape.n_head_kv, 0, self.head_size)
        return [empty] * self.shape.n_layer

    def hidden_states(self, ids: list[int], cache: list[Tensor]) -> list[Tensor]:
        """h_0 .. h_L, [S, D] each: the embedding, the blocks' outputs, the last of them normed.

        `cache` grows by the new tokens.
        """
        start = cache[0].shape[2]
        angles = torch.arange(start, start + len(ids))[:, None] * self.frequencies  # [S, d / 2]
        rotation = torch.stack((angles.cos(), angles.sin()))
        states = [self.tensors["token_embd.weight"][torch.tensor(ids)]]
        for layer in range(self.shape.n_layer):
            block, h = f"blk.{layer}", states[-1]
            h = h + self.attention(self.norm(h, f"{block}.attn_norm"), layer, rotation, cache)
            x = self.norm(h, f"{block}.ffn_norm")
            gate, up = (self.linear(x, f"{block}.ffn_{name}") for name in ("gate", "up"))
            states.append(h + self.linear(F.silu(gate) * up, f"{block}.ffn_down"))
        states[-1] = self.norm(states[-1], "output_norm")
        return states

    def attention(self, x: Tensor, layer: int, rotation: Tensor, cache: list[Tensor]) -> Tensor:
        """Grouped-query self-attention, [S, D] to [S, D]: a whole prompt's or one more token's."""
        q, k, v = (
            self.linear(x, f"blk.{layer}.attn_{name}").unflatten(1, (-1, self.head_size))
            for name in ("q", "k", "v")
        )  # [S, H or G, d]
        q, k = rotate(q, rotation), rotate(k, rotation)
        cache[layer] = torch.cat((cache[layer], torch.stack((k, v)).transpose(1, 2)), dim=2)
        keys, values = cache[layer][:, None]  # [1, G, P, d]
        out = F.scaled_dot_product_attention(
            q.transpose(0, 1)[None], keys, values, is_causal=len(x) > 1, enable_gqa=True
        )  # [1, H, S, d]
        return self.linear(out[0].transpose(0, 1).flatten(1), f"blk.{layer}.attn_output")


def rotate(x: Tensor, rotation: Tensor) -> Tensor:
    """Turns adjacent pairs of x [S, heads, d] by angles whose cosines, sines are [2, S, d / 2]."""
    cos, sin = rotation[:, :, None]
    first, second = x.unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack((first * cos - second * sin, first * sin + second * cos), -1).flatten(-2)


def drawn_model(name: str, seed: int = 1) -> Llama:
    """Random weights of the shape `name`, distributed as those of tools/random_model.py."""
    shape, generator = SHAPES[name], torch.Generator().manual_seed(seed)

    def draw(dims: tuple[int, ...]) -> Tensor:
        if len(dims) == 1:
            return torch.ones(dims)
        limit = math.sqrt(3 / dims[1])
        return torch.empty(dims).uniform_(-limit, limit, generator=generator)

    return Llama(shape, 1e-5, {name: draw(dims) for name, dims in tensor_shapes(shape)})


def read_model(path: Path) -> Llama:
    """A GGUF file's weights, dequantised. ValueError where it is more than a plain llama."""
    reader = GGUFReader(path)

    def get(key: str, default=None):
        entry = reader.fields.get(key)
        return default if entry is None else entry.contents()

    if (architecture := get("general.architecture")) != "llama":
        raise ValueError(f"no reference for {architecture}")
    if (scaling := get("llama.rope.scaling.type", "none")) != "none":
        raise ValueError(f"no reference for rope scaling {scaling}")
    dims = {t.name: tuple(int(n) for n in reversed(t.shape)) for t in reader.tensors}
    shape = Shape(
        n_layer=get("llama.block_count"),
        n_embd=get("llama.embedding_length"),
        n_head=get("llama.attention.head_count"),
        n_head_kv=get("llama.attention.head_count_kv", get("llama.attention.head_count")),
        n_ffn=get("llama.feed_forward_length"),
        n_vocab=dims["token_embd.weight"][0],
        rope_base=get("llama.rope.freq_base", 10000.0),
    )
    known = {*(name for name, _ in tensor_shapes(shape)), "output.weight", "rope_freqs.weight"}
    if dims.keys() - known:
        raise ValueError(f"no reference for {', '.join(sorted(dims.keys() - known))}")
    tensors = {
        t.name: torch.from_numpy(np.require(dequantize(t.data, t.tensor_type), np.float32, "W"))
        for t in reader.tensors
    }
    return Llama(shape, get("llama.attention.layer_norm_rms_epsilon"), tensors)


# --- methods -------------------------------------------------------------------------------------
# Of one position: each exit's logits and the mature layer's are [1, V], a method's scores [V].


def sled(
    exits: list[Tensor],
    mature: Tensor,
    rate: float = 2.0,
    scale: int = 10,
    steps: int = 1,
    lower_bound: float = -1000.0,
) -> Tensor:
    """Self Logits Evolution Decoding (Zhang et al. 2024, algorithm 1)."""
    premature = torch.cat(exits)  # [E, V]
    top = mature.softmax(-1).topk(scale).indices  # [1, k]
    difference = premature - mature  # [E, V]
    places = top.expand(len(exits), -1)  # [E, k]
    one_hot = premature.new_zeros(*places.shape, mature.shape[-1]).scatter_(2, places[..., None], 1)
    gradients = premature.softmax(-1)[:, None] - one_hot  # [E, k, V]
    cosine = F.cosine_similarity(gradients, difference[:, None], dim=-1)  # [E, k]
    support = cosine.clamp(min=0) ** 2  # [E, k]
    by_layer = support.sum(1, keepdim=True)  # [E, 1]
    within_layer = torch.where(by_layer > 0, support / by_layer, 0)
    weight = torch.where(by_layer.sum() > 0, by_layer / by_layer.sum(), 0)
    target = torch.zeros_like(premature).scatter_(1, places, within_layer)  # [E, V]
    target = (target * weight).sum(0)  # [V]
    evolved = mature[0].clone()
    for step in range(steps):
        evolved -= rate * (1 - step / steps) * (evolved.softmax(-1) - target)
    scores = torch.full_like(evolved, lower_bound)
    scores[top[0]] = evolved[top[0]]
    return scores


def jensen_shannon(exits: list[Tensor], mature: Tensor) -> Tensor:
    """Divergence of each exit from the mature layer, [E]: KL(M || .), means over the vocabulary."""
    premature = torch.cat(exits)  # [E, V]
    mean = (mature.softmax(-1) + premature.softmax(-1)) / 2  # [E, V]
    of_mature = F.kl_div(mature.log_softmax(-1), mean, reduction="none").mean(-1)  # [E]
    of_premature = F.kl_div(premature.log_softmax(-1), mean, reduction="none").mean(-1)
    return (of_mature + of_premature) / 2


def dola(
    exits: list[Tensor],
    mature: Tensor,
    relative_top: float = 0.1,
    masked: float = -math.inf,
) -> Tensor:
    """Decoding by Contrasting Layers (Chuang et al. 2024); implausible tokens get `masked`."""
    chosen = int(jensen_shannon(exits, mature).argmax()) if len(exits) > 1 else 0
    final, base = mature[0].log_softmax(-1), exits[chosen][0].log_softmax(-1)
    # The public codes sort the vocabulary for a least number of tokens to keep, which is 1.
    best = final.sort(descending=True).values[0]
    return torch.where(final < best + math.log(relative_top), masked, final - base)


def exit_layers(method: str, model: Llama) -> list[int]:
    """The exits a method looks at: all for SLED, Hugging Face's "low" for DoLa."""
    n_layer = model.shape.n_layer
    if method == "dola":
        return list(range(2 if model.tied else 0, n_layer // 2 if n_layer <= 40 else 20, 2))
    return list(range(n_layer)) if method == "sled" else []


def next_token(method: str, model: Llama, ids: list[int], cache: list[Tensor]) -> int:
    """The token that `method` puts after `ids`."""
    states = [h[-1:] for h in model.hidden_states(ids, cache)]
    exits = [model.head(states[layer]) for layer in exit_layers(method, model)]
    mature = model.head(states[-1])
    match method:
        case "sled":
            return int(sled(exits, mature).argmax())
        case "dola":
            return int(dola(exits, mature).argmax())
    return int(mature.argmax())


# --- measurement ---------------------------------------------------------------------------------


def reset_peak() -> None:
    """Sets the peak to what is resident now, where the system can."""
    if sys.platform == "linux":
        # What an earlier method freed must not be there to be used again, uncounted.
        getattr(ctypes.CDLL(None), "malloc_trim", lambda _: 0)(0)
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")


def peak_memory() -> int:
    """Bytes that this process had resident at most, since the last reset or since its start."""
    if sys.platform == "linux":
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


@dataclass(frozen=True)
class Run:
    """One method in one round."""

    seconds: float  # a token
    memory: int  # peak above what was resident before the first timed token, bytes
    tokens: list[int]


def generate(method: str, model: Llama, prompt: list[int], count: int) -> Run:
    """Continues `prompt` by one token and, timed, `count` more."""
    cache = model.new_cache()
    tokens = [next_token(method, model, prompt, cache)]
    reset_peak()
    before = peak_memory()
    start = time.perf_counter()
    for _ in range(count):
        tokens.append(next_token(method, model, tokens[-1:], cache))
    seconds = (time.perf_counter() - start) / count
    return Run(seconds, peak_memory() - before, tokens)


def bench_prompt(number: int, n_vocab: int) -> list[int]:
    """The prompt of a round, the same as in `cargo bench`."""
    return [FIRST_TOKEN + (i * 7 + number) % (n_vocab - FIRST_TOKEN) for i in range(PROMPT_LENGTH)]


def measure(
    model: Llama, methods: list[str], prompts: list[list[int]], count: int
) -> dict[str, list[Run]]:
    """Every method's runs, in turns, a round for each prompt; the first is not counted."""
    runs: dict[str, list[Run]] = {method: [] for method in methods}
    for number, prompt in enumerate(prompts):
        for turn in range(len(methods)):
            method = methods[(number + turn) % len(methods)]
            run = generate(method, model, prompt, count)
            if number > 0:
                runs[method].append(run)
    return runs


def summary(runs: dict[str, list[Run]]) -> dict[str, dict]:
    """Medians of each method and the tokens of its first round that counts."""
    greedy = [run.seconds for run in runs["greedy"]]
    return {
        method: {
            "ms_per_token": 1e3 * statistics.median(run.seconds for run in own),
            "ratio": statistics.median(
                run.seconds / base for run, base in zip(own, greedy, strict=True)
            ),
            "extra_mb": statistics.median(run.memory for run in own) / 1e6,
            "tokens": own[0].tokens,
        }
        for method, own in runs.items()
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--shape", choices=SHAPES, help="random weights")
    source.add_argument("--model", type=Path, metavar="FILE", help="a GGUF file's, dequantised")
    parser.add_argument("--methods", default=",".join(METHODS), help="[greedy,sled,dola]")
    parser.add_argument(
        "--prompt-ids",
        type=lambda text: [int(token) for token in text.split(",")],
        metavar="IDS",
        help="token ids to continue in every round, such as 1,2,3 [another 32 in each]",
    )
    parser.add_argument("--tokens", type=int, default=12, help="timed in each round [12]")
    parser.add_argument("--rounds", type=int, default=5, help="[5]")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="[cores]")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    methods = list(dict.fromkeys(["greedy", *arguments.methods.split(",")]))  # ratios are to greedy
    if unknown := set(methods) - set(METHODS):
        parser.error(f"no method {', '.join(sorted(unknown))}")
    if min(arguments.tokens, arguments.rounds, arguments.threads) < 1:
        parser.error("--tokens, --rounds and --threads are at least 1")

    torch.set_num_threads(arguments.threads)
    with torch.inference_mode():
        try:
            model = read_model(arguments.model) if arguments.model else drawn_model(arguments.shape)
        except (OSError, ValueError) as error:
            parser.error(str(error))
        prompts = [
            arguments.prompt_ids or bench_prompt(number, model.shape.n_vocab)
            for number in range(arguments.rounds + 1)
        ]
        results = summary(measure(model, methods, prompts, arguments.tokens))

    about = {
        "model": str(arguments.model or arguments.shape),
        "weights_mb": sum(t.nbytes for t in model.tensors.values()) / 1e6,
        "threads": arguments.threads,
        "rounds": arguments.rounds,
        "tokens": arguments.tokens,
        "prompt": prompts[1],
        "torch": torch.__version__,
    }
    if arguments.json:
        print(json.dumps(about | {"methods": results}, indent=1))
        return
    print(
        "{model}: {weights_mb:.0f} MB of weights, {threads} threads, {rounds} rounds of "
        "{tokens} tokens, torch {torch}\n".format(**about)
    )
    print(f"{'':10}{'ms a token':>12}{'x greedy':>12}{'MB on top':>12}")
    for method, row in results.items():
        print(f"{method:10}{row['ms_per_token']:12.1f}{row['ratio']:12.2f}{row['extra_mb']:12.0f}")
    if arguments.model:
        print("\nthe first round that counts")
        print(f"{'prompt':10}{','.join(map(str, prompts[1]))}")
        for method, row in results.items():
            print(f"{method:10}{','.join(map(str, row['tokens']))}")


if __name__ == "__main__":
    main()
