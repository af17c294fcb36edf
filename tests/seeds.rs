//! Every seed of the fuzz targets, on every toolchain: what was once found stays fixed.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod hostile;

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

/// No seed takes more, in bytes, and no folder of them.
const LARGEST: usize = 16_000;
const LARGEST_FOLDER: usize = 400_000;

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files of a folder, in order.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn no_seed_breaks_its_target() {
    let mut broken = Vec::new();
    for (name, target) in hostile::TARGETS {
        let seeds = files(&top().join("fuzz/seeds").join(name));
        assert!(seeds.len() >= 5, "{name} has only {} seeds", seeds.len());
        let mut size = 0;
        for seed in seeds {
            let bytes = fs::read(&seed).unwrap();
            assert!(bytes.len() <= LARGEST, "{} is too large", seed.display());
            size += bytes.len();
            if catch_unwind(|| target(&bytes)).is_err() {
                broken.push(seed);
            }
        }
        assert!(size <= LARGEST_FOLDER, "the seeds of {name} take {size} bytes");
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn every_target_is_fuzzed() {
    let manifest = fs::read_to_string(top().join("fuzz/Cargo.toml")).unwrap();
    let mut targets: Vec<_> = files(&top().join("fuzz/fuzz_targets"))
        .iter()
        .map(|file| file.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    for (name, _) in hostile::TARGETS {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "fuzz/Cargo.toml lacks {name}");
        let at = targets.iter().position(|target| target == name);
        targets.swap_remove(at.unwrap_or_else(|| panic!("fuzz/fuzz_targets lacks {name}")));
    }
    assert!(targets.is_empty(), "not in TARGETS: {targets:?}");
}
