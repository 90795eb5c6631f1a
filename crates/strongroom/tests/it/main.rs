//! The program as a person, a client and the system meet it.

#![cfg(unix)]

mod machine_clients;
mod machine_home;
mod machine_service;
mod sandbox;
