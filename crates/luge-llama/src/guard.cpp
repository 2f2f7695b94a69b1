// llama.cpp's calls that may throw, with the exception turned into a result.
//
// An exception that reaches Rust ends the process. Loading a model and making a
// context catch their own; tokenizing and decoding do not: a vocabulary without
// a token for some byte, say, throws std::out_of_range.

#include <climits>
#include <cstdint>

extern "C" {

struct llama_vocab;
struct llama_context;

// As in llama.h, which the bindings check against the library.
struct llama_batch {
    int32_t    n_tokens;
    int32_t  * token;
    float    * embd;
    int32_t  * pos;
    int32_t  * n_seq_id;
    int32_t ** seq_id;
    int8_t   * logits;
};

int32_t llama_tokenize(const llama_vocab * vocab, const char * text, int32_t text_len, int32_t * tokens,
                       int32_t n_tokens_max, bool add_special, bool parse_special);
int32_t llama_decode(llama_context * context, llama_batch batch);

// INT32_MIN + 1 for an exception; otherwise as llama_tokenize.
int32_t luge_tokenize(const llama_vocab * vocab, const char * text, int32_t text_len, int32_t * tokens,
                      int32_t n_tokens_max, bool add_special, bool parse_special) noexcept {
    try {
        return llama_tokenize(vocab, text, text_len, tokens, n_tokens_max, add_special, parse_special);
    } catch (...) {
        return INT32_MIN + 1;
    }
}

// INT32_MIN + 1 for an exception; otherwise as llama_decode.
int32_t luge_decode(llama_context * context, llama_batch batch) noexcept {
    try {
        return llama_decode(context, batch);
    } catch (...) {
        return INT32_MIN + 1;
    }
}

}
