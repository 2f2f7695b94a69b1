"""Forward passes of three architectures in float64, from a GGUF file: what llama.cpp must compute.

Written from the definitions, for the whole sequence at once and without a cache. Shapes: T tokens, D hidden size,
H heads of size d, G key-value heads, L blocks, V vocabulary. Matrices are stored [outputs, inputs], so y = x @ W.T.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from gguf import GGUFReader
from gguf.quants import dequantize

Array = np.ndarray


@dataclass(frozen=True)
class Model:
    """A model's shape and weights (float64). Absent parameters are None."""

    arch: str
    n_layer: int
    n_embd: int
    n_head: int
    n_head_kv: int
    head_dim: int
    norm_eps: float
    rope_base: float
    sliding_window: int | None
    attention_softcap: float | None
    final_softcap: float | None
    tensors: dict[str, Array]

    def weight(self, name: str) -> Array:
        """The weight of `name`: a matrix [outputs, inputs] or a norm's [D]."""
        return self.tensors[f"{name}.weight"]

    def bias(self, name: str) -> Array:
        """The bias of `name`, [outputs]."""
        return self.tensors[f"{name}.bias"]

    @property
    def head_tied(self) -> bool:
        """Whether the head is the embedding matrix."""
        return "output.weight" not in self.tensors

    @property
    def embedding_scale(self) -> float:
        """What the token embedding is multiplied by: Gemma's sqrt(D), otherwise 1."""
        return float(np.sqrt(self.n_embd)) if self.arch == "gemma2" else 1.0


