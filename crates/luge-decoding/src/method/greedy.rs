//! Ordinary decoding: the final layer decides, and no exit is looked at.

use super::{Method, MethodInfo, ModelShape, Position, Stage, Value};
use crate::Error;
use crate::exits::ExitForm;

pub(super) const INFO: MethodInfo = MethodInfo {
    name: "greedy",
    about: "The final layer alone, as every other program decodes",
    params: &[],
    build: |_| Ok(Box::new(Greedy)),
};

/// The final layer alone: the stage that changes nothing.
///
/// The name is the field's for the best token of the final layer. As any
/// method it can be sampled from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Greedy;

impl Method for Greedy {
    fn bind(&self, _shape: &ModelShape) -> Result<Box<dyn Stage>, Error> {
        Ok(Box::new(*self))
    }

    fn exit_form(&self) -> Option<ExitForm> {
        None
    }
}

impl Stage for Greedy {
    fn name(&self) -> &'static str {
        INFO.name
    }

    fn params(&self) -> Vec<(&'static str, Value)> {
        Vec::new()
    }

    fn layers(&self) -> &[usize] {
        &[]
    }

    fn is_identity(&self) -> bool {
        true
    }

    fn apply(&self, _position: &mut Position<'_>, _current: &mut [f32]) -> Result<(), Error> {
        Ok(())
    }
}
