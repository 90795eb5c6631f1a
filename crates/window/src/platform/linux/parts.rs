//! What both kinds of question have.

use gtk::prelude::*;
use strongroom_model::form::{Form, Kind, visible_line};

use super::{access, emblem};
use crate::words::{self, Part};

/// The tallest that the part between head and foot becomes by itself.
const TALLEST: i32 = 560;
/// What head, foot and the desktop's own bars need of the height of a screen.
const AROUND: i32 = 280;

/// Who shows the window.
pub(super) fn brand(kind: Kind) -> gtk::Box {
    let row = gtk::Box::new(gtk::Orientation::Horizontal, 12);
    row.add_css_class("brand");
    row.append(&emblem::emblem());
    let texts = gtk::Box::new(gtk::Orientation::Vertical, 0);
    texts.set_valign(gtk::Align::Center);
    texts.append(&classed(&text(words::BRAND), "brand-name"));
    texts.append(&classed(&text(words::subtitle(kind)), "dim"));
    row.append(&texts);
    row
}

/// The title, the code and the description.
pub(super) fn head(form: &Form) -> Vec<gtk::Widget> {
    let title = classed(&text(&visible_line(&form.title)), "heading");
    let mut parts: Vec<gtk::Widget> = vec![title.upcast()];
    if let Some(code) = form.verification_code() {
        parts.push(verification(code).upcast());
    }
    let description = form.shown_description();
    if !description.trim().is_empty() {
        parts.push(match form.kind {
            Kind::Fields => prose(&description).upcast(),
            Kind::Consent => framed(&description).upcast(),
        });
    }
    parts
}

fn prose(description: &str) -> gtk::Label {
    let label = text(description);
    if words::is_preformatted(description) {
        label.add_css_class("preformatted");
    }
    label
}

/// What is asked for, so that nothing within a line can pass for a line of its own, however it wraps: each
/// has a sign before it, which no text reaches, and what is quoted stands behind a bar.
fn framed(description: &str) -> gtk::Box {
    let frame = gtk::Box::new(gtk::Orientation::Vertical, 6);
    frame.add_css_class("framed");
    let parts = words::parts(description);
    if parts.len() > words::MOST_PARTS {
        frame.append(&prose(description));
        return frame;
    }
    let signs = parts.len() > 1;
    for part in parts {
        let line = gtk::Box::new(gtk::Orientation::Horizontal, 8);
        let label = match part {
            Part::Line(line) => text(line),
            Part::Quoted(quoted) => classed(&text(&quoted), "quoted"),
        };
        label.set_hexpand(true);
        if signs {
            let sign = text("\u{203a}");
            sign.add_css_class("sign");
            sign.set_valign(gtk::Align::Start);
            sign.set_opacity(if label.has_css_class("quoted") { 0.0 } else { 1.0 });
            line.append(&sign);
        }
        line.append(&label);
        frame.append(&line);
    }
    frame
}

fn verification(code: &str) -> gtk::Box {
    let card = gtk::Box::new(gtk::Orientation::Vertical, 4);
    card.add_css_class("code-card");
    card.append(&centred(&classed(&text(words::CODE), "code-caption")));
    let shown = centred(&classed(&text(code), "code"));
    access::name(&shown, &words::spelled(code));
    card.append(&shown);
    card.append(&centred(&classed(&text(words::CODE_HINT), "dim")));
    card
}

/// What may be longer than the window. `has_fields`: there is something in it to go to.
pub(super) fn scrolled(middle: &gtk::Box, has_fields: bool) -> gtk::ScrolledWindow {
    let scrolled = gtk::ScrolledWindow::builder()
        .hscrollbar_policy(gtk::PolicyType::Never)
        .overlay_scrolling(false)
        .vexpand(true)
        .child(middle)
        .build();
    // With the keyboard, what is scrolled is scrolled from the frame itself. Where nothing is, Tab must not come
    // there: the library would say that it had gone to the frame, and the focus would be nowhere from then on.
    scrolled.vadjustment().connect_changed({
        let scrolled = scrolled.downgrade();
        move |adjustment| {
            if let Some(scrolled) = scrolled.upgrade() {
                let scrolls = adjustment.upper() > adjustment.page_size();
                scrolled.set_focusable(scrolls);
                scrolled.set_can_focus(scrolls || has_fields);
            }
        }
    });
    scrolled
}

/// Makes `scrolled` as tall as what is in it when the window opens, within the screen.
pub(super) fn fit(scrolled: &gtk::ScrolledWindow, middle: &gtk::Box, width: i32) {
    let (_, natural, _, _) = middle.measure(gtk::Orientation::Vertical, width);
    scrolled.set_min_content_height(natural.min(tallest()));
    // From then on the person may make it as small as they like.
    scrolled.connect_map(|scrolled| {
        let scrolled = scrolled.clone();
        gtk::glib::idle_add_local_once(move || scrolled.set_min_content_height(-1));
    });
}

/// The note, and the buttons.
pub(super) fn foot(form: &Form, buttons: &[gtk::Button]) -> gtk::Box {
    let foot = gtk::Box::new(gtk::Orientation::Vertical, 12);
    foot.add_css_class("foot");
    foot.append(&classed(&text(&words::note(form)), "dim"));
    let row = gtk::Box::builder().spacing(8).halign(gtk::Align::End).homogeneous(true).build();
    for button in buttons {
        row.append(button);
    }
    foot.append(&row);
    foot
}

/// A text that wraps, and in which nothing is markup.
pub(super) fn text(text: &str) -> gtk::Label {
    gtk::Label::builder()
        .label(text)
        .use_markup(false)
        .use_underline(false)
        .wrap(true)
        .wrap_mode(gtk::pango::WrapMode::WordChar)
        .natural_wrap_mode(gtk::NaturalWrapMode::Word)
        .xalign(0.0)
        .halign(gtk::Align::Fill)
        .build()
}

pub(super) fn classed(label: &gtk::Label, class: &str) -> gtk::Label {
    label.add_css_class(class);
    label.clone()
}

fn centred(label: &gtk::Label) -> gtk::Label {
    label.set_xalign(0.5);
    label.set_justify(gtk::Justification::Center);
    label.clone()
}

fn tallest() -> i32 {
    let monitors = gtk::gdk::Display::default().map(|display| display.monitors());
    let heights = monitors.into_iter().flat_map(|monitors| {
        (0..monitors.n_items()).filter_map(move |at| {
            let monitor = monitors.item(at)?.downcast::<gtk::gdk::Monitor>().ok()?;
            Some(monitor.geometry().height())
        })
    });
    heights.min().map_or(TALLEST, |height| (height - AROUND).clamp(160, TALLEST))
}
