//! Fields to fill in.

use std::cell::Cell;
use std::rc::Rc;

use gtk::glib;
use gtk::prelude::*;
use strongroom_model::form::{Field, FieldType, Form, visible, visible_line};

use super::{Asked, Shown, access, front, parts};
use crate::ended::Ended;
use crate::typed::{self, Typed};
use crate::words;

/// Puts the fields into `middle`.
pub(super) fn fill(
    window: &gtk::Window,
    middle: &gtk::Box,
    form: &Rc<Form>,
    shown: &Rc<Shown>,
) -> Asked {
    let rows: Rc<Vec<Row>> = Rc::new(form.fields.iter().map(Row::new).collect());
    rows.iter().for_each(|row| middle.append(&row.whole));

    let accept = gtk::Button::with_label(words::ACCEPT);
    accept.add_css_class("suggested-action");
    accept.connect_clicked({
        let (form, shown, rows) = (Rc::clone(form), Rc::clone(shown), Rc::clone(&rows));
        let settled = front::settled(window);
        // A press that came with the window was meant for another one.
        move |_| {
            if settled() {
                take(&form, &rows, &shown);
            }
        }
    });
    let cancel = gtk::Button::with_label(words::CANCEL);
    cancel.connect_clicked({
        let shown = Rc::clone(shown);
        move |_| shown.end(Ended::Cancelled)
    });

    // One for all: a key that is held down goes on in the field that it has led to.
    let held = Rc::new(Cell::new(false));
    for (at, row) in rows.iter().enumerate() {
        let (rows, accept) = (Rc::downgrade(&rows), accept.clone());
        row.on_enter(&held, move || {
            let Some(rows) = rows.upgrade() else { return };
            // On the last field Enter is the button; before it, it goes on to the next one, so that
            // nothing half filled in is sent by a key that was meant for something else.
            match rows.get(at + 1) {
                Some(next) => next.focus(),
                None => accept.emit_clicked(),
            }
        });
    }
    let focus = rows.first().map_or_else(|| accept.clone().upcast(), |first| first.entry.clone());
    Asked { buttons: vec![cancel, accept], focus, guard: None }
}

/// Ends with what was typed, or shows what is wrong with it and goes there.
fn take(form: &Form, rows: &[Row], shown: &Shown) {
    let typed: Vec<Typed> = rows.iter().map(Row::typed).collect();
    let mistakes = typed::mistakes(form, &typed);
    for (at, row) in rows.iter().enumerate() {
        let wrong = mistakes.iter().find(|(place, _)| *place == at);
        row.complain(wrong.map(|(_, wrong)| wrong.to_string()).as_deref());
    }
    if let Some(row) = mistakes.first().and_then(|(at, _)| rows.get(*at)) {
        row.focus();
        return;
    }
    let names = form.fields.iter().map(|field| field.name.clone());
    shown.end(Ended::Filled(names.zip(typed).collect()));
}

/// One field with everything around it.
#[derive(Clone)]
struct Row {
    whole: gtk::Box,
    /// What looks like a field.
    frame: gtk::Widget,
    /// What has the focus.
    entry: gtk::Widget,
    editable: gtk::Editable,
    error: gtk::Label,
    /// What is said about it while nothing is wrong.
    said: Rc<str>,
}

impl Row {
    fn new(field: &Field) -> Self {
        let whole = gtk::Box::new(gtk::Orientation::Vertical, 4);
        let label = parts::classed(&parts::text(&words::marked_label(field)), "field-label");
        whole.append(&label);

        let line = gtk::Box::new(gtk::Orientation::Horizontal, 6);
        let Input { frame, focus: entry, editable } = Input::new(field);
        frame.set_hexpand(true);
        line.append(&frame);
        if field.field_type == FieldType::Password {
            line.append(&reveal(field, &editable));
        }
        whole.append(&line);

        let error = parts::classed(&parts::text(""), "field-error");
        error.set_visible(false);
        whole.append(&error);
        let help_text = visible(&field.help_text);
        let help = parts::classed(&parts::text(&help_text), "dim");
        help.set_visible(!field.help_text.trim().is_empty());
        whole.append(&help);

        access::name(&entry, &field.shown_label());
        // Old screen readers have no state for it.
        let required = if field.required { "Required. " } else { "" };
        let said = format!("{required}{help_text}");
        access::describe(&entry, said.trim());
        access::required(&entry, field.required);
        let row = Self { whole, frame, entry, editable, error, said: said.into() };
        row.editable.connect_changed({
            let row = row.clone();
            // What is being mended is not complained of.
            move |_| row.complain(None)
        });
        row
    }

