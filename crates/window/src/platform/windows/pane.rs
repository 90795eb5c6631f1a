//! What scrolls: the title, the code, the description and the fields.

use std::cell::Cell;

use strongroom_model::form::{Field, FieldType, Form, Wrong, visible, visible_line};
use windows::Win32::Foundation::HWND;
use windows::Win32::UI::WindowsAndMessaging as win;

use super::MARGIN;
use super::fonts::{Font, Fonts, text_height};
use super::sys::{self, Place, Style};
use crate::typed::Typed;
use crate::words;

/// Sizes at 96 dots per inch.
const FRAME: i32 = 8;
const REVEAL: i32 = 70;
const GAP: i32 = 4;
const PARAGRAPH: i32 = 14;
const STEP: i32 = 40;
/// The most that a description takes before it scrolls by itself.
const DESCRIPTION: i32 = 320;

/// What scrolls.
pub(super) struct Pane {
    window: HWND,
    pieces: Vec<Piece>,
    rows: Vec<Row>,
    /// The description, and whether it scrolls by itself.
    reading: Option<(HWND, bool)>,
    width: i32,
    /// How much of its top is out of sight.
    offset: Cell<i32>,
    /// How tall it is on the screen.
    seen: Cell<i32>,
}

/// One control, in the order from top to bottom.
struct Piece {
    window: HWND,
    /// The room above it.
    before: i32,
    height: i32,
    /// What stands to its right, and how wide that is.
    beside: Option<(HWND, i32)>,
    shown: Cell<bool>,
}

/// The controls of one field.
struct Row {
    entry: HWND,
    reveal: Option<HWND>,
    /// The place of the complaint among the pieces.
    complaint: usize,
}

impl Pane {
    /// Makes it in `main`, as wide as that is.
    pub(super) fn fill(main: HWND, form: &Form, fonts: &Fonts, width: i32) -> Option<Self> {
        let window = sys::pane(main)?;
        let mut pane = Self {
            window,
            pieces: Vec::new(),
            rows: Vec::new(),
            reading: None,
            width,
            offset: Cell::new(0),
            seen: Cell::new(0),
        };
        pane.text(words::subtitle(form.kind), fonts.small, Style::Plain, 0)?;
        pane.text(&visible_line(&form.title), fonts.heading, Style::Plain, GAP)?;
        if let Some(code) = form.verification_code() {
            pane.text(words::CODE, fonts.small, Style::Centred, PARAGRAPH)?;
            pane.text(code, fonts.code, Style::Centred, 0)?;
            pane.text(words::CODE_HINT, fonts.small, Style::Centred, 0)?;
        }
        let description = form.shown_description();
        if !description.trim().is_empty() {
            pane.description(&description, fonts)?;
        }
        for (id, field) in (100..).zip(&form.fields) {
            pane.field(id, field, fonts)?;
        }
        Some(pane)
    }

    fn inner(&self) -> i32 {
        self.width - 2 * sys::scaled(MARGIN)
    }

    fn push(&mut self, window: HWND, before: i32, height: i32) {
        let before = sys::scaled(before);
        let shown = Cell::new(true);
        self.pieces.push(Piece { window, before, height, beside: None, shown });
    }

    fn text(&mut self, text: &str, font: Font, style: Style, before: i32) -> Option<()> {
        let height = text_height(font, text, self.inner());
        let window = sys::label(self.window, text, font, Place::default(), style)?;
        self.push(window, before, height);
        Some(())
    }

    fn description(&mut self, text: &str, fonts: &Fonts) -> Option<()> {
        let font = if words::is_preformatted(text) { fonts.fixed } else { fonts.body };
        // Within its frame, and with room for its scroll bar.
        let estimate = text_height(font, text, self.inner() - sys::scaled(30));
        let most = sys::scaled(DESCRIPTION);
        let long = estimate > most;
        let window = sys::reading(self.window, text, font, long)?;
        // What is not long has no bar: where its lines end is what the control says.
        let place = Place { width: self.inner(), height: most, ..Place::default() };
        sys::place(window, place);
        let height = match long {
            true => most,
            false => sys::lines(window) * text_height(font, "X", place.width) + sys::scaled(GAP),
        };
        self.reading = Some((window, long));
        self.push(window, PARAGRAPH, height);
        Some(())
    }

