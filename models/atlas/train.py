#!/usr/bin/env python3
"""Trains atlas and writes it as a GGUF file.

    pip install -r requirements.txt
    python3 train.py atlas.gguf

The recipe: the corpus of corpus.py, a byte-level BPE of 4,096 entries trained on
it, and a decoder of Llama's kind (RMSNorm, rotary positions, SwiGLU, tied
embeddings). All seeds are fixed and the corpus is the same everywhere; weights
may differ with the processor and the number of threads. Writes beside the model
its checksum (MODEL.sha256) and what was seen in training (training.json).
"""

import argparse
import hashlib
import json
import math
import platform
import re
import time
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import gguf
import numpy as np
import torch
import torch.nn.functional as F
from gguf import GGMLQuantizationType as Type
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import nn

import corpus

END_OF_TEXT = "<|endoftext|>"
SPECIAL = [END_OF_TEXT, corpus.USER, corpus.ASSISTANT, corpus.END]

# How llama.cpp splits words for the pre-tokenizer it calls `qwen2`: digits stand
# alone, so that sums can be learned.
QWEN2_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

# A system message is left out: the model has seen none.
CHAT_TEMPLATE = (
    "{% for message in messages %}{% if message.role != 'system' %}"
    "{{ '<|' + message.role + '|>' + message.content + '<|end|>' }}"
    "{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


@dataclass(frozen=True)
class Config:
    """Everything that decides what comes out."""

    vocabulary: int = 4096
    blocks: int = 12
    width: int = 192
    heads: int = 3
    feed_forward: int = 512
    context: int = 512
    rope_base: float = 10_000.0
    epsilon: float = 1e-6

    seed: int = 1
    epochs: float = 2.25
    batch: int = 8  # windows of `context` tokens
    matrix_rate: float = 0.02  # Muon, for the blocks' matrices
    other_rate: float = 3e-3  # AdamW, for the embedding and the norms
    weight_decay: float = 0.05
    warm_up: float = 0.03  # parts of the training
    cool_down: float = 0.6


# ---------------------------------------------------------------- tokens


def train_tokenizer(texts: list[str], size: int) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN2_WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=SPECIAL,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    # The words alone: special tokens are taken out of a text before it is split.
    marks = re.compile("|".join(map(re.escape, SPECIAL)))
    tokenizer.train_from_iterator((marks.sub("\n", text) for text in texts), trainer)
    return tokenizer


def is_validation(text: str) -> bool:
    """A hundredth of the documents, by their text: training sees none of them."""
    return corpus.bucket(f"validation/{text}", 100) == 0


def encode(tokenizer: Tokenizer, texts: list[str]) -> list[np.ndarray]:
    """A document's ids, behind an end-of-text token."""
    end = tokenizer.token_to_id(END_OF_TEXT)
    return [
        np.array([end, *encoding.ids], dtype=np.int64) for encoding in tokenizer.encode_batch(texts)
    ]


def windows(documents: list[np.ndarray], order, length: int) -> torch.Tensor:
    """Documents one after the other, cut to [windows, length + 1] ids.

    A window begins with the beginning of a document; the rest of the one that
    does not fit is left out.
    """
    rows, row, room = [], [], length + 1
    for index in order:
        document = documents[index][:room]
        row.append(document)
        room -= len(document)
        if room == 0:
            rows.append(np.concatenate(row))
            row, room = [], length + 1
    return torch.from_numpy(np.stack(rows))


# ---------------------------------------------------------------- model


class Block(nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        width, hidden = config.width, config.feed_forward
        self.heads = config.heads
        self.attention_norm = nn.RMSNorm(width, config.epsilon)
        self.query_key_value = nn.Linear(width, 3 * width, bias=False)
        self.output = nn.Linear(width, width, bias=False)
        self.feed_forward_norm = nn.RMSNorm(width, config.epsilon)
        self.gate_up = nn.Linear(width, 2 * hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, hidden, turns):
        rows, length, width = hidden.shape
        projected = self.query_key_value(self.attention_norm(hidden))
        parts = projected.view(rows, length, 3, self.heads, -1)
        query, key = rotate(parts[:, :, :2], turns).unbind(2)
        mixed = F.scaled_dot_product_attention(
            query.transpose(1, 2),
            key.transpose(1, 2),
            parts[:, :, 2].transpose(1, 2),
            is_causal=True,
        )
        hidden = hidden + self.output(mixed.transpose(1, 2).reshape(rows, length, width))
        gate, up = self.gate_up(self.feed_forward_norm(hidden)).chunk(2, dim=-1)
        return hidden + self.down(F.silu(gate) * up)

    def matrices(self):
        """The matrices, in parts that each do one thing, by their names in a GGUF file."""
        query, key, value = self.query_key_value.weight.chunk(3)
        gate, up = self.gate_up.weight.chunk(2)
        return {
            "attn_q": query,
            "attn_k": key,
            "attn_v": value,
            "attn_output": self.output.weight,
            "ffn_gate": gate,
            "ffn_up": up,
            "ffn_down": self.down.weight,
        }


def rotate(vectors, turns):
    """Rotary positions: neighbours in a vector [.., length, 2, heads, size] are a pair."""
    pairs = torch.view_as_complex(vectors.float().unflatten(-1, (-1, 2)))
    turned = torch.view_as_real(pairs * turns[:, None, None, :])
    return turned.flatten(-2).to(vectors.dtype)


class Atlas(nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary, config.width)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.blocks))
        self.norm = nn.RMSNorm(config.width, config.epsilon)
        half = config.width // config.heads // 2
        rates = config.rope_base ** (-torch.arange(half) / half)
        angles = torch.outer(torch.arange(config.context), rates)
        turns = torch.polar(torch.ones_like(angles), angles)
        self.register_buffer("turns", turns, persistent=False)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                # What is added to the residual stream begins small.
                adds = name.endswith(("output.weight", "down.weight"))
                std = 0.02 / math.sqrt(2 * config.blocks) if adds else 0.02
                nn.init.normal_(parameter, std=std)

    def forward(self, ids):
        """Logits [rows, length, vocabulary] of ids [rows, length]."""
        hidden = self.embedding(ids)
        for block in self.blocks:
            hidden = block(hidden, self.turns[: ids.shape[1]])
        return F.linear(self.norm(hidden), self.embedding.weight)

    def loss(self, ids):
        """Mean negative log-likelihood, in nats a token."""
        with torch.autocast("cpu", torch.bfloat16):
            logits = self(ids[:, :-1])
        return F.cross_entropy(logits.float().flatten(0, 1), ids[:, 1:].flatten())


