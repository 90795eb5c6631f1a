//! What a person types at the terminal and nobody may see: keys, tokens, passphrases.

use std::io;

/// Shows `prompt` and reads a line that the terminal does not show.
///
/// It shows nothing from before the prompt is there: whoever pastes at once, or a program that types
/// for a person, is quicker than the next system call.
pub fn ask(prompt: &str) -> io::Result<String> {
    let _unseen = Unseen::begin();
    rpassword::prompt_password(prompt)
}

/// The terminal shows nothing that is typed, until this value goes: also between two questions, where
/// several lines are pasted.
pub struct Unseen {
    #[cfg(unix)]
    #[expect(dead_code, reason = "it acts when it goes")]
    terminal: Option<unix::Quiet>,
}

impl Unseen {
    /// From here on. Without a terminal nothing changes.
    pub fn begin() -> Self {
        Self {
            #[cfg(unix)]
            terminal: unix::Quiet::begin().ok(),
        }
    }
}

#[cfg(unix)]
mod unix {
    use std::fs::File;
    use std::io;

    use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

    pub(super) struct Quiet {
        terminal: File,
        before: Termios,
    }

    impl Quiet {
        pub(super) fn begin() -> io::Result<Self> {
            let terminal = File::options().read(true).write(true).open("/dev/tty")?;
            let before = tcgetattr(&terminal)?;
            let mut quiet = before.clone();
            quiet.local_modes.remove(LocalModes::ECHO | LocalModes::ECHONL);
            tcsetattr(&terminal, OptionalActions::Now, &quiet)?;
            Ok(Self { terminal, before })
        }
    }

    impl Drop for Quiet {
        fn drop(&mut self) {
            // There is nobody to tell; a shell sets its terminal up again by itself.
            let _ = tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
        }
    }
}
