//! What the property tests stand on: models made of noise, and the methods
//! written out literally.

pub mod models;
pub mod reference;
