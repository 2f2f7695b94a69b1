//! Taps and exit head against llama.cpp's own logits.
//!
//! With the final norm in front, the exit of the last block's output is the
//! model's ordinary output. So the whole way of an exit, from the tapped state
//! through the replayed norm and head, can be held to numbers that llama.cpp
//! computes itself.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use luge_llama::{
    Batch, BatchToken, CacheType, Context, ContextParams, ExitSpec, ExitTile, FlashAttention, Gguf,
    Model, ModelParams,
};

/// The project's own tiny models, those of many architectures that have exits,
/// and the larger parity set where it lies beside the checkout.
fn models() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folders = ["testdata/parity", "testdata/architectures", "../shared/parity"];
    let mut models = Vec::new();
    for entry in folders.iter().flat_map(|folder| std::fs::read_dir(root.join(folder))).flatten() {
        let path = entry.unwrap().path();
        let is_model = path.extension().is_some_and(|extension| extension == "gguf");
        let refused = path.parent().unwrap().ends_with("architectures")
            && is_model
            && Gguf::open(&path).unwrap().string("luge.exit_0").is_none();
        if is_model && !refused {
            models.push(path);
        }
    }
    assert!(models.len() >= 29, "{models:?}");
    // The built-in model: its head is Q8_0, and its vocabulary many tiles.
    models.push(root.join("models/atlas/atlas.gguf"));
    models
}

fn own(name: &str) -> Model {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/parity").join(name);
    Model::load(&path, &ModelParams::default()).unwrap()
}

fn params() -> ContextParams {
    ContextParams {
        n_ctx: 128,
        threads: 1,
        type_k: CacheType::F32,
        type_v: CacheType::F32,
        flash_attention: FlashAttention::Off,
        ..ContextParams::default()
    }
}

/// Every layer there is, the last block's output included.
fn all_layers(model: &Model) -> ExitSpec {
    ExitSpec { layers: (0..=model.n_layers()).collect(), final_norm: true, softcap: true }
}

fn raw(layers: &[usize]) -> ExitSpec {
    ExitSpec { layers: layers.to_vec(), final_norm: false, softcap: true }
}

fn prompt(model: &Model, length: u32) -> Vec<u32> {
    (0..length).map(|index| 3 + (index * 7919) % (model.n_vocab() as u32 - 3)).collect()
}

/// Whether the head's matrix has fewer than 16 bits a weight.
fn head_is_quantised(path: &Path) -> bool {
    let gguf = Gguf::open(path).unwrap();
    let named = |name: &str| gguf.tensors().find(|tensor| tensor.name == name);
    let head = named("output.weight").or_else(|| named("token_embd.weight")).unwrap();
    head.bytes < 2 * head.shape.iter().product::<u64>()
}

fn largest(logits: &[f32]) -> f32 {
    logits.iter().fold(0.0, |most, logit| most.max(logit.abs()))
}

#[track_caller]
fn assert_close(a: &[f32], b: &[f32], tolerance: f32, what: &str) {
    assert_eq!(a.len(), b.len(), "{what}");
    let worst = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst <= tolerance, "{what}: off by {worst}");
}

#[test]
fn the_exit_of_the_last_block_is_the_models_own_output() {
    for path in models() {
        let model = Model::load(&path, &ModelParams::default()).unwrap();
        let mut context = Context::new(&model, &params()).unwrap();
        context.set_exits(&all_layers(&model)).unwrap();
        let tokens = prompt(&model, 9);
        context.decode(&Batch::run(&tokens, 0, 0, |index| index >= 6)).unwrap();
        for index in 6..9 {
            let own = context.logits(index).to_vec();
            let exits = context.exit_logits(index).unwrap();
            let last = &exits[exits.len() - own.len()..];
            // Exactly the same but for products of several columns, which some
            // kernels add up in another order; and for heads of small integers,
            // where ggml rounds hidden states to 8 bits and we to 16.
            let tolerance = if head_is_quantised(&path) { 0.01 * largest(&own) } else { 2e-5 };
            assert_close(last, &own, tolerance, &format!("{path:?}, token {index}"));
        }
    }
}

