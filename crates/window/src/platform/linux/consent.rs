//! A consent to give.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use gtk::glib;
use gtk::prelude::*;
use strongroom_model::form::Choice;

use super::{Asked, Shown, front, parts};
use crate::dead_time::{DeadTime, Press};
use crate::ended::Ended;
use crate::words;

/// Makes the buttons.
pub(super) fn fill(window: &gtk::Window, shown: &Rc<Shown>) -> Asked {
    let deny = gtk::Button::with_label(words::DENY);
    deny.connect_clicked({
        let shown = Rc::clone(shown);
        move |_| shown.end(Ended::Chosen(Choice::Deny))
    });
    let focus = deny.clone().upcast();

    let guard = Guard::new(window);
    for (button, choice) in guard.allow.iter().zip(CHOICES) {
        // It begins as it is while nothing allows.
        button.set_sensitive(false);
        let (guard, shown) = (guard.clone(), Rc::clone(shown));
        button.connect_clicked(move |_| {
            if guard.may() {
                shown.end(Ended::Chosen(choice));
            }
        });
    }
    front::watch(window, {
        let guard = guard.clone();
        move |seen| if seen { guard.seen() } else { guard.glance() }
    });
    window.add_controller(keys(&guard, shown));
    window.add_controller(pointer(&guard));
    let buttons: Vec<_> = std::iter::once(deny).chain(guard.allow.iter().cloned()).collect();
    Asked { buttons, focus, guard: Some(guard) }
}

/// What the buttons that allow stand for.
const CHOICES: [Choice; 2] = [Choice::Allow, Choice::AllowSession];

/// The dead time, whether all was shown and is in front, and the buttons that wait for all of it.
#[derive(Clone)]
pub(super) struct Guard {
    start: Instant,
    dead: Rc<RefCell<DeadTime>>,
    read: Rc<Cell<bool>>,
    window: glib::WeakRef<gtk::Window>,
    allow: Rc<[gtk::Button; 2]>,
}

impl Guard {
    fn new(window: &gtk::Window) -> Self {
        let dead = Rc::new(RefCell::new(DeadTime::begin(Duration::ZERO)));
        let allow = [words::ALLOW, words::ALLOW_SESSION].map(gtk::Button::with_label);
        let (start, window) = (Instant::now(), window.downgrade());
        Self { start, dead, read: Rc::default(), window, allow: Rc::new(allow) }
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
        may && self.is_in_sight()
    }

    /// Whether a yes counts now, wherever it comes from.
    fn may(&self) -> bool {
        self.dead.borrow_mut().is_over(self.start.elapsed()) && self.is_in_sight()
    }

    /// Whether the person has it in front of them, and had all of it in sight.
    fn is_in_sight(&self) -> bool {
        self.read.get() && self.window.upgrade().is_some_and(|window| window.is_active())
    }

    fn released(&self, what: Press) {
        self.dead.borrow_mut().released(what);
    }

    /// Buttons that cannot be pressed look like it.
    fn glance(&self) {
        let may = self.may();
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
            match guard.allow.iter().zip(CHOICES).find(|(button, _)| button.has_focus()) {
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
