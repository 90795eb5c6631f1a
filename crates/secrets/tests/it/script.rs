//! A provider that a test writes the answers of.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use strongroom_model::ports::{BoxFuture, Provider, Purpose, ResolveError, Stamp};
use strongroom_model::reference::SecretRef;
use strongroom_model::secret::Secret;

/// Answers `local://` references from a table, and counts what it was asked.
#[derive(Clone, Default)]
pub(crate) struct Script(Arc<Mutex<Table>>);

#[derive(Default)]
struct Table {
    values: HashMap<String, String>,
    stamp: u64,
    stampless: bool,
    down: bool,
    forbidden: Option<String>,
    asked: Vec<Vec<String>>,
}

impl Script {
    /// Stores a value, which changes the stamp of everything, as in the vault.
    pub(crate) fn put(&self, path: &str, value: &str) {
        let mut table = self.0.lock().unwrap();
        table.values.insert(path.into(), value.into());
        table.stamp += 1;
    }

    pub(crate) fn remove(&self, path: &str) {
        let mut table = self.0.lock().unwrap();
        table.values.remove(path);
        table.stamp += 1;
    }

    /// From now on there are no stamps.
    pub(crate) fn without_stamps(&self) {
        self.0.lock().unwrap().stampless = true;
    }

    pub(crate) fn down(&self, down: bool) {
        self.0.lock().unwrap().down = down;
    }

    /// What is at `path` is not for any service.
    pub(crate) fn forbid(&self, path: &str) {
        self.0.lock().unwrap().forbidden = Some(path.into());
    }

    /// The batches since the last time.
    pub(crate) fn asked(&self) -> Vec<Vec<String>> {
        std::mem::take(&mut self.0.lock().unwrap().asked)
    }
}

impl Provider for Script {
    fn scheme(&self) -> &'static str {
        "local"
    }

    fn stamp(&self, _reference: &SecretRef) -> Stamp {
        let table = self.0.lock().unwrap();
        (!table.stampless).then_some(table.stamp)
    }

    fn permits(&self, reference: &SecretRef, _purpose: Purpose<'_>) -> Result<(), ResolveError> {
        if self.0.lock().unwrap().forbidden.as_deref() == Some(reference.path()) {
            return Err(ResolveError::Denied { reference: reference.clone(), why: "no".into() });
        }
        Ok(())
    }

    fn resolve<'a>(
        &'a self,
        refs: &'a [SecretRef],
    ) -> BoxFuture<'a, Vec<Result<Secret, ResolveError>>> {
        let mut table = self.0.lock().unwrap();
        table.asked.push(refs.iter().map(|reference| reference.path().to_owned()).collect());
        let answers = refs
            .iter()
            .map(|reference| match table.values.get(reference.path()) {
                _ if table.down => Err(ResolveError::unreachable("local", "it is down")),
                Some(value) => Ok(Secret::new(value.clone().into_bytes())),
                None => Err(ResolveError::NotFound { reference: reference.clone() }),
            })
            .collect();
        Box::pin(async move {
            tokio::task::yield_now().await;
            answers
        })
    }
}
