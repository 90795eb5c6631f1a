//! A system whose keychain we do not know.

use std::ffi::OsString;

use strongroom_model::secret::Secret;

use super::{Answers, Item, KeychainError, Waited};

#[derive(Clone, Debug)]
pub(super) struct Place;

impl Place {
    pub(super) fn new(_: &dyn Fn(&str) -> Option<OsString>) -> Self {
        Self
    }
}

pub(super) fn read(_: &Place, _: &[Item]) -> Result<Answers, KeychainError> {
    Err(ABSENT)
}

pub(super) fn write(_: &Place, _: &Item, _: &Secret, _: &Waited) -> Result<(), KeychainError> {
    Err(ABSENT)
}

pub(super) fn remove(_: &Place, _: &Item, _: &Waited) -> Result<(), KeychainError> {
    Err(ABSENT)
}

pub(super) fn look(_: &Place) -> Result<(), KeychainError> {
    Err(ABSENT)
}

/// Never made.
pub(super) enum Connection {}

impl Connection {
    pub(super) fn open(_: &Place) -> Result<Self, KeychainError> {
        Err(ABSENT)
    }

    pub(super) fn look(&self) -> Result<(), KeychainError> {
        match *self {}
    }

    pub(super) fn get(&self, _: &Item) -> Result<Option<Secret>, KeychainError> {
        match *self {}
    }

    pub(super) fn set(&self, _: &Item, _: &Secret, _: &Waited) -> Result<(), KeychainError> {
        match *self {}
    }

    pub(super) fn delete(&self, _: &Item, _: &Waited) -> Result<bool, KeychainError> {
        match *self {}
    }

    pub(super) fn accounts(&self, _: &str) -> Result<Option<Vec<String>>, KeychainError> {
        match *self {}
    }
}

const ABSENT: KeychainError = KeychainError::Absent {
    why: "the keychain of this system is not known to Strongroom",
    fix: "store the secret in the vault: `strongroom secrets set NAME`",
};
