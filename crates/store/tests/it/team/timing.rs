//! How long refusals take, and comparisons (AU-01, CR-10): `cargo xtask bench timing` measures them. No
//! test says anything about a time.

#![expect(clippy::print_stdout, reason = "a measurement prints what it measured")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use strongroom_model::ports::Clock as _;
use strongroom_model::secret::Secret;
use strongroom_model::team::KeyId;
use subtle::ConstantTimeEq as _;

use crate::team::base::Base;

/// Refusals that are measured on each database, a quarter of each kind.
const REFUSALS: usize = 100_000;

/// Comparisons of each kind, in hundreds.
const COMPARISONS: usize = 10_000;

const KINDS: [&str; 4] = ["unknown id", "wrong secret", "expired", "disabled"];

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement: `cargo xtask bench timing`"]
async fn how_long_a_refusal_takes_in_a_file() {
    refusals("SQLite", &Base::sqlite().await).await;
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement: `cargo xtask bench timing`"]
async fn how_long_a_refusal_takes_in_postgres() {
    refusals("Postgres", &Base::postgres().await).await;
}

async fn refusals(name: &str, base: &Base) {
    let tenant = base.tenant("a").await;
    let good = base.key(&tenant, None).await;
    let expired = base.key(&tenant, Some(base.clock.now())).await;
    let disabled = base.key(&tenant, None).await;
    let id = std::str::from_utf8(&disabled.expose()[4..20]).unwrap().parse().unwrap();
    base.team.enable_api_key(&tenant.id, &id, false).await.unwrap();
    let wrong = joined(&good.expose()[..21], &expired.expose()[21..]);
    let mut random = Random(1);
    let mut times: [Vec<Duration>; 4] = Default::default();
    for _ in 0..REFUSALS {
        let kind = random.next().to_le_bytes()[0] as usize % 4;
        let id = KeyId::from_random(std::array::from_fn(|_| random.next().to_le_bytes()[0]));
        let unknown = joined(format!("mcp_{id}_").as_bytes(), &good.expose()[21..]);
        // All of them are made anew, so that all are as warm.
        let token = [&unknown, &wrong, &expired, &disabled][kind];
        let token = joined(token.expose(), b"");
        let began = Instant::now();
        let found = base.team.authenticate_api_key(&token).await.unwrap();
        times[kind].push(began.elapsed());
        assert!(found.is_none());
    }
    println!("{name}: {REFUSALS} refusals");
    report(&KINDS, &times);
}

#[test]
#[ignore = "a measurement: `cargo xtask bench timing`"]
fn how_long_a_comparison_takes() {
    let kinds = ["the same", "first byte differs", "last byte differs"];
    let mut others = [[7_u8; 32]; 3];
    others[1][0] ^= 1;
    others[2][31] ^= 1;
    let ours = [7_u8; 32];
    let mut random = Random(1);
    let mut times: [Vec<Duration>; 3] = Default::default();
    for _ in 0..COMPARISONS * kinds.len() {
        let kind = random.next().to_le_bytes()[0] as usize % 3;
        let other = others[kind];
        let began = Instant::now();
        for _ in 0..100 {
            black_box(black_box(&ours[..]).ct_eq(black_box(&other[..])));
        }
        times[kind].push(began.elapsed());
    }
    println!("{} comparisons of 32 bytes, by hundreds", COMPARISONS * 100 * kinds.len());
    report(&kinds, &times);
}

fn joined(one: &[u8], other: &[u8]) -> Secret {
    Secret::new([one, other].concat())
}

/// Mean and median of each kind, and Welch's t of each against the first, without the slowest hundredth
/// of all: |t| below 4.5 tells nothing apart.
fn report(kinds: &[&str], times: &[Vec<Duration>]) {
    let mut all: Vec<Duration> = times.iter().flatten().copied().collect();
    all.sort_unstable();
    let most = all[all.len() * 99 / 100];
    let kept: Vec<Vec<f64>> = times
        .iter()
        .map(|times| times.iter().filter(|time| **time <= most))
        .map(|times| times.map(|time| time.as_secs_f64() * 1e6).collect())
        .collect();
    for (kind, times) in kinds.iter().zip(&kept) {
        let mut sorted = times.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let (mean, _) = moments(times);
        let t = welch(&kept[0], times);
        println!(
            "  {kind:<20} n {:>6}  mean {mean:>9.3} us  median {:>9.3} us  t {t:>7.2}",
            times.len(),
            sorted[sorted.len() / 2]
        );
    }
}

fn welch(one: &[f64], other: &[f64]) -> f64 {
    let ((a, spread_a), (b, spread_b)) = (moments(one), moments(other));
    (a - b) / (spread_a / count(one) + spread_b / count(other)).sqrt()
}

/// The mean, and the variance.
fn moments(times: &[f64]) -> (f64, f64) {
    let mean = times.iter().sum::<f64>() / count(times);
    let squares: f64 = times.iter().map(|time| (time - mean).powi(2)).sum();
    (mean, squares / (count(times) - 1.0))
}

fn count(times: &[f64]) -> f64 {
    f64::from(u32::try_from(times.len()).unwrap())
}

/// The same in every run (`SplitMix64`).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}