    fn typed(&self) -> Typed {
        Typed::from(String::from(self.editable.text()))
    }

    fn focus(&self) {
        self.entry.grab_focus();
    }

    fn complain(&self, wrong: Option<&str>) {
        if wrong.is_none() && !self.error.is_visible() {
            return;
        }
        // A sign beside the colour, for who does not tell colours apart.
        let text = wrong.map(|wrong| format!("\u{26a0} {wrong}"));
        self.error.set_text(&text.unwrap_or_default());
        self.error.set_visible(wrong.is_some());
        match wrong {
            Some(_) => self.frame.add_css_class("error"),
            None => self.frame.remove_css_class("error"),
        }
        access::invalid(&self.entry, wrong.is_some());
        let said: Vec<&str> = wrong.into_iter().chain([&*self.said]).collect();
        access::describe(&self.entry, said.join(" ").trim());
    }

    /// Does `then` when Enter is pressed, and not again before it was let go.
    fn on_enter(&self, held: &Rc<Cell<bool>>, then: impl Fn() + 'static) {
        let keys = gtk::EventControllerKey::new();
        keys.set_propagation_phase(gtk::PropagationPhase::Capture);
        let is_enter = |key| {
            use gtk::gdk::Key;
            matches!(key, Key::Return | Key::KP_Enter | Key::ISO_Enter)
        };
        keys.connect_key_pressed({
            let held = Rc::clone(held);
            move |_, key, _, _| {
                if !is_enter(key) {
                    return glib::Propagation::Proceed;
                }
                if !held.replace(true) {
                    then();
                }
                glib::Propagation::Stop
            }
        });
        keys.connect_key_released({
            let held = Rc::clone(held);
            move |_, key, _, _| {
                if is_enter(key) {
                    held.set(false);
                }
            }
        });
        self.entry.add_controller(keys);
    }
}

/// What is typed into.
struct Input {
    frame: gtk::Widget,
    focus: gtk::Widget,
    editable: gtk::Editable,
}

impl Input {
    fn new(field: &Field) -> Self {
        let placeholder = visible_line(&field.placeholder);
        if field.field_type == FieldType::Password {
            return Self::password(&placeholder);
        }
        let entry =
            gtk::Entry::builder().placeholder_text(placeholder).text(&field.default).build();
        entry.set_input_purpose(match field.field_type {
            FieldType::Url => gtk::InputPurpose::Url,
            FieldType::Email => gtk::InputPurpose::Email,
            FieldType::Text | FieldType::Password => gtk::InputPurpose::FreeForm,
        });
        entry.set_input_hints(gtk::InputHints::NO_SPELLCHECK | gtk::InputHints::NO_EMOJI);
        let editable = entry.clone().upcast();
        Self { frame: entry.clone().upcast(), focus: entry.upcast(), editable }
    }

    /// Not a `GtkPasswordEntry`: that one tells every program on the bus of the screen readers what is typed,
    /// hidden or not. The text of this widget is on no bus; its name and what is said about it are.
    fn password(placeholder: &str) -> Self {
        let text = gtk::Text::builder()
            .accessible_role(gtk::AccessibleRole::TextBox)
            .buffer(&gtk::PasswordEntryBuffer::new())
            .visibility(false)
            .placeholder_text(placeholder)
            .input_purpose(gtk::InputPurpose::Password)
            .input_hints(gtk::InputHints::NO_SPELLCHECK | gtk::InputHints::NO_EMOJI)
            .hexpand(true)
            .build();
        let frame = gtk::Box::builder().css_name("entry").build();
        frame.append(&text);
        let editable = text.clone().upcast();
        Self { frame: frame.upcast(), focus: text.upcast(), editable }
    }
}

/// The button that shows a password: beside the field, so that keys reach it too.
fn reveal(field: &Field, editable: &gtk::Editable) -> gtk::ToggleButton {
    let button = gtk::ToggleButton::builder().icon_name("view-reveal-symbolic").build();
    let words = words::reveal(field);
    button.set_tooltip_text(Some("Show or hide what is typed"));
    access::name(&button, &words);
    let text = editable.downcast_ref::<gtk::Text>().cloned();
    button.connect_toggled(move |button| {
        let revealed = button.is_active();
        button.set_icon_name(if revealed {
            "view-conceal-symbolic"
        } else {
            "view-reveal-symbolic"
        });
        if let Some(text) = &text {
            text.set_visibility(revealed);
        }
    });
    button
}
