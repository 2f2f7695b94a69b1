//! [`Lanes`] with AVX2, and with AVX-512 and its integer products (VNNI).

use std::arch::x86_64::*;

use super::lanes::{Lanes, SPAN};
use super::panel::ROWS;

/// AVX2 and FMA: two registers for sixteen numbers.
pub(super) struct Avx2;

impl Avx2 {
    pub(super) fn available() -> bool {
        is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
    }
}

// What is unsafe below needs the instruction set, which is the caller's to
// know, and reads and writes arrays of just the size of the registers.
impl Lanes for Avx2 {
    type Ints = [__m256i; 2];
    type Floats = [__m256; 2];

    // Eight registers of sums, two of weights, one of a column: of sixteen.
    const COLUMNS: usize = 4;

    #[inline(always)]
    unsafe fn zero() -> Self::Ints {
        // SAFETY: see above.
        unsafe { [_mm256_setzero_si256(); 2] }
    }

    #[inline(always)]
    unsafe fn pairs(pairs: &[[i16; 2]; ROWS]) -> Self::Ints {
        let at = pairs.as_ptr().cast::<__m256i>();
        // SAFETY: see above.
        unsafe { [_mm256_loadu_si256(at), _mm256_loadu_si256(at.add(1))] }
    }

    #[inline(always)]
    unsafe fn dot(sums: Self::Ints, a: Self::Ints, x: [i16; 2]) -> Self::Ints {
        // SAFETY: see above.
        unsafe {
            let x = _mm256_set1_epi32(both(x));
            [
                _mm256_add_epi32(sums[0], _mm256_madd_epi16(a[0], x)),
                _mm256_add_epi32(sums[1], _mm256_madd_epi16(a[1], x)),
            ]
        }
    }

    #[inline(always)]
    unsafe fn load(floats: &[f32; ROWS]) -> Self::Floats {
        // SAFETY: see above.
        unsafe { [_mm256_loadu_ps(floats.as_ptr()), _mm256_loadu_ps(floats.as_ptr().add(8))] }
    }

    #[inline(always)]
    unsafe fn store(floats: Self::Floats, to: &mut [f32; ROWS]) {
        // SAFETY: see above.
        unsafe {
            _mm256_storeu_ps(to.as_mut_ptr(), floats[0]);
            _mm256_storeu_ps(to.as_mut_ptr().add(8), floats[1]);
        }
    }

    #[inline(always)]
    unsafe fn add(to: Self::Floats, sums: Self::Ints, scale: Self::Floats, x: f32) -> Self::Floats {
        // SAFETY: see above.
        unsafe {
            let x = _mm256_set1_ps(x);
            let sums = [_mm256_cvtepi32_ps(sums[0]), _mm256_cvtepi32_ps(sums[1])];
            let factors = [_mm256_mul_ps(scale[0], x), _mm256_mul_ps(scale[1], x)];
            [
                _mm256_fmadd_ps(sums[0], factors[0], to[0]),
                _mm256_fmadd_ps(sums[1], factors[1], to[1]),
            ]
        }
    }

    #[inline(always)]
    unsafe fn subtract(to: Self::Floats, a: Self::Floats, x: f32) -> Self::Floats {
        // SAFETY: see above.
        unsafe {
            let x = _mm256_set1_ps(x);
            [_mm256_fnmadd_ps(a[0], x, to[0]), _mm256_fnmadd_ps(a[1], x, to[1])]
        }
    }

    #[inline(always)]
    unsafe fn transpose(rows: [&[u8; SPAN]; ROWS]) -> [Self::Ints; SPAN / 4] {
        // SAFETY: see above.
        unsafe { transpose_avx2(&rows) }
    }

    #[inline(always)]
    unsafe fn store_bits(bits: Self::Ints, to: &mut [f32; ROWS]) {
        let at = to.as_mut_ptr().cast::<__m256i>();
        // SAFETY: see above.
        unsafe {
            _mm256_storeu_si256(at, bits[0]);
            _mm256_storeu_si256(at.add(1), bits[1]);
        }
    }

