//! The commands: one file each, with its arguments, its help and what it does.

pub mod add;
pub mod approvals;
pub mod audit;
pub mod backup;
pub mod completions;
pub mod connect;
pub mod demo;
pub mod doctor;
pub mod edit;
pub mod env;
pub mod files;
pub mod grants;
pub mod import;
pub mod init;
pub mod kek;
pub mod kernel;
pub mod key;
pub mod list;
pub mod lock;
pub mod login;
pub mod logs;
pub mod mcp;
pub mod migrate;
pub mod org;
pub mod overview;
pub mod policy;
pub mod principal;
pub mod provider;
pub mod remote;
pub mod remove;
pub mod restore;
pub mod run;
pub mod scan;
pub mod schedule;
pub mod secrets;
pub mod serve;
pub mod servers;
pub mod service;
pub mod show;
pub mod templates;
pub mod tenant;
pub mod tools;
pub mod trust;
pub mod uninstall;

use std::path::Path;

use crate::paths::Environment;

/// `path` as a person writes it, with `~` for the user's home.
pub fn shown(path: &Path, environment: &Environment) -> String {
    let home = environment.user_home().ok();
    match home.and_then(|home| path.strip_prefix(home).ok()) {
        Some(below) => format!("~{}{}", std::path::MAIN_SEPARATOR, below.display()),
        None => path.display().to_string(),
    }
}
