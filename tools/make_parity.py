"""Makes the parity set: three tiny random models as GGUF files and, per model, the numbers decoding must give.

    python tools/make_parity.py [--out testdata/parity]    make the set, from fixed seeds
    python tools/make_parity.py --check DIR                recompute any such directory and print the differences

The numbers come from `reference_model` and `reference_methods`, in float64. The format is described in the README
beside the files.
"""

import argparse
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from gguf import GGUFWriter, LlamaFileType

import reference_methods as rm
from reference_model import Model, hidden_states, load, mature_logits, premature_logits, softmax, taps
from vocabulary import Vocabulary, byte_level_bpe, sentencepiece

Array = np.ndarray

DEFAULT_OUT = Path(__file__).resolve().parent.parent / "testdata" / "parity"
N_LAYER, N_EMBD, N_HEAD, N_HEAD_KV, HEAD_DIM, N_FFN = 4, 32, 4, 2, 8, 24
N_CONTINUATION, N_GENERATED = 6, 12
GENERATED_METHODS = ("greedy", "sled", "dola")  # with their @linear variants
TIE = 0.02  # the format's `tie`
# A prompt is used only where every decision clears these, several times what llama.cpp's rounding moves.
LEAST = {"top_gap": 0.015, "mask_gap": 0.015, "js_gap": 0.015, "gap": 1.5 * TIE}
SUREST_EXIT = 0.999  # above it float32 loses the digits of softmax(z_i) - e_k


@dataclass(frozen=True)
class Recipe:
    """One model of the set."""

    arch: str
    seed: int
    vocabulary: Vocabulary
    hyperparameters: Callable[[GGUFWriter], None]
    weights: Callable[[np.random.Generator, Vocabulary], dict[str, Array]]
    n_prompts: int
    f32_kv: float  # tolerances, see the README
    f16_kv: float


# --- weights -------------------------------------------------------------------------------------------------------
# Scales make the logits lively: exits disagree, and their distributions are neither flat nor one-hot.


def normal(rng: np.random.Generator, *shape: int, std: float, mean: float = 0.0) -> Array:
    """Normal weights, float32."""
    return rng.normal(mean, std, shape).astype(np.float32)


def rotary_block(rng: np.random.Generator) -> dict[str, Array]:
    """What llama and gemma2 blocks share."""
    return {
        "attn_norm.weight": normal(rng, N_EMBD, std=0.25, mean=1.0),
        "attn_q.weight": normal(rng, N_HEAD * HEAD_DIM, N_EMBD, std=0.22),
        "attn_k.weight": normal(rng, N_HEAD_KV * HEAD_DIM, N_EMBD, std=0.22),
        "attn_v.weight": normal(rng, N_HEAD_KV * HEAD_DIM, N_EMBD, std=0.28),
        "attn_output.weight": normal(rng, N_EMBD, N_HEAD * HEAD_DIM, std=0.07),
        "ffn_norm.weight": normal(rng, N_EMBD, std=0.25, mean=1.0),
        "ffn_gate.weight": normal(rng, N_FFN, N_EMBD, std=0.28),
        "ffn_up.weight": normal(rng, N_FFN, N_EMBD, std=0.28),
        "ffn_down.weight": normal(rng, N_EMBD, N_FFN, std=0.08),
    }


def gemma2_block(rng: np.random.Generator) -> dict[str, Array]:
    """A gemma2 block: the shared part and the norms behind attention and feed-forward network."""
    return rotary_block(rng) | {
        "post_attention_norm.weight": normal(rng, N_EMBD, std=0.3, mean=0.8),
        "post_ffw_norm.weight": normal(rng, N_EMBD, std=0.3, mean=0.8),
    }


def gpt2_block(rng: np.random.Generator) -> dict[str, Array]:
    """A gpt2 block."""
    return {
        "attn_norm.weight": normal(rng, N_EMBD, std=0.25, mean=1.0),
        "attn_norm.bias": normal(rng, N_EMBD, std=0.15),
        "attn_qkv.weight": normal(rng, 3 * N_EMBD, N_EMBD, std=0.22),
        "attn_qkv.bias": normal(rng, 3 * N_EMBD, std=0.15),
        "attn_output.weight": normal(rng, N_EMBD, N_EMBD, std=0.12),
        "attn_output.bias": normal(rng, N_EMBD, std=0.15),
        "ffn_norm.weight": normal(rng, N_EMBD, std=0.25, mean=1.0),
        "ffn_norm.bias": normal(rng, N_EMBD, std=0.15),
        "ffn_up.weight": normal(rng, N_FFN, N_EMBD, std=0.28),
        "ffn_up.bias": normal(rng, N_FFN, std=0.15),
        "ffn_down.weight": normal(rng, N_EMBD, N_FFN, std=0.14),
        "ffn_down.bias": normal(rng, N_EMBD, std=0.15),
    }


