//! The product of the head's matrix with all exits of a position, on the CPU.
//!
//! # What it costs at least
//! A product of `V × d` weights with n columns is `V·d·n` multiplications and
//! additions, and the weights are read from memory once. For the shape of
//! Llama-3.2-1B in Q8_0, 16 exits: 4.2 G and 279 MB. A core that multiplies 32
//! pairs of 16-bit numbers in an instruction, two of them a cycle, needs 66 M
//! cycles for that, two such cores about 9 ms; memory that gives 30 GB a second
//! needs 9 ms as well.
//!
//! # How it goes
//! ggml multiplies row by column, and rounds activations to 8 bits for it. Here
//! sixteen rows of the matrix go together, one to a lane, so that sums never
//! cross lanes. A block of 256 inputs of those rows is unpacked to 16-bit
//! integers, interleaved (see [`panel`]), and used for all columns while it is
//! in the first-level cache; unpacking is paid once, not once a column. The
//! columns are 16-bit integers too, with a scale for each 32 ([`Columns`]), so
//! that an exit is a hundred times nearer to the exact product than with 8.
//!
//! Weights stay as they are in memory: nothing is packed beforehand, and the
//! only memory taken is that of the columns and a panel a thread. Where llama.cpp
//! has packed them for itself, as it does on many processors with heads in Q4_0
//! and Q4_K, they are not readable here, and its own product is used.
//!
//! Whatever the processor, the number of columns, and the rows asked for, a
//! logit is the same to the bit (see [`Lanes`]).

mod columns;
mod formats;
mod kernel;
mod lanes;
mod panel;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::fmt;
use std::ops::Range;

use llama_cpp_sys_2 as sys;

use crate::Error;
use columns::Columns;
use formats::{Format, Q4_0, Q4K, Q5K, Q6K, Q8_0};
use lanes::{Lanes, Plain};
use panel::GROUP;
#[cfg(target_arch = "x86_64")]
use x86::{Avx2, Avx512};

/// An instruction set that has a kernel here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstructionSet {
    /// None: slow, and never chosen. For tests to compare with.
    Plain,
    /// AVX2 and FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-512 with VNNI.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl InstructionSet {
    /// Those that this processor has, the best first. Where there is none,
    /// ggml's product is better.
    pub(crate) fn available() -> Vec<Self> {
        #[cfg_attr(not(target_arch = "x86_64"), expect(unused_mut))]
        let mut sets = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            sets.extend(Avx512::available().then_some(InstructionSet::Avx512));
            sets.extend(Avx2::available().then_some(InstructionSet::Avx2));
        }
        sets
    }

    /// The one to use: the best there is, or what the environment variable
    /// `LUGE_EXIT_KERNEL` names, for measuring one against the other. `None` for
    /// ggml's product.
    ///
    /// # Errors
    /// [`Error::Kernel`], if it names one that is not there.
    pub(crate) fn chosen() -> Result<Option<Self>, Error> {
        let available = InstructionSet::available();
        match std::env::var("LUGE_EXIT_KERNEL") {
            Err(_) => Ok(available.first().copied()),
            Ok(name) if name == "ggml" => Ok(None),
            Ok(name) => match available.iter().find(|set| set.to_string() == name) {
                Some(&set) => Ok(Some(set)),
                None => {
                    let known = available.iter().map(InstructionSet::to_string);
                    Err(Error::Kernel { name, known: known.chain(["ggml".to_owned()]).collect() })
                }
            },
        }
    }

    fn columns(self) -> usize {
        match self {
            InstructionSet::Plain => Plain::COLUMNS,
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx2 => Avx2::COLUMNS,
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512 => Avx512::COLUMNS,
        }
    }
}

impl fmt::Display for InstructionSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            InstructionSet::Plain => "plain",
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512 => "avx512",
        })
    }
}

/// A matrix of a format that has a kernel here, `[rows × inputs]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Matrix<'a> {
    /// Its rows, one behind the other.
    bytes: &'a [u8],
    kind: sys::ggml_type,
    rows: usize,
    inputs: usize,
}

impl<'a> Matrix<'a> {
    /// `None` where there is no kernel for the format, or the bytes are not
    /// those of such a matrix.
    pub(crate) fn new(
        kind: sys::ggml_type,
        bytes: &'a [u8],
        rows: usize,
        inputs: usize,
    ) -> Option<Self> {
        let (together, size) = Matrix::stored(kind)?;
        let whole = inputs.is_multiple_of(together) && inputs > 0 && rows > 0;
        let fits = whole && bytes.len() == rows.checked_mul(inputs / together * size)?;
        fits.then_some(Matrix { bytes, kind, rows, inputs })
    }

