//! How fast the redactor reads JSON that holds no secret, and what it holds in memory: one JSON line.
//!
//! `cargo run --release -p strongroom-model --example redact_throughput`

#![expect(clippy::print_stdout, reason = "the line is what it is run for")]
#![expect(clippy::disallowed_methods, reason = "it measures time")]
#![expect(clippy::cast_precision_loss, reason = "figures for people")]

use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use strongroom_model::redact::{Clean, Labelled, Redactor};
use strongroom_model::secret::Secret;

const BODY: usize = 10 << 20;
const RUNS: usize = 15;

fn main() {
    let mut random = Random(0x5eed);
    let body = json(&mut random, BODY);
    let rows = [0, 20, 200, 1_000].map(|count| row(count, &mut random, &body)).map(|row| {
        let Row { secrets, whole, streamed, build, memory } = row;
        serde_json::json!({
            "secrets": secrets,
            // With nothing to look for nothing is read.
            "mb_per_s": (secrets > 0).then(|| whole.round()),
            "mb_per_s_streamed": streamed.round(),
            "build_ms": (build * 100.0).round() / 100.0,
            "memory_bytes": memory,
        })
    });
    println!("{}", serde_json::json!({ "body_bytes": body.len(), "redaction": rows }));
}

struct Row {
    secrets: usize,
    whole: f64,
    streamed: f64,
    build: f64,
    memory: usize,
}

fn row(secrets: usize, random: &mut Random, body: &[u8]) -> Row {
    let labelled: Vec<_> = (0..secrets).map(|index| labelled(index, random)).collect();
    let build = best(|| {
        black_box(Redactor::new(black_box(&labelled)));
    }) * 1e3;
    let redactor = Redactor::new(&labelled);

    let megabytes = body.len() as f64 / 1e6;
    let mut bytes = body.to_vec();
    let whole = best(|| {
        let (clean, markers) = redactor.clean(std::mem::take(&mut bytes));
        assert_eq!(markers, 0, "the body holds no secret");
        bytes = clean.into_inner();
    });
    let streamed = best(|| {
        let mut stream = redactor.stream();
        let mut out = Clean::default();
        for chunk in body.chunks(16 << 10) {
            stream.push(chunk, &mut out);
            // What is decided goes on to the reader.
            black_box(std::mem::take(&mut out));
        }
        stream.finish(&mut out);
    });
    Row {
        secrets,
        whole: megabytes / whole,
        streamed: megabytes / streamed,
        build,
        memory: redactor.memory_bytes(),
    }
}

/// Seconds of the fastest of several runs: what else the machine does only ever adds.
fn best(mut run: impl FnMut()) -> f64 {
    let times = (0..RUNS).map(|_| {
        let start = Instant::now();
        run();
        start.elapsed().as_secs_f64()
    });
    times.fold(f64::INFINITY, f64::min)
}

/// A secret of 40 characters, as issuers write them.
fn labelled(index: usize, random: &mut Random) -> Labelled {
    let prefix = ["ghp_", "sk_live_", "xoxb-", ""][index % 4];
    let value = prefix.to_owned() + &random.text(ALPHANUMERIC, 40 - prefix.len());
    Labelled {
        label: format!("service-{index}"),
        secret: Arc::new(Secret::new(value.into_bytes())),
    }
}

/// What a list of issues looks like: names, addresses, hashes, base64, dates, prose, escapes.
fn json(random: &mut Random, length: usize) -> Vec<u8> {
    let mut out = String::from("[");
    while out.len() < length {
        let id = random.next();
        let sha = random.text(b"0123456789abcdef", 40);
        let node = random.text(ALPHANUMERIC, 32);
        let login = random.text(b"abcdefghijklmnopqrstuvwxyz", 8);
        write!(
            out,
            r#"{{"id":{id},"node_id":"{node}==","url":"https://api.github.com/repos/{login}/strongroom/issues/{id}","sha":"{sha}","title":"Redaction should not slow down a large response","user":{{"login":"{login}","id":{id},"avatar_url":"https://avatars.githubusercontent.com/u/{id}?v=4","html_url":"https:\/\/github.com\/{login}","site_admin":false}},"labels":[{{"name":"enhancement","color":"a2eeef","default":true}}],"state":"open","created_at":"2025-11-02T13:37:00Z","body":"When the broker answers with many megabytes,\r\n> every byte is looked at \u00e9 \"quoted\" %20 &amp; more.\nSee sk_live_ and ghp_ prefixes.","reactions":{{"+1":0,"-1":0}},"performed_via_github_app":null}},"#
        )
        .expect("a string takes everything");
    }
    out.pop();
    out.push(']');
    out.into_bytes()
}

const ALPHANUMERIC: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// The same numbers in every run (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) >> 20
    }

    fn text(&mut self, alphabet: &[u8], length: usize) -> String {
        let count = u64::try_from(alphabet.len()).expect("an alphabet is small");
        (0..length)
            .map(|_| {
                let index = usize::try_from(self.next() % count).expect("an index is small");
                char::from(alphabet[index])
            })
            .collect()
    }
}