def blocks(rng: np.random.Generator, block: Callable[[np.random.Generator], dict[str, Array]]) -> dict[str, Array]:
    """Every block's tensors under llama.cpp's names."""
    return {f"blk.{layer}.{name}": w for layer in range(N_LAYER) for name, w in block(rng).items()}


def head_rows(rng: np.random.Generator, vocabulary: Vocabulary, std: float) -> Array:
    """The head's matrix [V, D]; the rows of lone bytes are small, so that generated text is text."""
    rows = normal(rng, len(vocabulary), N_EMBD, std=std)
    rows[vocabulary.lone_bytes] *= 0.3
    return rows


def llama_weights(rng: np.random.Generator, vocabulary: Vocabulary) -> dict[str, Array]:
    """A llama with its own output head."""
    return {
        "token_embd.weight": normal(rng, len(vocabulary), N_EMBD, std=0.4),
        **blocks(rng, rotary_block),
        "output_norm.weight": normal(rng, N_EMBD, std=0.35, mean=1.5),
        "output.weight": head_rows(rng, vocabulary, std=0.3),
    }


def gemma2_weights(rng: np.random.Generator, vocabulary: Vocabulary) -> dict[str, Array]:
    """A gemma2; its head is the embedding."""
    return {
        "token_embd.weight": head_rows(rng, vocabulary, std=0.12),
        **blocks(rng, gemma2_block),
        "output_norm.weight": normal(rng, N_EMBD, std=1.2, mean=4.5),
    }


def gpt2_weights(rng: np.random.Generator, vocabulary: Vocabulary) -> dict[str, Array]:
    """A gpt2; its head is the embedding."""
    return {
        "token_embd.weight": head_rows(rng, vocabulary, std=0.18),
        "position_embd.weight": normal(rng, 128, N_EMBD, std=0.25),
        **blocks(rng, gpt2_block),
        "output_norm.weight": normal(rng, N_EMBD, std=0.6, mean=2.5),
        "output_norm.bias": normal(rng, N_EMBD, std=0.15),
    }


# --- files ---------------------------------------------------------------------------------------------------------


def common_hyperparameters(writer: GGUFWriter) -> None:
    """What every architecture needs."""
    writer.add_block_count(N_LAYER)
    writer.add_context_length(128)
    writer.add_embedding_length(N_EMBD)
    writer.add_feed_forward_length(N_FFN)
    writer.add_head_count(N_HEAD)


def rotary_hyperparameters(writer: GGUFWriter) -> None:
    """What llama and gemma2 need beyond that."""
    common_hyperparameters(writer)
    writer.add_head_count_kv(N_HEAD_KV)
    writer.add_key_length(HEAD_DIM)
    writer.add_value_length(HEAD_DIM)
    writer.add_rope_dimension_count(HEAD_DIM)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-6)


def gemma2_hyperparameters(writer: GGUFWriter) -> None:
    """Gemma2's two softcaps and its window."""
    rotary_hyperparameters(writer)
    writer.add_attn_logit_softcapping(5.0)
    writer.add_final_logit_softcapping(12.0)
    writer.add_sliding_window(4)


def gpt2_hyperparameters(writer: GGUFWriter) -> None:
    """Gpt2's layer norm."""
    common_hyperparameters(writer)
    writer.add_layer_norm_eps(1e-5)


RECIPES = [
    Recipe("llama", 301, byte_level_bpe(60, "é€😀".encode()), rotary_hyperparameters, llama_weights, 3, 1e-3, 6e-2),
    Recipe("gemma2", 302, sentencepiece(32), gemma2_hyperparameters, gemma2_weights, 2, 2e-2, 6e-2),
    Recipe("gpt2", 303, byte_level_bpe(60, "é€😀".encode()), gpt2_hyperparameters, gpt2_weights, 3, 2e-2, 6e-2),
]


def write_gguf(path: Path, recipe: Recipe) -> None:
    """Draws the model's weights and writes the file."""
    writer = GGUFWriter(path, recipe.arch)
    writer.add_name(f"luge parity {recipe.arch}")
    writer.add_file_type(LlamaFileType.ALL_F32)
    recipe.hyperparameters(writer)
    recipe.vocabulary.write(writer)
    for name, weight in recipe.weights(np.random.default_rng(recipe.seed), recipe.vocabulary).items():
        writer.add_tensor(name, weight)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_json(path: Path, document: dict) -> None:
    """Writes JSON with every list of scalars on one line."""
    text = json.dumps(document, indent=1)
    scalars = re.compile(r"\[([^][{}]*)\]")
    path.write_text(scalars.sub(lambda found: f"[{' '.join(found[1].split())}]", text) + "\n")


