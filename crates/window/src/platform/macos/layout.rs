//! What stands in the alert: the code, the description and the fields, one below the other.

use objc2::rc::Retained;
use objc2::runtime::AnyObject;
use objc2::{MainThreadMarker, MainThreadOnly, sel};
use objc2_app_kit::{
    NSAccessibility as _, NSButton, NSColor, NSFont, NSScrollView, NSSecureTextField, NSTextField,
    NSView,
};
use objc2_foundation::{NSPoint, NSRect, NSSize};
use strongroom_model::form::{Field, FieldType, Form, Wrong, visible, visible_line};

use super::helpers::{Pair, Revealer};
use super::string;
use crate::typed::Typed;
use crate::words;

/// In points.
const WIDTH: f64 = 420.0;
const TALLEST: f64 = 420.0;
const ENTRY: f64 = 24.0;
const REVEAL: f64 = 70.0;
const GAP: f64 = 4.0;
const PARAGRAPH: f64 = 12.0;

/// Everything in the alert.
pub(super) struct Content {
    scroll: Retained<NSScrollView>,
    document: Retained<NSView>,
    pieces: Vec<Piece>,
    rows: Vec<Row>,
}

/// What stands on one line, from top to bottom.
struct Piece {
    views: Vec<(Retained<NSView>, f64, f64)>,
    /// A text, whose height follows from its width.
    text: Option<Retained<NSTextField>>,
    after: f64,
}

/// The controls of one field.
struct Row {
    entry: Entry,
    complaint: Retained<NSTextField>,
}

enum Entry {
    Plain(Retained<NSTextField>),
    Password(Retained<Revealer>),
}

impl Content {
    pub(super) fn new(form: &Form, main: MainThreadMarker) -> Self {
        let nowhere = NSRect::new(NSPoint::new(0.0, 0.0), NSSize::new(WIDTH, 0.0));
        let mut content = Self {
            scroll: NSScrollView::initWithFrame(NSScrollView::alloc(main), nowhere),
            document: NSView::initWithFrame(NSView::alloc(main), nowhere),
            pieces: Vec::new(),
            rows: Vec::new(),
        };
        if let Some(code) = form.verification_code() {
            content.text(words::CODE, &NSFont::boldSystemFontOfSize(11.0), GAP, main);
            let font = NSFont::userFixedPitchFontOfSize(26.0)
                .unwrap_or_else(|| NSFont::boldSystemFontOfSize(26.0));
            let shown = content.text(code, &font, GAP, main);
            shown.setAccessibilityLabel(Some(&string(&words::spelled(code))));
            content.text(words::CODE_HINT, &NSFont::systemFontOfSize(11.0), PARAGRAPH, main);
        }
        let description = form.shown_description();
        if !description.trim().is_empty() {
            let fixed = words::is_preformatted(&description);
            let font = fixed.then(|| NSFont::userFixedPitchFontOfSize(12.0)).flatten();
            let font = font.unwrap_or_else(|| NSFont::systemFontOfSize(13.0));
            content.text(&description, &font, PARAGRAPH, main);
        }
        for field in &form.fields {
            content.field(field, main);
        }
        content.scroll.setHasVerticalScroller(true);
        content.scroll.setDrawsBackground(false);
        content.scroll.setDocumentView(Some(&content.document));
        content.arrange();
        content
    }

    pub(super) fn view(&self) -> &NSView {
        &self.scroll
    }

    fn text(
        &mut self,
        text: &str,
        font: &NSFont,
        after: f64,
        main: MainThreadMarker,
    ) -> Retained<NSTextField> {
        let label = NSTextField::wrappingLabelWithString(&string(text), main);
        label.setFont(Some(font));
        self.document.addSubview(&label);
        let text = Some(label.clone());
        self.pieces.push(Piece { views: Vec::new(), text, after });
        label
    }

    fn field(&mut self, field: &Field, main: MainThreadMarker) {
        let small = NSFont::systemFontOfSize(11.0);
        let bold = NSFont::boldSystemFontOfSize(13.0);
        self.text(&words::marked_label(field), &bold, GAP, main);
        let entry = self.entry(field, main);
        let complaint = self.text("", &small, 0.0, main);
        complaint.setTextColor(Some(&NSColor::systemRedColor()));
        let help = visible(&field.help_text);
        if !help.trim().is_empty() {
            let help = self.text(&help, &small, 0.0, main);
            help.setTextColor(Some(&NSColor::secondaryLabelColor()));
        }
        if let Some(last) = self.pieces.last_mut() {
            last.after = PARAGRAPH;
        }
        self.rows.push(Row { entry, complaint });
    }

