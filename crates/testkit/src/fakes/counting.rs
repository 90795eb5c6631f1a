//! A provider that a test writes the answers of, and that counts what it is asked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use strongroom_model::ports::{BoxFuture, Provider, ResolveError};
use strongroom_model::reference::SecretRef;
use strongroom_model::secret::Secret;

/// Answers the references of one scheme from a table. Copies of it are the same provider.
#[derive(Clone, Debug)]
pub struct CountingProvider {
    scheme: &'static str,
    table: Arc<Mutex<Table>>,
}

#[derive(Debug, Default)]
struct Table {
    values: HashMap<String, String>,
    errors: HashMap<String, ResolveError>,
    down: Option<ResolveError>,
    takes: Duration,
    batches: Vec<Vec<String>>,
}

impl CountingProvider {
    /// A provider of `scheme` that has nothing.
    pub fn new(scheme: &'static str) -> Self {
        Self { scheme, table: Arc::default() }
    }

    /// `reference` has this value from now on.
    pub fn put(&self, reference: &str, value: &str) {
        let mut table = self.table();
        table.errors.remove(reference);
        table.values.insert(reference.to_owned(), value.to_owned());
    }

    /// `reference` gives this error from now on.
    pub fn refuse(&self, reference: &str, error: ResolveError) {
        self.table().errors.insert(reference.to_owned(), error);
    }

    /// Everything gives this error from now on, or nothing more does.
    pub fn fail(&self, error: Option<ResolveError>) {
        self.table().down = error;
    }

    /// An answer takes this long from now on.
    pub fn takes(&self, time: Duration) {
        self.table().takes = time;
    }

    /// The batches since the last time.
    pub fn asked(&self) -> Vec<Vec<String>> {
        std::mem::take(&mut self.table().batches)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, reference: &SecretRef) -> Result<Secret, ResolveError> {
        let table = self.table();
        if let Some(error) = table.down.as_ref().or(table.errors.get(reference.as_str())) {
            return Err(error.clone());
        }
        match table.values.get(reference.as_str()) {
            Some(value) => Ok(Secret::new(value.clone().into_bytes())),
            None => Err(ResolveError::NotFound { reference: reference.clone() }),
        }
    }
}

impl Provider for CountingProvider {
    fn scheme(&self) -> &str {
        self.scheme
    }

    fn resolve<'a>(
        &'a self,
        refs: &'a [SecretRef],
    ) -> BoxFuture<'a, Vec<Result<Secret, ResolveError>>> {
        let takes = {
            let mut table = self.table();
            table.batches.push(refs.iter().map(ToString::to_string).collect());
            table.takes
        };
        Box::pin(async move {
            tokio::time::sleep(takes).await;
            refs.iter().map(|reference| self.answer(reference)).collect()
        })
    }
}
