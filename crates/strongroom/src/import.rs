//! Moves plaintext secrets out of the configuration of MCP clients.
//!
//! A [`Plan`](strongroom_clients::import::plan::Plan) says what is to be done; [`batch`] makes of it
//! what [`apply`] carries out, in an order in which nothing is lost if it is killed anywhere: the
//! vault first, then `strongroom.toml`, then the clients' files; [`undo`] takes it back.

pub mod apply;
pub mod batch;
pub mod janee;
pub mod store;
pub mod undo;

#[cfg(test)]
mod tests;
