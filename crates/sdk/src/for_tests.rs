//! What tests of the flows stand on: a keychain in memory, a client and windows that follow a script.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use strongroom_model::form::{Choice, Form};
use strongroom_model::paths::{Environment, Os};
use strongroom_model::ports::BoxFuture;
use strongroom_model::secret::Secret;
use tempfile::TempDir;

use crate::context::{Context, Elicitation, Elicited};
use crate::error::Error;
use crate::storage::{Backend, Storage};
use crate::surroundings::{Notice, Surroundings};
use crate::window::{Shown, Windows};

pub(crate) fn secret(text: &str) -> Secret {
    Secret::new(text.as_bytes().to_vec())
}

pub(crate) fn text(secret: &Secret) -> String {
    String::from_utf8(secret.expose().to_vec()).unwrap()
}

/// A home of a test's own, and what was told in it.
pub(crate) struct Place {
    pub(crate) surroundings: Surroundings,
    pub(crate) told: Arc<Mutex<Vec<Notice>>>,
    pub(crate) home: TempDir,
}

impl Place {
    pub(crate) fn new(variables: &[(&str, &str)]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().to_str().unwrap();
        let ours = [("HOME", folder), ("XDG_RUNTIME_DIR", folder)];
        let all = ours.iter().chain(variables).copied();
        let told: Arc<Mutex<Vec<Notice>>> = Arc::default();
        let sink = Arc::clone(&told);
        let mut surroundings = Surroundings::new(Environment::new(Os::CURRENT, all));
        surroundings.notices = Some(Arc::new(move |notice: &Notice| {
            sink.lock().unwrap().push(notice.clone());
        }));
        Self { surroundings, told, home }
    }

    /// The codes of what was told.
    pub(crate) fn codes(&self) -> Vec<&'static str> {
        self.told.lock().unwrap().iter().map(|notice| notice.code).collect()
    }

    pub(crate) fn storage(&self, name: &str, items: &Arc<Items>) -> Storage {
        let backend: Arc<dyn Backend> = Arc::<Items>::clone(items);
        Storage::over(name, self.surroundings.clone(), backend)
    }
}

/// A keychain in memory.
#[derive(Default)]
pub(crate) struct Items {
    pub(crate) all: Mutex<BTreeMap<(String, String), Vec<u8>>>,
    /// Writes to this account fail.
    pub(crate) broken: Mutex<Option<String>>,
    /// Whether it cannot be searched, and takes this much at most: as Windows'.
    pub(crate) largest: Option<usize>,
}

impl Items {
    pub(crate) fn like_windows() -> Arc<Self> {
        Arc::new(Self { largest: Some(2560), ..Self::default() })
    }

    pub(crate) fn put(&self, service: &str, account: &str, value: &str) {
        let key = (service.to_owned(), account.to_owned());
        self.all.lock().unwrap().insert(key, value.into());
    }

    pub(crate) fn find(&self, service: &str, account: &str) -> Option<String> {
        let key = (service.to_owned(), account.to_owned());
        let found = self.all.lock().unwrap().get(&key).cloned();
        found.map(|value| String::from_utf8(value).unwrap())
    }

    pub(crate) fn accounts_of(&self, service: &str) -> Vec<String> {
        let all = self.all.lock().unwrap();
        all.keys().filter(|(of, _)| of == service).map(|(_, account)| account.clone()).collect()
    }
}

impl Backend for Items {
    fn get(&self, service: &str, accounts: &[&str]) -> Result<Vec<Option<Secret>>, Error> {
        let found = accounts.iter().map(|account| self.find(service, account));
        Ok(found.map(|value| value.map(|value| secret(&value))).collect())
    }

    fn set(&self, service: &str, account: &str, value: Arc<Secret>) -> Result<(), Error> {
        if self.broken.lock().unwrap().as_deref() == Some(account) {
            return Err(Error::Refused);
        }
        let units = text(&value).encode_utf16().count() * 2;
        assert!(self.largest.is_none_or(|largest| units <= largest), "{account}: {units}");
        self.put(service, account, &text(&value));
        Ok(())
    }

    fn delete(&self, service: &str, account: &str) -> Result<bool, Error> {
        let key = (service.to_owned(), account.to_owned());
        Ok(self.all.lock().unwrap().remove(&key).is_some())
    }

    fn accounts(&self, service: &str) -> Result<Option<Vec<String>>, Error> {
        Ok(self.largest.is_none().then(|| self.accounts_of(service)))
    }

