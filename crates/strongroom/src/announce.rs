//! Tells the person at the desktop that an agent waits for an answer.

use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use strongroom_model::approval::Question;
use strongroom_model::ports::Clock;
use tracing::debug;

use crate::alarm::{self, Notifier};
use crate::desktop::Desktop;
use crate::environment::Host;

/// Questions that come within this time of a notification have no other.
const PAUSE: Duration = Duration::from_secs(10);

/// Shows a notification for a question, where there is a desktop and no window asks there already. Nothing
/// holds the call up.
pub fn on(host: &Host, windows: Option<Desktop>) -> impl Fn(&Question) + Send + Sync + 'static {
    let notifier = alarm::desktop(host);
    let clock = std::sync::Arc::clone(&host.clock);
    let last = Mutex::new(None);
    move |question| {
        let Some(notifier) = &notifier else { return };
        let has_window = !question.access && !question.typed;
        if has_window && windows.as_ref().is_some_and(Desktop::is_there) {
            return;
        }
        if is_due(&last, &*clock) {
            show(notifier.clone(), words(question));
        }
    }
}

fn is_due(last: &Mutex<Option<Duration>>, clock: &dyn Clock) -> bool {
    let now = clock.monotonic();
    let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
    let due = last.is_none_or(|last| now.saturating_sub(last) >= PAUSE);
    if due {
        *last = Some(now);
    }
    due
}

fn show(notifier: Notifier, text: String) {
    let shown = thread::Builder::new().name("notify".into()).spawn(move || {
        if let Err(problem) = alarm::notify(&notifier, &text) {
            debug!("{problem}");
        }
    });
    // Without a thread there is no notification; the question is in the list all the same.
    drop(shown);
}

/// Two names, and nothing that an agent wrote.
fn words(question: &Question) -> String {
    let (principal, service) = (&question.principal, &question.service);
    format!("The agent `{principal}` asks for `{service}`. Run `strongroom approvals`.")
}

#[cfg(test)]
mod tests {
    use strongroom_testkit::fakes::FakeClock;

    use super::*;

    #[test]
    fn a_flood_of_questions_is_one_notification() {
        let (clock, last) = (FakeClock::default(), Mutex::new(None));
        let due: Vec<bool> = (0..5).map(|_| is_due(&last, &clock)).collect();
        assert_eq!(due, [true, false, false, false, false]);
        clock.advance(PAUSE);
        assert!(is_due(&last, &clock));
    }
}
