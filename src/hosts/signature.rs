//! To come.
#[derive(Debug)]
pub enum Proof {}
