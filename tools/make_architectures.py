"""Makes one tiny random model per architecture, to see where a backend finds hidden states and LM head.

    python tools/make_architectures.py [--out testdata/architectures] [NAME...]

Metadata and tensors are what llama.cpp wants of each architecture; weights come from fixed seeds. Where exits are
possible, the file also says what the exit of hidden state 0 is, computed here: see the README beside the files.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from zlib import crc32

import numpy as np
from gguf import GGML_QUANT_VERSION, GGMLQuantizationType, GGUFWriter, LlamaFileType
from gguf.quants import dequantize, quantize

from vocabulary import Vocabulary, byte_level_bpe

Array = np.ndarray
Shape = tuple[int, ...]  # as numpy has it: [outputs, inputs] for a matrix
Shapes = dict[str, Shape]
Value = bool | int | float | list[int] | list[bool]

DEFAULT_OUT = Path(__file__).resolve().parent.parent / "testdata" / "architectures"
N_LAYER, N_EMBD, N_HEAD, N_HEAD_KV, HEAD_DIM, N_FFN = 3, 32, 4, 1, 8, 16
N_KV = N_HEAD_KV * HEAD_DIM
N_EXPERT, N_EXPERT_USED, N_FFN_EXPERT = 4, 2, 8
LORA_RANK, ROPE_DIM = 16, 4  # of latent attention
D_CONV, D_INNER, D_STATE, DT_RANK = 4, 2 * N_EMBD, 16, 2  # of mamba
RWKV_HEAD, RWKV_RANK = 64, 4  # heads cannot be smaller: llama.cpp's kernel takes 64 numbers at once
N_ALTUP, D_ALTUP, LAUREL_RANK = 4, 256, 64  # of gemma3n, where llama.cpp knows no other
D_PER_LAYER = 8  # of gemma4
DELTA_HEADS, DELTA_DIM = 2, 16  # of qwen35
EXIT_TOKEN = 5
EPS = 1e-5
VOCABULARY = byte_level_bpe(4, b"")
# Chameleon bars the tokens 4..8195, which stand for pieces of images.
CHAMELEON_VOCABULARY = replace(byte_level_bpe(8100, b""), merges=VOCABULARY.merges)

F32, Q8_0, Q4_0 = GGMLQuantizationType.F32, GGMLQuantizationType.Q8_0, GGMLQuantizationType.Q4_0
FILE_TYPES = {Q8_0: LlamaFileType.MOSTLY_Q8_0, Q4_0: LlamaFileType.MOSTLY_Q4_0}


@dataclass(frozen=True)
class Recipe:
    """One architecture. `embed` and `head` work on one column, in float64, with the model's tensors by name."""

    block: Callable[[int], Shapes]  # the tensors of block n, without `blk.n.`
    keys: dict[str, Value]  # metadata, without `ARCH.`
    extra: Shapes = field(default_factory=dict)  # tensors outside of blocks but for the embedding
    n_layer: int = N_LAYER
    width: int = N_EMBD
    blocks: GGMLQuantizationType = Q8_0  # of matrices, where the number of inputs permits
    others: GGMLQuantizationType = F32  # of embedding and head
    vocabulary: Vocabulary = VOCABULARY
    embed: Callable[[dict[str, Array], Array], Array] | None = lambda tensors, row: row
    head: Callable[[dict[str, Array], Array], Array] = lambda tensors, state: output_matrix(tensors) @ state


# --- blocks --------------------------------------------------------------------------------------------------------


def norms(*names: str, bias: bool = False, width: int = N_EMBD) -> Shapes:
    """Norms of one width, with or without bias."""
    kinds = ("weight", "bias") if bias else ("weight",)
    return {f"{name}.{kind}": (width,) for name in names for kind in kinds}


def biased(shapes: Shapes) -> Shapes:
    """The same matrices and a bias for each."""
    return shapes | {name.replace(".weight", ".bias"): (shape[0],) for name, shape in shapes.items()}


def attention(n_kv: int = N_KV) -> Shapes:
    """The four matrices of grouped-query attention."""
    return {
        "attn_q.weight": (N_EMBD, N_EMBD),
        "attn_k.weight": (n_kv, N_EMBD),
        "attn_v.weight": (n_kv, N_EMBD),
        "attn_output.weight": (N_EMBD, N_EMBD),
    }


