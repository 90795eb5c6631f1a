//! How secrets are fetched from a person while a tool is called: the window takes them, the client's
//! elicitation keeps the call alive, and both show one code.
//!
//! Nothing is stored before the client has accepted and the window has been filled in; either may
//! come first. Whatever else happens (declined, cancelled, the client gone, the window closed, nobody
//! there) closes the window and stores nothing.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use strongroom_dialog::Code;
use strongroom_model::form::CODE_LINE;
use strongroom_model::secret::Secret;
use tokio::time::{Instant, sleep_until, timeout};

use crate::context::{Context, Elicitation, Elicited};
use crate::error::Error;
use crate::info::SecretsInfo;
use crate::storage::Storage;
use crate::window::{Shown, Windows};

/// How long the client has to answer, and after that the window.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);

/// How long a notice to the client may take.
const COURTESY: Duration = Duration::from_secs(2);

/// Fetches those of `info` that are not stored yet, and says what was done.
///
/// # Cancel safety
///
/// Dropping the future closes the window and stores nothing, unless storing has begun: that is done
/// to its end.
pub(crate) async fn fetch(
    storage: &Arc<Storage>,
    windows: &dyn Windows,
    context: &dyn Context,
    info: &SecretsInfo,
) -> Result<String, Error> {
    let names: Vec<String> = info.names().into_iter().map(str::to_owned).collect();
    let missing = at_once(storage, move |storage| {
        storage.missing(&names.iter().map(String::as_str).collect::<Vec<_>>())
    });
    let missing = missing.await?;
    if missing.is_empty() {
        return Ok("All secrets are stored already".to_owned());
    }
    if !context.elicits() {
        return Err(Error::NoElicitation);
    }
    let code = Code::draw()?;
    let title = format!("MCP Secrets for {}", storage.server());
    let description = format!(
        "{CODE_LINE}{}\n\nConfirm this code matches the one that your MCP client shows. If it does not, close this window.",
        code.shown()
    );
    let names: Vec<&str> = missing.iter().map(String::as_str).collect();
    let form = info.form(&title, &description, &names);
    // The window is closed by us; its own patience is for a flow that was lost.
    let mut shown = windows.show(&form, PATIENCE * 2)?;
    let question = Elicitation {
        message: format!(
            "Secrets Requested [Code: {}] - Click 'Continue' when finished",
            code.shown()
        ),
        choices: &[],
    };
    let answers = match both(&mut *shown, context, &question).await {
        Ok(answers) => answers,
        Err(error) => {
            shown.close().await;
            return Err(error);
        }
    };
    drop(shown);
    // An optional field that was left empty is no secret.
    let given: Vec<(String, Secret)> =
        answers.into_iter().filter(|(_, answer)| !answer.is_empty()).collect();
    let count = given.len();
    at_once(storage, move |storage| storage.store_secrets(given)).await?;
    let text = match count {
        1 => "Stored 1 secret".to_owned(),
        count => format!("Stored {count} secrets"),
    };
    drop(timeout(COURTESY, context.info(&text)).await);
    Ok(text)
}

/// Waits for both: the client's acceptance and the window's answers, in either order.
async fn both(
    shown: &mut dyn Shown,
    context: &dyn Context,
    question: &Elicitation,
) -> Result<Vec<(String, Secret)>, Error> {
    let mut elicited = context.elicit(question);
    let mut until = pin!(sleep_until(Instant::now() + PATIENCE));
    let (mut accepted, mut answers) = (false, None);
    loop {
        tokio::select! {
            biased;
            // A window that was closed ends the flow, whatever the client says at the same time.
            ended = shown.answers(), if answers.is_none() => answers = Some(ended?),
            said = &mut elicited, if !accepted => match said {
                Elicited::Accepted(_) => {
                    accepted = true;
                    until.as_mut().reset(Instant::now() + PATIENCE);
                }
                Elicited::Declined => return Err(Error::Declined),
                Elicited::Cancelled => return Err(Error::Cancelled),
                Elicited::Unsupported => return Err(Error::NoElicitation),
                Elicited::Gone => return Err(Error::Gone),
            },
            () = &mut until => return Err(Error::Unanswered(PATIENCE)),
        }
        if accepted && let Some(answers) = answers.take() {
            return Ok(answers);
        }
    }
}

/// Runs what waits for the keychain where waiting is no harm. It is done to its end, even if nobody
/// waits for it any more.
pub(crate) async fn at_once<T: Send + 'static>(
    storage: &Arc<Storage>,
    work: impl FnOnce(&Storage) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let storage = Arc::clone(storage);
    let done = tokio::task::spawn_blocking(move || work(&storage)).await;
    done.unwrap_or(Err(Error::Failed("its thread ended")))
}

#[cfg(test)]
mod tests;
