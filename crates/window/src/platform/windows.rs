//! The window on Windows: Win32, with the system's own controls.
//!
//! What is long scrolls in a pane; the note and the buttons stand below it. Tab, Enter and Escape are the
//! system's (`IsDialogMessage`). Every label stands before its field, which is how a screen reader finds
//! its name, and no text has mnemonics.

#![expect(unsafe_code, reason = "Win32 is called here, in `sys`, and nowhere else")]

mod pane;
mod sys;

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use strongroom_model::form::{Choice, Form, Kind};
use windows::Win32::Foundation::{HWND, LPARAM, LRESULT, WPARAM};
use windows::Win32::UI::Input::KeyboardAndMouse::{VK_RETURN, VK_SPACE};
use windows::Win32::UI::WindowsAndMessaging as win;

use self::{
    pane::Pane,
    sys::{Fonts, Place, Style},
};
use crate::dead_time::{DeadTime, Press};
use crate::ended::{Ended, Failed};
use crate::environment::Environment;
use crate::typed;
use crate::words;

/// How often it is looked whether the dead time is over, in milliseconds.
const GLANCE: u32 = 20;
/// Sizes at 96 dots per inch.
const WIDTH: i32 = 560;
const MARGIN: i32 = 20;
const BUTTON: (i32, i32) = (132, 30);

const ACCEPT: u16 = 1;
const CANCEL: u16 = 2;
const DENY: u16 = 10;
const ALLOW: u16 = 11;
const SESSION: u16 = 12;

/// Asks `form`, and waits for the person.
pub(crate) fn show(_: &Environment, form: Form) -> Result<Ended, Failed> {
    sys::prepare();
    let shown = Rc::new(Shown::new(form));
    SHOWN.set(Some(Rc::clone(&shown)));
    let made = make(&shown);
    made.ok_or(Failed::Window)?;
    while let Some(message) = sys::next_message() {
        if !shown.intercepts(&message) {
            sys::dispatch(shown.main.get(), &message);
        }
    }
    SHOWN.set(None);
    Ok(shown.ended.take().unwrap_or(Ended::Cancelled))
}

thread_local! {
    /// The one window of this process, for the procedures that the system calls.
    static SHOWN: RefCell<Option<Rc<Shown>>> = const { RefCell::new(None) };
}

/// A window that is shown, until it has ended.
struct Shown {
    form: Form,
    main: Cell<HWND>,
    pane: OnceCell<Pane>,
    allow: OnceCell<[HWND; 2]>,
    start: Instant,
    dead: RefCell<DeadTime>,
    ended: RefCell<Option<Ended>>,
}

impl Shown {
    fn new(form: Form) -> Self {
        Self {
            form,
            main: Cell::default(),
            pane: OnceCell::new(),
            allow: OnceCell::new(),
            start: Instant::now(),
            dead: RefCell::new(DeadTime::begin(Duration::ZERO)),
            ended: RefCell::default(),
        }
    }

    /// Ends it; what comes second does not count.
    fn end(&self, ended: Ended) {
        self.ended.borrow_mut().get_or_insert(ended);
        sys::quit();
    }

    /// What a button or a key stands for.
    fn command(&self, id: u16) {
        match id {
            ACCEPT if self.form.kind == Kind::Fields => self.accept(),
            CANCEL => self.end(Ended::Cancelled),
            DENY => self.end(Ended::Chosen(Choice::Deny)),
            ALLOW | SESSION if self.is_over() => self.end(Ended::Chosen(chosen(id))),
            _ => {}
        }
    }

    /// Goes to the next field where Enter was pressed before the last one; else takes what was typed, or
    /// shows what is wrong with it and goes there.
    fn accept(&self) {
        let Some(pane) = self.pane.get() else { return };
        if pane.goes_on_from(sys::focus()) {
            return;
        }
        let typed = pane.typed();
        let mistakes = typed::mistakes(&self.form, &typed);
        pane.complain(&mistakes);
        if mistakes.is_empty() {
            let names = self.form.fields.iter().map(|field| field.name.clone());
            self.end(Ended::Filled(names.zip(typed).collect()));
        }
    }

    fn is_over(&self) -> bool {
        self.dead.borrow_mut().is_over(self.start.elapsed())
    }

    /// Buttons that cannot be pressed look like it.
    fn glance(&self) {
        let over = self.is_over();
        for button in self.allow.get().into_iter().flatten() {
            sys::enable(*button, over);
        }
    }

    /// Looks at what is pressed before any control does. Whether nothing else may see it.
    fn intercepts(&self, message: &win::MSG) -> bool {
        let Some(allow) = self.allow.get() else { return false };
        let key = u32::try_from(message.wParam.0).unwrap_or_default();
        let now = self.start.elapsed();
        match message.message {
            win::WM_KEYDOWN | win::WM_SYSKEYDOWN => {
                let may = self.dead.borrow_mut().pressed(now, Press::Key(key));
                if key != u32::from(VK_RETURN.0) && key != u32::from(VK_SPACE.0) {
                    return false;
                }
                let focus = sys::focus();
                let Some(at) = allow.iter().position(|button| *button == focus) else {
                    return false;
                };
                if may {
                    self.end(Ended::Chosen(chosen([ALLOW, SESSION][at])));
                }
                true
            }
            win::WM_KEYUP | win::WM_SYSKEYUP => {
                self.dead.borrow_mut().released(Press::Key(key));
                false
            }
            win::WM_LBUTTONDOWN | win::WM_NCLBUTTONDOWN => {
                let may = self.dead.borrow_mut().pressed(now, Press::Pointer);
                !may && allow.contains(&message.hwnd)
            }
            win::WM_LBUTTONUP | win::WM_NCLBUTTONUP => {
                self.dead.borrow_mut().released(Press::Pointer);
                false
            }
            _ => false,
        }
    }
}

