//! Win32, call by call.
//!
//! Everything here runs on the one thread that made the windows, and handles are of windows that live
//! until the process ends: that is what makes the calls sound.

use std::ffi::c_void;

use windows::Win32::Foundation::{COLORREF, HWND, LPARAM, LRESULT, POINT, RECT, WPARAM};
use windows::Win32::Graphics::Gdi;
use windows::Win32::System::LibraryLoader::GetModuleHandleW;
use windows::Win32::System::SystemServices as statics;
use windows::Win32::UI::Controls::{
    EM_GETLINECOUNT, EM_SETCUEBANNER, EM_SETLIMITTEXT, EM_SETMARGINS, EM_SETPASSWORDCHAR,
    SetScrollInfo,
};
use windows::Win32::UI::HiDpi;
use windows::Win32::UI::Input::KeyboardAndMouse as keys;
use windows::Win32::UI::WindowsAndMessaging as win;
use windows::core::{PCWSTR, w};
use zeroize::Zeroizing;

use super::fonts::Font;
use crate::typed::LONGEST;

/// What the system calls when something happens to a window.
pub(super) type Procedure = extern "system" fn(HWND, u32, WPARAM, LPARAM) -> LRESULT;

const MAIN: PCWSTR = w!("StrongroomDialog");
const PANE: PCWSTR = w!("StrongroomDialogPane");

/// Where a control is in its parent.
#[derive(Clone, Copy, Default)]
pub(super) struct Place {
    pub(super) x: i32,
    pub(super) y: i32,
    pub(super) width: i32,
    pub(super) height: i32,
}

/// How a text stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    Centred,
}

pub(super) fn size_of_u32<T>() -> u32 {
    u32::try_from(size_of::<T>()).unwrap_or(0)
}

fn wide(text: &str) -> Zeroizing<Vec<u16>> {
    Zeroizing::new(text.encode_utf16().chain([0]).collect())
}

/// Sharp on every screen.
pub(super) fn prepare() {
    // SAFETY: called once, before there is a window. An older system scales us by itself.
    let _old =
        unsafe { HiDpi::SetProcessDpiAwarenessContext(HiDpi::DPI_AWARENESS_CONTEXT_SYSTEM_AWARE) };
}

/// A size at 96 dots per inch, in dots of the screen.
pub(super) fn scaled(size: i32) -> i32 {
    // SAFETY: it reads a number.
    let dots = i32::try_from(unsafe { HiDpi::GetDpiForSystem() }).unwrap_or(96);
    size * dots / 96
}

/// How tall the part of the screen is that windows may take.
pub(super) fn work_height() -> i32 {
    let area = work_area();
    area.bottom - area.top
}

fn work_area() -> RECT {
    let mut area = RECT::default();
    // SAFETY: a rectangle is what this writes, and it lives through the call.
    let read = unsafe {
        win::SystemParametersInfoW(
            win::SPI_GETWORKAREA,
            0,
            Some((&raw mut area).cast::<c_void>()),
            win::SYSTEM_PARAMETERS_INFO_UPDATE_FLAGS(0),
        )
    };
    let guess = RECT { left: 0, top: 0, right: scaled(800), bottom: scaled(600) };
    if read.is_ok() { area } else { guess }
}

/// The window that stands by itself, hidden still.
pub(super) fn top_window(title: &str, main: Procedure, pane: Procedure) -> Option<HWND> {
    register(MAIN, main)?;
    register(PANE, pane)?;
    let style = win::WS_CAPTION | win::WS_SYSMENU | win::WS_MINIMIZEBOX | win::WS_CLIPCHILDREN;
    let place = Place {
        x: win::CW_USEDEFAULT,
        y: win::CW_USEDEFAULT,
        width: win::CW_USEDEFAULT,
        height: win::CW_USEDEFAULT,
    };
    window(MAIN, title, style, win::WS_EX_TOPMOST | win::WS_EX_CONTROLPARENT, place, None, 0)
}

