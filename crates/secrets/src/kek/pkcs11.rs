//! A PKCS#11 module: AES-256-GCM with a key that never leaves its token.
//!
//! The module is loaded when it is first used, and stays: it is initialized once in a process,
//! whoever uses it. It is code of the operator's choosing that runs in this process.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use cryptoki::context::{CInitializeArgs, Function, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::object::{Attribute, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::types::RawAuthPin;
use strongroom_model::ports::BoxFuture;
use strongroom_model::reference::SecretRef;
use strongroom_model::secret::Secret;
use strongroom_seal::kek::{bind, unbind};
use strongroom_seal::{KekError, Key, TeamKek, random};
use tokio::sync::oneshot;

use super::{failed, needed};
use crate::http::Failure;
use crate::settings::{Context, Field, Kind, SettingError, Settings};

pub(super) const FIELDS: &[Field] = &[
    Field { name: "module", kind: Kind::Path, about: "the module: a shared library" },
    Field { name: "token", kind: Kind::Text, about: "the label of the token" },
    Field { name: "key", kind: Kind::Text, about: "the label of the AES key" },
    Field { name: "pin", kind: Kind::Secret, about: "the PIN of the token's user" },
];

const IV_LEN: usize = 12;
const TAG_BITS: usize = 128;

/// How long a module may take.
const DEADLINE: Duration = Duration::from_secs(15);

/// The modules of this process.
static MODULES: Mutex<BTreeMap<PathBuf, Pkcs11>> = Mutex::new(BTreeMap::new());

/// An AES key of a token.
pub(super) struct Token {
    place: Arc<Place>,
    pin: SecretRef,
    context: Context,
}

/// Where the key is.
struct Place {
    id: String,
    module: PathBuf,
    token: String,
    key: String,
    /// The token did not take our PIN. It is not tried again: a few wrong ones lock a token.
    rejected: AtomicBool,
}

/// What is done with the key.
enum Work {
    Encrypt(Secret),
    Decrypt(Vec<u8>),
}

impl Token {
    /// The key that `settings` name. Nothing is loaded yet.
    pub(super) fn new(settings: &Settings, context: &Context) -> Result<Self, SettingError> {
        let module = needed(settings, "module", "write the absolute path of the module")?;
        let token = needed(settings, "token", "write the label of the token")?;
        let key = needed(settings, "key", "write the label of the key")?;
        let pin = settings.secret("pin").cloned().ok_or_else(|| SettingError {
            key: "pin",
            problem: "it is not set".to_owned(),
            hint: Some("write where the PIN is kept, not the PIN".to_owned()),
        })?;
        let place = Arc::new(Place {
            id: format!("pkcs11:{token}/{key}"),
            module: PathBuf::from(module),
            token: token.to_owned(),
            key: key.to_owned(),
            rejected: AtomicBool::new(false),
        });
        Ok(Self { place, pin, context: context.clone() })
    }

    /// Does `work` on a thread of its own. A module that hangs is left behind.
    async fn work(&self, work: Work, belongs: Vec<u8>) -> Result<Secret, KekError> {
        let id = &self.place.id;
        let unreachable = |why: &str| failed(id, Failure::unreachable(why));
        let pin = self.context.tokens.get("pkcs11", &self.pin).await;
        let pin = pin.map_err(|error| failed(id, Failure::of_token(error)))?;
        let place = Arc::clone(&self.place);
        let (sender, receiver) = oneshot::channel();
        thread::Builder::new()
            .name("pkcs11".to_owned())
            .spawn(move || drop(sender.send(place.work(&work, &belongs, &pin))))
            .map_err(|_| unreachable("no thread can be started"))?;
        match tokio::time::timeout(DEADLINE, receiver).await {
            Ok(answer) => answer.unwrap_or_else(|_| Err(unreachable("its module panicked"))),
            Err(_) => Err(unreachable("its module did not answer in time")),
        }
    }
}

impl TeamKek for Token {
    fn id(&self) -> &str {
        &self.place.id
    }

    fn wrap<'a>(
        &'a self,
        tenant: &'a str,
        key_id: &'a str,
        key: &'a Key,
    ) -> BoxFuture<'a, Result<Vec<u8>, KekError>> {
        Box::pin(async move {
            let work = Work::Encrypt(bind(&self.place.id, tenant, key_id, key));
            let wrapped = self.work(work, belongs(tenant, key_id)).await?;
            Ok(wrapped.expose().to_vec())
        })
    }

    fn unwrap<'a>(
        &'a self,
        tenant: &'a str,
        key_id: &'a str,
        wrapped: &'a [u8],
    ) -> BoxFuture<'a, Result<Key, KekError>> {
        Box::pin(async move {
            let work = Work::Decrypt(wrapped.to_vec());
            let opened = self.work(work, belongs(tenant, key_id)).await?;
            unbind(&self.place.id, tenant, key_id, &opened)
        })
    }
}

impl Place {
    fn work(&self, work: &Work, belongs: &[u8], pin: &Secret) -> Result<Secret, KekError> {
        if let Work::Decrypt(wrapped) = work
            && wrapped.len() < IV_LEN
        {
            return Err(KekError::Mismatch);
        }
        let session = self.session(pin)?;
        let key = self.key(&session)?;
        match work {
            Work::Encrypt(plaintext) => self.encrypt(&session, key, belongs, plaintext),
            Work::Decrypt(wrapped) => {
                match decrypt(&session, key, belongs, wrapped) {
                    Ok(opened) => Ok(opened),
                    // Modules do not agree on how to say that a tag does not verify. One that does
                    // its work on something else has said just that.
                    Err(Error::Pkcs11(_, Function::Decrypt)) if self.works(&session, key) => {
                        Err(KekError::Mismatch)
                    }
                    Err(error) => Err(self.error(&error)),
                }
            }
        }
    }

