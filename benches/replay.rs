//! How fast a recording is diagnosed: `cargo bench --bench replay`. From the bytes of the file to those of the
//! report, within the process.

use std::hint::black_box;
use std::path::Path;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use whichhop::diagnose::{Diagnosis, Question};
use whichhop::recording::Reader;
use whichhop::report::json;

/// An answered trace, a silent one, and one where a machine answered late.
const FIXTURES: [&str; 3] = ["edge-reset", "vm-drop-in", "vm-off"];

fn report(recording: &[u8]) -> String {
    let mut reader = Reader::new(recording).expect("it is a recording");
    let mut diagnosis = Diagnosis::new(Question::default());
    while let Some(record) = reader.next().expect("it can be read") {
        diagnosis.push(&record);
    }
    json(&diagnosis.finish().expect("there is something to diagnose"))
}

fn replaying(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("replay");
    for name in FIXTURES {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name).join("capture.pcapng");
        let recording = std::fs::read(path).expect("the fixture is there");
        group.throughput(Throughput::Bytes(recording.len() as u64));
        group.bench_function(name, |bencher| bencher.iter(|| report(black_box(&recording))));
    }
    group.finish();
}

criterion_group!(benches, replaying);
criterion_main!(benches);
