//! The files in which secrets lie around.