def fused_attention() -> Shapes:
    """The same with queries, keys and values in one matrix."""
    return {"attn_qkv.weight": (N_EMBD + 2 * N_KV, N_EMBD), "attn_output.weight": (N_EMBD, N_EMBD)}


def qk_norms() -> Shapes:
    """Norms of single heads."""
    return norms("attn_q_norm", "attn_k_norm", width=HEAD_DIM)


def plain_ffn() -> Shapes:
    """A feed-forward network without gate."""
    return {"ffn_up.weight": (N_FFN, N_EMBD), "ffn_down.weight": (N_EMBD, N_FFN)}


def gated_ffn() -> Shapes:
    """A feed-forward network with gate."""
    return {"ffn_gate.weight": (N_FFN, N_EMBD)} | plain_ffn()


def fused_gate_ffn() -> Shapes:
    """A feed-forward network with the gate in the upper half of `ffn_up`."""
    return {"ffn_up.weight": (2 * N_FFN, N_EMBD), "ffn_down.weight": (N_EMBD, N_FFN)}


def experts() -> Shapes:
    """A router and gated experts."""
    return {
        "ffn_gate_inp.weight": (N_EXPERT, N_EMBD),
        "ffn_gate_exps.weight": (N_EXPERT, N_FFN_EXPERT, N_EMBD),
        "ffn_up_exps.weight": (N_EXPERT, N_FFN_EXPERT, N_EMBD),
        "ffn_down_exps.weight": (N_EXPERT, N_EMBD, N_FFN_EXPERT),
    }


def llama_block(_: int) -> Shapes:
    """Norm, attention, norm, gated network: the same tensors serve many."""
    return norms("attn_norm", "ffn_norm") | attention() | gated_ffn()


def qwen2_block(n: int) -> Shapes:
    """Llama's with biases of q, k and v."""
    return llama_block(n) | {"attn_q.bias": (N_EMBD,), "attn_k.bias": (N_KV,), "attn_v.bias": (N_KV,)}


def qwen3moe_block(_: int) -> Shapes:
    """Norms of heads, and experts."""
    return norms("attn_norm", "ffn_norm") | attention() | qk_norms() | experts()


def olmo2_block(_: int) -> Shapes:
    """No norm before attention or network, but after both; q and k are normed as a whole."""
    whole = norms("attn_q_norm") | norms("attn_k_norm", width=N_KV)
    return attention() | whole | norms("post_attention_norm", "post_ffw_norm") | gated_ffn()


def gemma3_block(n: int) -> Shapes:
    """Norms before and after attention and network, and of heads."""
    return llama_block(n) | norms("post_attention_norm", "post_ffw_norm") | qk_norms()


def gemma4_block(n: int) -> Shapes:
    """Gemma3's, with an embedding for each block and a factor behind all; block 2 shares block 1's keys and values."""
    shapes = gemma3_block(n) | {
        **norms("post_norm"),
        "inp_gate.weight": (D_PER_LAYER, N_EMBD),
        "proj.weight": (N_EMBD, D_PER_LAYER),
        "layer_output_scale.weight": (1,),
    }
    shared = ("attn_k", "attn_v") if n == 2 else ()
    return {name: shape for name, shape in shapes.items() if not name.startswith(shared)}


def glm4_block(_: int) -> Shapes:
    """The same without norms of heads, the gate fused."""
    around = norms("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm")
    return around | attention() | fused_gate_ffn()


def plamo3_block(_: int) -> Shapes:
    """The same with norms of heads, all fused."""
    after = {"post_attention_norm": (N_EMBD,), "post_ffw_norm": (N_EMBD,)}  # sic
    return norms("attn_norm", "ffn_norm") | after | fused_attention() | qk_norms() | fused_gate_ffn()


def phi2_block(_: int) -> Shapes:
    """One norm for attention and network side by side, biases everywhere."""
    return norms("attn_norm", bias=True) | biased(attention() | plain_ffn())


def phi3_block(_: int) -> Shapes:
    """Llama's with fused q, k, v and fused gate."""
    return norms("attn_norm", "ffn_norm") | fused_attention() | fused_gate_ffn()


