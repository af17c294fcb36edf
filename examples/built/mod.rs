//! What cargo built beside the examples.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Where cargo put this example's siblings, whichhop among them.
pub(crate) fn directory() -> Option<PathBuf> {
    let examples = env::current_exe().ok()?.parent()?.to_owned();
    Some(examples.parent()?.to_owned())
}

/// The program, built now if it is not up to date.
pub(crate) fn whichhop() -> Result<PathBuf> {
    let directory = directory().context("this example does not know where it is")?;
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--bin", "whichhop"]);
    if directory.ends_with("release") {
        cargo.arg("--release");
    }
    let built = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status().context("cargo cannot be started")?;
    ensure!(built.success(), "whichhop cannot be built");
    Ok(directory.join("whichhop"))
}