    /// Inputs that a format stores together, and the bytes they take; `None`
    /// where there is no kernel for it.
    pub(crate) fn stored(kind: sys::ggml_type) -> Option<(usize, usize)> {
        match kind {
            sys::GGML_TYPE_Q8_0 => Some(Q8_0::STORED),
            sys::GGML_TYPE_Q4_0 => Some(Q4_0::STORED),
            sys::GGML_TYPE_Q4_K => Some(Q4K::STORED),
            sys::GGML_TYPE_Q5_K => Some(Q5K::STORED),
            sys::GGML_TYPE_Q6_K => Some(Q6K::STORED),
            _ => None,
        }
    }
}

/// A product in the making: columns to multiply matrices with.
#[derive(Debug)]
pub(crate) struct Product {
    columns: Columns,
    set: InstructionSet,
}

impl Product {
    /// No columns yet, of `inputs` numbers.
    ///
    /// # Panics
    /// If this processor lacks the instruction set.
    pub(crate) fn new(set: InstructionSet, inputs: usize) -> Self {
        assert!(set == InstructionSet::Plain || InstructionSet::available().contains(&set));
        assert!(inputs.is_multiple_of(GROUP));
        Product { columns: Columns::new(inputs, set.columns()), set }
    }

    /// Makes room for `count` columns.
    pub(crate) fn reserve(&mut self, count: usize) {
        self.columns.resize(count);
    }

    /// Bytes held.
    pub(crate) fn memory(&self) -> usize {
        self.columns.memory()
    }

    /// Sets the columns, `[inputs]` each.
    ///
    /// # Panics
    /// If one is of another length.
    pub(crate) fn set_columns(&mut self, states: &[&[f32]]) {
        self.columns.fill(states);
    }

    /// Writes `matrix[rows] · columns` to `out`, `[columns × rows.len()]`.
    ///
    /// # Panics
    /// If the sizes do not fit.
    pub(crate) fn rows(&self, matrix: &Matrix<'_>, rows: Range<usize>, out: &mut [f32]) {
        assert!(rows.end <= matrix.rows && out.len() == rows.len() * self.columns.count());
        assert_eq!(matrix.inputs, self.columns.width());
        match matrix.kind {
            sys::GGML_TYPE_Q8_0 => self.rows_of::<Q8_0>(matrix, rows, out),
            sys::GGML_TYPE_Q4_0 => self.rows_of::<Q4_0>(matrix, rows, out),
            sys::GGML_TYPE_Q4_K => self.rows_of::<Q4K>(matrix, rows, out),
            sys::GGML_TYPE_Q5_K => self.rows_of::<Q5K>(matrix, rows, out),
            sys::GGML_TYPE_Q6_K => self.rows_of::<Q6K>(matrix, rows, out),
            kind => unreachable!("no matrix is made of type {kind}"),
        }
    }