def bloom_block(_: int) -> Shapes:
    """Layer norms, biases everywhere, fused q, k, v with as many heads each."""
    fused = {"attn_qkv.weight": (3 * N_EMBD, N_EMBD), "attn_output.weight": (N_EMBD, N_EMBD)}
    return norms("attn_norm", "ffn_norm", bias=True) | biased(fused | plain_ffn())


def starcoder2_block(_: int) -> Shapes:
    """Layer norms, biases everywhere."""
    return norms("attn_norm", "ffn_norm", bias=True) | biased(attention() | plain_ffn())


def stablelm_block(_: int) -> Shapes:
    """Llama's with layer norms."""
    return norms("attn_norm", "ffn_norm", bias=True) | attention() | gated_ffn()


def falcon_block(_: int) -> Shapes:
    """Attention and network side by side, each with a norm of its own."""
    return norms("attn_norm", "attn_norm_2", bias=True) | fused_attention() | plain_ffn()


def command_r_block(_: int) -> Shapes:
    """One norm for attention and network side by side."""
    return norms("attn_norm") | attention() | gated_ffn()


def gpt_oss_block(_: int) -> Shapes:
    """Attention sinks, and experts with biases."""
    expert_biases = {name.replace(".weight", ".bias"): shape[:-1] for name, shape in experts().items()}
    sinks = {"attn_sinks.weight": (N_HEAD,)}
    return norms("attn_norm", "post_attention_norm") | biased(attention()) | sinks | experts() | expert_biases


def latent_attention() -> Shapes:
    """What minicpm3 and deepseek2 share: queries, keys and values through a narrow middle."""
    return {
        **norms("attn_norm", "ffn_norm"),
        **norms("attn_q_a_norm", "attn_kv_a_norm", width=LORA_RANK),
        "attn_q_a.weight": (LORA_RANK, N_EMBD),
        "attn_q_b.weight": (N_HEAD * (HEAD_DIM + ROPE_DIM), LORA_RANK),
        "attn_kv_a_mqa.weight": (LORA_RANK + ROPE_DIM, N_EMBD),
        "attn_output.weight": (N_EMBD, N_HEAD * HEAD_DIM),
    }


def minicpm3_block(_: int) -> Shapes:
    """Latent attention and a gated network."""
    return latent_attention() | {"attn_kv_b.weight": (N_HEAD * 2 * HEAD_DIM, LORA_RANK)} | gated_ffn()


def deepseek2_block(n: int) -> Shapes:
    """Latent attention with split K and V; block 0 is dense, the others have experts and a shared one."""
    split = {"attn_k_b.weight": (N_HEAD, LORA_RANK, HEAD_DIM), "attn_v_b.weight": (N_HEAD, HEAD_DIM, LORA_RANK)}
    shared = {
        "ffn_gate_shexp.weight": (N_FFN_EXPERT, N_EMBD),
        "ffn_up_shexp.weight": (N_FFN_EXPERT, N_EMBD),
        "ffn_down_shexp.weight": (N_EMBD, N_FFN_EXPERT),
    }
    return latent_attention() | split | (gated_ffn() if n == 0 else experts() | shared)


def mamba_block(_: int) -> Shapes:
    """A selective state space."""
    return {
        **norms("attn_norm"),
        "ssm_in.weight": (2 * D_INNER, N_EMBD),
        "ssm_conv1d.weight": (D_INNER, D_CONV),
        "ssm_conv1d.bias": (D_INNER,),
        "ssm_x.weight": (DT_RANK + 2 * D_STATE, D_INNER),
        "ssm_dt.weight": (D_INNER, DT_RANK),
        "ssm_dt.bias": (D_INNER,),
        "ssm_a": (D_INNER, D_STATE),
        "ssm_d": (D_INNER,),
        "ssm_out.weight": (N_EMBD, D_INNER),
    }


def jamba_block(n: int) -> Shapes:
    """Block 1 is attention, the others state spaces; each is followed by a gated network."""
    inner = norms("ssm_dt_norm", width=DT_RANK) | norms("ssm_b_norm", "ssm_c_norm", width=D_STATE)
    mixer = attention() if n == 1 else mamba_block(n) | inner
    return norms("attn_norm", "ffn_norm") | mixer | gated_ffn()