    fn largest(&self) -> Option<usize> {
        self.largest
    }
}

/// A client that answers after some time.
pub(crate) struct Client {
    elicits: bool,
    after: Duration,
    answers: Mutex<VecDeque<Elicited>>,
    /// What it was asked.
    pub(crate) asked: Mutex<Vec<Elicitation>>,
    /// What it was told.
    pub(crate) told: Mutex<Vec<String>>,
}

impl Client {
    pub(crate) fn says(after: Duration, answers: &[Elicited]) -> Self {
        Self {
            elicits: true,
            after,
            answers: Mutex::new(answers.iter().cloned().collect()),
            asked: Mutex::default(),
            told: Mutex::default(),
        }
    }

    /// One that cannot be asked, as is known beforehand.
    pub(crate) fn mute() -> Self {
        Self { elicits: false, ..Self::says(Duration::ZERO, &[]) }
    }
}

impl Context for Client {
    fn info<'a>(&'a self, text: &'a str) -> BoxFuture<'a, ()> {
        self.told.lock().unwrap().push(text.to_owned());
        Box::pin(async {})
    }

    fn elicits(&self) -> bool {
        self.elicits
    }

    /// Without an answer in the script it never answers.
    fn elicit<'a>(&'a self, question: &'a Elicitation) -> BoxFuture<'a, Elicited> {
        self.asked.lock().unwrap().push(question.clone());
        let answer = self.answers.lock().unwrap().pop_front();
        Box::pin(async move {
            match answer {
                Some(answer) => {
                    tokio::time::sleep(self.after).await;
                    answer
                }
                None => std::future::pending().await,
            }
        })
    }
}

/// Windows that end after some time, as often as they are opened.
pub(crate) struct Scripted {
    after: Duration,
    ending: Ending,
    /// What was shown.
    pub(crate) forms: Mutex<Vec<Form>>,
    /// How many are open.
    pub(crate) open: Arc<Mutex<usize>>,
}

#[derive(Clone, Copy)]
pub(crate) enum Ending {
    Filled(&'static [(&'static str, &'static str)]),
    Chosen(Choice),
    Closed,
    Died,
    Missing,
    Never,
}

impl Scripted {
    pub(crate) fn end(after: Duration, ending: Ending) -> Arc<Self> {
        Arc::new(Self { after, ending, forms: Mutex::default(), open: Arc::default() })
    }

    async fn ended(after: Duration, ending: Ending) -> Result<Ending, Error> {
        tokio::time::sleep(after).await;
        match ending {
            Ending::Closed => Err(Error::Closed),
            Ending::Died => Err(Error::Window("the window program ended unexpectedly".into())),
            Ending::Never => std::future::pending().await,
            other => Ok(other),
        }
    }
}

impl Windows for Scripted {
    fn show(&self, form: &Form, _: Duration) -> Result<Box<dyn Shown>, Error> {
        if matches!(self.ending, Ending::Missing) {
            return Err(Error::Window("there is no display".into()));
        }
        self.forms.lock().unwrap().push(form.clone());
        *self.open.lock().unwrap() += 1;
        let ended = Box::pin(Self::ended(self.after, self.ending));
        Ok(Box::new(Open { ended, open: Arc::clone(&self.open) }))
    }

    fn consent<'a>(&'a self, form: &'a Form, _: Duration) -> BoxFuture<'a, Result<Choice, Error>> {
        Box::pin(async move {
            if matches!(self.ending, Ending::Missing) {
                return Err(Error::Window("there is no display".into()));
            }
            self.forms.lock().unwrap().push(form.clone());
            match Self::ended(self.after, self.ending).await? {
                Ending::Chosen(choice) => Ok(choice),
                _ => panic!("it was asked for a choice"),
            }
        })
    }
}

struct Open {
    ended: BoxFuture<'static, Result<Ending, Error>>,
    open: Arc<Mutex<usize>>,
}

impl Shown for Open {
    fn answers(&mut self) -> BoxFuture<'_, Result<Vec<(String, Secret)>, Error>> {
        Box::pin(async {
            match (&mut self.ended).await? {
                Ending::Filled(pairs) => {
                    Ok(pairs.iter().map(|(name, value)| ((*name).into(), secret(value))).collect())
                }
                _ => panic!("it was asked for answers"),
            }
        })
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move { drop(self) })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        *self.open.lock().unwrap() -= 1;
    }
}
