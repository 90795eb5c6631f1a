//! What a process of Node knows about itself, as the JavaScript half hands it in.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use napi_derive::napi;
use strongroom_sdk::{Environment, Notice, Os, Surroundings};

/// What the JavaScript half knows.
#[napi(object, object_to_js = false)]
pub struct Around {
    /// `process.env`, as pairs.
    pub environment: Vec<Vec<String>>,
    /// The script that runs, as an absolute path.
    pub program: Option<String>,
    /// The folder with the window program and its manifest.
    pub window: String,
    /// Whether values that were read are kept in memory.
    pub cache: bool,
}

/// What was told and not yet passed on.
#[derive(Clone, Default)]
pub(crate) struct Notices(Arc<Mutex<Vec<Notice>>>);

impl Notices {
    /// What was told since the last time.
    pub(crate) fn take(&self) -> Vec<Notice> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn keep(&self, notice: &Notice) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(notice.clone());
    }
}

impl Around {
    /// The core's form of it, which tells what there is to tell to `notices`.
    pub(crate) fn surroundings(self, notices: &Notices) -> Surroundings {
        let pairs = self.environment.into_iter().filter_map(|pair| pair.try_into().ok());
        let pairs = pairs.map(|[name, value]: [String; 2]| (name, value));
        let mut surroundings = Surroundings::new(Environment::new(Os::CURRENT, pairs));
        surroundings.program = self.program.map(PathBuf::from);
        surroundings.window = Some(PathBuf::from(self.window));
        surroundings.cache = self.cache;
        let notices = notices.clone();
        surroundings.notices = Some(Arc::new(move |notice| notices.keep(notice)));
        surroundings
    }
}