    fn rows_of<F: Format>(&self, matrix: &Matrix<'_>, rows: Range<usize>, out: &mut [f32]) {
        match self.set {
            // SAFETY: needs no instruction set.
            InstructionSet::Plain => unsafe {
                kernel::multiply::<Plain, F>(&self.columns, matrix, rows, out)
            },
            // SAFETY: `new` has checked that the instruction set is available.
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx2 => unsafe { kernel::avx2::<F>(&self.columns, matrix, rows, out) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512 => unsafe {
                kernel::avx512::<F>(&self.columns, matrix, rows, out)
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [sys::ggml_type; 5] = [
        sys::GGML_TYPE_Q8_0,
        sys::GGML_TYPE_Q4_0,
        sys::GGML_TYPE_Q4_K,
        sys::GGML_TYPE_Q5_K,
        sys::GGML_TYPE_Q6_K,
    ];

    /// Numbers that look random, in −1..1.
    fn noise(seed: u32) -> impl Iterator<Item = f32> {
        let mut state = seed;
        std::iter::repeat_with(move || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        })
    }

    /// A random matrix as ggml writes the format, and as ggml reads it back.
    fn matrix(kind: sys::ggml_type, rows: usize, inputs: usize) -> (Vec<u8>, Vec<f32>) {
        let weights: Vec<f32> = noise(rows as u32).take(rows * inputs).collect();
        let mut read = vec![0.0f32; weights.len()];
        // SAFETY: buffers are of the size that rows of this type have.
        let bytes = unsafe {
            let mut bytes = vec![0u8; sys::ggml_row_size(kind, inputs as i64) * rows];
            let to = bytes.as_mut_ptr().cast();
            let (rows, inputs) = (rows as i64, inputs as i64);
            sys::ggml_quantize_chunk(kind, weights.as_ptr(), to, 0, rows, inputs, std::ptr::null());
            let traits = &*sys::ggml_get_type_traits(kind);
            let read_row = traits.to_float.expect("every format can be read");
            read_row(bytes.as_ptr().cast(), read.as_mut_ptr(), rows * inputs);
            bytes
        };
        (bytes, read)
    }

    /// A product in 64 bits, and how far off rounding a state to 16 bits and
    /// adding in 32 may take it.
    fn exact_and_error(weights: &[f32], state: &[f32]) -> (f64, f64) {
        let groups = weights.chunks(GROUP).zip(state.chunks(GROUP));
        groups.fold((0.0, 0.0), |(exact, error), (weights, state)| {
            let wide = || weights.iter().map(|&w| f64::from(w));
            let largest = f64::from(state.iter().fold(0.0f32, |most, x| most.max(x.abs())));
            let sum: f64 = wide().zip(state).map(|(w, &x)| w * f64::from(x)).sum();
            let step = largest * wide().map(f64::abs).sum::<f64>();
            (exact + sum, error + step * (0.501 / 32767.0 + 1e-6))
        })
    }

    fn product(
        set: InstructionSet,
        matrix: &Matrix<'_>,
        states: &[f32],
        rows: Range<usize>,
    ) -> Vec<f32> {
        let columns: Vec<&[f32]> = states.chunks(matrix.inputs).collect();
        let mut product = Product::new(set, matrix.inputs);
        product.set_columns(&columns);
        let mut out = vec![f32::NAN; columns.len() * rows.len()];
        product.rows(matrix, rows, &mut out);
        out
    }

    #[test]
    fn every_format_is_read_as_ggml_reads_it() {
        for kind in KINDS {
            // Not a multiple of 16 rows; blocks that are whole and that are not.
            let (rows, inputs) =
                (37, if Matrix::stored(kind).unwrap().0 == 32 { 352 } else { 512 });
            let (bytes, weights) = matrix(kind, rows, inputs);
            let matrix = Matrix::new(kind, &bytes, rows, inputs).unwrap();
            // One state has a number that is far larger than all others.
            let mut states: Vec<f32> = noise(3).take(5 * inputs).collect();
            states[inputs + 70] = 300.0;
            let out = product(InstructionSet::Plain, &matrix, &states, 0..rows);
            for (column, state) in states.chunks(inputs).enumerate() {
                for (row, weights) in weights.chunks(inputs).enumerate() {
                    let own = f64::from(out[column * rows + row]);
                    let (exact, error) = exact_and_error(weights, state);
                    assert!((own - exact).abs() < error, "{kind}: {own} is not {exact}");
                }
            }
        }
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn every_instruction_set_gives_the_same_bits() {
        let sets = [vec![InstructionSet::Plain], InstructionSet::available()].concat();
        for kind in KINDS {
            // The last block is not whole where the format permits it.
            let inputs = if Matrix::stored(kind).unwrap().0 == 32 { 800 } else { 768 };
            let (bytes, _) = matrix(kind, 40, inputs);
            let matrix = Matrix::new(kind, &bytes, 40, inputs).unwrap();
            for count in 1..=11 {
                let states: Vec<f32> = noise(count).take(count as usize * inputs).collect();
                let [first, others @ ..] = &sets
                    .iter()
                    .map(|&set| product(set, &matrix, &states, 0..40))
                    .collect::<Vec<_>>()[..]
                else {
                    unreachable!("there is always one")
                };
                for other in others {
                    let same = first.iter().zip(other).all(|(a, b)| a.to_bits() == b.to_bits());
                    assert!(same, "{kind}, {count} columns: {sets:?} differ");
                }
            }
        }
    }

    #[test]
    fn a_logit_does_not_depend_on_its_company() {
        let (bytes, _) = matrix(sys::GGML_TYPE_Q6_K, 50, 256);
        let matrix = Matrix::new(sys::GGML_TYPE_Q6_K, &bytes, 50, 256).unwrap();
        let states: Vec<f32> = noise(9).take(13 * 256).collect();
        let set = *InstructionSet::available().first().unwrap_or(&InstructionSet::Plain);
        let all = product(set, &matrix, &states, 0..50);
        for (column, state) in states.chunks(256).enumerate() {
            let alone = product(set, &matrix, state, 19..41);
            assert_eq!(alone, all[column * 50 + 19..column * 50 + 41], "column {column}");
        }
    }

    #[test]
    fn a_state_that_is_no_number_shows() {
        let (bytes, _) = matrix(sys::GGML_TYPE_Q8_0, 16, 64);
        let matrix = Matrix::new(sys::GGML_TYPE_Q8_0, &bytes, 16, 64).unwrap();
        let mut states = vec![1.0; 64];
        states[40] = f32::INFINITY;
        let set = *InstructionSet::available().first().unwrap_or(&InstructionSet::Plain);
        assert!(product(set, &matrix, &states, 0..16).iter().all(|z| z.is_nan()));
    }

    #[test]
    fn other_formats_and_sizes_are_left_to_ggml() {
        assert!(Matrix::new(sys::GGML_TYPE_F16, &[0; 128], 2, 32).is_none());
        assert!(Matrix::new(sys::GGML_TYPE_Q8_0, &[0; 33], 1, 32).is_none());
        assert!(Matrix::new(sys::GGML_TYPE_Q4_K, &[0; 18], 1, 32).is_none());
        assert!(Matrix::new(sys::GGML_TYPE_Q8_0, &[], 0, 32).is_none());
    }
}
