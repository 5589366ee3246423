//! Nanoseconds of `respond` for each kind of answer (instructions: `perf/respond`).

use std::hint::black_box;
use std::net::IpAddr;

use criterion::{Criterion, criterion_group, criterion_main};
use steerd::dataplane::respond::{Transport, WorkerState, respond};

#[path = "../perf/fixture.rs"]
mod fixture;

fn respond_by_kind(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("respond");
    let client = IpAddr::from([10, 1, 2, 3]);
    for (kind, query) in fixture::kinds() {
        let mut generation = fixture::generation();
        let mut worker = WorkerState::default();
        let mut reply = [0; 4096];
        group.bench_function(kind, |bencher| {
            bencher.iter(|| {
                respond(
                    &mut generation,
                    &mut worker,
                    client,
                    Transport::Udp,
                    black_box(&query),
                    black_box(&mut reply),
                )
            });
        });
    }
    group.finish();
}

criterion_group!(benches, respond_by_kind);
criterion_main!(benches);