    fn works(&self, session: &Session, key: ObjectHandle) -> bool {
        let probe = Secret::new(vec![0; 16]);
        self.encrypt(session, key, b"probe", &probe)
            .is_ok_and(|sealed| decrypt(session, key, b"probe", sealed.expose()).is_ok())
    }

    fn encrypt(
        &self,
        session: &Session,
        key: ObjectHandle,
        belongs: &[u8],
        plaintext: &Secret,
    ) -> Result<Secret, KekError> {
        let mut iv = [0; IV_LEN];
        random(&mut iv).map_err(|error| KekError::Seal(error.into()))?;
        let mut used = iv;
        let sealed = gcm(&mut used, belongs)
            .and_then(|gcm| session.encrypt(&gcm, key, plaintext.expose()))
            .map_err(|error| self.error(&error))?;
        Ok(Secret::new([&iv[..], &sealed].concat()))
    }

    /// A session of the token's user. Who is logged in is a matter of the process and the token, not
    /// of the session.
    fn session(&self, pin: &Secret) -> Result<Session, KekError> {
        if self.rejected.load(Ordering::Acquire) {
            return Err(self.refused("the token did not take our PIN, and it is not tried again"));
        }
        let module = module(&self.module).map_err(|error| self.error(&error))?;
        let slot = self.slot(&module)?;
        let session = module.open_ro_session(slot).map_err(|error| self.error(&error))?;
        let pin = RawAuthPin::new(pin.expose().to_vec());
        match session.login_with_raw(UserType::User, &pin) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(session),
            Err(error) => {
                if let Error::Pkcs11(RvError::PinIncorrect | RvError::PinLenRange, _) = error {
                    self.rejected.store(true, Ordering::Release);
                }
                Err(self.error(&error))
            }
        }
    }

    fn slot(&self, module: &Pkcs11) -> Result<cryptoki::slot::Slot, KekError> {
        let slots =
            module.get_slots_with_initialized_token().map_err(|error| self.error(&error))?;
        let mut found = slots.into_iter().filter(|slot| {
            module.get_token_info(*slot).is_ok_and(|info| info.label().trim_end() == self.token)
        });
        let slot = found.next().ok_or_else(|| self.unreachable("no slot has its token"))?;
        match found.next() {
            None => Ok(slot),
            Some(_) => Err(self.refused("several tokens have its label")),
        }
    }

    fn key(&self, session: &Session) -> Result<ObjectHandle, KekError> {
        let template = [
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::KeyType(KeyType::AES),
            Attribute::Label(self.key.clone().into_bytes()),
        ];
        let found = session.find_objects(&template).map_err(|error| self.error(&error))?;
        match found[..] {
            [key] => Ok(key),
            [] => Err(self.refused("the token has no AES key of its label")),
            _ => Err(self.refused("the token has several keys of its label")),
        }
    }

    fn refused(&self, why: &str) -> KekError {
        KekError::Refused { kek: self.id.clone(), why: why.to_owned() }
    }

    fn unreachable(&self, why: &str) -> KekError {
        KekError::Unreachable { kek: self.id.clone(), why: why.to_owned() }
    }

    fn error(&self, error: &Error) -> KekError {
        match error {
            Error::LibraryLoading(_) => self.unreachable("its module cannot be loaded"),
            Error::Pkcs11(code, _) => match code {
                RvError::PinIncorrect | RvError::PinLenRange | RvError::PinInvalid => {
                    self.refused("the token does not take our PIN")
                }
                RvError::PinLocked => self.refused("the token's PIN is locked"),
                RvError::PinExpired | RvError::UserPinNotInitialized => {
                    self.refused("the token wants a new PIN")
                }
                RvError::MechanismInvalid | RvError::MechanismParamInvalid => {
                    self.refused("the token does not know AES-GCM")
                }
                RvError::KeyFunctionNotPermitted
                | RvError::KeyTypeInconsistent
                | RvError::KeySizeRange => self.refused("its key may not encrypt and decrypt"),
                RvError::EncryptedDataInvalid | RvError::EncryptedDataLenRange => {
                    KekError::Mismatch
                }
                _ => self.unreachable("its module reports an error"),
            },
            _ => self.unreachable("its module does not work as PKCS#11 says"),
        }
    }
}

fn decrypt(
    session: &Session,
    key: ObjectHandle,
    belongs: &[u8],
    wrapped: &[u8],
) -> Result<Secret, Error> {
    let (iv, sealed) = wrapped.split_at(IV_LEN);
    let mut iv = iv.to_vec();
    session.decrypt(&gcm(&mut iv, belongs)?, key, sealed).map(Secret::new)
}

fn gcm<'a>(iv: &'a mut [u8], belongs: &'a [u8]) -> Result<Mechanism<'a>, Error> {
    let tag_bits = TAG_BITS.try_into()?;
    Ok(Mechanism::AesGcm(GcmParams::new(iv, belongs, tag_bits)?))
}

/// The module at `path`, loaded and initialized.
fn module(path: &Path) -> Result<Pkcs11, Error> {
    let mut modules = MODULES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(module) = modules.get(path) {
        return Ok(module.clone());
    }
    let module = Pkcs11::new(path)?;
    match module.initialize(CInitializeArgs::OsThreads) {
        Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
        Err(error) => return Err(error),
    }
    modules.insert(path.to_owned(), module.clone());
    Ok(module)
}

/// The additional data: tenant and key, each with its length before it.
fn belongs(tenant: &str, key_id: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for part in ["strongroom", tenant, key_id] {
        out.extend_from_slice(&(part.len() as u64).to_be_bytes());
        out.extend_from_slice(part.as_bytes());
    }
    out
}