    fn entry(&mut self, field: &Field, main: MainThreadMarker) -> Entry {
        let plain = NSTextField::textFieldWithString(&string(&field.default), main);
        let name = string(&field.shown_label());
        let hint = string(&visible_line(&field.placeholder));
        for field in [&plain] {
            field.setPlaceholderString(Some(&hint));
            field.setAccessibilityLabel(Some(&name));
        }
        self.document.addSubview(&plain);
        if field.field_type != FieldType::Password {
            let view = Retained::into_super(Retained::into_super(plain.clone()));
            self.line(vec![(view, 0.0, WIDTH)]);
            return Entry::Plain(plain);
        }
        let nowhere = NSRect::new(NSPoint::new(0.0, 0.0), NSSize::new(0.0, 0.0));
        let hidden = NSSecureTextField::initWithFrame(NSSecureTextField::alloc(main), nowhere);
        hidden.setPlaceholderString(Some(&hint));
        hidden.setAccessibilityLabel(Some(&name));
        plain.setHidden(true);
        self.document.addSubview(&hidden);
        let views: [Retained<NSView>; 2] = [
            Retained::into_super(Retained::into_super(Retained::into_super(hidden.clone()))),
            Retained::into_super(Retained::into_super(plain.clone())),
        ];
        let revealer = Revealer::new(Pair { hidden, shown: plain }, main);
        let target: &AnyObject = &revealer;
        // SAFETY: the target has the method `toggle:`, and lives as long as the row that keeps it.
        let show = unsafe {
            NSButton::checkboxWithTitle_target_action(
                &string("Show"),
                Some(target),
                Some(sel!(toggle:)),
                main,
            )
        };
        show.setAccessibilityLabel(Some(&string(&words::reveal(field))));
        self.document.addSubview(&show);
        let width = WIDTH - REVEAL;
        let mut line: Vec<_> = views.into_iter().map(|view| (view, 0.0, width)).collect();
        let show = Retained::into_super(Retained::into_super(show));
        line.push((show, width + 8.0, REVEAL - 8.0));
        self.line(line);
        Entry::Password(revealer)
    }

    fn line(&mut self, views: Vec<(Retained<NSView>, f64, f64)>) {
        self.pieces.push(Piece { views, text: None, after: GAP });
    }

    /// Puts everything where it belongs, from the bottom up, as AppKit counts.
    fn arrange(&self) {
        let tall: Vec<f64> = self.pieces.iter().map(Piece::height).collect();
        let whole: f64 =
            self.pieces.iter().zip(&tall).map(|(piece, tall)| tall + piece.after).sum();
        self.document.setFrameSize(NSSize::new(WIDTH, whole));
        let mut y = whole;
        for (piece, tall) in self.pieces.iter().zip(tall) {
            y -= tall;
            let at = |x: f64, width: f64| NSRect::new(NSPoint::new(x, y), NSSize::new(width, tall));
            if let Some(text) = &piece.text {
                text.setFrame(at(0.0, WIDTH));
            }
            for (view, x, width) in &piece.views {
                view.setFrame(at(*x, *width));
            }
            y -= piece.after;
        }
        // With room for the scroll bar.
        let seen = NSSize::new(WIDTH + 16.0, whole.min(TALLEST));
        self.scroll.setFrameSize(seen);
        self.document.scrollPoint(NSPoint::new(0.0, whole));
    }

    /// Shows what is wrong.
    pub(super) fn complain(&self, mistakes: &[(usize, Wrong)]) {
        for (at, row) in self.rows.iter().enumerate() {
            let wrong = mistakes.iter().find(|(place, _)| *place == at);
            let text = wrong.map(|(_, wrong)| wrong.to_string()).unwrap_or_default();
            row.complaint.setStringValue(&string(&text));
        }
        self.arrange();
        if let Some((first, _)) = mistakes.first()
            && let Some(entry) = self.entry_at(*first)
        {
            entry.scrollRectToVisible(entry.bounds());
        }
    }

    /// The field at `place`, as the window's first responder.
    pub(super) fn entry_view(&self, place: usize) -> Option<Retained<NSView>> {
        self.entry_at(place).map(|field| Retained::into_super(Retained::into_super(field)))
    }

    fn entry_at(&self, place: usize) -> Option<Retained<NSTextField>> {
        self.rows.get(place).map(Row::seen)
    }

    /// What was typed, field by field.
    pub(super) fn typed(&self) -> Vec<Typed> {
        let text = |row: &Row| Typed::from(row.seen().stringValue().to_string());
        self.rows.iter().map(text).collect()
    }
}

impl Row {
    fn seen(&self) -> Retained<NSTextField> {
        match &self.entry {
            Entry::Plain(field) => field.clone(),
            Entry::Password(revealer) => revealer.seen(),
        }
    }
}

impl Piece {
    fn height(&self) -> f64 {
        match &self.text {
            Some(text) if text.stringValue().is_empty() => 0.0,
            Some(text) => text.sizeThatFits(NSSize::new(WIDTH, f64::MAX)).height.ceil(),
            None => ENTRY,
        }
    }
}