# ---------------------------------------------------------------- training


def rate_at(done: float, config: Config) -> float:
    """The learning rate's factor after a part `done` of the training."""
    warm = min(1.0, done / config.warm_up)
    cool = min(1.0, (1.0 - done) / config.cool_down)
    return min(warm, cool)


@torch.no_grad()
def validate(model: Atlas, held_out: torch.Tensor, batch: int) -> float:
    losses = [model.loss(rows).item() * len(rows) for rows in held_out.split(batch)]
    return sum(losses) / len(held_out)


def train(model: Atlas, documents, held_out, config: Config, limit: float | None):
    """Trains for `epochs` passes; returns what was seen on the way."""
    blocks = [parameter for parameter in model.blocks.parameters() if parameter.ndim == 2]
    others = [parameter for parameter in model.blocks.parameters() if parameter.ndim != 2]
    others += [model.embedding.weight, model.norm.weight]
    optimizers = [
        torch.optim.Muon(
            blocks, lr=config.matrix_rate, weight_decay=config.weight_decay, momentum=0.95
        ),
        torch.optim.AdamW(others, lr=config.other_rate, betas=(0.9, 0.95), weight_decay=0.0),
    ]
    rates = [optimizer.param_groups[0]["lr"] for optimizer in optimizers]
    generator = np.random.Generator(np.random.PCG64(config.seed))

    rows = []
    for _ in range(math.ceil(config.epochs)):
        rows.append(windows(documents, generator.permutation(len(documents)), config.context))
    rows = torch.cat(rows)
    rows = rows[: int(len(rows) * config.epochs / math.ceil(config.epochs))]
    # Only whole batches: the compiled loss is for one shape.
    batches = rows[: len(rows) // config.batch * config.batch].split(config.batch)
    loss_of = torch.compile(model.loss)
    history, started, recent = [], time.monotonic(), []
    for step, batch in enumerate(batches):
        for optimizer, rate in zip(optimizers, rates):
            optimizer.param_groups[0]["lr"] = rate * rate_at(step / len(batches), config)
        loss = loss_of(batch)
        loss.backward()
        recent.append(loss.item())
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        last = step + 1 == len(batches)
        if (step + 1) % 200 == 0 or last:
            entry = {
                "step": step + 1,
                "tokens": (step + 1) * config.batch * config.context,
                "training_loss": round(sum(recent) / len(recent), 4),
                "validation_loss": round(validate(model, held_out, config.batch), 4),
                "minutes": round((time.monotonic() - started) / 60, 1),
            }
            recent.clear()
            history.append(entry)
            print(f"{step + 1}/{len(batches)} {json.dumps(entry)}", flush=True)
        if limit and time.monotonic() - started > limit * 60:
            break
    return history


# ---------------------------------------------------------------- the file


def write(path: Path, model: Atlas, tokenizer: Tokenizer, config: Config, corpus_digest: str):
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("Atlas")
    writer.add_description(
        "A small model of general knowledge, trained on sentences made from tables. "
        "It shows what decoding with early layers does; it is no source of facts."
    )
    writer.add_organization("luge")
    writer.add_license("MIT OR Apache-2.0")
    writer.add_languages(["en"])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_string("atlas.corpus.sha256", corpus_digest)
    writer.add_context_length(config.context)
    writer.add_block_count(config.blocks)
    writer.add_embedding_length(config.width)
    writer.add_feed_forward_length(config.feed_forward)
    writer.add_head_count(config.heads)
    writer.add_head_count_kv(config.heads)
    writer.add_vocab_size(config.vocabulary)
    writer.add_rope_dimension_count(config.width // config.heads)
    writer.add_rope_freq_base(config.rope_base)
    writer.add_layer_norm_rms_eps(config.epsilon)

    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    tokens = [token for token, _ in vocabulary]
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    kinds = [gguf.TokenType.CONTROL if t in SPECIAL else gguf.TokenType.NORMAL for t in tokens]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(
        [merge if isinstance(merge, str) else " ".join(merge) for merge in merges]
    )
    end = tokenizer.token_to_id(END_OF_TEXT)
    writer.add_bos_token_id(end)
    writer.add_eos_token_id(end)
    writer.add_eot_token_id(tokenizer.token_to_id(corpus.END))
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)

    def add(name: str, parameter: torch.Tensor):
        values = parameter.detach().float().numpy()
        if values.ndim == 1:
            writer.add_tensor(name, values)
        else:
            writer.add_tensor(name, gguf.quantize(values, Type.Q8_0), raw_dtype=Type.Q8_0)

    add("token_embd.weight", model.embedding.weight)
    add("output_norm.weight", model.norm.weight)
    for index, block in enumerate(model.blocks):
        add(f"blk.{index}.attn_norm.weight", block.attention_norm.weight)
        add(f"blk.{index}.ffn_norm.weight", block.feed_forward_norm.weight)
        for name, matrix in block.matrices().items():
            add(f"blk.{index}.{name}.weight", matrix)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", type=Path, help="the GGUF file to write")
    parser.add_argument("--threads", type=int, default=2)
    for name in ["seed", "epochs", "matrix_rate", "other_rate"]:
        default = getattr(Config, name)
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(default), default=default)
    parser.add_argument("--minutes", type=float, help="stop early, to try things")
    arguments = parser.parse_args()
    config = Config(
        seed=arguments.seed,
        epochs=arguments.epochs,
        matrix_rate=arguments.matrix_rate,
        other_rate=arguments.other_rate,
    )
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(config.seed)
    torch.use_deterministic_algorithms(True)

    started = time.monotonic()
    texts = corpus.documents()
    tokenizer = train_tokenizer(texts, config.vocabulary)
    documents = encode(tokenizer, [text for text in texts if not is_validation(text)])
    held_out = encode(tokenizer, [text for text in texts if is_validation(text)])
    held_out = windows(held_out, range(len(held_out)), config.context)
    tokens = sum(map(len, documents))
    model = Atlas(config)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    print(
        f"{len(texts)} documents, {tokens} tokens to train on, {parameters} parameters", flush=True
    )

    history = train(model, documents, held_out, config, arguments.minutes)
    corpus_digest = corpus.digest(texts)
    write(arguments.model, model, tokenizer, config, corpus_digest)
    digest = hashlib.sha256(arguments.model.read_bytes()).hexdigest()
    name = arguments.model.name
    arguments.model.with_name(f"{name}.sha256").write_text(f"{digest}  {name}\n")
    seen = {
        "model_sha256": digest,
        "corpus_sha256": corpus_digest,
        "corpus_tokens": tokens,
        "parameters": parameters,
        "config": asdict(config),
        "minutes": round((time.monotonic() - started) / 60, 1),
        "threads": arguments.threads,
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ["gguf", "numpy", "tokenizers", "torch"]},
        },
        "history": history,
    }
    arguments.model.with_name("training.json").write_text(json.dumps(seen, indent=2) + "\n")


if __name__ == "__main__":
    main()