    #[inline(always)]
    unsafe fn widen(bytes: Self::Ints, to: &mut [[[i16; 2]; ROWS]; 2]) {
        let [even, odd] = to.each_mut().map(|to| to.as_mut_ptr().cast::<__m256i>());
        // SAFETY: see above.
        unsafe {
            for (half, bytes) in bytes.into_iter().enumerate() {
                let low = _mm256_srai_epi16(_mm256_slli_epi16(bytes, 8), 8);
                _mm256_storeu_si256(even.add(half), low);
                _mm256_storeu_si256(odd.add(half), _mm256_srai_epi16(bytes, 8));
            }
        }
    }
}

// The functions of the trait have no instruction set until they are inlined into
// one that has, and their closures would not be: there, intrinsics would be calls,
// unless the whole program is compiled for the instruction set. So what is shared
// is functions that name it.

/// [`Lanes::transpose`].
#[inline]
#[target_feature(enable = "avx2")]
fn transpose_avx2(rows: &[&[u8; SPAN]; ROWS]) -> [[__m256i; 2]; SPAN / 4] {
    let [a, b, c, d] =
        [four_avx2(rows, 0), four_avx2(rows, 4), four_avx2(rows, 8), four_avx2(rows, 12)];
    let mut quads = [[_mm256_setzero_si256(); 2]; SPAN / 4];
    for q in 0..4 {
        quads[q] = [
            _mm256_permute2x128_si256(a[q], b[q], 0x20),
            _mm256_permute2x128_si256(c[q], d[q], 0x20),
        ];
        quads[q + 4] = [
            _mm256_permute2x128_si256(a[q], b[q], 0x31),
            _mm256_permute2x128_si256(c[q], d[q], 0x31),
        ];
    }
    quads
}

/// Of four rows: register q has bytes 4q to 4q + 3 of each in its low half, and
/// those 16 further on in its high half.
#[inline]
#[target_feature(enable = "avx2")]
fn four_avx2(rows: &[&[u8; SPAN]; ROWS], first: usize) -> [__m256i; 4] {
    let [a, b, c, d] = [first, first + 1, first + 2, first + 3];
    // SAFETY: a row is as long as a register.
    let [a, b, c, d] = unsafe {
        [
            _mm256_loadu_si256(rows[a].as_ptr().cast::<__m256i>()),
            _mm256_loadu_si256(rows[b].as_ptr().cast::<__m256i>()),
            _mm256_loadu_si256(rows[c].as_ptr().cast::<__m256i>()),
            _mm256_loadu_si256(rows[d].as_ptr().cast::<__m256i>()),
        ]
    };
    let (ab, cd) = (_mm256_unpacklo_epi32(a, b), _mm256_unpacklo_epi32(c, d));
    let (ab_high, cd_high) = (_mm256_unpackhi_epi32(a, b), _mm256_unpackhi_epi32(c, d));
    [
        _mm256_unpacklo_epi64(ab, cd),
        _mm256_unpackhi_epi64(ab, cd),
        _mm256_unpacklo_epi64(ab_high, cd_high),
        _mm256_unpackhi_epi64(ab_high, cd_high),
    ]
}

/// AVX-512 with VNNI: one register for sixteen numbers, and a sum of products
/// in one instruction.
pub(super) struct Avx512;

impl Avx512 {
    pub(super) fn available() -> bool {
        is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vnni")
    }
}

// As for `Avx2`.
impl Lanes for Avx512 {
    type Ints = __m512i;
    type Floats = __m512;

    // Eight registers of integer sums, eight of float sums: of 32.
    const COLUMNS: usize = 8;

    #[inline(always)]
    unsafe fn zero() -> Self::Ints {
        // SAFETY: see above.
        unsafe { _mm512_setzero_si512() }
    }

    #[inline(always)]
    unsafe fn pairs(pairs: &[[i16; 2]; ROWS]) -> Self::Ints {
        // SAFETY: see above.
        unsafe { _mm512_loadu_si512(pairs.as_ptr().cast::<__m512i>()) }
    }

    #[inline(always)]
    unsafe fn dot(sums: Self::Ints, a: Self::Ints, x: [i16; 2]) -> Self::Ints {
        // SAFETY: see above.
        unsafe { _mm512_dpwssd_epi32(sums, a, _mm512_set1_epi32(both(x))) }
    }

    #[inline(always)]
    unsafe fn load(floats: &[f32; ROWS]) -> Self::Floats {
        // SAFETY: see above.
        unsafe { _mm512_loadu_ps(floats.as_ptr()) }
    }