fn chosen(id: u16) -> Choice {
    match id {
        ALLOW => Choice::Allow,
        SESSION => Choice::AllowSession,
        _ => Choice::Deny,
    }
}

/// Makes the window with everything in it.
fn make(shown: &Rc<Shown>) -> Option<()> {
    let fonts = Fonts::of_the_system();
    let scale = |size: i32| sys::scaled(size);
    let title = words::window_title(&shown.form);
    let main = sys::top_window(&title, main_procedure, pane_procedure)?;
    shown.main.set(main);
    let pane = Pane::fill(main, &shown.form, &fonts, scale(WIDTH))?;

    let inner = scale(WIDTH - 2 * MARGIN);
    let note = words::note(&shown.form);
    let note_height = sys::text_height(fonts.small, &note, inner);
    let foot = note_height + scale(3 * MARGIN / 2 + BUTTON.1 + MARGIN);
    let height = pane.height().min(sys::work_height() - foot - scale(60)).max(scale(80));
    pane.place(height);
    let top = height + scale(MARGIN / 2);
    let place = Place { x: scale(MARGIN), y: top, width: inner, height: note_height };
    sys::label(main, &note, fonts.small, place, Style::Plain)?;

    let buttons: &[(u16, &str)] = match shown.form.kind {
        Kind::Fields => &[(ACCEPT, words::ACCEPT), (CANCEL, words::CANCEL)],
        Kind::Consent => {
            &[(DENY, words::DENY), (ALLOW, words::ALLOW), (SESSION, words::ALLOW_SESSION)]
        }
    };
    let step = BUTTON.0 + 8;
    let count = i32::try_from(buttons.len()).ok()?;
    let mut made = Vec::new();
    for (at, (id, text)) in (0..).zip(buttons) {
        let place = Place {
            x: scale(WIDTH - MARGIN + 8 - (count - at) * step),
            y: top + note_height + scale(MARGIN / 2),
            width: scale(BUTTON.0),
            height: scale(BUTTON.1),
        };
        made.push(sys::button(main, *id, text, fonts.body, place, at == 0)?);
    }
    sys::fit(main, scale(WIDTH), height + foot);
    match (shown.form.kind, made.as_slice()) {
        (Kind::Consent, [deny, allow, session]) => {
            shown.allow.set([*allow, *session]).ok()?;
            shown.glance();
            sys::tick(main, GLANCE);
            sys::set_focus(*deny);
        }
        _ => pane.focus_first(),
    }
    shown.pane.set(pane).ok()?;
    sys::present(main);
    shown.dead.borrow_mut().seen(shown.start.elapsed());
    Some(())
}

fn shown() -> Option<Rc<Shown>> {
    SHOWN.with(|shown| shown.try_borrow().ok()?.clone())
}

fn low(word: usize) -> u16 {
    u16::try_from(word & 0xffff).unwrap_or_default()
}

extern "system" fn main_procedure(
    window: HWND,
    message: u32,
    word: WPARAM,
    long: LPARAM,
) -> LRESULT {
    let Some(shown) = shown() else { return sys::default(window, message, word, long) };
    match message {
        win::WM_COMMAND if u32::try_from(word.0 >> 16) == Ok(win::BN_CLICKED) => {
            shown.command(low(word.0));
        }
        win::WM_CLOSE => shown.end(Ended::Cancelled),
        win::WM_ACTIVATE if low(word.0) != 0 => {
            shown.dead.borrow_mut().seen(shown.start.elapsed());
            return sys::default(window, message, word, long);
        }
        win::WM_TIMER => shown.glance(),
        win::WM_CTLCOLORSTATIC => return sys::plain_background(word),
        _ => return sys::default(window, message, word, long),
    }
    LRESULT(0)
}

extern "system" fn pane_procedure(
    window: HWND,
    message: u32,
    word: WPARAM,
    long: LPARAM,
) -> LRESULT {
    let shown = shown();
    let Some(pane) = shown.as_ref().and_then(|shown| shown.pane.get()) else {
        return sys::default(window, message, word, long);
    };
    match message {
        win::WM_COMMAND => {
            pane.notified(u32::try_from(word.0 >> 16).unwrap_or(0), sys::control(long))
        }
        win::WM_VSCROLL => pane.scroll_by_bar(i32::from(low(word.0))),
        win::WM_MOUSEWHEEL => pane.scroll_by_wheel(word),
        win::WM_CTLCOLORSTATIC if pane.is_complaint(sys::control(long)) => {
            return sys::complaint_background(word);
        }
        win::WM_CTLCOLORSTATIC => return sys::plain_background(word),
        _ => return sys::default(window, message, word, long),
    }
    LRESULT(0)
}