def falcon_h1_block(_: int) -> Shapes:
    """Attention and a state space side by side in every block."""
    inner, conv = N_EMBD // 2, N_EMBD // 2 + 2 * HEAD_DIM  # one group, states of HEAD_DIM
    return (
        norms("attn_norm")
        | attention()
        | gated_ffn()
        | {
            "ffn_norm": (N_EMBD,),  # sic
            "ssm_in.weight": (inner + conv + N_HEAD, N_EMBD),
            "ssm_conv1d.weight": (conv, D_CONV),
            "ssm_conv1d.bias": (conv,),
            "ssm_dt.bias": (N_HEAD,),
            "ssm_a": (N_HEAD, 1),
            "ssm_d": (N_HEAD, 1),
            "ssm_norm.weight": (1, inner),
            "ssm_out.weight": (N_EMBD, inner),
        }
    )


def lfm2_block(n: int) -> Shapes:
    """Block 1 is attention, the others short convolutions."""
    convolution = {
        "shortconv.conv.weight": (N_EMBD, 3),
        "shortconv.in_proj.weight": (3 * N_EMBD, N_EMBD),
        "shortconv.out_proj.weight": (N_EMBD, N_EMBD),
    }
    mixer = attention() | qk_norms() if n == 1 else convolution
    return norms("attn_norm", "ffn_norm") | mixer | gated_ffn()


def qwen35_block(n: int) -> Shapes:
    """Block 1 is gated attention, the others gated delta nets."""
    width = DELTA_HEADS * DELTA_DIM
    conv = width + 2 * DELTA_DIM  # keys and queries have one head
    delta = {
        "attn_qkv.weight": (conv, N_EMBD),
        "attn_gate.weight": (width, N_EMBD),
        "ssm_conv1d.weight": (conv, D_CONV),
        "ssm_dt.bias": (DELTA_HEADS,),
        "ssm_a": (DELTA_HEADS,),
        "ssm_beta.weight": (DELTA_HEADS, N_EMBD),
        "ssm_alpha.weight": (DELTA_HEADS, N_EMBD),
        "ssm_norm.weight": (DELTA_DIM,),
        "ssm_out.weight": (N_EMBD, width),
    }
    gated = attention() | {"attn_q.weight": (2 * N_EMBD, N_EMBD)} | qk_norms()
    return norms("attn_norm", "post_attention_norm") | (gated if n == 1 else delta) | gated_ffn()


def rwkv7_block(_: int) -> Shapes:
    """Time mix and channel mix, of one head."""
    width, rank = RWKV_HEAD, RWKV_RANK
    vectors = ("w0", "a0", "v0", "k_k", "k_a", "r_k")
    matrices = ("key", "value", "receptance", "output")
    return {
        **norms("attn_norm", "attn_norm_2", "time_mix_ln", bias=True, width=width),
        **{f"time_mix_{name}.weight": (width,) for name in vectors},
        **{f"time_mix_{name}1.weight": (rank, width) for name in "wavg"},
        **{f"time_mix_{name}2.weight": (width, rank) for name in "wavg"},
        **{f"time_mix_{name}.weight": (width, width) for name in matrices},
        "time_mix_lerp_fused.weight": (6, 1, 1, width),
        "channel_mix_lerp_k.weight": (1, 1, width),
        "channel_mix_key.weight": (N_FFN, width),
        "channel_mix_value.weight": (width, N_FFN),
    }


def gemma3n_block(n: int) -> Shapes:
    """Gemma3's around four streams at once, with an embedding for each block."""
    return gemma3_block(n) | {
        **norms("altup_router_norm", "altup_correct_scale", "laurel_post_norm", "post_norm"),
        "altup_correct_coef.weight": (N_ALTUP, N_ALTUP),
        "altup_predict_coef.weight": (N_ALTUP * N_ALTUP, N_ALTUP),
        "altup_router.weight": (N_ALTUP, N_EMBD),
        "inp_gate.weight": (D_ALTUP, N_EMBD),
        "proj.weight": (N_EMBD, D_ALTUP),
        "laurel_l.weight": (LAUREL_RANK, N_EMBD),
        "laurel_r.weight": (N_EMBD, LAUREL_RANK),
    }


def chameleon_block(n: int) -> Shapes:
    """Llama's with a norm for each head."""
    return llama_block(n) | {"attn_q_norm.weight": (N_HEAD, HEAD_DIM), "attn_k_norm.weight": (N_HEAD_KV, HEAD_DIM)}


