use super::*;

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds)
}

fn reference(text: &str) -> SecretRef {
    text.parse().unwrap()
}

fn unreachable() -> Vec<Result<Secret, ResolveError>> {
    vec![Err(ResolveError::unreachable("op", "it is down"))]
}

fn plain() -> Fingerprint {
    Box::new(|_| String::new())
}

#[test]
fn a_refusal_holds_for_a_minute_and_for_its_reference_only() {
    let (this, other) = (reference("op://v/i/f"), reference("op://v/i/g"));
    let denied = ResolveError::Denied { reference: this.clone(), why: "no".into() };
    for error in [ResolveError::NotFound { reference: this.clone() }, denied] {
        let mut attempts = Attempts::default();
        attempts.note(&this, Some(&error), at(0), false);
        let held = attempts.held(&this, at(59), &plain()).unwrap();
        assert_eq!(held.to_string(), error.to_string());
        assert!(attempts.held(&this, at(60), &plain()).is_none());
        assert!(attempts.held(&other, at(1), &plain()).is_none());
        assert!(attempts.held_from_people(&this, at(1)).is_none(), "people may ask again");
    }
    let mut attempts = Attempts::default();
    attempts.note(&this, Some(&ResolveError::Locked { scheme: "op".into() }), at(0), false);
    assert!(attempts.held(&this, at(0), &plain()).is_none(), "it may have been unlocked");
}

#[test]
fn a_rejected_token_is_left_alone_until_there_is_another() {
    let mut attempts = Attempts::default();
    let rejected = vec![Err(ResolveError::TokenRejected { scheme: "op".into() })];
    let old: Fingerprint = Box::new(|_| "old".into());
    attempts.note_batch("op", &rejected, at(0), &old);
    let other = reference("op://any/other/one");
    let held = |attempts: &Attempts, second, print| attempts.held(&other, at(second), print);
    assert_eq!(held(&attempts, 299, &old).unwrap().kind(), "token_rejected");
    assert!(held(&attempts, 300, &old).is_none());
    let new: Fingerprint = Box::new(|_| "new".into());
    assert!(held(&attempts, 1, &new).is_none());
    attempts.forget_scheme("op");
    assert!(held(&attempts, 1, &old).is_none());
}

#[test]
fn five_failures_in_a_minute_open_the_breaker_for_longer_each_time() {
    let this = reference("op://v/i/f");
    let mut attempts = Attempts::default();
    for second in 0..4 {
        attempts.note_batch("op", &unreachable(), at(second), &plain());
        assert!(attempts.held(&this, at(second), &plain()).is_none());
    }
    let mut now = 4;
    attempts.note_batch("op", &unreachable(), at(now), &plain());
    for open in [60, 120, 240, 480, 900, 900] {
        assert_eq!(attempts.held(&this, at(now + open - 1), &plain()).unwrap().kind(), "limited");
        assert!(attempts.held_from_people(&this, at(now)).is_none());
        now += open;
        assert!(attempts.held(&this, at(now), &plain()).is_none(), "one probe after {open} s");
        assert!(attempts.claim(&["op"], at(now)));
        assert!(attempts.held(&this, at(now), &plain()).is_some(), "and no second one");
        attempts.note_batch("op", &unreachable(), at(now), &plain());
    }
    attempts.note_batch("op", &[Ok(Secret::new(vec![1]))], at(now), &plain());
    assert_eq!(attempts, Attempts::default(), "a success closes it");
}

#[test]
fn failures_that_lie_apart_open_nothing() {
    let mut attempts = Attempts::default();
    for minute in 0..20 {
        attempts.note_batch("op", &unreachable(), at(minute * 60), &plain());
        assert!(attempts.held(&reference("op://v/i/f"), at(minute * 60), &plain()).is_none());
    }
}

#[test]
fn a_provider_that_asks_to_be_left_alone_is_also_by_people() {
    let this = reference("op://v/i/f");
    let mut attempts = Attempts::default();
    attempts.note_batch(
        "op",
        &[Err(ResolveError::Limited { scheme: "op".into() })],
        at(0),
        &plain(),
    );
    assert_eq!(attempts.held(&this, at(59), &plain()).unwrap().kind(), "limited");
    assert_eq!(attempts.held_from_people(&this, at(59)).unwrap().kind(), "limited");
    assert!(attempts.held_from_people(&this, at(60)).is_none());
}

#[test]
fn a_clock_that_went_back_holds_nothing() {
    let this = reference("op://v/i/f");
    let mut attempts = Attempts::default();
    let year = 365 * 24 * 3600;
    attempts.note(
        &this,
        Some(&ResolveError::NotFound { reference: this.clone() }),
        at(year),
        false,
    );
    for second in 0..5 {
        attempts.note_batch("op", &unreachable(), at(year + second), &plain());
    }
    assert!(attempts.held(&this, at(year + 5), &plain()).is_some());
    assert!(attempts.held(&this, at(0), &plain()).is_none());
}

#[test]
fn only_the_background_counts_failures_and_a_success_ends_them() {
    let this = reference("op://v/i/f");
    let down = ResolveError::unreachable("op", "it is down");
    let mut attempts = Attempts::default();
    for (background, failures) in [(true, 1), (false, 1), (true, 2), (true, 3)] {
        attempts.note(&this, Some(&down), at(0), background);
        assert_eq!(attempts.failures(&this), failures);
    }
    attempts.note(&this, None, at(0), true);
    assert_eq!(attempts.failures(&this), 0);
}

#[test]
fn an_error_comes_back_as_it_was_and_junk_is_an_error_too() {
    let this = reference("op://v/i/f");
    let scheme = || "op".to_owned();
    for error in [
        ResolveError::Locked { scheme: scheme() },
        ResolveError::NotFound { reference: this.clone() },
        ResolveError::Denied { reference: this.clone(), why: "its mode".into() },
        ResolveError::Integrity { scheme: scheme() },
        ResolveError::unreachable("op", "it is down"),
        ResolveError::Limited { scheme: scheme() },
        ResolveError::TokenRejected { scheme: scheme() },
        ResolveError::absent("op", "no program", "install it"),
        ResolveError::NoProvider { scheme: scheme() },
    ] {
        let mut attempts = Attempts::default();
        attempts.note(&this, Some(&error), at(0), false);
        let text = serde_json::to_string(&attempts).unwrap();
        let read: Attempts = serde_json::from_str(&text).unwrap();
        assert_eq!(read, attempts);
        let back = read.since(&this, at(0), at(1)).unwrap();
        assert_eq!((back.to_string(), back.hint()), (error.to_string(), error.hint()));
        assert!(read.since(&this, at(1), at(2)).is_none());
    }
}