fn register(name: PCWSTR, procedure: Procedure) -> Option<()> {
    // SAFETY: the class name is static, the procedure is a function, and the structure is copied.
    let atom = unsafe {
        let class = win::WNDCLASSEXW {
            cbSize: size_of_u32::<win::WNDCLASSEXW>(),
            lpfnWndProc: Some(std::mem::transmute::<
                Procedure,
                unsafe extern "system" fn(HWND, u32, WPARAM, LPARAM) -> LRESULT,
            >(procedure)),
            hInstance: GetModuleHandleW(None).ok()?.into(),
            hIcon: win::LoadIconW(None, win::IDI_SHIELD).unwrap_or_default(),
            hCursor: win::LoadCursorW(None, win::IDC_ARROW).unwrap_or_default(),
            hbrBackground: Gdi::GetSysColorBrush(Gdi::COLOR_WINDOW),
            lpszClassName: name,
            ..Default::default()
        };
        win::RegisterClassExW(&raw const class)
    };
    (atom != 0).then_some(())
}

/// The part of `main` that scrolls.
pub(super) fn pane(main: HWND) -> Option<HWND> {
    let style = win::WS_CHILD | win::WS_VISIBLE | win::WS_VSCROLL | win::WS_CLIPCHILDREN;
    window(PANE, "", style, win::WS_EX_CONTROLPARENT, Place::default(), Some(main), 0)
}

/// A text, in which nothing is a mnemonic.
pub(super) fn label(
    parent: HWND,
    text: &str,
    font: Font,
    place: Place,
    style: Style,
) -> Option<HWND> {
    let mut flags = statics::SS_NOPREFIX.0 | statics::SS_EDITCONTROL.0;
    if style == Style::Centred {
        flags |= statics::SS_CENTER.0;
    }
    let flags = win::WS_CHILD | win::WS_VISIBLE | win::WINDOW_STYLE(flags);
    let made = window(w!("STATIC"), text, flags, win::WINDOW_EX_STYLE(0), place, Some(parent), 0)?;
    set_font(made, font);
    Some(made)
}

/// A text that is read and wraps. `long`: it scrolls by itself, in a frame.
pub(super) fn reading(parent: HWND, text: &str, font: Font, long: bool) -> Option<HWND> {
    let (bar, edge) = match long {
        true => (win::WS_VSCROLL, win::WS_EX_CLIENTEDGE),
        false => Default::default(),
    };
    let flags = style(win::ES_MULTILINE | win::ES_READONLY | win::ES_AUTOVSCROLL)
        | bar
        | win::WS_CHILD
        | win::WS_VISIBLE
        | win::WS_TABSTOP;
    let text = text.replace('\n', "\r\n");
    let made = window(w!("EDIT"), &text, flags, edge, Place::default(), Some(parent), 0)?;
    set_font(made, font);
    if !long {
        // As far to the left as any other text.
        let both = win::EC_LEFTMARGIN | win::EC_RIGHTMARGIN;
        send(made, EM_SETMARGINS, usize::try_from(both).unwrap_or(0), 0);
    }
    Some(made)
}

/// How many lines a text that is read has, where it wraps now.
pub(super) fn lines(reading: HWND) -> i32 {
    i32::try_from(send(reading, EM_GETLINECOUNT, 0, 0)).unwrap_or(i32::MAX / 100)
}

/// A field of one line.
pub(super) fn entry(parent: HWND, id: u16, text: &str, font: Font, hidden: bool) -> Option<HWND> {
    let hidden = if hidden { win::ES_PASSWORD } else { 0 };
    let flags =
        style(win::ES_AUTOHSCROLL | hidden) | win::WS_CHILD | win::WS_VISIBLE | win::WS_TABSTOP;
    let edge = win::WS_EX_CLIENTEDGE;
    let made = window(w!("EDIT"), text, flags, edge, Place::default(), Some(parent), id)?;
    set_font(made, font);
    send(made, EM_SETLIMITTEXT, LONGEST, 0);
    Some(made)
}

/// A box to tick.
pub(super) fn check_box(parent: HWND, id: u16, text: &str, font: Font) -> Option<HWND> {
    let flags = style(win::BS_AUTOCHECKBOX | win::BS_NOTIFY)
        | win::WS_CHILD
        | win::WS_VISIBLE
        | win::WS_TABSTOP;
    let none = win::WINDOW_EX_STYLE(0);
    let made = window(w!("BUTTON"), text, flags, none, Place::default(), Some(parent), id)?;
    set_font(made, font);
    Some(made)
}

