//! One target of `tests/it/fuzz/targets.rs`, chosen by `PLAUDIT_FUZZ_TARGET`, with inputs that libFuzzer makes.

#![no_main]

use std::sync::OnceLock;

#[path = "../../tests/it/support/sign.rs"]
#[allow(dead_code, reason = "a part of the tests, of which not everything is used")]
mod sign;
#[path = "../../tests/it/fuzz/targets.rs"]
mod targets;

mod support {
    pub use super::sign::Signer;
}

fn target() -> targets::Target {
    static TARGET: OnceLock<targets::Target> = OnceLock::new();
    *TARGET.get_or_init(|| {
        let wanted = std::env::var("PLAUDIT_FUZZ_TARGET").expect("PLAUDIT_FUZZ_TARGET names a target");
        let found = targets::TARGETS.iter().find(|(name, _)| *name == wanted);
        found.unwrap_or_else(|| panic!("there is no target {wanted}")).1
    })
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| target()(bytes));
