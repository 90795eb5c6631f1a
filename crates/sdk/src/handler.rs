//! The window program: started where it may be and nowhere else, waited for, ended.

use std::time::Duration;

use strongroom_dialog::{Asking, Ended, Places, Window, ask};
use strongroom_model::form::{Choice, Form};
use strongroom_model::ports::BoxFuture;
use strongroom_model::secret::Secret;

use crate::error::Error;
use crate::surroundings::Surroundings;
use crate::window::{Shown, Windows};

/// Starts the window program of the package. Nothing is started before a question is asked.
#[derive(Clone, Debug)]
pub struct Handler {
    places: Option<Places>,
}

/// A question on its way. Dropped, its window closes.
#[derive(Debug)]
pub struct Asked {
    asking: Asking,
    patience: Duration,
}

impl Handler {
    /// The window program in the folder that `surroundings` name.
    pub fn new(surroundings: &Surroundings) -> Self {
        let places =
            |folder: &std::path::PathBuf| Places::within(folder, &surroundings.environment);
        Self { places: surroundings.window.as_ref().map(places) }
    }

    /// Shows the window of this template (JSON, as `docs/reference/asking.md` has it), and does not
    /// wait. A person has `patience`, the time in which other windows stand before it included.
    ///
    /// # Errors
    ///
    /// [`Error::Infos`] where it is no template, [`Error::Window`] where no window can be shown.
    pub fn start(&self, template: &[u8], patience: Duration) -> Result<Asked, Error> {
        let form = Form::read(template).map_err(|error| Error::Infos(error.to_string()))?;
        self.ask(&form, patience)
    }

    fn ask(&self, form: &Form, patience: Duration) -> Result<Asked, Error> {
        let missing = || Error::Window("this package has no window program".to_owned());
        let places = self.places.as_ref().ok_or_else(missing)?;
        let window = Window::find(places).map_err(|error| Error::Window(error.to_string()))?;
        Ok(Asked { asking: ask(&window, form, patience), patience })
    }
}

impl Asked {
    /// Waits for what is filled in: the names of the fields with their values, or `answer` with the
    /// choice where consent was asked for.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`], [`Error::Unanswered`] or [`Error::Window`].
    pub async fn answers(&mut self) -> Result<Vec<(String, Secret)>, Error> {
        match self.asking.answers().await {
            Ok(answers) => Ok(answers.into_iter().collect()),
            Err(ended) => Err(of_ended(&ended, self.patience)),
        }
    }

    /// Closes the window, and waits until nothing of it is left.
    pub async fn cancel(self) {
        self.asking.cancel().await;
    }
}

impl Windows for Handler {
    fn show(&self, form: &Form, patience: Duration) -> Result<Box<dyn Shown>, Error> {
        Ok(Box::new(self.ask(form, patience)?))
    }

    fn consent<'a>(
        &'a self,
        form: &'a Form,
        patience: Duration,
    ) -> BoxFuture<'a, Result<Choice, Error>> {
        Box::pin(async move {
            let mut asked = self.ask(form, patience)?;
            let answers = asked.asking.answers().await;
            answers.map(|answers| answers.choice()).map_err(|ended| of_ended(&ended, patience))
        })
    }
}

impl Shown for Asked {
    fn answers(&mut self) -> BoxFuture<'_, Result<Vec<(String, Secret)>, Error>> {
        Box::pin(Asked::answers(self))
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(self.cancel())
    }
}

fn of_ended(ended: &Ended, patience: Duration) -> Error {
    match ended {
        Ended::Cancelled => Error::Closed,
        Ended::TooLong => Error::Unanswered(patience),
        Ended::Failed(failure) => Error::Window(failure.to_string()),
    }
}
