//! The program as a person, a client and the system meet it.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod binary;
mod clients;
mod every_client;
mod killed;
mod machine_clients;
mod machine_demo;
mod machine_home;
mod machine_import;
mod machine_service;
mod provider;
mod sandbox;
mod serve;
mod services;
mod transcripts;