/// A button. `first`: it looks like what Enter does.
pub(super) fn button(
    parent: HWND,
    id: u16,
    text: &str,
    font: Font,
    place: Place,
    first: bool,
) -> Option<HWND> {
    let kind = if first { win::BS_DEFPUSHBUTTON } else { win::BS_PUSHBUTTON };
    let flags = style(kind) | win::WS_CHILD | win::WS_VISIBLE | win::WS_TABSTOP;
    let none = win::WINDOW_EX_STYLE(0);
    let made = window(w!("BUTTON"), text, flags, none, place, Some(parent), id)?;
    set_font(made, font);
    Some(made)
}

fn style(flags: i32) -> win::WINDOW_STYLE {
    win::WINDOW_STYLE(flags.cast_unsigned())
}

fn window(
    class: PCWSTR,
    text: &str,
    style: win::WINDOW_STYLE,
    extra: win::WINDOW_EX_STYLE,
    place: Place,
    parent: Option<HWND>,
    id: u16,
) -> Option<HWND> {
    let text = wide(text);
    let Place { x, y, width, height } = place;
    let menu = (id != 0).then(|| win::HMENU(usize::from(id) as *mut c_void));
    // SAFETY: the class is registered or the system's, and the text ends with zero and lives through the
    // call, which copies it. Of a child, the menu is its number.
    unsafe {
        let instance = GetModuleHandleW(None).ok()?;
        let text = PCWSTR(text.as_ptr());
        win::CreateWindowExW(
            extra,
            class,
            text,
            style,
            x,
            y,
            width,
            height,
            parent,
            menu,
            Some(instance.into()),
            None,
        )
        .ok()
    }
}

fn send(window: HWND, message: u32, word: usize, long: isize) -> isize {
    // SAFETY: only messages are sent whose arguments are numbers, or texts that live through the call.
    unsafe { win::SendMessageW(window, message, Some(WPARAM(word)), Some(LPARAM(long))) }.0
}

fn set_font(window: HWND, font: Font) {
    send(window, win::WM_SETFONT, font.0 as usize, 1);
}

/// What stands in a field while it is empty.
pub(super) fn set_hint(entry: HWND, text: &str) {
    let text = wide(text);
    send(entry, EM_SETCUEBANNER, 1, text.as_ptr() as isize);
}

/// Shows or hides what is typed.
pub(super) fn reveal(entry: HWND, revealed: bool) {
    const DOT: usize = 0x25cf;
    send(entry, EM_SETPASSWORDCHAR, if revealed { 0 } else { DOT }, 0);
    redraw(entry);
}

pub(super) fn is_checked(check_box: HWND) -> bool {
    send(check_box, win::BM_GETCHECK, 0, 0) == 1
}

pub(super) fn set_text(window: HWND, text: &str) {
    let text = wide(text);
    // SAFETY: the text ends with zero and is copied.
    let _kept_where_it_fails = unsafe { win::SetWindowTextW(window, PCWSTR(text.as_ptr())) };
}

/// What stands in a field.
pub(super) fn text(window: HWND) -> String {
    // SAFETY: the buffer has room for the text and its zero.
    let (buffer, length) = unsafe {
        let length = usize::try_from(win::GetWindowTextLengthW(window)).unwrap_or(0);
        let mut buffer = Zeroizing::new(vec![0_u16; length + 1]);
        let length = win::GetWindowTextW(window, &mut buffer);
        (buffer, usize::try_from(length).unwrap_or(0))
    };
    String::from_utf16_lossy(&buffer[..length])
}

pub(super) fn place(window: HWND, place: Place) {
    let Place { x, y, width, height } = place;
    let flags = win::SWP_NOZORDER | win::SWP_NOACTIVATE;
    // SAFETY: it moves a window of ours.
    let _stays_where_it_fails =
        unsafe { win::SetWindowPos(window, None, x, y, width, height, flags) };
}