def bert_block(_: int) -> Shapes:
    """An encoder's: norms behind attention and network, biases everywhere."""
    after = norms("attn_output_norm", "layer_output_norm", bias=True)
    return after | biased(attention(N_EMBD) | plain_ffn())


def t5_block() -> Shapes:
    """The one block of encoder and decoder, with full names."""
    own = {f"attn_{name}.weight": (N_EMBD, N_EMBD) for name in "qkvo"} | {"attn_rel_b.weight": (8, N_HEAD)}
    cross = {f"cross_attn_{name}.weight": (N_EMBD, N_EMBD) for name in "qkvo"} | norms("cross_attn_norm")
    encoder = norms("attn_norm", "ffn_norm") | own | plain_ffn()
    return {f"enc.blk.0.{name}": shape for name, shape in encoder.items()} | {
        f"dec.blk.0.{name}": shape for name, shape in (encoder | cross).items()
    }


# --- embeddings and heads ------------------------------------------------------------------------------------------


def output_matrix(tensors: dict[str, Array]) -> Array:
    """The head's matrix [V, D]."""
    return tensors.get("output.weight", tensors["token_embd.weight"])


def scaled_embedding(factor: float) -> Callable[[dict[str, Array], Array], Array]:
    """An embedding times a number."""
    return lambda tensors, row: factor * row


def normed_embedding(tensors: dict[str, Array], row: Array) -> Array:
    """An embedding behind a layer norm, as bloom and rwkv7 have it."""
    standard = (row - row.mean()) / np.sqrt(row.var() + EPS)
    return standard * tensors["token_embd_norm.weight"] + tensors["token_embd_norm.bias"]


def capped_head(cap: float) -> Callable[[dict[str, Array], Array], Array]:
    """A head with a softcap."""
    return lambda tensors, state: cap * np.tanh(output_matrix(tensors) @ state / cap)


def biased_head(tensors: dict[str, Array], state: Array) -> Array:
    """A head with an output bias."""
    return output_matrix(tensors) @ state + tensors["output.bias"]


def scaled_head(factor: float) -> Callable[[dict[str, Array], Array], Array]:
    """A head times a number."""
    return lambda tensors, state: factor * (output_matrix(tensors) @ state)


# --- recipes -------------------------------------------------------------------------------------------------------

FINAL_NORM = norms("output_norm")
FINAL_LAYER_NORM = norms("output_norm", bias=True)
EMBEDDING_NORM = norms("token_embd_norm", bias=True)
OWN_HEAD: Shapes = {"output.weight": (len(VOCABULARY), N_EMBD)}
OUTPUT_BIAS: Shapes = {"output.bias": (len(VOCABULARY),)}

COMMON = {
    "context_length": 128,
    "embedding_length": N_EMBD,
    "feed_forward_length": N_FFN,
    "attention.head_count": N_HEAD,
    "attention.head_count_kv": N_HEAD_KV,
}
RMS = COMMON | {"attention.layer_norm_rms_epsilon": EPS}
LAYER_NORM = COMMON | {"attention.layer_norm_epsilon": EPS}
HEAD_SIZES = {"attention.key_length": HEAD_DIM, "attention.value_length": HEAD_DIM}
ROTARY = RMS | HEAD_SIZES | {"rope.dimension_count": HEAD_DIM}
EXPERTS = {
    "expert_count": N_EXPERT,
    "expert_used_count": N_EXPERT_USED,
    "expert_feed_forward_length": N_FFN_EXPERT,
}
MAMBA = {
    "ssm.conv_kernel": D_CONV,
    "ssm.inner_size": D_INNER,
    "ssm.state_size": D_STATE,
    "ssm.time_step_rank": DT_RANK,
}
LATENT = {"attention.q_lora_rank": LORA_RANK, "attention.kv_lora_rank": LORA_RANK, "rope.dimension_count": ROPE_DIM}

