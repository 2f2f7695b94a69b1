"""Writes a GGUF file of a known model's shape with random weights, for benchmarks where only the speed counts.

    python tools/random_model.py --shape llama-1b --type q8_0 --out llama-1b.gguf

Norms are one and matrices uniform with variance 1 / inputs, so that hidden states keep their size. The vocabulary is
a dummy of the right length. The same arguments give the same file.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from gguf import GGML_QUANT_VERSION, GGMLQuantizationType, GGUFWriter, LlamaFileType
from gguf.quants import quant_shape_to_byte_shape, quantize

from vocabulary import byte_level_bpe

CHUNK = 1 << 22  # weights drawn and quantised at a time
LONE_BYTES = bytes([*range(0x0A), *range(0x0B, 0x20), *range(0x7F, 0x100)])  # all but newline and printable ASCII


@dataclass(frozen=True)
class Shape:
    """A llama-architecture model with a tied head."""

    n_layer: int
    n_embd: int
    n_head: int
    n_head_kv: int
    n_ffn: int
    n_vocab: int
    rope_base: float


SHAPES = {
    "llama-1b": Shape(16, 2048, 32, 8, 8192, 128256, 500000.0),  # Llama-3.2-1B
    "smollm-135m": Shape(30, 576, 9, 3, 1536, 49152, 10000.0),  # SmolLM-135M
    "qwen-0.5b": Shape(24, 896, 14, 2, 4864, 151936, 1000000.0),  # Qwen2.5-0.5B, without its biases
}
TYPES = {
    "f32": (GGMLQuantizationType.F32, LlamaFileType.ALL_F32),
    "f16": (GGMLQuantizationType.F16, LlamaFileType.MOSTLY_F16),
    "q8_0": (GGMLQuantizationType.Q8_0, LlamaFileType.MOSTLY_Q8_0),
    "q4_0": (GGMLQuantizationType.Q4_0, LlamaFileType.MOSTLY_Q4_0),
}


def tensor_shapes(shape: Shape) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Every tensor's name and shape: [outputs, inputs] for a matrix, [n_embd] for a norm."""
    kv = shape.n_embd // shape.n_head * shape.n_head_kv
    yield "token_embd.weight", (shape.n_vocab, shape.n_embd)
    for layer in range(shape.n_layer):
        block = f"blk.{layer}"
        yield f"{block}.attn_norm.weight", (shape.n_embd,)
        yield f"{block}.attn_q.weight", (shape.n_embd, shape.n_embd)
        yield f"{block}.attn_k.weight", (kv, shape.n_embd)
        yield f"{block}.attn_v.weight", (kv, shape.n_embd)
        yield f"{block}.attn_output.weight", (shape.n_embd, shape.n_embd)
        yield f"{block}.ffn_norm.weight", (shape.n_embd,)
        yield f"{block}.ffn_gate.weight", (shape.n_ffn, shape.n_embd)
        yield f"{block}.ffn_up.weight", (shape.n_ffn, shape.n_embd)
        yield f"{block}.ffn_down.weight", (shape.n_embd, shape.n_ffn)
    yield "output_norm.weight", (shape.n_embd,)


def random_matrix(rng: np.random.Generator, n_out: int, n_in: int, kind: GGMLQuantizationType) -> np.ndarray:
    """Matrix [n_out, n_in] in `kind`'s layout (bytes where quantised), made a few rows at a time to save memory."""
    limit = np.float32(np.sqrt(3 / n_in))
    rows = max(1, CHUNK // n_in)
    chunks = []
    for first in range(0, n_out, rows):
        weights = rng.random((min(rows, n_out - first), n_in), dtype=np.float32)
        chunks.append(quantize((2 * weights - 1) * limit, kind))
    return np.concatenate(chunks)


def add_tensor_infos(writer: GGUFWriter, shape: Shape, kind: GGMLQuantizationType) -> None:
    """Announces every tensor; the data follow in the same order."""
    for name, dims in tensor_shapes(shape):
        if len(dims) == 1:
            writer.add_tensor_info(name, dims, np.dtype(np.float32), 4 * dims[0])
            continue
        dtype = {GGMLQuantizationType.F32: np.float32, GGMLQuantizationType.F16: np.float16}.get(kind, np.uint8)
        stored = quant_shape_to_byte_shape(dims, kind) if dtype == np.uint8 else dims
        n_bytes = int(np.prod(stored)) * np.dtype(dtype).itemsize
        writer.add_tensor_info(name, stored, np.dtype(dtype), n_bytes, raw_dtype=kind)


def write(path: Path, name: str, type_name: str, seed: int) -> None:
    """Writes the model of shape `name`, tensor by tensor."""
    shape, (kind, file_type) = SHAPES[name], TYPES[type_name]
    writer = GGUFWriter(path, "llama")
    writer.add_name(f"luge random {name}")
    writer.add_file_type(file_type)
    writer.add_quantization_version(GGML_QUANT_VERSION)
    writer.add_block_count(shape.n_layer)
    writer.add_context_length(8192)
    writer.add_embedding_length(shape.n_embd)
    writer.add_feed_forward_length(shape.n_ffn)
    writer.add_head_count(shape.n_head)
    writer.add_head_count_kv(shape.n_head_kv)
    writer.add_rope_dimension_count(shape.n_embd // shape.n_head)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_layer_norm_rms_eps(1e-5)
    n_other = len(byte_level_bpe(0, LONE_BYTES))
    byte_level_bpe(shape.n_vocab - n_other, LONE_BYTES).write(writer)
    add_tensor_infos(writer, shape, kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    rng = np.random.default_rng(seed)
    for _, dims in tensor_shapes(shape):
        data = np.ones(dims, np.float32) if len(dims) == 1 else random_matrix(rng, *dims, kind)
        writer.write_tensor_data(data)
    writer.close()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, required=True)
    parser.add_argument("--type", choices=TYPES, default="q8_0", help="of the matrices; norms are f32 [q8_0]")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE")
    parser.add_argument("--seed", type=int, default=1, help="[1]")
    arguments = parser.parse_args()
    write(arguments.out, arguments.shape, arguments.type, arguments.seed)


if __name__ == "__main__":
    main()
