"""Small vocabularies that llama.cpp loads and can tokenise text with.

Both kinds hold words ` w0`, ` w1`, ..., each a single token, so a prompt of words can be given as text or as ids.
"""

from dataclasses import dataclass

from gguf import GGUFWriter, TokenType

BOS, EOS, UNKNOWN = 1, 2, 0
SPECIAL_TOKENS = ["<unk>", "<s>", "</s>"]
SPECIAL_TYPES = [TokenType.UNKNOWN, TokenType.CONTROL, TokenType.CONTROL]
PRINTABLE_ASCII = range(0x20, 0x7F)
NEWLINE = 0x0A


@dataclass(frozen=True)
class Vocabulary:
    """Tokens and how text becomes them. `words` and `lone_bytes` are ranges of ids."""

    kind: str  # llama.cpp's tokenizer.ggml.model: "gpt2" (byte-level BPE) or "llama" (SentencePiece)
    pre: str  # llama.cpp's tokenizer.ggml.pre
    tokens: list[str]
    types: list[TokenType]
    merges: list[str]  # BPE only
    words: range
    lone_bytes: range  # tokens that stand for one byte rather than for a character

    def __len__(self) -> int:
        """The number of tokens."""
        return len(self.tokens)

    def write(self, writer: GGUFWriter) -> None:
        """Writes the tokenizer's keys."""
        writer.add_tokenizer_model(self.kind)
        writer.add_tokenizer_pre(self.pre)
        writer.add_token_list(self.tokens)
        writer.add_token_types(self.types)
        if self.kind == "llama":
            writer.add_token_scores([0.0] * len(self.tokens))
            writer.add_add_space_prefix(False)
        else:
            writer.add_token_merges(self.merges)
        writer.add_bos_token_id(BOS)
        writer.add_eos_token_id(EOS)
        writer.add_unk_token_id(UNKNOWN)
        writer.add_add_bos_token(False)


def byte_alphabet() -> list[str]:
    """The character that stands for each of the 256 bytes in byte-level BPE (`bytes_to_unicode` of GPT-2's encoder)."""
    shown = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    hidden = [byte for byte in range(256) if byte not in shown]
    return [chr(byte) if byte in shown else chr(256 + hidden.index(byte)) for byte in range(256)]


def byte_level_bpe(n_words: int, lone_bytes: bytes) -> Vocabulary:
    """GPT-2's kind: specials, ` w0`.., ` w`, printable ASCII, newline, then `lone_bytes` as one token each.

    The merges spell a word from the left: blank and `w`, then one digit after the other. The pre-tokenizer is
    BLOOM's, which keeps letters and digits together; GPT-2's own would part ` w` and `17`.
    """
    char = byte_alphabet()
    stem = char[0x20] + "w"
    words = [f"{stem}{n}" for n in range(n_words)]
    tokens = [*SPECIAL_TOKENS, *words, stem, *(char[byte] for byte in [*PRINTABLE_ASCII, NEWLINE, *lone_bytes])]
    return Vocabulary(
        kind="gpt2",
        pre="bloom",
        tokens=tokens,
        types=SPECIAL_TYPES + [TokenType.NORMAL] * (len(tokens) - 3),
        merges=[f"{char[0x20]} w", *(f"{word[:-1]} {word[-1]}" for word in words)],
        words=range(3, 3 + n_words),
        lone_bytes=range(len(tokens) - len(lone_bytes), len(tokens)),
    )


def sentencepiece(n_words: int) -> Vocabulary:
    """Llama's and Gemma's kind: specials, the 256 byte tokens (id 3 + byte), ` w0`.., ` w`, printable ASCII.

    All 256 are there because llama.cpp falls back on them for any text it has no token for.
    """
    stem = "\N{LOWER ONE EIGHTH BLOCK}w"
    byte_tokens = [f"<0x{byte:02X}>" for byte in range(256)]
    words = [f"{stem}{n}" for n in range(n_words)]
    ascii_tokens = [chr(byte).replace(" ", stem[0]) for byte in PRINTABLE_ASCII]
    tokens = [*SPECIAL_TOKENS, *byte_tokens, *words, stem, *ascii_tokens]
    n_normal = len(tokens) - 3 - 256
    return Vocabulary(
        kind="llama",
        pre="default",
        tokens=tokens,
        types=SPECIAL_TYPES + [TokenType.BYTE] * 256 + [TokenType.NORMAL] * n_normal,
        merges=[],
        words=range(259, 259 + n_words),
        lone_bytes=range(3, 259),
    )
