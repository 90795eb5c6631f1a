//! What the flows need of windows, so that they can be tested without one.

use std::time::Duration;

use strongroom_model::form::{Choice, Form};
use strongroom_model::ports::BoxFuture;
use strongroom_model::secret::Secret;

use crate::error::Error;

/// Shows questions to a person.
pub(crate) trait Windows: Send + Sync {
    /// Shows `form`; does not wait. Whoever drops what is returned closes the window.
    fn show(&self, form: &Form, patience: Duration) -> Result<Box<dyn Shown>, Error>;

    /// Asks for consent, and waits.
    fn consent<'a>(
        &'a self,
        form: &'a Form,
        patience: Duration,
    ) -> BoxFuture<'a, Result<Choice, Error>>;
}

/// A window that is open.
pub(crate) trait Shown: Send {
    /// Waits for what is filled in: names with values, empty where nothing was.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    fn answers(&mut self) -> BoxFuture<'_, Result<Vec<(String, Secret)>, Error>>;

    /// Closes the window, and waits until nothing of it is left.
    fn close(self: Box<Self>) -> BoxFuture<'static, ()>;
}
