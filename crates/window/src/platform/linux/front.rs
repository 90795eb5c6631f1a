//! When a window comes to the front, and the time that goes by there.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use gtk::glib;
use gtk::prelude::*;

use crate::dead_time::DeadTime;

/// How often it is looked whether the dead time is over.
const GLANCE: Duration = Duration::from_millis(20);

/// Does `look` with `true` whenever `window` comes to the front, and with `false` when it goes behind and many
/// times a second.
pub(super) fn watch(window: &gtk::Window, look: impl Fn(bool) + Clone + 'static) {
    window.connect_map({
        let look = look.clone();
        move |_| look(true)
    });
    window.connect_is_active_notify({
        let look = look.clone();
        move |window| look(window.is_active())
    });
    glib::timeout_add_local(GLANCE, move || {
        look(false);
        glib::ControlFlow::Continue
    });
}

/// Says of the window of a form whether its dead time is over.
pub(super) fn settled(window: &gtk::Window) -> impl Fn() -> bool + 'static {
    let start = Instant::now();
    let dead = Rc::new(RefCell::new(DeadTime::begin(Duration::ZERO)));
    watch(window, {
        let dead = Rc::clone(&dead);
        move |seen| {
            if seen {
                dead.borrow_mut().seen(start.elapsed());
            } else {
                dead.borrow_mut().is_over(start.elapsed());
            }
        }
    });
    move || dead.borrow_mut().is_over(start.elapsed())
}
