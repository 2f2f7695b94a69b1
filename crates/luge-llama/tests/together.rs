//! The exits at several tokens of a batch in one product, against those of each alone.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use luge_llama::{
    Batch, Context, ContextParams, Error, ExitSpec, ExitTile, ExitsAt, HeadForm, Model, ModelParams,
};

const RAW: HeadForm = HeadForm { final_norm: false, softcap: false };
const NORMED: HeadForm = HeadForm { final_norm: true, softcap: true };

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The built-in model: its head is Q8_0, and its vocabulary many tiles.
fn atlas() -> Model {
    Model::load(&root().join("models/atlas/atlas.gguf"), &ModelParams::default()).unwrap()
}

/// The project's own tiny models.
fn tiny() -> Vec<PathBuf> {
    let files = std::fs::read_dir(root().join("testdata/parity")).unwrap();
    let paths = files.map(|file| file.unwrap().path());
    let models: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|e| e == "gguf")).collect();
    assert!(!models.is_empty());
    models
}

/// Whether products with the built-in model's head are our own here.
fn has_kernel() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("avx2")
        && std::arch::is_x86_feature_detected!("fma");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

fn context(model: &Model, threads: u32) -> Context {
    let params = ContextParams { n_ctx: 64, threads, ..ContextParams::default() };
    Context::new(model, &params).unwrap()
}

/// So many tokens, outputs all.
fn batch(model: &Model, length: u32) -> Batch {
    let vocab = model.n_vocab() as u32;
    let tokens: Vec<u32> = (0..length).map(|index| 3 + (index * 7919) % (vocab - 3)).collect();
    Batch::run(&tokens, 0, 0, |_| true)
}