RECIPES = {
    "qwen2": Recipe(qwen2_block, RMS, FINAL_NORM | OUTPUT_BIAS, head=biased_head),
    "olmo2": Recipe(olmo2_block, RMS, FINAL_NORM | OWN_HEAD),
    "gemma3": Recipe(
        gemma3_block,
        ROTARY | {"attention.sliding_window": 4},
        FINAL_NORM,
        embed=scaled_embedding(N_EMBD**0.5),
    ),
    "phi2": Recipe(
        phi2_block,
        LAYER_NORM | {"rope.dimension_count": 4},
        FINAL_LAYER_NORM | OWN_HEAD | OUTPUT_BIAS,
        others=Q8_0,
        head=biased_head,
    ),
    "phi3": Recipe(phi3_block, ROTARY, FINAL_NORM | OWN_HEAD),
    "bloom": Recipe(
        bloom_block,
        LAYER_NORM | {"attention.head_count_kv": N_HEAD},
        EMBEDDING_NORM | FINAL_LAYER_NORM,
        embed=normed_embedding,
    ),
    "starcoder2": Recipe(starcoder2_block, LAYER_NORM, FINAL_LAYER_NORM),
    "stablelm": Recipe(
        stablelm_block,
        LAYER_NORM | {"rope.dimension_count": 4, "use_parallel_residual": False},
        FINAL_LAYER_NORM | OWN_HEAD,
    ),
    "falcon": Recipe(falcon_block, LAYER_NORM, FINAL_LAYER_NORM),
    "gpt-oss": Recipe(
        gpt_oss_block,
        ROTARY | EXPERTS | {"attention.sliding_window": 4},
        FINAL_NORM | OWN_HEAD,
    ),
    "qwen3moe": Recipe(qwen3moe_block, ROTARY | EXPERTS, FINAL_NORM | OWN_HEAD, others=Q8_0),
    "granite": Recipe(
        llama_block,
        ROTARY | {"embedding_scale": 3.0, "residual_scale": 0.5, "logit_scale": 4.0, "attention.scale": 0.25},
        FINAL_NORM,
        embed=scaled_embedding(3.0),
        head=scaled_head(1 / 4.0),
    ),
    "command-r": Recipe(command_r_block, LAYER_NORM | {"logit_scale": 0.25}, FINAL_NORM, head=scaled_head(0.25)),
    "cohere2": Recipe(
        command_r_block,
        LAYER_NORM | HEAD_SIZES | {"attention.sliding_window": 4, "logit_scale": 0.5, "rope.dimension_count": 8},
        FINAL_NORM,
        head=scaled_head(0.5),
    ),
    "minicpm3": Recipe(
        minicpm3_block,
        RMS
        | LATENT
        | {
            "attention.head_count_kv": N_HEAD,
            "attention.key_length": HEAD_DIM + ROPE_DIM,
            "attention.value_length": HEAD_DIM,
        },
        FINAL_NORM,
        embed=scaled_embedding(12.0),
        head=scaled_head(256 / N_EMBD),
    ),
    "minicpm": Recipe(
        llama_block,
        ROTARY,
        FINAL_NORM,
        blocks=Q4_0,
        others=Q4_0,
        embed=scaled_embedding(12.0),
        head=scaled_head(N_EMBD / 256),
    ),
    "gemma": Recipe(llama_block, ROTARY, FINAL_NORM, embed=scaled_embedding(N_EMBD**0.5)),
    "glm4": Recipe(glm4_block, ROTARY, FINAL_NORM | OWN_HEAD),
    "deepseek2": Recipe(
        deepseek2_block,
        RMS
        | LATENT
        | EXPERTS
        | {
            "attention.key_length": LORA_RANK + ROPE_DIM,
            "attention.value_length": LORA_RANK,
            "attention.key_length_mla": HEAD_DIM + ROPE_DIM,
            "attention.value_length_mla": HEAD_DIM,
            "leading_dense_block_count": 1,
            "expert_shared_count": 1,
        },
        FINAL_NORM | OWN_HEAD,
    ),
    # Converters write that there are 0 heads where there is no attention.
    "mamba": Recipe(
        mamba_block,
        {
            "context_length": 128,
            "embedding_length": N_EMBD,
            "feed_forward_length": 0,
            "attention.head_count": 0,
            "attention.layer_norm_rms_epsilon": EPS,
        }
        | MAMBA,
        FINAL_NORM,
    ),
    "jamba": Recipe(jamba_block, RMS | MAMBA | {"attention.head_count_kv": [0, N_HEAD_KV, 0]}, FINAL_NORM),
    "falcon-h1": Recipe(
        falcon_h1_block,
        ROTARY
        | {
            "ssm.conv_kernel": D_CONV,
            "ssm.inner_size": N_EMBD // 2,
            "ssm.state_size": HEAD_DIM,
            "ssm.time_step_rank": N_HEAD,
            "ssm.group_count": 1,
        },
        FINAL_NORM,
    ),
    # The final norm goes by the name of an embedding norm.
    "lfm2": Recipe(
        lfm2_block,
        RMS | {"attention.head_count_kv": [0, N_HEAD_KV, 0], "shortconv.l_cache": 3},
        norms("token_embd_norm"),
    ),
    "rwkv7": Recipe(
        rwkv7_block,
        {
            "context_length": 128,
            "embedding_length": RWKV_HEAD,
            "feed_forward_length": N_FFN,
            "attention.head_count": 0,
            "attention.layer_norm_epsilon": EPS,
            "wkv.head_size": RWKV_HEAD,
            "token_shift_count": 2,
        }
        | {f"attention.{name}_lora_rank": RWKV_RANK for name in ("decay", "iclr", "value_residual_mix", "gate")},
        norms("token_embd_norm", "output_norm", bias=True, width=RWKV_HEAD)
        | {"output.weight": (len(VOCABULARY), RWKV_HEAD)},
        n_layer=2,
        width=RWKV_HEAD,
        embed=normed_embedding,
    ),
    "gemma4": Recipe(
        gemma4_block,
        ROTARY
        | {
            "attention.sliding_window": 4,
            "attention.sliding_window_pattern": [True, False, False],
            "attention.key_length_swa": HEAD_DIM,
            "attention.value_length_swa": HEAD_DIM,
            "attention.shared_kv_layers": 1,
            "embedding_length_per_layer_input": D_PER_LAYER,
            "final_logit_softcapping": 15.0,
        },
        FINAL_NORM
        | {
            "per_layer_token_embd.weight": (len(VOCABULARY), N_LAYER * D_PER_LAYER),
            "per_layer_model_proj.weight": (N_LAYER * D_PER_LAYER, N_EMBD),
            "per_layer_proj_norm.weight": (D_PER_LAYER,),
            "rope_freqs.weight": (HEAD_DIM // 2,),
        },
        others=Q8_0,
        embed=scaled_embedding(N_EMBD**0.5),
        head=capped_head(15.0),
    ),
    "qwen35": Recipe(
        qwen35_block,
        ROTARY
        | {
            "rope.dimension_sections": [2, 1, 1, 0],
            "ssm.conv_kernel": D_CONV,
            "ssm.inner_size": DELTA_HEADS * DELTA_DIM,
            "ssm.state_size": DELTA_DIM,
            "ssm.time_step_rank": DELTA_HEADS,
            "ssm.group_count": 1,
            "full_attention_interval": 2,
        },
        FINAL_NORM,
    ),
    # Models without exits from here on.
    "gemma3n": Recipe(
        gemma3n_block,
        ROTARY | {"attention.sliding_window": 4},
        FINAL_NORM
        | {
            "altup_proj.weight": (N_ALTUP - 1, N_EMBD, N_EMBD),
            "altup_unembd_proj.weight": (N_ALTUP - 1, N_EMBD, N_EMBD),
            "per_layer_token_embd.weight": (len(VOCABULARY), 2 * D_ALTUP),
            "per_layer_model_proj.weight": (2 * D_ALTUP, N_EMBD),
            "per_layer_proj_norm.weight": (D_ALTUP,),
        },
        n_layer=2,
        blocks=Q4_0,
        others=Q4_0,
        embed=None,
    ),
    "plamo3": Recipe(plamo3_block, ROTARY, FINAL_NORM, embed=None),
    "chameleon": Recipe(chameleon_block, RMS, FINAL_NORM, others=Q4_0, vocabulary=CHAMELEON_VOCABULARY, embed=None),
    "bert": Recipe(
        bert_block,
        LAYER_NORM | {"attention.head_count_kv": N_HEAD, "attention.causal": False, "pooling_type": 1},
        EMBEDDING_NORM | {"token_types.weight": (2, N_EMBD), "position_embd.weight": (128, N_EMBD)},
        n_layer=1,
        embed=None,
    ),
    "t5": Recipe(
        lambda _: {},
        RMS | {"attention.head_count_kv": N_HEAD, "attention.relative_buckets_count": 8, "decoder_start_token_id": 0},
        t5_block() | norms("enc.output_norm", "dec.output_norm") | OWN_HEAD,
        n_layer=1,
        embed=None,
    ),
}


# --- files ---------------------------------------------------------------------------------------------------------


def draw(rng: np.random.Generator, name: str, shape: Shape) -> Array:
    """Weights of a tensor, float32, so that hidden states keep their size and exits disagree."""
    if name.endswith("ssm_a"):
        weights = -rng.uniform(0.5, 4.0, shape)
    elif name.endswith(".bias"):
        weights = rng.normal(0.0, 0.15, shape)
    elif "norm" in name or name.endswith(("time_mix_ln.weight", "ssm_d", "scale.weight", "rope_freqs.weight")):
        weights = rng.normal(1.0, 0.25, shape)
    elif "lerp" in name:
        weights = rng.uniform(0.0, 1.0, shape)
    elif name == "token_embd.weight" or len(shape) == 1:
        weights = rng.normal(0.0, 0.4, shape)
    else:
        weights = rng.normal(0.0, 1.2 / np.sqrt(shape[-1]), shape)
    return weights.astype(np.float32)


def tensor_shapes(recipe: Recipe) -> Shapes:
    """Every tensor under llama.cpp's name."""
    shapes: Shapes = {"token_embd.weight": (len(recipe.vocabulary), recipe.width)}
    for layer in range(recipe.n_layer):
        shapes |= {f"blk.{layer}.{name}": shape for name, shape in recipe.block(layer).items()}
    return shapes | recipe.extra


def kind_of(recipe: Recipe, name: str, shape: Shape) -> GGMLQuantizationType:
    """How a tensor is stored. Only matrices can be quantised, and only whole blocks of 32 inputs."""
    is_matrix = len(shape) > 1 and "lerp" not in name and not name.endswith(".bias")
    kind = recipe.blocks if "blk." in name else recipe.others
    return kind if is_matrix and shape[-1] % 32 == 0 else F32


def add_key(writer: GGUFWriter, key: str, value: Value) -> None:
    """Writes one metadata key by its value's type."""
    match value:
        case bool():
            writer.add_bool(key, value)
        case int():
            writer.add_uint32(key, value)
        case float():
            writer.add_float32(key, value)
        case list():
            writer.add_array(key, value)


def exit_0(recipe: Recipe, tensors: dict[str, Array]) -> str:
    """Hidden state 0 of `EXIT_TOKEN` through the head, without the final norm: one number a token."""
    state = recipe.embed(tensors, tensors["token_embd.weight"][EXIT_TOKEN])
    return " ".join(f"{logit:.7g}" for logit in recipe.head(tensors, state))


def write_gguf(path: Path, arch: str) -> None:
    """Draws the model's weights, seeded by its name, and writes the file."""
    recipe, rng = RECIPES[arch], np.random.default_rng(crc32(arch.encode()))
    writer = GGUFWriter(path, arch)
    writer.add_name("luge tiny")
    writer.add_file_type(FILE_TYPES[recipe.blocks])
    writer.add_quantization_version(GGML_QUANT_VERSION)
    writer.add_block_count(recipe.n_layer)
    for key, value in recipe.keys.items():
        add_key(writer, f"{arch}.{key}", value)
    recipe.vocabulary.write(writer)
    if arch == "bert":
        writer.add_token_type_count(2)
    tensors = {}
    for name, shape in tensor_shapes(recipe).items():
        kind = kind_of(recipe, name, shape)
        stored = quantize(draw(rng, name, shape), kind)
        writer.add_tensor(name, stored, raw_dtype=kind)
        tensors[name] = dequantize(stored, kind).astype(np.float64)
    if recipe.embed:
        writer.add_string("luge.exit_0", exit_0(recipe, tensors))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="architectures [all]")
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT, metavar="DIR")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(RECIPES)
    if unknown:
        parser.error(f"no recipe for {', '.join(sorted(unknown))}")
    arguments.out.mkdir(parents=True, exist_ok=True)
    for arch in arguments.names or RECIPES:
        path = arguments.out / f"{arch}.gguf"
        write_gguf(path, arch)
        print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