    #[inline(always)]
    unsafe fn store(floats: Self::Floats, to: &mut [f32; ROWS]) {
        // SAFETY: see above.
        unsafe { _mm512_storeu_ps(to.as_mut_ptr(), floats) }
    }

    #[inline(always)]
    unsafe fn add(to: Self::Floats, sums: Self::Ints, scale: Self::Floats, x: f32) -> Self::Floats {
        // SAFETY: see above.
        unsafe {
            let factor = _mm512_mul_ps(scale, _mm512_set1_ps(x));
            _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums), factor, to)
        }
    }

    #[inline(always)]
    unsafe fn subtract(to: Self::Floats, a: Self::Floats, x: f32) -> Self::Floats {
        // SAFETY: see above.
        unsafe { _mm512_fnmadd_ps(a, _mm512_set1_ps(x), to) }
    }

    #[inline(always)]
    unsafe fn transpose(rows: [&[u8; SPAN]; ROWS]) -> [Self::Ints; SPAN / 4] {
        // SAFETY: see above.
        unsafe { transpose_avx512(&rows) }
    }

    #[inline(always)]
    unsafe fn store_bits(bits: Self::Ints, to: &mut [f32; ROWS]) {
        // SAFETY: see above.
        unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast::<__m512i>(), bits) }
    }

    #[inline(always)]
    unsafe fn widen(bytes: Self::Ints, to: &mut [[[i16; 2]; ROWS]; 2]) {
        let [even, odd] = to.each_mut().map(|to| to.as_mut_ptr().cast::<__m512i>());
        // SAFETY: see above.
        unsafe {
            _mm512_storeu_si512(even, _mm512_srai_epi16(_mm512_slli_epi16(bytes, 8), 8));
            _mm512_storeu_si512(odd, _mm512_srai_epi16(bytes, 8));
        }
    }
}

/// [`Lanes::transpose`].
#[inline]
#[target_feature(enable = "avx512f")]
fn transpose_avx512(rows: &[&[u8; SPAN]; ROWS]) -> [__m512i; SPAN / 4] {
    let (low, high) = (four_avx512(rows, 0), four_avx512(rows, 4));
    let near = _mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13);
    let far = _mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15);
    let mut quads = [_mm512_setzero_si512(); SPAN / 4];
    for q in 0..4 {
        quads[q] = _mm512_permutex2var_epi64(low[q], near, high[q]);
        quads[q + 4] = _mm512_permutex2var_epi64(low[q], far, high[q]);
    }
    quads
}

/// As [`four_avx2`], of eight rows: those from `first` on in the low half, those
/// from `first + 8` on in the high half.
#[inline]
#[target_feature(enable = "avx512f")]
fn four_avx512(rows: &[&[u8; SPAN]; ROWS], first: usize) -> [__m512i; 4] {
    let [a, b, c, d] = [
        two_rows(rows, first),
        two_rows(rows, first + 1),
        two_rows(rows, first + 2),
        two_rows(rows, first + 3),
    ];
    let (ab, cd) = (_mm512_unpacklo_epi32(a, b), _mm512_unpacklo_epi32(c, d));
    let (ab_high, cd_high) = (_mm512_unpackhi_epi32(a, b), _mm512_unpackhi_epi32(c, d));
    [
        _mm512_unpacklo_epi64(ab, cd),
        _mm512_unpackhi_epi64(ab, cd),
        _mm512_unpacklo_epi64(ab_high, cd_high),
        _mm512_unpackhi_epi64(ab_high, cd_high),
    ]
}

/// A row in the low half, the eighth behind it in the high one.
#[inline]
#[target_feature(enable = "avx512f")]
fn two_rows(rows: &[&[u8; SPAN]; ROWS], row: usize) -> __m512i {
    // SAFETY: a row is as long as half a register.
    let [low, high] = unsafe {
        [
            _mm256_loadu_si256(rows[row].as_ptr().cast::<__m256i>()),
            _mm256_loadu_si256(rows[row + 8].as_ptr().cast::<__m256i>()),
        ]
    };
    _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1)
}

/// A pair as the 32 bits that it has in memory.
#[inline(always)]
fn both([low, high]: [i16; 2]) -> i32 {
    i32::from(high) << 16 | i32::from(low as u16)
}
