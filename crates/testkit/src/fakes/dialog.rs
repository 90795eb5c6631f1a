//! The person at the display, played by a test.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use strongroom_model::approval::Question;
use strongroom_model::ports::{BoxFuture, Dialog, Lack, Lacking, Shown, Verification};
use tokio::sync::{Mutex as AsyncMutex, mpsc, watch};

use super::lock;

/// Windows that a test answers, one after another.
pub struct FakeDialog {
    there: AtomicBool,
    says: mpsc::UnboundedSender<Shown>,
    said: AsyncMutex<mpsc::UnboundedReceiver<Shown>>,
    shown: Mutex<Vec<Window>>,
    count: watch::Sender<usize>,
    open: watch::Sender<usize>,
    codes: AtomicUsize,
}

/// One window that was shown.
#[derive(Clone, Debug)]
pub struct Window {
    /// What it asked.
    pub question: Question,
    /// Whether yes could be said for the session.
    pub session: bool,
    /// The code that it knew.
    pub code: Option<String>,
}

impl Default for FakeDialog {
    fn default() -> Self {
        let (says, said) = mpsc::unbounded_channel();
        Self {
            there: AtomicBool::new(true),
            says,
            said: AsyncMutex::new(said),
            shown: Mutex::default(),
            count: watch::channel(0).0,
            open: watch::channel(0).0,
            codes: AtomicUsize::default(),
        }
    }
}

impl FakeDialog {
    /// The person answers the window that is open, or the next one.
    pub fn says(&self, shown: Shown) {
        // The receiver is ours.
        let _ = self.says.send(shown);
    }

    /// Whether there is a display from now on.
    pub fn set_there(&self, there: bool) {
        self.there.store(there, Ordering::SeqCst);
    }

    /// Every window so far.
    pub fn windows(&self) -> Vec<Window> {
        lock(&self.shown).clone()
    }

    /// Waits until this many windows have been shown in all.
    pub async fn until_shown(&self, count: usize) {
        let mut shown = self.count.subscribe();
        shown.wait_for(|shown| *shown >= count).await.expect("it is ours");
    }

    /// Waits until no window is open.
    pub async fn until_closed(&self) {
        let mut open = self.open.subscribe();
        open.wait_for(|open| *open == 0).await.expect("it is ours");
    }
}

/// A window, as long as it is open.
struct Opened<'a>(&'a FakeDialog);

impl<'a> Opened<'a> {
    fn new(dialog: &'a FakeDialog) -> Self {
        dialog.open.send_modify(|open| *open += 1);
        dialog.count.send_modify(|count| *count += 1);
        Self(dialog)
    }
}

impl Drop for Opened<'_> {
    fn drop(&mut self) {
        self.0.open.send_modify(|open| *open -= 1);
    }
}

impl Dialog for FakeDialog {
    fn is_there(&self) -> bool {
        self.there.load(Ordering::SeqCst)
    }

    fn code(&self) -> Option<Arc<dyn Verification>> {
        let number = self.codes.fetch_add(1, Ordering::SeqCst);
        Some(Arc::new(FakeCode(format!("AAAA-{number:04}"))))
    }

    fn consent<'a>(
        &'a self,
        question: &'a Question,
        session: bool,
        code: Option<&'a dyn Verification>,
    ) -> BoxFuture<'a, Shown> {
        Box::pin(async move {
            let code = code.map(Verification::shown);
            // One window at a time, as the real ones.
            let mut said = self.said.lock().await;
            lock(&self.shown).push(Window { question: question.clone(), session, code });
            let _open = Opened::new(self);
            said.recv().await.unwrap_or(Shown::Not)
        })
    }
}

struct FakeCode(String);

impl Verification for FakeCode {
    fn shown(&self) -> String {
        self.0.clone()
    }

    fn is(&self, typed: &str) -> bool {
        self.0 == typed
    }
}

/// A person who is asked for secrets: what happens then is the test's to say.
pub struct FakeLacking<F>(pub F);

impl<F: Fn(Lack<'_>) -> BoxFuture<'static, bool> + Send + Sync> Lacking for FakeLacking<F> {
    fn supply<'a>(&'a self, lack: Lack<'a>) -> BoxFuture<'a, bool> {
        (self.0)(lack)
    }
}
