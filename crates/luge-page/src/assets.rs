//! The parts of the page, for other pages that draw the same.
//!
//! The scripts are one module in five pieces: put those that are wanted, in this
//! order, into one `<script type="module">`.

/// The colours, type and parts of whatever the scripts draw.
pub const LENS_CSS: &str = include_str!("../assets/lens.css");
/// What the page of `luge lens` has around that.
pub const PAGE_CSS: &str = include_str!("../assets/page.css");
/// Tokens as text, numbers, elements.
pub const COMMON_JS: &str = include_str!("../assets/common.js");
/// `lensMap`: the heat map. Needs [`COMMON_JS`].
pub const MAP_JS: &str = include_str!("../assets/map.js");
/// `lensChart`: probabilities from layer to layer. Needs [`COMMON_JS`].
pub const CHART_JS: &str = include_str!("../assets/chart.js");
/// `lensDepth`: one position in depth. Needs [`COMMON_JS`] and [`CHART_JS`].
pub const DEPTH_JS: &str = include_str!("../assets/depth.js");
/// Starts the page of `luge lens`. Needs all the others.
pub const PAGE_JS: &str = include_str!("../assets/page.js");

pub(crate) const PAGE_HTML: &str = include_str!("../assets/page.html");