def rounded(values: Array | float) -> list | float:
    """Numbers as JSON holds them, 8 significant digits."""
    return [rounded(v) for v in values] if np.ndim(values) else float(f"{values:.8g}")


# --- methods -------------------------------------------------------------------------------------------------------


def methods(n_layer: int, has_softcap: bool) -> list[dict]:
    """The `methods` of a model's JSON; those of a model with a softcap also come as `@linear`."""
    every = list(range(n_layer))

    def sled(name: str, layers=every, exit_norm="none", rate=2.0, scale=10, steps=1, lower_bound=-1000.0) -> dict:
        return {"id": name, "method": "sled", "head": "full", "exit_norm": exit_norm, "layers": layers,
                "rate": rate, "scale": scale, "steps": steps, "lower_bound": lower_bound}  # fmt: skip

    def dola(name: str, layers=every, exit_norm="none") -> dict:
        return {"id": name, "method": "dola", "head": "full", "exit_norm": exit_norm, "layers": layers,
                "relative_top": 0.1, "masked": -1000.0}  # fmt: skip

    def ensemble(name: str, exit_norm="none") -> dict:
        return {"id": name, "method": "ensemble", "head": "full", "exit_norm": exit_norm, "layers": every}

    full = [
        sled("sled"),
        sled("sled_r2.5_k40_s10", rate=2.5, scale=40, steps=10, lower_bound=-100.0),
        sled("sled_layers02", layers=[0, 2]),
        sled("sled_normed", exit_norm="final"),
        dola("dola"),
        dola("dola_static2", layers=[2]),
        dola("dola_normed", exit_norm="final"),
        ensemble("ensemble"),
        ensemble("ensemble_normed", exit_norm="final"),
    ]
    linear = [m | {"id": f"{m['id']}@linear", "head": "linear"} for m in full] if has_softcap else []
    return [{"id": "greedy", "method": "greedy"}, *full, *linear]


def logits_for(method: dict, model: Model, states: Array) -> tuple[Array, Array]:
    """The exits that a method sees, [exits, V], and z_L, [V], of one position's states [L + 1, D]."""
    mature = mature_logits(model, states)
    if method["method"] == "greedy":
        return np.empty((0, len(mature))), mature
    exits = premature_logits(model, states, method["exit_norm"], method["head"] == "full")
    return exits[method["layers"]], mature


def score(method: dict, premature: Array, mature: Array, masked: float | None = None) -> Array:
    """The method's score of every token, [V]; `masked` replaces DoLa's."""
    match method["method"]:
        case "greedy":
            return mature
        case "sled":
            return rm.sled(premature, mature, *(method[key] for key in ("rate", "scale", "steps", "lower_bound")))
        case "dola":
            return rm.dola(premature, mature, method["relative_top"], method["masked"] if masked is None else masked)
        case "ensemble":
            return rm.ensemble(premature, mature)
    raise ValueError(f"unknown method {method['method']}")


def gap_below(values: Array, rank: int = 1, relative: bool = False) -> float:
    """From the rank-th highest value to the next, optionally relative to the former."""
    high, low = np.sort(values)[::-1][rank - 1 : rank + 1]
    return (high - low) / high if relative else high - low


def facts(method: dict, premature: Array, mature: Array) -> dict:
    """What a method's decision rests on at one position: `top_gap`, or `layer`, `mask_gap`, `js` and `js_gap`."""
    if method["method"] == "sled":
        return {"top_gap": gap_below(mature, method["scale"])}
    if method["method"] != "dola":
        return {}
    threshold = rm.plausibility_threshold(mature, method["relative_top"])
    js = rm.jensen_shannon(premature, mature)
    choice = {"layer": method["layers"][js.argmax()], "mask_gap": np.abs(rm.log_softmax(mature) - threshold).min()}
    return choice | ({"js": js, "js_gap": gap_below(js, relative=True)} if len(js) > 1 else {})


def steady(method: dict, premature: Array, mature: Array) -> bool:
    """Whether no decision of the method hangs on a near-tie here."""
    found = facts(method, premature, mature)
    clear = all(found[name] >= least for name, least in LEAST.items() if name in found)
    return clear and bool((softmax(premature) <= SUREST_EXIT).all())


# --- a prompt's numbers --------------------------------------------------------------------------------------------