    fn field(&mut self, id: u16, field: &Field, fonts: &Fonts) -> Option<()> {
        self.text(&words::marked_label(field), fonts.bold, Style::Plain, PARAGRAPH)?;
        let hidden = field.field_type == FieldType::Password;
        let entry = sys::entry(self.window, id, &field.default, fonts.body, hidden)?;
        sys::set_hint(entry, &visible_line(&field.placeholder));
        let line = text_height(fonts.body, "X", self.inner());
        self.push(entry, GAP, line + sys::scaled(FRAME));
        let reveal = match hidden {
            true => Some(sys::check_box(self.window, id + 100, "Show", fonts.small)?),
            false => None,
        };
        if let Some(piece) = self.pieces.last_mut() {
            piece.beside = reveal.map(|reveal| (reveal, sys::scaled(REVEAL)));
        }
        let complaint = self.pieces.len();
        self.text("", fonts.small, Style::Plain, GAP)?;
        self.pieces[complaint].shown.set(false);
        let help = visible(&field.help_text);
        if !help.trim().is_empty() {
            self.text(&help, fonts.small, Style::Plain, GAP)?;
        }
        self.rows.push(Row { entry, reveal, complaint });
        Some(())
    }

    /// How tall all of it is.
    pub(super) fn height(&self) -> i32 {
        let shown = self.pieces.iter().filter(|piece| piece.shown.get());
        shown.map(|piece| piece.before + piece.height).sum::<i32>() + 2 * sys::scaled(MARGIN)
    }

    /// Shows `height` of it.
    pub(super) fn place(&self, height: i32) {
        self.seen.set(height);
        sys::place(self.window, Place { x: 0, y: 0, width: self.width, height });
        self.arrange();
    }

    /// Puts every piece where it belongs.
    fn arrange(&self) {
        let most = (self.height() - self.seen.get()).max(0);
        self.offset.set(self.offset.get().clamp(0, most));
        sys::set_scroll(self.window, self.height(), self.seen.get(), self.offset.get());
        let x = sys::scaled(MARGIN);
        // The scroll bar takes of the margin.
        let width = self.inner();
        let mut y = sys::scaled(MARGIN) - self.offset.get();
        for piece in &self.pieces {
            sys::show(piece.window, piece.shown.get());
            if !piece.shown.get() {
                continue;
            }
            y += piece.before;
            let right = piece.beside.map_or(0, |(_, right)| right);
            let place = Place { x, y, width: width - right, height: piece.height };
            sys::place(piece.window, place);
            if let Some((window, right)) = piece.beside {
                let place = Place {
                    x: x + width - right + sys::scaled(8),
                    y,
                    width: right - sys::scaled(8),
                    height: piece.height,
                };
                sys::place(window, place);
            }
            y += piece.height;
        }
        sys::redraw(self.window);
    }

    fn scroll_to(&self, offset: i32) {
        self.offset.set(offset);
        self.arrange();
    }

    /// The scroll bar was moved.
    pub(super) fn scroll_by_bar(&self, how: i32) {
        let (offset, step) = (self.offset.get(), sys::scaled(STEP));
        let page = self.seen.get() - step;
        self.scroll_to(match win::SCROLLBAR_COMMAND(how) {
            win::SB_LINEUP => offset - step,
            win::SB_LINEDOWN => offset + step,
            win::SB_PAGEUP => offset - page,
            win::SB_PAGEDOWN => offset + page,
            win::SB_TOP => 0,
            win::SB_BOTTOM => self.height(),
            win::SB_THUMBTRACK | win::SB_THUMBPOSITION => sys::tracked(self.window),
            _ => offset,
        });
    }

