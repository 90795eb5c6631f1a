//! age files (<https://age-encryption.org/v1>): what leaves the machine, and secrets that are
//! committed to git (decision 3).
//!
//! A file is opened whole or not at all: nothing of what it holds is given out before its last byte
//! has been verified. How much work a passphrase may ask for is capped, so that a planted file
//! cannot keep us busy (CR-09).

use std::io::{Read as _, Write as _};

use age::armor::ArmoredReader;
use age::secrecy::SecretString;
use age::{DecryptError, Decryptor, Encryptor, Identity, Recipient, scrypt, x25519};
use strongroom_model::secret::Secret;
use zeroize::Zeroizing;

/// What opens a file: keys, or a passphrase.
pub enum Opener {
    /// The secret keys.
    Keys(Keys),
    /// The passphrase.
    Passphrase(Passphrase),
}

/// A passphrase, wiped on drop.
#[derive(Clone)]
pub struct Passphrase(SecretString);

/// Secret keys, `AGE-SECRET-KEY-1...`, at least one.
pub struct Keys(Vec<x25519::Identity>);

/// Who may open a file.
pub enum Readers {
    /// Whoever has the secret key of one of these, at least one.
    Recipients(Vec<x25519::Recipient>),
    /// Whoever knows the passphrase.
    Passphrase(Passphrase),
}

/// A file cannot be opened or made. Nothing of it is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AgeError {
    /// It is no age file, or not one of this version.
    #[error("it is not an age file")]
    NotAge,
    /// It was made for others.
    #[error("none of the keys opens it")]
    NoKey,
    /// It needs a passphrase, and there is none; or the other way round.
    #[error("it is encrypted with a passphrase, and keys were given")]
    NeedsPassphrase,
    /// It needs a key.
    #[error("it is encrypted for keys, and a passphrase was given")]
    NeedsKey,
    /// The passphrase is another.
    #[error("the passphrase does not open it")]
    WrongPassphrase,
    /// It asks for more work than we do for a passphrase.
    #[error("its work factor is higher than {MOST_WORK}")]
    Work,
    /// It was changed or cut off.
    #[error("it does not verify: it was changed or cut off")]
    Damaged,
    /// What it holds is larger than what is taken.
    #[error("what it holds is too large")]
    Large,
    /// It cannot be made.
    #[error("the encryption failed")]
    Encrypt,
}

/// Not a key. The text is never repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyTextError {
    /// There is none.
    #[error("there is no key: a line of its own with `{0}...`")]
    None(&'static str),
    /// A line is not one.
    #[error("line {line} is not a key of the form `{form}...`")]
    Line {
        /// Counted from 1.
        line: usize,
        /// How a key begins.
        form: &'static str,
    },
}

/// The work factor of files that we make: 256 MiB and about a second, as the `age` command's.
const WORK: u8 = 18;

/// The highest that is opened: 1 GiB, a few seconds. A file that asks for more is not from `age`.
const MOST_WORK: u8 = 20;

const SECRET_KEY: &str = "AGE-SECRET-KEY-1";
const RECIPIENT: &str = "age1";

impl Keys {
    /// The keys of a file as `age-keygen` writes it: a line each; what begins with `#` is a comment.
    pub fn parse(text: &Secret) -> Result<Self, KeyTextError> {
        let text = std::str::from_utf8(text.expose())
            .map_err(|_| KeyTextError::Line { line: 1, form: SECRET_KEY })?;
        Ok(Self(lines(text, SECRET_KEY)?))
    }
}

/// The recipients of a file of them: a line each; what begins with `#` is a comment.
pub fn recipients(text: &str) -> Result<Vec<x25519::Recipient>, KeyTextError> {
    lines(text, RECIPIENT)
}

fn lines<K: std::str::FromStr>(text: &str, form: &'static str) -> Result<Vec<K>, KeyTextError> {
    let keys: Vec<K> = text
        .lines()
        .enumerate()
        .map(|(number, line)| (number + 1, line.trim()))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(line, key)| key.parse().map_err(|_| KeyTextError::Line { line, form }))
        .collect::<Result<_, _>>()?;
    if keys.is_empty() { Err(KeyTextError::None(form)) } else { Ok(keys) }
}

