//! The fonts of the system's own messages, and how much room a text takes in them.

use std::ffi::c_void;

use windows::Win32::Foundation::RECT;
use windows::Win32::Graphics::Gdi;
use windows::Win32::UI::WindowsAndMessaging as win;

use super::sys::{scaled, size_of_u32};

/// A font of the system.
pub(super) type Font = Gdi::HFONT;

/// The fonts that are used.
pub(super) struct Fonts {
    pub(super) body: Font,
    pub(super) bold: Font,
    pub(super) small: Font,
    pub(super) heading: Font,
    pub(super) fixed: Font,
    pub(super) code: Font,
}

impl Fonts {
    /// The font of the system's own messages, in some sizes.
    pub(super) fn of_the_system() -> Self {
        let mut metrics = win::NONCLIENTMETRICSW {
            cbSize: size_of_u32::<win::NONCLIENTMETRICSW>(),
            ..Default::default()
        };
        let size = metrics.cbSize;
        // SAFETY: the structure says its own size, and lives through the call.
        let _default_where_it_fails = unsafe {
            win::SystemParametersInfoW(
                win::SPI_GETNONCLIENTMETRICS,
                size,
                Some((&raw mut metrics).cast::<c_void>()),
                win::SYSTEM_PARAMETERS_INFO_UPDATE_FLAGS(0),
            )
        };
        let body = metrics.lfMessageFont;
        let made = |percent: i32, weight: i32, fixed: bool| {
            let mut font = body;
            let height = if body.lfHeight == 0 { scaled(-12) } else { body.lfHeight };
            font.lfHeight = height * percent / 100;
            font.lfWeight = weight;
            if fixed {
                font.lfFaceName = face("Consolas");
            }
            // SAFETY: the structure lives through the call.
            unsafe { Gdi::CreateFontIndirectW(&raw const font) }
        };
        Self {
            body: made(100, 400, false),
            bold: made(100, 700, false),
            small: made(92, 400, false),
            heading: made(135, 700, false),
            fixed: made(100, 400, true),
            code: made(220, 700, true),
        }
    }
}

fn face(name: &str) -> [u16; 32] {
    let mut face = [0; 32];
    for (at, unit) in face.iter_mut().zip(name.encode_utf16()) {
        *at = unit;
    }
    face
}

/// How tall `text` is in `font` when it wraps at `width`; one line where it is empty.
pub(super) fn text_height(font: Font, text: &str, width: i32) -> i32 {
    let text = if text.is_empty() { "X" } else { text };
    let mut text: Vec<u16> = text.encode_utf16().collect();
    let mut area = RECT { left: 0, top: 0, right: width, bottom: 0 };
    let format = Gdi::DT_CALCRECT | Gdi::DT_WORDBREAK | Gdi::DT_NOPREFIX | Gdi::DT_EDITCONTROL;
    // SAFETY: the screen's context is given back, with the font that it had.
    unsafe {
        let screen = Gdi::GetDC(None);
        let before = Gdi::SelectObject(screen, font.into());
        Gdi::DrawTextW(screen, &mut text, &raw mut area, format);
        Gdi::SelectObject(screen, before);
        Gdi::ReleaseDC(None, screen);
    }
    area.bottom.max(scaled(16))
}
