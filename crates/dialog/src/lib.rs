//! Asking a person outside the agent's channel: the question, the verification code, and the window
//! program that shows it.
//!
//! [`Window::find`] finds the program where it may be and nowhere else, [`ask`] has it show a
//! [`Form`](strongroom_model::form::Form), and [`Asking::answers`] waits for what the person typed. Where
//! there is no display, a [`Terminal`] that the agent has no part in takes its place by
//! [`ask_at`]. Questions of one user are shown one at a time, in the order in which they were asked,
//! whichever process asks: they wait in a [line](queue).
//!
//! Nothing here keeps a secret: what a person types goes from the program's pipe into a
//! [`Secret`](strongroom_model::secret::Secret), and to whoever asked. Nothing needs a runtime either: a
//! question has a thread of its own, and its future can be awaited on any executor.
//!
//! What goes between us and the program, where it is looked for, and which variables it gets is
//! `docs/reference/asking.md`.

mod answers;
mod asking;
mod code;
mod display;
mod find;
mod manifest;
pub mod queue;
mod session;
mod show;
pub mod terminal;
mod typed;

pub use answers::{Answers, NotAnswers};
pub use asking::{Asking, Ended, Failure, ask, ask_at};
pub use code::Code;
pub use find::{NoWindow, Places, Window};
pub use terminal::{NoTerminal, Terminal};
pub use typed::{TRIES, Typed, Verdict};
