//! The commands: one file each, with its arguments, its help and what it does.

pub mod overview;
