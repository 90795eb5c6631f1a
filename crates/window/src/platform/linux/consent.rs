//! A consent to give.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use gtk::glib;
use gtk::prelude::*;
use strongroom_model::form::Choice;

use super::{Asked, Shown, parts};
use crate::dead_time::{DeadTime, Press};
use crate::ended::Ended;
use crate::words;

/// How often it is looked whether the dead time is over.
const GLANCE: Duration = Duration::from_millis(20);

/// Makes the buttons.
pub(super) fn fill(window: &gtk::Window, shown: &Rc<Shown>) -> Asked {
    let deny = button(words::DENY, Choice::Deny, shown);
    let allow = Rc::new([
        button(words::ALLOW, Choice::Allow, shown),
        button(words::ALLOW_SESSION, Choice::AllowSession, shown),
    ]);
    let focus = deny.clone().upcast();

    let guard = Guard::new(allow);
    window.connect_map({
        let guard = guard.clone();
        move |_| guard.seen()
    });
    window.connect_is_active_notify({
        let guard = guard.clone();
        move |window| {
            if window.is_active() {
                guard.seen();
            }
        }
    });
    window.add_controller(keys(&guard, shown));
    window.add_controller(pointer(&guard));
    let buttons: Vec<_> = std::iter::once(deny).chain(guard.allow.iter().cloned()).collect();
    glib::timeout_add_local(GLANCE, {
        let guard = guard.clone();
        move || {
            guard.glance();
            glib::ControlFlow::Continue
        }
    });
    Asked { buttons, focus, guard: Some(guard) }
}

fn button(label: &str, choice: Choice, shown: &Rc<Shown>) -> gtk::Button {
    let button = gtk::Button::with_label(label);
    // What allows begins as it is while nothing allows.
    button.set_sensitive(choice == Choice::Deny);
    let shown = Rc::clone(shown);
    button.connect_clicked(move |_| shown.end(Ended::Chosen(choice)));
    button
}

/// The dead time, whether all was shown, and the buttons that wait for both.
#[derive(Clone)]
pub(super) struct Guard {
    start: Instant,
    dead: Rc<RefCell<DeadTime>>,
    read: Rc<Cell<bool>>,
    allow: Rc<[gtk::Button; 2]>,
}

impl Guard {
    fn new(allow: Rc<[gtk::Button; 2]>) -> Self {
        let dead = Rc::new(RefCell::new(DeadTime::begin(Duration::ZERO)));
        Self { start: Instant::now(), dead, read: Rc::default(), allow }
    }

    /// Waits until the end of `scrolled` has been in sight: what decides must not stand where nobody looks.
    /// Returns what says so until then.
    pub(super) fn until_read(&self, scrolled: &gtk::ScrolledWindow) -> gtk::Label {
        let hint = parts::classed(&parts::text(words::READ_ON), "field-error");
        hint.set_visible(false);
        let look = {
            let (guard, hint) = (self.clone(), hint.clone());
            move |adjustment: &gtk::Adjustment| {
                let end = adjustment.value() + adjustment.page_size();
                // Before it has a size nothing is in sight.
                let is_shown = adjustment.page_size() > 1.0;
                let read = guard.read.get() || (is_shown && end >= adjustment.upper() - 1.0);
                guard.read.set(read);
                hint.set_visible(is_shown && !read);
                guard.glance();
            }
        };
        scrolled.vadjustment().connect_changed(look.clone());
        scrolled.vadjustment().connect_value_changed(look);
        hint
    }

    fn seen(&self) {
        self.dead.borrow_mut().seen(self.start.elapsed());
        self.glance();
    }

    fn pressed(&self, what: Press) -> bool {
        let may = self.dead.borrow_mut().pressed(self.start.elapsed(), what);
        self.glance();
        may && self.read.get()
    }

    fn released(&self, what: Press) {
        self.dead.borrow_mut().released(what);
    }

    /// Buttons that cannot be pressed look like it.
    fn glance(&self) {
        let may = self.dead.borrow_mut().is_over(self.start.elapsed()) && self.read.get();
        for button in self.allow.iter().filter(|button| button.is_sensitive() != may) {
            button.set_sensitive(may);
        }
    }
}

/// Keys that would press a button that allows pass only as the guard says.
fn keys(guard: &Guard, shown: &Rc<Shown>) -> gtk::EventControllerKey {
    let keys = gtk::EventControllerKey::new();
    keys.set_propagation_phase(gtk::PropagationPhase::Capture);
    keys.connect_key_pressed({
        let (guard, shown) = (guard.clone(), Rc::clone(shown));
        move |_, key, code, _| {
            use gtk::gdk::Key;
            let may = guard.pressed(Press::Key(code));
            if !matches!(
                key,
                Key::Return | Key::KP_Enter | Key::ISO_Enter | Key::space | Key::KP_Space
            ) {
                return glib::Propagation::Proceed;
            }
            let choices = [Choice::Allow, Choice::AllowSession];
            match guard.allow.iter().zip(choices).find(|(button, _)| button.has_focus()) {
                Some((_, choice)) if may => shown.end(Ended::Chosen(choice)),
                Some(_) => {}
                None => return glib::Propagation::Proceed,
            }
            glib::Propagation::Stop
        }
    });
    keys.connect_key_released({
        let guard = guard.clone();
        move |_, _, code, _| guard.released(Press::Key(code))
    });
    keys
}

/// A click in the dead time lets it begin anew.
fn pointer(guard: &Guard) -> gtk::GestureClick {
    let clicks = gtk::GestureClick::builder()
        .button(0)
        .propagation_phase(gtk::PropagationPhase::Capture)
        .build();
    clicks.connect_pressed({
        let guard = guard.clone();
        move |_, _, _, _| {
            guard.pressed(Press::Pointer);
        }
    });
    clicks.connect_released({
        let guard = guard.clone();
        move |_, _, _, _| guard.released(Press::Pointer)
    });
    clicks
}