def load(path: Path) -> Model:
    """Reads a GGUF file; quantised tensors are dequantised. ValueError if the model is of a kind not in `BLOCKS`."""
    reader = GGUFReader(path)
    arch = reader.fields["general.architecture"].contents()

    def get(key: str, default=None):
        field = reader.fields.get(f"{arch}.{key}")
        return default if field is None else field.contents()

    if arch not in BLOCKS or get("expert_count"):
        raise ValueError(f"no reference for {arch}{' with experts' if get('expert_count') else ''}")

    n_embd, n_head = get("embedding_length"), get("attention.head_count")
    norm = "layer_norm_epsilon" if arch == "gpt2" else "layer_norm_rms_epsilon"
    return Model(
        arch=arch,
        n_layer=get("block_count"),
        n_embd=n_embd,
        n_head=n_head,
        n_head_kv=get("attention.head_count_kv", n_head),
        head_dim=get("attention.key_length", n_embd // n_head),
        norm_eps=get(f"attention.{norm}"),
        rope_base=get("rope.freq_base", 10000.0),
        sliding_window=get("attention.sliding_window"),
        attention_softcap=get("attn_logit_softcapping"),
        final_softcap=get("final_logit_softcapping"),
        tensors={t.name: dequantize(t.data, t.tensor_type).astype(np.float64) for t in reader.tensors},
    )


def rms_norm(x: Array, weight: Array, eps: float) -> Array:
    """Root mean square norm over the last axis (Zhang and Sennrich 2019); Gemma's 1 + w is in `weight`."""
    return x / np.sqrt(np.mean(x**2, axis=-1, keepdims=True) + eps) * weight


def layer_norm(x: Array, weight: Array, bias: Array, eps: float) -> Array:
    """Layer norm over the last axis (Ba, Kiros and Hinton 2016)."""
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred / np.sqrt(np.mean(centred**2, axis=-1, keepdims=True) + eps) * weight + bias


def silu(x: Array) -> Array:
    """x times its sigmoid."""
    return x / (1 + np.exp(-x))


def gelu(x: Array) -> Array:
    """GELU by its tanh approximation (Hendrycks and Gimpel 2016, section 2)."""
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def softcap(x: Array, cap: float | None) -> Array:
    """cap * tanh(x / cap), or x where there is no cap (Gemma 2 report, section 2)."""
    return x if cap is None else cap * np.tanh(x / cap)


def softmax(x: Array) -> Array:
    """Softmax over the last axis."""
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def rotate(x: Array, base: float, adjacent: bool) -> Array:
    """Rotary position embedding of x [T, heads, d] (Su et al. 2021, section 3.2.2).

    Pair i turns by position * base^(-2i/d). `adjacent` pairs are (2i, 2i+1), llama.cpp's NORM convention, which it uses
    for llama; the others are (i, i + d/2), NEOX, which it uses for gemma2.
    """
    n_tokens, _, d = x.shape
    angle = np.arange(n_tokens)[:, None] * base ** (-np.arange(0, d, 2) / d)  # [T, d/2]
    cos, sin = np.cos(angle)[:, None, :], np.sin(angle)[:, None, :]
    first, second = (np.s_[..., 0::2], np.s_[..., 1::2]) if adjacent else (np.s_[..., : d // 2], np.s_[..., d // 2 :])
    turned = np.empty_like(x)
    turned[first] = x[first] * cos - x[second] * sin
    turned[second] = x[first] * sin + x[second] * cos
    return turned


def attention(model: Model, q: Array, k: Array, v: Array, window: int | None) -> Array:
    """Causal attention: q [T, H, d], k and v [T, G, d] give [T, H * d].

    Scores are scaled by 1/sqrt(d) and softcapped. With a window a token sees itself and the window - 1 before it.
    """
    n_tokens = q.shape[0]
    k, v = (np.repeat(x, model.n_head // model.n_head_kv, axis=1) for x in (k, v))
    scores = softcap(np.einsum("qhd,khd->hqk", q, k) / np.sqrt(model.head_dim), model.attention_softcap)
    distance = np.arange(n_tokens)[:, None] - np.arange(n_tokens)[None, :]
    seen = (distance >= 0) & (distance < (window or n_tokens))
    probabilities = softmax(np.where(seen, scores, -np.inf))
    return np.einsum("hqk,khd->qhd", probabilities, v).reshape(n_tokens, -1)


def rotary_attention(model: Model, x: Array, block: str, adjacent: bool, window: int | None) -> Array:
    """Self-attention with rotary positions and its output projection, [T, D] to [T, D]."""
    q, k, v = (
        (x @ model.weight(f"{block}.attn_{name}").T).reshape(len(x), -1, model.head_dim) for name in ("q", "k", "v")
    )
    q, k = rotate(q, model.rope_base, adjacent), rotate(k, model.rope_base, adjacent)
    return attention(model, q, k, v, window) @ model.weight(f"{block}.attn_output").T


def gated_ffn(model: Model, x: Array, block: str, activation: Callable[[Array], Array]) -> Array:
    """down(activation(gate(x)) * up(x)), [T, D] to [T, D] (Shazeer 2020, section 2)."""
    gate, up = (x @ model.weight(f"{block}.ffn_{name}").T for name in ("gate", "up"))
    return (activation(gate) * up) @ model.weight(f"{block}.ffn_down").T


def llama_block(model: Model, h: Array, layer: int) -> Array:
    """Llama: norm before attention and before the SwiGLU network, [T, D] to [T, D]."""
    block = f"blk.{layer}"

    def norm(x: Array, name: str) -> Array:
        return rms_norm(x, model.weight(f"{block}.{name}"), model.norm_eps)

    h = h + rotary_attention(model, norm(h, "attn_norm"), block, adjacent=True, window=None)
    return h + gated_ffn(model, norm(h, "ffn_norm"), block, silu)


def gemma2_block(model: Model, h: Array, layer: int) -> Array:
    """Gemma 2: norms before and after both parts, GeGLU; even layers slide their window. [T, D] to [T, D]."""
    block = f"blk.{layer}"
    window = model.sliding_window if layer % 2 == 0 else None

    def norm(x: Array, name: str) -> Array:
        return rms_norm(x, model.weight(f"{block}.{name}"), model.norm_eps)

    attended = rotary_attention(model, norm(h, "attn_norm"), block, adjacent=False, window=window)
    h = h + norm(attended, "post_attention_norm")
    return h + norm(gated_ffn(model, norm(h, "ffn_norm"), block, gelu), "post_ffw_norm")


def gpt2_block(model: Model, h: Array, layer: int) -> Array:
    """GPT-2: layer norms with bias, joint query-key-value matrix, biases throughout, GELU. [T, D] to [T, D]."""
    block = f"blk.{layer}"

    def norm(x: Array, name: str) -> Array:
        return layer_norm(x, model.weight(f"{block}.{name}"), model.bias(f"{block}.{name}"), model.norm_eps)

    def linear(x: Array, name: str) -> Array:
        return x @ model.weight(f"{block}.{name}").T + model.bias(f"{block}.{name}")

    qkv = linear(norm(h, "attn_norm"), "attn_qkv").reshape(len(h), 3, model.n_head, model.head_dim)
    h = h + linear(attention(model, *qkv.transpose(1, 0, 2, 3), window=None), "attn_output")
    return h + linear(gelu(linear(norm(h, "ffn_norm"), "ffn_up")), "ffn_down")


BLOCKS = {"llama": llama_block, "gemma2": gemma2_block, "gpt2": gpt2_block}
EMBEDDING_TAPS = {"llama": "embd", "gemma2": "inp_scaled", "gpt2": "inpL"}


def taps(model: Model) -> list[str]:
    """llama.cpp's graph nodes of h_0 .. h_{L-1}."""
    return [EMBEDDING_TAPS[model.arch], *(f"l_out-{layer}" for layer in range(model.n_layer - 1))]


def hidden_states(model: Model, ids: list[int]) -> Array:
    """h_0 .. h_L of every token, [L + 1, T, D]: the embedding, each block's output, and h_L after the final norm."""
    h = model.weight("token_embd")[ids] * model.embedding_scale
    if model.arch == "gpt2":
        h = h + model.weight("position_embd")[: len(ids)]
    states = [h]
    for layer in range(model.n_layer):
        states.append(BLOCKS[model.arch](model, states[-1], layer))
    states[-1] = final_norm(model, states[-1])
    return np.stack(states)


def final_norm(model: Model, h: Array) -> Array:
    """The norm before the head, over the last axis of h [.., D]."""
    if model.arch == "gpt2":
        return layer_norm(h, model.weight("output_norm"), model.bias("output_norm"), model.norm_eps)
    return rms_norm(h, model.weight("output_norm"), model.norm_eps)


def head(model: Model, h: Array, capped: bool = True) -> Array:
    """Logits [.., V] of h [.., D] as it is; `capped` applies the model's final softcap if it has one."""
    logits = h @ model.weight("token_embd" if model.head_tied else "output").T
    return softcap(logits, model.final_softcap) if capped else logits


def premature_logits(model: Model, states: Array, exit_norm: str, capped: bool) -> Array:
    """z_0 .. z_{L-1}, [L, .., V], of the states [L + 1, .., D]; `exit_norm` is "none" or "final"."""
    h = states[:-1]
    return head(model, final_norm(model, h) if exit_norm == "final" else h, capped)


def mature_logits(model: Model, states: Array) -> Array:
    """z_L, [.., V], of the states [L + 1, .., D]: the model's own logits."""
    return head(model, states[-1])
