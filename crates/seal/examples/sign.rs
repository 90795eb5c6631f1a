//! How long a signature for AWS takes: one JSON line.
//!
//! `cargo run --release -p strongroom-seal --example sign`

#![expect(clippy::print_stdout, reason = "the line is what it is run for")]
#![expect(clippy::cast_precision_loss, reason = "figures for people")]

use std::hint::black_box;
use std::time::Instant;

use strongroom_model::secret::Secret;
use strongroom_seal::sign::sigv4::{Request, Scope, authorization, hash};

const RUNS: usize = 15;
const SIGNATURES: usize = 1_000;

/// Bytes of the bodies that are hashed.
const BODIES: [usize; 2] = [0, 16 << 10];

fn main() {
    let key = Secret::new(b"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_vec());
    let rows = BODIES.map(|bytes| {
        let body = vec![b'x'; bytes];
        let us = best(|| signed(&key, &body));
        format!("{{\"body_bytes\":{bytes},\"us\":{us:.3}}}")
    });
    println!("{{\"signatures\":[{}]}}", rows.join(","));
}

/// As a call to S3 is signed: its body hashed, five headers, a query.
fn signed(key: &Secret, body: &[u8]) {
    let payload = hash(black_box(body));
    let headers = [
        ("content-type", "application/octet-stream"),
        ("host", "bucket.s3.eu-central-1.amazonaws.com"),
        ("x-amz-content-sha256", payload.as_str()),
        ("x-amz-date", "20260315T102345Z"),
        ("x-amz-meta-origin", "strongroom"),
    ];
    let request = Request {
        method: "PUT",
        path: "/reports/2026/03/a%20report.json",
        query: "uploadId=VCVsb2FkIElEIGZvciBlbZZpbmcncyBteS1tb3ZpZS5tMnRz&partNumber=3",
        headers: &headers,
        payload: &payload,
    };
    let scope = Scope { region: "eu-central-1", service: "s3", time: "20260315T102345Z" };
    black_box(authorization("AKIAIOSFODNN7EXAMPLE", key, &scope, &request));
}

/// Microseconds of one in the fastest of several runs: what else the machine does only adds.
fn best(mut one: impl FnMut()) -> f64 {
    let times = (0..RUNS).map(|_| {
        let start = Instant::now();
        (0..SIGNATURES).for_each(|_| one());
        start.elapsed().as_secs_f64() * 1e6 / SIGNATURES as f64
    });
    times.fold(f64::INFINITY, f64::min)
}
