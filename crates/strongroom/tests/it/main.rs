//! The program as a person, a client and the system meet it.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod approvals;
mod aws;
mod backup;
#[cfg(target_os = "linux")]
mod bench_gateway;
#[cfg(target_os = "linux")]
mod bench_team;
mod binary;
mod clients;
mod every_client;
#[cfg(target_os = "linux")]
mod exec;
#[cfg(target_os = "linux")]
mod gateway_clients;
#[cfg(target_os = "linux")]
mod gateway_conformance;
mod gateway_local;
mod gateway_remote;
#[cfg(target_os = "linux")]
mod gateway_rig;
#[cfg(target_os = "linux")]
mod gateway_soak;
#[cfg(target_os = "linux")]
mod gateway_survival;
mod gateway_tools;
mod handles;
mod janee;
mod killed;
#[cfg(target_os = "linux")]
mod killed_team;
mod login;
mod machine_clients;
mod machine_demo;
mod machine_home;
mod machine_import;
#[cfg(target_os = "linux")]
mod machine_key;
mod machine_schedule;
mod machine_service;
mod mcp_import;
mod parallel;
mod pins;
mod provider;
#[cfg(target_os = "linux")]
mod python_package;
mod refresh;
mod registry;
#[cfg(target_os = "linux")]
mod remote;
#[cfg(target_os = "linux")]
mod room;
mod run;
mod sandbox;
mod serve;
mod services;
mod streaming;
#[cfg(target_os = "linux")]
mod team;
#[cfg(target_os = "linux")]
mod team_approvals;
mod transcripts;
#[cfg(target_os = "linux")]
mod windows;
