//! The window on Linux: GTK 4.
//!
//! Every text of the template is set as text, never as markup, and never with mnemonics.

mod access;
mod consent;
mod emblem;
mod fields;
mod front;
mod network;
mod parts;
mod style;

use std::cell::RefCell;
use std::rc::Rc;

use gtk::glib;
use gtk::prelude::*;
use strongroom_model::form::{Form, Kind};

use crate::ended::{Ended, Failed};
use crate::environment::Environment;
use crate::words;

/// The width that a window begins with.
const WIDTH: i32 = 600;

/// Asks `form`, and waits for the person.
pub(crate) fn show(environment: &Environment, form: Form) -> Result<Ended, Failed> {
    prepare(environment);
    gtk::init().map_err(|_| Failed::NoDisplay)?;
    network::none(environment.display.as_deref());
    style::apply();
    let shown =
        Rc::new(Shown { main: glib::MainLoop::new(None, false), ended: RefCell::default() });
    let window = window(&Rc::new(form), &shown);
    window.present();
    shown.main.run();
    window.set_visible(false);
    Ok(shown.ended.take().unwrap_or(Ended::Cancelled))
}

/// A window that is shown, until it has ended.
struct Shown {
    main: glib::MainLoop,
    ended: RefCell<Option<Ended>>,
}

impl Shown {
    /// Ends it; what comes second does not count.
    fn end(&self, ended: Ended) {
        self.ended.borrow_mut().get_or_insert(ended);
        self.main.quit();
    }
}

/// What one kind of question has of its own.
struct Asked {
    /// In the order that they stand in.
    buttons: Vec<gtk::Button>,
    /// Where the person begins.
    focus: gtk::Widget,
    /// What allows nothing before everything was shown.
    guard: Option<consent::Guard>,
}

/// What must be so before the library starts, while there is one thread that reads the environment.
#[expect(unsafe_code, reason = "the library takes these from the environment only")]
#[expect(clippy::disallowed_methods, reason = "the library takes these from the environment only")]
fn prepare(environment: &Environment) {
    // What the library complains of is neither an answer nor our one line.
    glib::log_set_writer_func(|_, _| glib::LogWriterOutput::Handled);
    glib::set_prgname(Some("strongroom-dialog"));
    glib::set_application_name(words::BRAND);
    // SAFETY: the only other thread waits in `poll` and reads no environment.
    unsafe {
        // A form needs no graphics card, and starting one takes longer than all the rest.
        std::env::set_var("GSK_RENDERER", "cairo");
        // Styles and settings of the home would be loaded, and whoever may write a file there could paint
        // another question over this one. Without the variable the home would be looked up by the user.
        for folder in ["HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"] {
            std::env::set_var(folder, "/dev/null/none");
        }
        // A driver would complain on stderr that it cannot keep anything there.
        for cache in ["MESA_SHADER_CACHE_DISABLE", "MESA_GLSL_CACHE_DISABLE"] {
            std::env::set_var(cache, "true");
        }
        if !environment.bus {
            // Else a bus would be started that outlives us.
            std::env::set_var("DBUS_SESSION_BUS_ADDRESS", "disabled:");
        }
    }
}

fn window(form: &Rc<Form>, shown: &Rc<Shown>) -> gtk::Window {
    let window = gtk::Window::builder()
        .title(words::window_title(form))
        .default_width(WIDTH)
        .icon_name("dialog-password")
        .build();
    let middle = gtk::Box::builder().orientation(gtk::Orientation::Vertical).spacing(16).build();
    middle.add_css_class("middle");
    for part in parts::head(form) {
        middle.append(&part);
    }

    let content = gtk::Box::new(gtk::Orientation::Vertical, 0);
    content.append(&parts::brand(form.kind));
    let asked = match form.kind {
        Kind::Fields => fields::fill(&window, &middle, form, shown),
        Kind::Consent => consent::fill(&window, shown),
    };
    let scrolled = parts::scrolled(&middle, !form.fields.is_empty());
    content.append(&scrolled);
    if let Some(guard) = asked.guard {
        content.append(&guard.until_read(&scrolled));
    }
    content.append(&parts::foot(form, &asked.buttons));
    window.set_child(Some(&content));
    parts::fit(&scrolled, &middle, WIDTH);
    GtkWindowExt::set_focus(&window, Some(&asked.focus));

    let closed = Rc::clone(shown);
    window.connect_close_request(move |_| {
        closed.end(Ended::Cancelled);
        glib::Propagation::Proceed
    });
    window.add_controller(escape(shown));
    window
}

/// Escape cancels, wherever the focus is.
fn escape(shown: &Rc<Shown>) -> gtk::ShortcutController {
    let shown = Rc::clone(shown);
    let action = gtk::CallbackAction::new(move |_, _| {
        shown.end(Ended::Cancelled);
        glib::Propagation::Stop
    });
    let keys = gtk::ShortcutController::new();
    keys.set_propagation_phase(gtk::PropagationPhase::Capture);
    keys.add_shortcut(gtk::Shortcut::new(
        gtk::ShortcutTrigger::parse_string("Escape"),
        Some(action),
    ));
    keys
}
