//! What benchmarks measure luge against: llama.cpp alone, and ggml's product.

mod bare;
mod product;

pub use bare::BareLoop;
pub use product::HeadProduct;

pub use crate::exit_head::product::InstructionSet;
