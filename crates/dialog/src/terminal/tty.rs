//! The terminal of this process.

use std::fs::File;
use std::io::{self, Read as _, Write as _};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::termios::{
    InputModes, LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};
use strongroom_model::secret::Secret;
use zeroize::Zeroizing;

use super::line::{Done, Line};
use super::undo::Undo;
use super::{Echo, Person};

/// The terminal that controls this process, and not its standard input: whoever runs it with pipes
/// cannot answer.
#[derive(Debug)]
pub struct Tty(File);

/// How often it is looked whether somebody still waits.
const GLANCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

impl Tty {
    /// Opens it, where this process has one.
    pub fn open() -> Option<Self> {
        File::options().read(true).write(true).open("/dev/tty").ok().map(Self)
    }

    /// Waits until there is something to read. Says whether there is: else nobody waits any longer.
    fn is_there_more(&self, over: &mut dyn FnMut() -> bool) -> io::Result<bool> {
        loop {
            if over() {
                return Ok(false);
            }
            match poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&GLANCE)) {
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => return Ok(true),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn read(&mut self, echo: Echo, over: &mut dyn FnMut() -> bool) -> io::Result<Option<Secret>> {
        let mut line = Line::default();
        while self.is_there_more(over)? {
            let mut some = Zeroizing::new([0; 256]);
            let read = match self.0.read(&mut *some) {
                // The terminal is gone.
                Ok(0) => return Ok(None),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let mut seen = Zeroizing::new(String::with_capacity(2048));
            let done = some[..read].iter().find_map(|byte| line.take(*byte, &mut seen));
            if echo == Echo::On {
                self.0.write_all(seen.as_bytes())?;
            }
            match done {
                Some(Done::Line) => return Ok(Some(line.into_secret())),
                Some(Done::Left) => return Ok(None),
                None => {}
            }
        }
        Ok(None)
    }
}

impl Person for Tty {
    fn show(&mut self, text: &str) -> io::Result<()> {
        self.0.write_all(text.as_bytes())
    }

    fn answer(
        &mut self,
        prompt: &str,
        echo: Echo,
        over: &mut dyn FnMut() -> bool,
    ) -> io::Result<Option<Secret>> {
        // Whatever ends us, the terminal is put back as it was.
        let undo = Undo::of_this_terminal();
        let raw = Raw::enter(self.0.try_clone()?)?;
        undo.as_ref().map_or(Ok(()), Undo::arm)?;
        let answer = self.show(prompt).and_then(|()| self.read(echo, over));
        drop(raw);
        drop(undo);
        self.0.write_all(b"\n")?;
        answer
    }
}

/// The terminal gives every byte at once, echoes nothing and sends no signals, until this is dropped.
/// What was typed before is dropped with it.
struct Raw {
    file: File,
    before: Termios,
}

impl Raw {
    fn enter(file: File) -> io::Result<Self> {
        let before = tcgetattr(&file)?;
        let mut modes = before.clone();
        modes.local_modes -=
            LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG | LocalModes::IEXTEN;
        modes.input_modes -= InputModes::IXON;
        modes.special_codes[SpecialCodeIndex::VMIN] = 1;
        modes.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(&file, OptionalActions::Flush, &modes)?;
        Ok(Self { file, before })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // What is left of what was typed is no answer to what comes next, and no command either.
        let _ = tcsetattr(&self.file, OptionalActions::Flush, &self.before);
    }
}