pub(super) fn show(window: HWND, shown: bool) {
    let how = if shown { win::SW_SHOWNA } else { win::SW_HIDE };
    // SAFETY: it shows or hides a window of ours.
    let _was = unsafe { win::ShowWindow(window, how) };
}

/// Makes the inside of `main` that large, and keeps it on the screen. `anew`: in the middle of it.
pub(super) fn fit(main: HWND, width: i32, height: i32, anew: bool) {
    let mut inside = RECT { left: 0, top: 0, right: width, bottom: height };
    let mut now = RECT::default();
    // SAFETY: the rectangles live through the calls, and the window is ours.
    let read = unsafe {
        let style = win::WS_CAPTION | win::WS_SYSMENU | win::WS_MINIMIZEBOX;
        win::AdjustWindowRectEx(&raw mut inside, style, false, win::WS_EX_CONTROLPARENT)
            .and_then(|()| win::GetWindowRect(main, &raw mut now))
    };
    if read.is_err() {
        return;
    }
    let (width, height) = (inside.right - inside.left, inside.bottom - inside.top);
    let area = work_area();
    let middle = |from: i32, to: i32, size: i32| from + (to - from - size).max(0) / 2;
    let (x, y) = match anew {
        true => (middle(area.left, area.right, width), middle(area.top, area.bottom, height)),
        false => (now.left, now.top.min(area.bottom - height).max(area.top)),
    };
    place(main, Place { x, y, width, height });
}

/// Brings it before the person.
pub(super) fn present(main: HWND) {
    // SAFETY: it shows a window of ours. The system may refuse the foreground, and flashes it then.
    unsafe {
        let _was = win::ShowWindow(main, win::SW_SHOWNORMAL);
        let _in_front = win::SetForegroundWindow(main);
    }
}

pub(super) fn focus() -> HWND {
    // SAFETY: it reads a handle.
    unsafe { keys::GetFocus() }
}

pub(super) fn set_focus(window: HWND) {
    // SAFETY: it is a window of ours.
    let _before = unsafe { keys::SetFocus(Some(window)) };
}

pub(super) fn enable(window: HWND, enabled: bool) {
    // SAFETY: it is a window of ours.
    unsafe {
        if keys::IsWindowEnabled(window).as_bool() != enabled {
            let _was = keys::EnableWindow(window, enabled);
        }
    }
}

/// Sends a `WM_TIMER` again and again.
pub(super) fn tick(main: HWND, milliseconds: u32) {
    // SAFETY: the timer ends with its window.
    unsafe { win::SetTimer(Some(main), 1, milliseconds, None) };
}

pub(super) fn set_scroll(pane: HWND, whole: i32, seen: i32, offset: i32) {
    let info = win::SCROLLINFO {
        cbSize: size_of_u32::<win::SCROLLINFO>(),
        fMask: win::SIF_RANGE | win::SIF_PAGE | win::SIF_POS,
        nMin: 0,
        nMax: whole - 1,
        nPage: u32::try_from(seen).unwrap_or(0),
        nPos: offset,
        nTrackPos: 0,
    };
    // SAFETY: the structure says its own size, and lives through the call.
    unsafe { SetScrollInfo(pane, win::SB_VERT, &raw const info, true) };
}

/// Where the person holds the scroll bar.
pub(super) fn tracked(pane: HWND) -> i32 {
    let mut info = win::SCROLLINFO {
        cbSize: size_of_u32::<win::SCROLLINFO>(),
        fMask: win::SIF_TRACKPOS,
        ..Default::default()
    };
    // SAFETY: the structure says its own size, and lives through the call.
    let _top_where_it_fails = unsafe { win::GetScrollInfo(pane, win::SB_VERT, &raw mut info) };
    info.nTrackPos
}

/// Whether the end of what scrolls by itself is in sight.
pub(super) fn is_at_its_end(scrolled: HWND) -> bool {
    let mut info = win::SCROLLINFO {
        cbSize: size_of_u32::<win::SCROLLINFO>(),
        fMask: win::SIF_RANGE | win::SIF_PAGE | win::SIF_POS,
        ..Default::default()
    };
    // SAFETY: the structure lives through the call.
    let read = unsafe { win::GetScrollInfo(scrolled, win::SB_VERT, &raw mut info) };
    // Before it has a size nothing is in sight.
    read.is_ok()
        && info.nPage > 0
        && i64::from(info.nPos) + i64::from(info.nPage) > i64::from(info.nMax)
}

