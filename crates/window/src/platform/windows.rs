//! The window on Windows: Win32, with the system's own controls.
//!
//! What is long scrolls in a pane; the note and the buttons stand below it. Tab and Enter are the system's
//! (`IsDialogMessage`), but for the description, which would keep every key to itself. Every label stands before its field, which is how a screen reader finds
//! its name, and no text has mnemonics.

#![expect(unsafe_code, reason = "Win32 is called here, in `fonts` and `sys`, and nowhere else")]

mod fonts;
mod pane;
mod sys;

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use strongroom_model::form::{Choice, Form, Kind};
use windows::Win32::Foundation::{HWND, LPARAM, LRESULT, WPARAM};
use windows::Win32::UI::Input::KeyboardAndMouse::{
    VIRTUAL_KEY, VK_ESCAPE, VK_RETURN, VK_SPACE, VK_TAB,
};
use windows::Win32::UI::WindowsAndMessaging as win;

use self::{
    fonts::{Fonts, text_height},
    pane::Pane,
    sys::{Place, Style},
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
    foot: OnceCell<Foot>,
    /// How much of the pane is shown.
    height: Cell<i32>,
    allow: OnceCell<[HWND; 2]>,
    start: Instant,
    dead: RefCell<DeadTime>,
    /// Whether the end of the question has been in sight: what decides must not stand where nobody looks.
    read: Cell<bool>,
    ended: RefCell<Option<Ended>>,
}

impl Shown {
    fn new(form: Form) -> Self {
        Self {
            form,
            main: Cell::default(),
            pane: OnceCell::new(),
            foot: OnceCell::new(),
            height: Cell::new(0),
            allow: OnceCell::new(),
            start: Instant::now(),
            dead: RefCell::new(DeadTime::begin(Duration::ZERO)),
            read: Cell::new(false),
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
            ALLOW | SESSION if self.may() => self.end(Ended::Chosen(chosen(id))),
            _ => {}
        }
    }

    /// Goes to the next field where Enter was pressed before the last one; else takes what was typed, or
    /// shows what is wrong with it and goes there.
    fn accept(&self) {
        let Some(pane) = self.pane.get() else { return };
        // A press that came with the window was meant for another one.
        let settled = self.dead.borrow_mut().is_over(self.start.elapsed());
        if pane.goes_on_from(sys::focus()) || !settled {
            return;
        }
        let typed = pane.typed();
        let mistakes = typed::mistakes(&self.form, &typed);
        pane.complain(&mistakes);
        self.lay_out();
        if mistakes.is_empty() {
            let names = self.form.fields.iter().map(|field| field.name.clone());
            self.end(Ended::Filled(names.zip(typed).collect()));
        }
    }

    /// Gives the pane the room that it wants and the screen has. What was given is not taken back: nothing
    /// moves away under the hands of who types.
    fn lay_out(&self) {
        let (Some(pane), Some(foot)) = (self.pane.get(), self.foot.get()) else { return };
        let most = sys::work_height() - foot.height - sys::scaled(60);
        let height = pane.height().min(most).max(sys::scaled(80));
        let before = self.height.get();
        if height > before {
            self.height.set(height);
            pane.place(height);
            foot.place(height);
            sys::fit(self.main.get(), sys::scaled(WIDTH), height + foot.height, before == 0);
            sys::redraw(self.main.get());
        }
    }

    /// Whether a yes counts by now.
    fn may(&self) -> bool {
        self.dead.borrow_mut().is_over(self.start.elapsed()) && self.read.get()
    }

    /// Buttons that cannot be pressed look like it.
    fn glance(&self) {
        let end = self.pane.get().is_some_and(Pane::is_at_its_end);
        if end
            && !self.read.replace(true)
            && let Some(foot) = self.foot.get()
        {
            sys::set_text(foot.hint, "");
        }
        let may = self.may();
        for button in self.allow.get().into_iter().flatten() {
            sys::enable(*button, may);
        }
    }

    /// Looks at what is pressed or turned before any control does. Whether nothing else may see it.
    fn intercepts(&self, message: &win::MSG) -> bool {
        let Some(pane) = self.pane.get() else { return false };
        let key = u32::try_from(message.wParam.0).unwrap_or_default();
        let is = |one: VIRTUAL_KEY| key == u32::from(one.0);
        match message.message {
            win::WM_MOUSEWHEEL => {
                pane.scroll_by_wheel(sys::below(message.lParam), message);
                true
            }
            win::WM_KEYDOWN if is(VK_ESCAPE) => {
                self.end(Ended::Cancelled);
                true
            }
            win::WM_KEYDOWN if is(VK_TAB) && pane.is_reading(message.hwnd) => {
                sys::tab(self.main.get(), message.hwnd);
                self.guards(message, key)
            }
            _ => self.guards(message, key),
        }
    }