/// How an armoured file begins.
const ARMOUR: &[u8] = b"-----BEGIN AGE ENCRYPTED FILE-----";

/// Opens `file`, armoured or not, whose content is at most `most` bytes.
pub fn open(file: &[u8], opener: &Opener, most: usize) -> Result<Secret, AgeError> {
    // White space may stand before an armoured file and behind it, and nowhere about a binary one.
    let bare = file.trim_ascii();
    let file = if bare.starts_with(ARMOUR) { bare } else { file };
    let decryptor = Decryptor::new_buffered(ArmoredReader::new(file)).map_err(|e| of_age(&e))?;
    let content = match (opener, decryptor.is_scrypt()) {
        (Opener::Keys(_), true) => return Err(AgeError::NeedsPassphrase),
        (Opener::Passphrase(_), false) => return Err(AgeError::NeedsKey),
        (Opener::Keys(Keys(keys)), false) => {
            decryptor.decrypt(keys.iter().map(|key| -> &dyn Identity { key }))
        }
        (Opener::Passphrase(passphrase), true) => {
            let mut identity = scrypt::Identity::new(passphrase.0.clone());
            identity.set_max_work_factor(MOST_WORK);
            decryptor.decrypt(std::iter::once(&identity as &dyn Identity))
        }
    };
    let mut content = content.map_err(|error| of_age(&error))?;
    // Sized once: the content is no longer than the file, and no copy is left behind by growing.
    let mut bytes = Zeroizing::new(Vec::with_capacity(file.len().min(most) + 1));
    let limit = most as u64 + 1;
    content.by_ref().take(limit).read_to_end(&mut bytes).map_err(|_| AgeError::Damaged)?;
    if bytes.len() > most {
        return Err(AgeError::Large);
    }
    Ok(Secret::new(std::mem::take(&mut *bytes)))
}

/// A new file that holds `content`.
pub fn seal(content: &Secret, readers: &Readers) -> Result<Vec<u8>, AgeError> {
    let passphrase;
    let recipients: Vec<&dyn Recipient> = match readers {
        Readers::Recipients(recipients) => {
            recipients.iter().map(|one| -> &dyn Recipient { one }).collect()
        }
        Readers::Passphrase(words) => {
            let mut recipient = scrypt::Recipient::new(words.0.clone());
            recipient.set_work_factor(WORK);
            passphrase = recipient;
            vec![&passphrase]
        }
    };
    let encryptor =
        Encryptor::with_recipients(recipients.into_iter()).map_err(|_| AgeError::Encrypt)?;
    let mut file = Vec::new();
    let mut writer = encryptor.wrap_output(&mut file).map_err(|_| AgeError::Encrypt)?;
    writer
        .write_all(content.expose())
        .and_then(|()| writer.finish())
        .map_err(|_| AgeError::Encrypt)?;
    Ok(file)
}

/// A passphrase: the text without its line end.
pub fn passphrase(text: &Secret) -> Option<Passphrase> {
    let text = std::str::from_utf8(text.expose()).ok()?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    (!text.is_empty()).then(|| Passphrase(SecretString::from(text.to_owned())))
}

fn of_age(error: &DecryptError) -> AgeError {
    match error {
        DecryptError::NoMatchingKeys => AgeError::NoKey,
        DecryptError::KeyDecryptionFailed | DecryptError::DecryptionFailed => {
            AgeError::WrongPassphrase
        }
        DecryptError::ExcessiveWork { .. } => AgeError::Work,
        DecryptError::InvalidMac => AgeError::Damaged,
        // An unknown format, a bad header, an armour that ends too soon.
        _ => AgeError::NotAge,
    }
}

#[cfg(test)]
#[path = "agefile/tests.rs"]
mod tests;