fn logits_at(context: &mut Context, form: HeadForm, wanted: &[ExitsAt<'_>]) -> Vec<f32> {
    let mut logits = Vec::new();
    context.exit_logits_at(form, wanted, &mut logits).unwrap();
    logits
}

/// The logits as `show` shows them tile by tile, `[exits × vocab]`, and which exits
/// there were in tiles.
fn seen(
    vocab: usize,
    exits: usize,
    show: impl FnOnce(&(dyn Fn(ExitTile<'_>) + Sync)),
) -> (Vec<f32>, Vec<Range<usize>>) {
    let whole = Mutex::new((vec![None; exits * vocab], Vec::new()));
    show(&|tile: ExitTile<'_>| {
        let (logits, ranges) = &mut *whole.lock().unwrap();
        if !ranges.contains(&tile.exits()) {
            ranges.push(tile.exits());
        }
        for exit in tile.exits() {
            let to = &mut logits[exit * vocab + tile.start()..][..tile.len()];
            for (to, logit) in to.iter_mut().zip(tile.exit(exit)) {
                assert_eq!(to.replace(*logit), None, "a logit is shown twice");
            }
        }
    });
    let (logits, mut ranges) = whole.into_inner().unwrap();
    ranges.sort_by_key(|range| range.start);
    (logits.into_iter().map(|logit| logit.expect("every logit is shown")).collect(), ranges)
}

#[track_caller]
fn assert_close(a: &[f32], b: &[f32], tolerance: f32) {
    assert_eq!(a.len(), b.len());
    let largest = b.iter().fold(0.0f32, |most, logit| most.max(logit.abs()));
    let worst = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst <= tolerance * largest, "off by {worst} of {largest}");
}

/// Some of the layers below `end` at each of four tokens, one of them twice.
fn choices(end: usize) -> [(usize, Vec<usize>); 5] {
    let all: Vec<usize> = (0..end).collect();
    let odd = all.iter().copied().filter(|layer| layer % 2 == 1).collect();
    [(1, odd), (3, all.clone()), (0, vec![end - 1]), (2, Vec::new()), (3, vec![0, end - 1])]
}

/// Holds exits computed together to those computed one token at a time, both ways and
/// in both forms: to the bit, or to a tolerance relative to the largest logit.
fn check(model: &Model, tolerance: Option<f32>) {
    let (blocks, vocab) = (model.n_layers(), model.n_vocab());
    let mut context = context(model, 1);
    context.set_exit_layers(&(0..=blocks).collect::<Vec<_>>()).unwrap();
    context.decode(&batch(model, 4)).unwrap();
    for (form, end) in [(RAW, blocks), (NORMED, blocks + 1)] {
        let choices = choices(end);
        let wanted = choices.each_ref().map(|&(index, ref layers)| ExitsAt { index, layers });
        let count: usize = wanted.iter().map(|at| at.layers.len()).sum();
        let before = context.exits_computed();
        let alone = wanted.map(|at| logits_at(&mut context, form, &[at])).concat();
        let together = logits_at(&mut context, form, &wanted);
        let (shown, _) = seen(vocab, count, |look| {
            context.visit_exits_at(form, &wanted, look).unwrap();
        });
        assert_eq!(context.exits_computed() - before, 3 * count as u64);
        assert_eq!(together.len(), count * vocab);
        assert_eq!(shown, together);
        match tolerance {
            None => assert_eq!(together, alone),
            Some(tolerance) => assert_close(&together, &alone, tolerance),
        }
        // And those of one form and all layers, as there have always been.
        let spec = ExitSpec {
            layers: (0..end).collect(),
            final_norm: form.final_norm,
            softcap: form.softcap,
        };
        let mut own = self::context(model, 1);
        own.set_exits(&spec).unwrap();
        own.decode(&batch(model, 4)).unwrap();
        let mut from = &together[..];
        for at in wanted {
            let exits = own.exit_logits(at.index).unwrap();
            for &layer in at.layers {
                let (exit, rest) = from.split_at(vocab);
                let own = &exits[layer * vocab..][..vocab];
                match tolerance {
                    None => assert_eq!(exit, own, "layer {layer} at {}", at.index),
                    Some(tolerance) => assert_close(exit, own, tolerance),
                }
                from = rest;
            }
        }
    }
}

#[test]
fn exits_do_not_depend_on_their_company() {
    // ggml's products of several columns may be added up in another order.
    check(&atlas(), (!has_kernel()).then_some(1e-4));
    for path in tiny() {
        let model = Model::load(&path, &ModelParams::default()).unwrap();
        check(&model, Some(1e-4));
    }
}

#[test]
fn many_exits_come_in_pieces_that_keep_a_tokens_exits_together() {
    let model = atlas();
    let (layers, vocab) = ((0..model.n_layers()).collect::<Vec<_>>(), model.n_vocab());
    let mut context = context(&model, 2);
    context.set_exit_layers(&layers).unwrap();
    context.decode(&batch(&model, 16)).unwrap();
    let wanted: Vec<_> = (0..16).map(|index| ExitsAt { index, layers: &layers }).collect();
    let exits = 16 * layers.len();
    let together = logits_at(&mut context, RAW, &wanted);
    let (shown, ranges) = seen(vocab, exits, |look| {
        context.visit_exits_at(RAW, &wanted, look).unwrap();
    });
    assert_eq!(shown, together);
    assert!(ranges.len() > 1, "{ranges:?}");
    assert!(ranges.windows(2).all(|pair| pair[0].end == pair[1].start), "{ranges:?}");
    assert!(ranges.iter().all(|range| range.start.is_multiple_of(layers.len())), "{ranges:?}");
    for (index, own) in together.chunks(layers.len() * vocab).enumerate() {
        let alone = logits_at(&mut context, RAW, &wanted[index..=index]);
        if has_kernel() {
            assert_eq!(alone, own, "token {index}");
        } else {
            assert_close(&alone, own, 1e-4);
        }
    }
    // Logits that are there are shown all at once.
    let (shown, ranges) = seen(vocab, exits, |look| context.show_logits(&together, look).unwrap());
    assert_eq!(shown, together);
    assert!(ranges.iter().eq([&(0..exits)]), "{ranges:?}");
}

#[test]
fn layers_may_change_between_batches_and_heads_stay() {
    for model in [atlas(), Model::load(&tiny()[0], &ModelParams::default()).unwrap()] {
        let (blocks, batch) = (model.n_layers(), batch(&model, 3));
        let mut context = context(&model, 1);
        let mut exits = |layers: &[usize]| {
            context.clear();
            context.set_exit_layers(layers).unwrap();
            context.decode(&batch).unwrap();
            let own = context.logits(2).to_vec();
            let exits = logits_at(&mut context, NORMED, &[ExitsAt { index: 2, layers }]);
            (own, exits, context.exit_memory())
        };
        let few = exits(&[1, blocks]);
        let all = exits(&(0..=blocks).collect::<Vec<_>>());
        assert_close(&few.1[..model.n_vocab()], &all.1[model.n_vocab()..][..model.n_vocab()], 1e-4);
        let again = exits(&[1, blocks]);
        assert_eq!((&again.0, &again.1), (&few.0, &few.1));
        // What has been had for all of them is kept.
        assert_eq!(again.2, all.2);

        // Without layers nothing is looked at.
        context.clear();
        context.set_exit_layers(&[]).unwrap();
        context.decode(&batch).unwrap();
        assert_eq!(context.logits(2), few.0);
        assert_eq!(context.exit_memory(), all.2);
    }
}

#[test]
fn sums_are_for_devices_and_tokens_are_checked() {
    let model = atlas();
    let mut context = context(&model, 1);
    context.set_exit_layers(&[0, 3]).unwrap();
    context.decode(&batch(&model, 2)).unwrap();
    let at = |index| ExitsAt { index, layers: &[0, 3] };
    let sums = context.exit_sums_at(RAW, &[(at(0), &[5, 6]), (at(1), &[7])]);
    assert_eq!(sums.unwrap(), None);
    assert_eq!(context.exits_computed(), 0);
    let beyond = model.n_vocab() as u32;
    let error = context.exit_sums_at(RAW, &[(at(0), &[5]), (at(1), &[beyond])]).unwrap_err();
    assert!(matches!(error, Error::TokenOutOfRange { token, .. } if token == beyond), "{error}");
}

#[test]
#[should_panic(expected = "layer 2 is not one of those that are set")]
fn a_layer_that_is_not_set_is_not_to_be_had() {
    let model = atlas();
    let mut context = context(&model, 1);
    context.set_exit_layers(&[0, 3]).unwrap();
    context.decode(&batch(&model, 1)).unwrap();
    logits_at(&mut context, RAW, &[ExitsAt { index: 0, layers: &[0, 2] }]);
}

#[test]
#[should_panic(expected = "without the final norm")]
fn the_last_blocks_output_is_only_read_behind_the_norm() {
    let model = atlas();
    let last = model.n_layers();
    let mut context = context(&model, 1);
    context.set_exit_layers(&[last]).unwrap();
    context.decode(&batch(&model, 1)).unwrap();
    logits_at(&mut context, RAW, &[ExitsAt { index: 0, layers: &[last] }]);
}