    /// As [`Self::intercepts`], for the buttons that allow.
    fn guards(&self, message: &win::MSG, key: u32) -> bool {
        let Some(allow) = self.allow.get() else { return false };
        let now = self.start.elapsed();
        match message.message {
            win::WM_KEYDOWN | win::WM_SYSKEYDOWN => {
                let may = self.dead.borrow_mut().pressed(now, Press::Key(key)) && self.read.get();
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
            win::WM_LBUTTONDOWN | win::WM_LBUTTONDBLCLK | win::WM_NCLBUTTONDOWN => {
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
    let title = words::window_title(&shown.form);
    let main = sys::top_window(&title, main_procedure, pane_procedure)?;
    shown.main.set(main);
    let pane = Pane::fill(main, &shown.form, &fonts, sys::scaled(WIDTH))?;
    let foot = Foot::fill(main, &shown.form, &fonts)?;
    let buttons = foot.buttons.clone();
    shown.pane.set(pane).ok()?;
    shown.foot.set(foot).ok()?;
    shown.lay_out();
    match (shown.form.kind, buttons.as_slice()) {
        (Kind::Consent, [deny, allow, session]) => {
            shown.allow.set([*allow, *session]).ok()?;
            shown.glance();
            if let Some(foot) = shown.foot.get().filter(|_| !shown.read.get()) {
                sys::set_text(foot.hint, words::READ_ON);
            }
            sys::set_focus(*deny);
        }
        _ => shown.pane.get()?.focus_first(),
    }
    sys::tick(main, GLANCE);
    sys::present(main);
    shown.dead.borrow_mut().seen(shown.start.elapsed());
    Some(())
}

/// What stands below the pane.
struct Foot {
    /// Says that there is more to read; empty where there is not.
    hint: HWND,
    hint_height: i32,
    note: HWND,
    note_height: i32,
    buttons: Vec<HWND>,
    height: i32,
}

impl Foot {
    fn fill(main: HWND, form: &Form, fonts: &Fonts) -> Option<Self> {
        let buttons: &[(u16, &str)] = match form.kind {
            Kind::Fields => &[(ACCEPT, words::ACCEPT), (CANCEL, words::CANCEL)],
            Kind::Consent => {
                &[(DENY, words::DENY), (ALLOW, words::ALLOW), (SESSION, words::ALLOW_SESSION)]
            }
        };
        let inner = sys::scaled(WIDTH - 2 * MARGIN);
        let nowhere = Place::default();
        let hint = sys::label(main, "", fonts.small, nowhere, Style::Plain)?;
        let hint_height = match form.kind {
            Kind::Consent => text_height(fonts.small, words::READ_ON, inner) + sys::scaled(4),
            Kind::Fields => 0,
        };
        let text = words::note(form);
        let note = sys::label(main, &text, fonts.small, nowhere, Style::Plain)?;
        let note_height = text_height(fonts.small, &text, inner);
        let made = (0..)
            .zip(buttons)
            .map(|(at, (id, text))| sys::button(main, *id, text, fonts.body, nowhere, at == 0));
        let buttons = made.collect::<Option<_>>()?;
        let height = hint_height + note_height + sys::scaled(MARGIN * 5 / 2 + BUTTON.1);
        Some(Self { hint, hint_height, note, note_height, buttons, height })
    }

    /// Puts it below `top`.
    fn place(&self, top: i32) {
        let scale = |size: i32| sys::scaled(size);
        let (x, width) = (scale(MARGIN), scale(WIDTH - 2 * MARGIN));
        let mut y = top + scale(MARGIN / 2);
        for (window, height) in [(self.hint, self.hint_height), (self.note, self.note_height)] {
            sys::place(window, Place { x, y, width, height });
            y += height;
        }
        y += scale(MARGIN);
        let (width, height) = (scale(BUTTON.0), scale(BUTTON.1));
        let mut x = scale(WIDTH - MARGIN) - width;
        for button in self.buttons.iter().rev() {
            sys::place(*button, Place { x, y, width, height });
            x -= width + scale(8);
        }
    }
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
        win::WM_CTLCOLORSTATIC => {
            let control = sys::control(long);
            let is_hint = shown.foot.get().is_some_and(|foot| foot.hint == control);
            let background =
                if is_hint { sys::complaint_background } else { sys::plain_background };
            return background(word);
        }
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
        win::WM_CTLCOLORSTATIC if pane.is_complaint(sys::control(long)) => {
            return sys::complaint_background(word);
        }
        win::WM_CTLCOLORSTATIC => return sys::plain_background(word),
        _ => return sys::default(window, message, word, long),
    }
    LRESULT(0)
}