def score_continuation(method: dict, model: Model, ids: list[int], continuation: list[int]) -> dict:
    """`scores[method]`: the method's scores of the continuation's tokens after `ids`."""
    states = hidden_states(model, ids + continuation)
    columns: dict[str, list] = {"logit": [], "logprob": []}
    for position, token in enumerate(continuation, len(ids) - 1):
        premature, mature = logits_for(method, model, states[:, position])
        scores = score(method, premature, mature)
        columns["logit"].append(scores[token])
        columns["logprob"].append(rm.log_softmax(scores)[token])
        for name, value in facts(method, premature, mature).items():
            columns.setdefault(name, []).append(value)
        if method["method"] == "dola":
            kept = scores[token] != method["masked"]
            log_ratio = rm.log_softmax(rm.contrast(premature, mature))[token]
            columns.setdefault("post_softmax_logprob", []).append(log_ratio if kept else method["masked"])
    sums = {f"{name}_sum": rounded(sum(columns[name])) for name in ("logit", "logprob")}
    return {name: values if name == "layer" else rounded(values) for name, values in columns.items()} | sums


def generation(model: Model, method: dict, ids: list[int], allowed: set[int] | None = None) -> dict | None:
    """`generate[method]`, by arg max. With `allowed`, None where a token is not in it or a decision is not clear."""
    text = list(ids)
    columns: dict[str, list] = {"ids": [], "gap": []}
    for _ in range(N_GENERATED):
        premature, mature = logits_for(method, model, hidden_states(model, text)[:, -1])
        scores = score(method, premature, mature, masked=-np.inf)
        token, gap = int(scores.argmax()), gap_below(scores)
        if allowed and not (token in allowed and gap >= LEAST["gap"] and steady(method, premature, mature)):
            return None
        text.append(token)
        columns["ids"].append(token)
        columns["gap"].append(rounded(gap) if np.isfinite(gap) else None)
        if method["method"] == "dola":
            columns.setdefault("layer", []).append(facts(method, premature, mature)["layer"])
    return columns


def generations(model: Model, wanted: list[dict], ids: list[int], allowed: set[int]) -> dict | None:
    """`generate` of a prompt, or None where one of the methods' is not usable."""
    result = {}
    for method in wanted:
        result[method["id"]] = generation(model, method, ids, allowed)
        if result[method["id"]] is None:
            return None
    return result


def details(model: Model, wanted: list[dict], ids: list[int]) -> dict:
    """`details` at the last token of a prompt."""
    states = hidden_states(model, ids)[:, -1]
    top5 = {}
    for suffix in ("",) if model.final_softcap is None else ("", "@linear"):
        for name, exit_norm in (("plain", "none"), ("normed", "final")):
            exits = premature_logits(model, states, exit_norm, capped=not suffix)
            every = softmax(np.vstack([exits, mature_logits(model, states)]))
            top5[name + suffix] = [best(probabilities, 5, "probs") for probabilities in every]
    top10 = {m["id"]: best(score(m, *logits_for(m, model, states)), 10, "logit") for m in wanted}
    hidden = [{"l2": rounded(np.linalg.norm(h)), "first8": rounded(h[:8])} for h in states]
    return {"position": len(ids) - 1, "top5": top5, "top10": top10, "hidden": hidden}


def best(values: Array, count: int, name: str) -> dict:
    """The highest `count` of values [V]: their ids, and the values under `name`."""
    ids = rm.ranked(values)[:count]
    return {"ids": ids.tolist(), name: rounded(values[ids])}


# --- choosing prompts ----------------------------------------------------------------------------------------------


def steady_after(wanted: list[dict], model: Model, ids: list[int]) -> bool:
    """Whether every method is steady at the last of `ids`."""
    states = hidden_states(model, ids)[:, -1]
    return all(steady(method, *logits_for(method, model, states)) for method in wanted)


def draw_continuation(
    rng: np.random.Generator, model: Model, wanted: list[dict], ids: list[int], allowed: list[int]
) -> list[int] | None:
    """Tokens drawn from the model, the last one at random; None where steady ones are not found in a few draws."""
    text = list(ids)
    while len(text) < len(ids) + N_CONTINUATION - 1:
        mature = mature_logits(model, hidden_states(model, text)[:, -1])
        draws = rng.choice(allowed, 20, p=softmax(mature[allowed])).tolist()
        token = next((token for token in draws if steady_after(wanted, model, [*text, token])), None)
        if token is None:
            return None
        text.append(token)
    return [*text[len(ids) :], int(rng.choice(allowed))]