#[test]
fn tiles_are_pieces_of_the_exits_and_cover_the_vocabulary() {
    for path in models() {
        let model = Model::load(&path, &ModelParams::default()).unwrap();
        // Two threads where there is work for them.
        let threads = if model.n_vocab() > 1000 { 2 } else { 1 };
        let mut context = Context::new(&model, &ContextParams { threads, ..params() }).unwrap();
        context.set_exits(&all_layers(&model)).unwrap();
        context.decode(&Batch::run(&prompt(&model, 4), 0, 0, |index| index > 1)).unwrap();
        let (layers, vocab) = (model.n_layers() + 1, model.n_vocab());
        let visit = |context: &mut Context, index: usize| {
            let tiles = Mutex::new(Vec::new());
            let keep = |tile: ExitTile<'_>| {
                let exits: Vec<_> = (0..layers).map(|exit| tile.exit(exit).to_vec()).collect();
                tiles.lock().unwrap().push((tile.start(), exits));
            };
            context.visit_exits(index, &keep).unwrap();
            let mut tiles = tiles.into_inner().unwrap();
            tiles.sort_by_key(|(start, _)| *start);
            let mut whole = vec![Vec::new(); layers];
            for (start, exits) in tiles {
                for (whole, exit) in whole.iter_mut().zip(exits) {
                    assert_eq!(whole.len(), start, "{path:?}");
                    whole.extend(exit);
                }
            }
            assert_eq!(whole[0].len(), vocab, "{path:?}");
            whole.concat()
        };
        let mut all = Vec::new();
        for index in [2, 3] {
            let unkept = visit(&mut context, index);
            let kept = context.exit_logits(index).unwrap().to_vec();
            assert_eq!(unkept, kept, "{path:?}");
            assert_eq!(visit(&mut context, index), kept, "{path:?}");
            all.push(kept);
        }
        // Looking at another token's exits once left them in this one's place.
        visit(&mut context, 2);
        assert_eq!(context.exit_logits(3).unwrap(), all[1], "{path:?}");
    }
}

#[test]
fn a_panic_while_looking_at_a_tile_goes_on_in_the_caller() {
    let model = own("llama.gguf");
    let mut context = Context::new(&model, &ContextParams { threads: 2, ..params() }).unwrap();
    context.set_exits(&raw(&[0, 1])).unwrap();
    context.decode(&Batch::run(&prompt(&model, 3), 0, 0, |index| index == 2)).unwrap();
    let mut panicking = || context.visit_exits(2, &|_| panic!("as it should"));
    let panic = catch_unwind(AssertUnwindSafe(&mut panicking)).unwrap_err();
    assert_eq!(panic.downcast_ref(), Some(&"as it should"));
    // And does no harm.
    assert_eq!(context.exit_logits(2).unwrap().len(), 2 * model.n_vocab());
}

#[test]
fn one_exit_alone_equals_the_same_exit_among_all() {
    let model = own("gemma2.gguf");
    let tokens = prompt(&model, 5);
    let batch = Batch::run(&tokens, 0, 0, |index| index == 4);
    let exits = |layers: &[usize]| {
        let mut context = Context::new(&model, &params()).unwrap();
        context.set_exits(&raw(layers)).unwrap();
        context.decode(&batch).unwrap();
        context.exit_logits(4).unwrap().to_vec()
    };
    let all = exits(&[0, 1, 2, 3]);
    let vocab = model.n_vocab();
    for layer in 0..4 {
        let among = &all[layer * vocab..(layer + 1) * vocab];
        assert_close(&exits(&[layer]), among, 2e-5, &format!("exit {layer}"));
    }
}

#[test]
fn micro_batches_do_not_matter() {
    // 40 tokens in micro-batches of 7, with outputs here and there: the first
    // micro-batch has none.
    for name in ["llama.gguf", "gemma2.gguf", "gpt2.gguf"] {
        let model = own(name);
        let tokens = prompt(&model, 40);
        let is_output = |index: usize| index > 8 && !index.is_multiple_of(5);
        let run = |n_ubatch| {
            let mut context =
                Context::new(&model, &ContextParams { n_ubatch, ..params() }).unwrap();
            context.set_exits(&raw(&[0, 2, 3])).unwrap();
            context.decode(&Batch::run(&tokens, 0, 0, is_output)).unwrap();
            let outputs = (0..40).filter(|&index| is_output(index));
            outputs.map(|index| context.exit_logits(index).unwrap().to_vec()).collect::<Vec<_>>()
        };
        let (whole, pieces) = (run(512), run(7));
        for (number, (whole, pieces)) in whole.iter().zip(&pieces).enumerate() {
            assert_close(pieces, whole, 2e-2, &format!("{name}, output {number}"));
        }
    }
}

