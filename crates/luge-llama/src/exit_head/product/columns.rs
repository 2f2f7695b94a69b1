//! Hidden states made ready for multiplying.

use super::panel::{GROUP, first_of_pair};

/// Hidden states as 16-bit integers with a scale for each group of 32: `[width]`
/// numbers a column, laid out as the kernel reads them.
///
/// A number is rounded to 1/32767 of its group's largest, so that an exit's
/// error is about a thousandth of what 8-bit activations cost.
#[derive(Debug)]
pub(super) struct Columns {
    /// The most columns in a tile.
    most: usize,
    /// Columns in each tile, as even as can be.
    tiles: Vec<usize>,
    groups: usize,
    count: usize,
    /// `[tiles][pairs of the width][columns of the tile]`.
    pairs: Vec<[i16; 2]>,
    /// `[tiles][groups][columns of the tile]`.
    scales: Vec<f32>,
    /// The sum of each group of a column, `[tiles][groups][columns of the tile]`.
    sums: Vec<f32>,
}

/// Some columns of a tile and block.
pub(super) struct Tile<'a> {
    /// The first column.
    pub(super) first: usize,
    /// How many.
    pub(super) columns: usize,
    /// `[pairs][columns]`.
    pub(super) pairs: &'a [[i16; 2]],
    /// `[groups][columns]`.
    pub(super) scales: &'a [f32],
    /// `[groups][columns]`.
    pub(super) sums: &'a [f32],
}

impl Columns {
    /// No columns yet, of `width` numbers, at most `most` to a tile.
    pub(super) fn new(width: usize, most: usize) -> Self {
        Columns {
            most,
            tiles: Vec::new(),
            groups: width / GROUP,
            count: 0,
            pairs: Vec::new(),
            scales: Vec::new(),
            sums: Vec::new(),
        }
    }

    /// Makes room for `count` columns. What is there stays for fewer.
    pub(super) fn resize(&mut self, count: usize) {
        if self.count == count {
            return;
        }
        let tiles = count.div_ceil(self.most);
        self.tiles.clear();
        self.tiles.extend((0..tiles).map(|tile| (count + tile) / tiles));
        self.count = count;
        self.pairs.resize(count * self.width() / 2, [0; 2]);
        self.scales.resize(count * self.groups, 0.0);
        self.sums.resize(count * self.groups, 0.0);
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    pub(super) fn width(&self) -> usize {
        self.groups * GROUP
    }

    /// Bytes held.
    pub(super) fn memory(&self) -> usize {
        let floats = self.scales.capacity() + self.sums.capacity();
        self.pairs.capacity() * size_of::<[i16; 2]>() + floats * size_of::<f32>()
    }

    /// Takes in `states`, `[width]` each, one a column.
    pub(super) fn fill(&mut self, states: &[&[f32]]) {
        self.resize(states.len());
        let width = self.width();
        assert!(states.iter().all(|state| state.len() == width), "a column has {width} numbers");
        let mut states = states.iter();
        let mut done = 0;
        for &columns in &self.tiles {
            let pairs = &mut self.pairs[done * width / 2..][..columns * width / 2];
            let scales = &mut self.scales[done * self.groups..][..columns * self.groups];
            let sums = &mut self.sums[done * self.groups..][..columns * self.groups];
            for (column, state) in states.by_ref().take(columns).enumerate() {
                for (index, group) in state.chunks_exact(GROUP).enumerate() {
                    let (scale, numbers) = quantize(group.try_into().expect("its size"));
                    let sum: i32 = numbers.iter().map(|&number| i32::from(number)).sum();
                    scales[index * columns + column] = scale;
                    sums[index * columns + column] = scale * sum as f32;
                    let pairs = &mut pairs[index * GROUP / 2 * columns..];
                    for pair in 0..GROUP / 2 {
                        let first = first_of_pair(pair);
                        pairs[pair * columns + column] = [numbers[first], numbers[first + 2]];
                    }
                }
            }
            done += columns;
        }
    }

    /// The tiles' share of `groups`, which begin at group `from`.
    pub(super) fn tiles(&self, from: usize, groups: usize) -> impl Iterator<Item = Tile<'_>> {
        let mut first = 0;
        self.tiles.iter().map(move |&columns| {
            let start = first * self.groups + from * columns;
            let (pairs, range) = (GROUP / 2, start..start + groups * columns);
            let tile = Tile {
                first,
                columns,
                pairs: &self.pairs[range.start * pairs..range.end * pairs],
                scales: &self.scales[range.clone()],
                sums: &self.sums[range],
            };
            first += columns;
            tile
        })
    }
}

/// A group's scale, and its numbers in units of that. Not a number, or
/// infinite: the scale is then not a number, and so is every product with it.
fn quantize(group: &[f32; GROUP]) -> (f32, [i16; GROUP]) {
    /// 1.5 · 2²³: adding it leaves a number rounded in the low bits.
    const ROUND: f32 = 12_582_912.0;
    const MOST: f32 = i16::MAX as f32;
    let largest = group.iter().fold(0.0f32, |most, number| most.max(number.abs()));
    let bad = group.iter().fold(false, |bad, number| bad | !number.is_finite());
    let inverse = if largest > 0.0 { MOST / largest } else { 0.0 };
    // A group of the smallest numbers: their reciprocal has no room in a float.
    let inverse = if inverse.is_finite() { inverse } else { 0.0 };
    let scale = if bad { f32::NAN } else { largest / MOST };
    let mut numbers = [0; GROUP];
    for (rounded, number) in numbers.iter_mut().zip(group) {
        let number = (number * inverse).clamp(-MOST, MOST);
        *rounded = (number + ROUND).to_bits() as u16 as i16;
    }
    (scale, numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_to_within_half_a_step() {
        let group: [f32; GROUP] = std::array::from_fn(|i| (i as f32 - 11.3) * 0.37);
        let (scale, numbers) = quantize(&group);
        for (number, exact) in numbers.iter().zip(group) {
            assert!((f32::from(*number) * scale - exact).abs() <= scale * 0.501);
        }
        assert_eq!(numbers[GROUP - 1], i16::MAX);
    }

    #[test]
    fn nothing_and_the_unnumbered_are_told_apart() {
        assert_eq!(quantize(&[0.0; GROUP]), (0.0, [0; GROUP]));
        let (scale, numbers) = quantize(&[1e-41; GROUP]);
        assert!(scale.is_finite() && numbers == [0; GROUP]);
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut group = [1.0; GROUP];
            group[7] = bad;
            assert!(quantize(&group).0.is_nan(), "{bad}");
        }
    }

    #[test]
    fn tiles_are_even_and_hold_every_column() {
        for (count, most, wanted) in
            [(16, 8, vec![8, 8]), (12, 8, vec![6, 6]), (30, 8, vec![7, 7, 8, 8]), (1, 8, vec![1])]
        {
            let mut columns = Columns::new(64, most);
            columns.fill(&vec![&[1.0; 64][..]; count]);
            assert_eq!(columns.tiles, wanted);
            assert_eq!(columns.tiles(0, 2).map(|tile| tile.columns).sum::<usize>(), count);
        }
    }
}