    /// The wheel was turned over `control`.
    pub(super) fn scroll_by_wheel(&self, control: HWND, message: &win::MSG) {
        match self.reading {
            Some((reading, true)) if reading == control => sys::pass(reading, message),
            _ => {
                let turned = sys::wheel(message.wParam) * sys::scaled(STEP);
                self.scroll_to(self.offset.get() - turned);
            }
        }
    }

    /// Whether this is the description, which keeps every key to itself.
    pub(super) fn is_reading(&self, control: HWND) -> bool {
        self.reading.is_some_and(|(reading, _)| reading == control)
    }

    /// Whether there is nothing below what is in sight.
    pub(super) fn is_at_its_end(&self) -> bool {
        let read = self.reading.is_none_or(|(reading, long)| !long || sys::is_at_its_end(reading));
        read && self.offset.get() + self.seen.get() >= self.height()
    }

    /// A control says what happened to it.
    pub(super) fn notified(&self, what: u32, control: HWND) {
        match what {
            win::EN_SETFOCUS | win::BN_SETFOCUS => self.bring(control),
            win::EN_CHANGE => self.mend(control),
            win::BN_CLICKED => {
                let row = self.rows.iter().find(|row| row.reveal == Some(control));
                if let Some(row) = row {
                    sys::reveal(row.entry, sys::is_checked(control));
                }
            }
            _ => {}
        }
    }

    /// Scrolls so that `control` is seen.
    fn bring(&self, control: HWND) {
        let mut top = sys::scaled(MARGIN);
        for piece in self.pieces.iter().filter(|piece| piece.shown.get()) {
            top += piece.before;
            let beside = piece.beside.is_some_and(|(window, _)| window == control);
            if piece.window == control || beside {
                let margin = sys::scaled(STEP);
                let bottom = top + piece.height + margin - self.seen.get();
                let offset = self.offset.get().min(top - margin).max(bottom);
                if offset != self.offset.get() {
                    self.scroll_to(offset);
                }
                return;
            }
            top += piece.height;
        }
    }

    /// What is being mended is not complained of.
    fn mend(&self, entry: HWND) {
        let row = self.rows.iter().find(|row| row.entry == entry);
        let complaint = row.and_then(|row| self.pieces.get(row.complaint));
        if let Some(complaint) = complaint.filter(|complaint| complaint.shown.replace(false)) {
            sys::set_text(complaint.window, "");
            self.arrange();
        }
    }

    /// Shows what is wrong, and goes to the first of it.
    pub(super) fn complain(&self, mistakes: &[(usize, Wrong)]) {
        for (at, row) in self.rows.iter().enumerate() {
            let Some(complaint) = self.pieces.get(row.complaint) else { continue };
            let wrong = mistakes.iter().find(|(place, _)| *place == at);
            let text = wrong.map(|(_, wrong)| wrong.to_string()).unwrap_or_default();
            sys::set_text(complaint.window, &text);
            complaint.shown.set(wrong.is_some());
        }
        self.arrange();
        if let Some(row) = mistakes.first().and_then(|(at, _)| self.rows.get(*at)) {
            sys::set_focus(row.entry);
        }
    }

    /// Whether this is a text that says what is wrong.
    pub(super) fn is_complaint(&self, control: HWND) -> bool {
        self.rows.iter().any(|row| self.pieces[row.complaint].window == control)
    }

    /// Goes to the next field where `from` is one that is not the last.
    pub(super) fn goes_on_from(&self, from: HWND) -> bool {
        let at = self.rows.iter().position(|row| row.entry == from);
        let next = at.and_then(|at| self.rows.get(at + 1));
        if let Some(next) = next {
            sys::set_focus(next.entry);
        }
        next.is_some()
    }

    /// Goes to the first field.
    pub(super) fn focus_first(&self) {
        if let Some(row) = self.rows.first() {
            sys::set_focus(row.entry);
        }
    }

    /// What was typed, field by field.
    pub(super) fn typed(&self) -> Vec<Typed> {
        self.rows.iter().map(|row| Typed::from(sys::text(row.entry))).collect()
    }
}
