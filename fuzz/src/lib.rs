//! The fuzz targets' common part: what must hold, shared with `tests/seeds.rs`.

#[path = "../../tests/hostile/mod.rs"]
pub mod hostile;
