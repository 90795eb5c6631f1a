//! Asking a person outside the agent's channel: the question, the verification code, and the window
//! program that shows it.
//!
//! Nothing here keeps a secret: what a person types goes to whoever asked.