def find_prompts(recipe: Recipe, model: Model, wanted: list[dict]) -> Iterator[dict]:
    """Prompts of words where no decision hangs on a near-tie, and SLED's text and the greedy one part."""
    rng = np.random.default_rng(recipe.seed + 1000)
    vocabulary = recipe.vocabulary
    allowed = [token for token in range(3, len(vocabulary)) if token not in vocabulary.lone_bytes]
    generated = [method for method in wanted if method["id"].removesuffix("@linear") in GENERATED_METHODS]
    while True:
        ids = rng.choice(vocabulary.words, rng.integers(5, 11)).tolist()
        texts = steady_after(wanted, model, ids) and generations(model, generated, ids, set(allowed))
        if not texts or texts["greedy"]["ids"] == texts["sled"]["ids"]:
            continue
        continuation = draw_continuation(rng, model, wanted, ids, allowed)
        if continuation:
            scores = {method["id"]: score_continuation(method, model, ids, continuation) for method in wanted}
            yield {"ids": ids, "continuation": continuation, "scores": scores, "generate": texts}


def make(recipe: Recipe, out: Path) -> None:
    """Writes one model's GGUF and JSON files."""
    gguf_path = out / f"{recipe.arch}.gguf"
    write_gguf(gguf_path, recipe)
    model = load(gguf_path)
    wanted = methods(model.n_layer, model.final_softcap is not None)
    prompts = list(islice(find_prompts(recipe, model, wanted), recipe.n_prompts))
    prompts[0]["details"] = details(model, wanted, prompts[0]["ids"])
    document = {
        "format": 1,
        "model": gguf_path.name,
        "gguf_arch": model.arch,
        "seed": recipe.seed,
        "weights": "F32",
        "n_layer": model.n_layer,
        "n_vocab": len(recipe.vocabulary),
        "n_embd": model.n_embd,
        "head_tied": model.head_tied,
        "final_logit_softcap": model.final_softcap,
        "embedding_scale": rounded(model.embedding_scale),
        "taps": taps(model),
        "tolerance": {"f32_kv": recipe.f32_kv, "f16_kv": recipe.f16_kv, "tie": TIE},
        "methods": wanted,
        "prompts": prompts,
    }
    write_json(gguf_path.with_suffix(".json"), document)
    print(f"{gguf_path.name}: {gguf_path.stat().st_size} bytes")


# --- checking ------------------------------------------------------------------------------------------------------


def check(path: Path) -> None:
    """Recomputes the numbers of one JSON file and prints the largest difference per method."""
    document = json.loads(path.read_text())
    try:
        model = load(path.parent / document["model"])
    except ValueError as error:
        print(f"{path.name}: skipped, {error}")
        return
    print(f"{path.name}: tolerance {document['tolerance']['f32_kv']}")
    for method in document["methods"]:
        print(f"  {method['id']:28}", *check_method(model, method, document["prompts"]))
    print(f"  {'hidden states':28}", f"{check_hidden(model, document['prompts'][0]):.1e}")


def check_method(model: Model, method: dict, prompts: list[dict]) -> list[str]:
    """Differences of one method over a file's prompts: scores, layers chosen, texts generated."""
    name = method["id"]
    largest = {"logit": 0.0, "logprob": 0.0}
    layers = texts = 0
    for prompt in prompts:
        found = score_continuation(method, model, prompt["ids"], prompt["continuation"])
        for key in largest:
            largest[key] = max(largest[key], np.abs(np.subtract(found[key], prompt["scores"][name][key])).max())
        layers += found.get("layer") != prompt["scores"][name].get("layer")
        if name in prompt["generate"]:
            texts += generation(model, method, prompt["ids"])["ids"] != prompt["generate"][name]["ids"]
    return [f"{key} {value:.1e}" for key, value in largest.items()] + [f"layers {layers}", f"texts {texts}"]


def check_hidden(model: Model, prompt: dict) -> float:
    """Largest difference of the first prompt's hidden states."""
    states = hidden_states(model, prompt["ids"])[:, prompt["details"]["position"]]
    expected = np.array([h["first8"] for h in prompt["details"]["hidden"]])
    return np.abs(states[:, :8] - expected).max()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT, help="where to write")
    parser.add_argument("--check", type=Path, metavar="DIR", help="recompute the numbers of a directory instead")
    arguments = parser.parse_args()
    if arguments.check:
        for path in sorted(arguments.check.glob("*.json")):
            check(path)
        return
    arguments.out.mkdir(parents=True, exist_ok=True)
    for recipe in RECIPES:
        make(recipe, arguments.out)


if __name__ == "__main__":
    main()
