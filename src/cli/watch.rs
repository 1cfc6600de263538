//! To come.
use super::{Environment, Failure};
/// x
#[derive(Debug, clap::Args)]
pub struct Watch {}
/// x
pub async fn command(_watch: Watch, _env: &Environment) -> Result<(), Failure> {
    Ok(())
}