/// The window below the place of the screen that a message of the wheel has.
pub(super) fn below(long: LPARAM) -> HWND {
    let half = |shift: u32| {
        let half = u16::try_from((long.0.cast_unsigned() >> shift) & 0xffff).unwrap_or(0);
        i32::from(half.cast_signed())
    };
    // SAFETY: it reads a handle.
    unsafe { win::WindowFromPoint(POINT { x: half(0), y: half(16) }) }
}

/// Hands a message to the control that it is for.
pub(super) fn pass(control: HWND, message: &win::MSG) {
    // SAFETY: it is a message that the system gave us, and the control is of the same thread.
    unsafe {
        win::SendMessageW(control, message.message, Some(message.wParam), Some(message.lParam))
    };
}

/// Goes to what Tab leads to from `from`, or shift and Tab.
pub(super) fn tab(main: HWND, from: HWND) {
    // SAFETY: they are windows of ours.
    unsafe {
        let back = keys::GetKeyState(i32::from(keys::VK_SHIFT.0)) < 0;
        if let Ok(next) = win::GetNextDlgTabItem(main, Some(from), back) {
            let _before = keys::SetFocus(Some(next));
        }
    }
}

/// Draws all of `window` anew.
pub(super) fn redraw(window: HWND) {
    let all = Gdi::RDW_INVALIDATE | Gdi::RDW_ERASE | Gdi::RDW_ALLCHILDREN;
    // SAFETY: it is a window of ours.
    let _drawn = unsafe { Gdi::RedrawWindow(Some(window), None, None, all) };
}

/// By how many notches the wheel was turned, away from the person.
pub(super) fn wheel(word: WPARAM) -> i32 {
    let turned = u16::try_from((word.0 >> 16) & 0xffff).unwrap_or(0).cast_signed();
    i32::from(turned) / 120
}

/// The control that a message is about.
pub(super) fn control(long: LPARAM) -> HWND {
    HWND(long.0 as *mut c_void)
}

/// Texts on the colour of the window.
pub(super) fn plain_background(word: WPARAM) -> LRESULT {
    coloured(word, None)
}

/// As [`plain_background`], in the colour of what is wrong.
pub(super) fn complaint_background(word: WPARAM) -> LRESULT {
    const RED: COLORREF = COLORREF(0x0028_1cc0);
    coloured(word, Some(RED))
}

fn coloured(word: WPARAM, colour: Option<COLORREF>) -> LRESULT {
    let context = Gdi::HDC(word.0 as *mut c_void);
    // SAFETY: the system passes the context of the control that it is about to draw.
    unsafe {
        if let Some(colour) = colour {
            Gdi::SetTextColor(context, colour);
        }
        Gdi::SetBkMode(context, Gdi::TRANSPARENT);
        LRESULT(Gdi::GetSysColorBrush(Gdi::COLOR_WINDOW).0 as isize)
    }
}

/// The next message; `None`: it is over.
pub(super) fn next_message() -> Option<win::MSG> {
    let mut message = win::MSG::default();
    // SAFETY: the structure lives through the call. Less than zero is an error, after which nothing comes.
    let more = unsafe { win::GetMessageW(&raw mut message, None, 0, 0) };
    (more.0 > 0).then_some(message)
}

/// Lets the system do with it what dialogs do.
pub(super) fn dispatch(main: HWND, message: &win::MSG) {
    // SAFETY: it is a message that the system gave us.
    unsafe {
        if !win::IsDialogMessageW(main, message).as_bool() {
            let _translated = win::TranslateMessage(message);
            win::DispatchMessageW(message);
        }
    }
}

pub(super) fn default(window: HWND, message: u32, word: WPARAM, long: LPARAM) -> LRESULT {
    // SAFETY: the arguments are those that the system gave us.
    unsafe { win::DefWindowProcW(window, message, word, long) }
}

pub(super) fn quit() {
    // SAFETY: it posts a message to this thread.
    unsafe { win::PostQuitMessage(0) };
}