#[test]
fn sequences_of_one_batch_keep_their_exits_apart() {
    let model = own("llama.gguf");
    let tokens = prompt(&model, 12);
    let (a, b) = tokens.split_at(5);
    let mut context = Context::new(&model, &ContextParams { n_sequences: 2, ..params() }).unwrap();
    context.set_exits(&raw(&[0, 1, 3])).unwrap();
    let alone = |context: &mut Context, tokens: &[u32]| {
        context.clear();
        let last = tokens.len() - 1;
        context.decode(&Batch::run(tokens, 0, 0, |index| index == last)).unwrap();
        context.exit_logits(last).unwrap().to_vec()
    };
    let (alone_a, alone_b) = (alone(&mut context, a), alone(&mut context, b));

    // The two interleaved, token by token.
    context.clear();
    let mut batch = Batch::new();
    let (mut last_a, mut last_b) = (0, 0);
    for position in 0..a.len().max(b.len()) {
        for (sequence, tokens, last) in [(0, a, &mut last_a), (1, b, &mut last_b)] {
            if let Some(&token) = tokens.get(position) {
                *last = batch.tokens().len();
                let output = position + 1 == tokens.len();
                batch.push(BatchToken {
                    token,
                    position: position as u32,
                    sequences: sequence..sequence + 1,
                    output,
                });
            }
        }
    }
    context.decode(&batch).unwrap();
    assert_close(context.exit_logits(last_a).unwrap(), &alone_a, 1e-4, "sequence 0");
    assert_close(context.exit_logits(last_b).unwrap(), &alone_b, 1e-4, "sequence 1");
}

#[test]
fn looking_changes_nothing_and_can_end() {
    let model = own("llama.gguf");
    let tokens = prompt(&model, 6);
    let batch = Batch::run(&tokens, 0, 0, |index| index == 5);
    let mut context = Context::new(&model, &params()).unwrap();
    context.decode(&batch).unwrap();
    let unseen = context.logits(5).to_vec();

    context.clear();
    context.set_exits(&raw(&[1, 2])).unwrap();
    assert!(context.exit_memory() > 0);
    context.decode(&batch).unwrap();
    assert_eq!(context.logits(5), unseen);

    context.clear();
    context.set_exits(&ExitSpec::default()).unwrap();
    assert_eq!(context.exit_memory(), 0);
    context.decode(&batch).unwrap();
    assert_eq!(context.logits(5), unseen);
}

#[test]
fn finding_out_the_graph_leaves_the_cache_alone() {
    // Exits are first asked for in the middle of a text.
    let model = own("gpt2.gguf");
    let tokens = prompt(&model, 8);
    let run = |early: bool| {
        let mut context = Context::new(&model, &params()).unwrap();
        if early {
            context.set_exits(&raw(&[0, 3])).unwrap();
        }
        context.decode(&Batch::run(&tokens[..7], 0, 0, |_| false)).unwrap();
        context.set_exits(&raw(&[0, 3])).unwrap();
        context.decode(&Batch::run(&tokens[7..], 7, 0, |_| true)).unwrap();
        context.exit_logits(0).unwrap().to_vec()
    };
    assert_eq!(run(true), run(false));
}

#[test]
fn memory_for_exits_is_layers_times_vocabulary() {
    for path in models() {
        let model = Model::load(&path, &ModelParams::default()).unwrap();
        let mut context = Context::new(&model, &params()).unwrap();
        let layers: Vec<usize> = (0..model.n_layers()).collect();
        context.set_exits(&raw(&layers)).unwrap();
        let states = layers.len() * model.n_embd() * size_of::<f32>();
        let limit = layers.len() * model.n_vocab() * size_of::<f32>() + states + 1024;
        context.decode(&Batch::run(&prompt(&model, 2), 0, 0, |index| index == 1)).unwrap();
        context.visit_exits(1, &|_| {}).unwrap();
        let looked = context.exit_memory();
        context.exit_logits(1).unwrap();
        let memory = context.exit_memory();
        assert!(memory <= limit, "{path:?}: {memory} bytes, {limit} at most");
        assert!(looked <= memory, "{path:?}");
        // Logits that are only looked at are not kept.
        #[cfg(target_arch = "x86_64")]
        if path.ends_with("atlas.gguf")
            && std::arch::is_x86_feature_detected!("avx2")
            && std::arch::is_x86_feature_detected!("fma")
        {
            let logits = layers.len() * model.n_vocab() * size_of::<f32>();
            assert!(looked < logits / 10 && memory >= logits, "{looked} and {memory} bytes");
        }
    }
}

#[test]
fn what_does_not_fit_is_refused_before_it_is_computed() {
    let model = own("llama.gguf");
    let mut context = Context::new(&model, &params()).unwrap();
    let mut error = |batch: Batch| context.decode(&batch).unwrap_err().to_string();
    assert!(error(Batch::new()).contains("1 to 128 tokens"));
    assert!(error(Batch::run(&[9999], 0, 0, |_| true)).contains("ids 0 to 168"));
    assert!(error(Batch::run(&[5], 128, 0, |_| true)).contains("context of 128 tokens is full"));
    assert!(error(Batch::run(&[5], 0, 1, |_| true)).contains("sequences 1..2"));

    // GPT-2 has learned 128 positions and knows no more.
    let gpt2 = own("gpt2.gguf");
    let too_long = Context::new(&gpt2, &ContextParams { n_ctx: 256, ..params() });
    assert!(too_long.err().unwrap().to_string().contains("128 positions"));
}
