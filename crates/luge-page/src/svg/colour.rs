//! Colours for light and for dark surroundings, the same as the page's.
//!
//! They are chosen in OKLCH, where equal steps look equal, and written as sRGB, which
//! every renderer understands.

/// Lightness and chroma, 0..=1, and hue in degrees.
type Oklch = (f64, f64, f64);

/// One colour in light surroundings and its counterpart in dark ones.
#[derive(Debug, Clone, Copy)]
pub struct Paint {
    light: Oklch,
    dark: Oklch,
}

impl Paint {
    const fn new(light: Oklch, dark: Oklch) -> Self {
        Paint { light, dark }
    }

    /// As `#rrggbb`, in light and in dark surroundings.
    pub fn hex(&self) -> [String; 2] {
        [self.light, self.dark].map(|colour| {
            let [r, g, b] = srgb(colour).map(|part| (255.0 * part).round() as u8);
            format!("#{r:02x}{g:02x}{b:02x}")
        })
    }
}

pub const PAPER: Paint = Paint::new((1.0, 0.0, 0.0), (0.178, 0.014, 258.0));
pub const INK: Paint = Paint::new((0.22, 0.01, 260.0), (0.93, 0.005, 260.0));
pub const QUIET: Paint = Paint::new((0.5, 0.01, 260.0), (0.72, 0.01, 260.0));
pub const FAINT: Paint = Paint::new((0.74, 0.004, 260.0), (0.5, 0.008, 260.0));
pub const HAIR: Paint = Paint::new((0.92, 0.003, 260.0), (0.3, 0.008, 260.0));
/// What was generated, and what the method chose.
pub const AFTER: Paint = Paint::new((0.5, 0.15, 258.0), (0.76, 0.11, 255.0));
/// What the final layer alone would have chosen.
pub const BEFORE: Paint = Paint::new((0.55, 0.14, 50.0), (0.77, 0.12, 60.0));
/// Lines of tokens with no such part to play.
pub const LINES: [Paint; 6] = [
    Paint::new((0.5, 0.17, 310.0), (0.77, 0.12, 310.0)),
    Paint::new((0.53, 0.09, 190.0), (0.78, 0.1, 190.0)),
    Paint::new((0.55, 0.16, 5.0), (0.76, 0.12, 5.0)),
    Paint::new((0.55, 0.11, 95.0), (0.8, 0.12, 95.0)),
    Paint::new((0.56, 0.11, 230.0), (0.79, 0.09, 225.0)),
    Paint::new((0.53, 0.11, 145.0), (0.78, 0.11, 145.0)),
];

/// How many steps a probability's colour has, from 0 to 1 with both.
pub const STEPS: usize = 21;

/// The step of a probability.
pub fn step(prob: f64) -> usize {
    // What is not a number becomes 0.
    (prob.clamp(0.0, 1.0) * (STEPS - 1) as f64).round() as usize
}

/// The colour of a step: a straight line from next to the paper's colour to much ink.
pub fn shade(step: usize) -> Paint {
    let part = step as f64 / (STEPS - 1) as f64;
    let mix = |from: Oklch, to: Oklch| {
        let mix = |from: f64, to: f64| from + part * (to - from);
        (mix(from.0, to.0), mix(from.1, to.1), mix(from.2, to.2))
    };
    Paint {
        light: mix((0.972, 0.01, 250.0), (0.4, 0.14, 262.0)),
        dark: mix((0.235, 0.01, 250.0), (0.86, 0.08, 262.0)),
    }
}

/// What is written on the steps, by name: black or white, whichever is easier to read.
/// Those in the middle are light enough for black on either paper.
pub const ON_SHADES: [(&str, Paint); 3] = [
    ("low", Paint::new(BLACK, WHITE)),
    ("mid", Paint::new(BLACK, BLACK)),
    ("high", Paint::new(WHITE, BLACK)),
];
const BLACK: Oklch = (0.0, 0.0, 0.0);
const WHITE: Oklch = (1.0, 0.0, 0.0);

/// Which of these a step takes.
pub fn on_shade(step: usize) -> (&'static str, Paint) {
    match step {
        0..=10 => ON_SHADES[0],
        11..=14 => ON_SHADES[1],
        _ => ON_SHADES[2],
    }
}

/// Red, green and blue, 0..=1. After Björn Ottosson, "A perceptual color space for
/// image processing" (2020). What sRGB cannot show is cut off.
fn srgb((lightness, chroma, hue): Oklch) -> [f64; 3] {
    let (b, a) = hue.to_radians().sin_cos();
    let (a, b) = (chroma * a, chroma * b);
    let l = (lightness + 0.3963377774 * a + 0.2158037573 * b).powi(3);
    let m = (lightness - 0.1055613458 * a - 0.0638541728 * b).powi(3);
    let s = (lightness - 0.0894841775 * a - 1.2914855480 * b).powi(3);
    let linear = [
        4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
        -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
        -0.0041960863 * l - 0.7034186147 * m + 1.7076147010 * s,
    ];
    linear.map(|part| {
        let part = part.clamp(0.0, 1.0);
        if part <= 0.0031308 { 12.92 * part } else { 1.055 * part.powf(1.0 / 2.4) - 0.055 }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative luminance, as WCAG 2 has it.
    fn luminance(colour: Oklch) -> f64 {
        let linear = srgb(colour).map(|part| {
            if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
        });
        0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    }

    fn contrast(one: Oklch, other: Oklch) -> f64 {
        let (one, other) = (luminance(one), luminance(other));
        (one.max(other) + 0.05) / (one.min(other) + 0.05)
    }

    #[test]
    fn known_colours() {
        assert_eq!(PAPER.hex()[0], "#ffffff");
        let red = Paint::new((0.627955, 0.257683, 29.2339), (0.0, 0.0, 0.0));
        assert_eq!(red.hex(), ["#ff0000", "#000000"]);
    }

    #[test]
    fn what_is_written_can_be_read() {
        for step in 0..STEPS {
            let (shade, (_, text)) = (shade(step), on_shade(step));
            assert!(contrast(shade.light, text.light) >= 4.5, "light, step {step}");
            assert!(contrast(shade.dark, text.dark) >= 4.5, "dark, step {step}");
        }
        for text in [INK, QUIET, AFTER, BEFORE].iter().chain(&LINES) {
            assert!(contrast(PAPER.light, text.light) >= 4.5, "light, {text:?}");
            assert!(contrast(PAPER.dark, text.dark) >= 4.5, "dark, {text:?}");
        }
    }

    #[test]
    fn more_is_darker_on_light_paper_and_lighter_on_dark_paper() {
        for step in 1..STEPS {
            assert!(luminance(shade(step).light) < luminance(shade(step - 1).light));
            assert!(luminance(shade(step).dark) > luminance(shade(step - 1).dark));
        }
    }

    #[test]
    fn steps() {
        assert_eq!([0.0, 0.024, 0.026, 0.5, 1.0, 7.0].map(step), [0, 0, 1, 10, 20, 20]);
        assert_eq!([-1.0, f64::NAN, f64::NEG_INFINITY].map(step), [0, 0, 0]);
    }
}
