//! What the layers of a language model say about each token of a text, as a page
//! that needs nothing else: no network, no server, one file.
//!
//! [`LensPage`] is the data: plain numbers, with no model behind them. [`html`]
//! makes the page. What draws lies in `assets`, in plain JavaScript and CSS, and
//! other pages can have it from [`assets`],
//! and put it into a page of their own with [`template`]:
//!
//! * `common.js`, what the others share: tokens as text, numbers, elements;
//! * `map.js`, the heat map: layers by positions;
//! * `chart.js`, tokens' probabilities from layer to layer;
//! * `depth.js`, one position in depth: that chart, and what each layer says;
//! * `page.js`, which starts the page of `luge lens` from these.
//!
//! ```
//! use luge_page::{LensPage, Position};
//!
//! let position = Position {
//!     id: 5,
//!     before: (17, 0.41),
//!     after: (17, 0.41),
//!     settling_depth: 1,
//!     entropy: vec![3.2, 1.1],
//!     jsd: vec![0.4, 0.0],
//!     top: vec![vec![(12, 0.2), (17, 0.1)], vec![(17, 0.41), (12, 0.3)]],
//!     paths: vec![(12, vec![0.2, 0.3]), (17, vec![0.1, 0.41])],
//!     ..Position::default()
//! };
//! let page = LensPage {
//!     title: "The capital of British Columbia is".into(),
//!     layers: vec![0, 1],
//!     tokens: [(5, " is".into()), (12, " Victoria".into()), (17, " Vancouver".into())].into(),
//!     positions: vec![position],
//!     ..LensPage::default()
//! };
//! assert!(luge_page::html(&page).starts_with("<!doctype html>"));
//! ```

pub mod assets;
mod data;
mod html;
mod svg;
pub mod template;

pub use data::{LensPage, Position, Votes, is_unprintable};
pub use html::html;
pub use svg::svg;
