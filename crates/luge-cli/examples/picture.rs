//! Turns terminal output with colours on standard input into an SVG picture on
//! standard output: `luge … --color always | picture >picture.svg`.

use std::io::{self, Read, Write};

fn main() -> io::Result<()> {
    let mut text = String::new();
    io::stdin().read_to_string(&mut text)?;
    let picture = anstyle_svg::Term::new().render_svg(&text);
    io::stdout().write_all(picture.as_bytes())
}
