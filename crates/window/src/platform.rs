//! The window of each desktop. What it decides is decided elsewhere; here it is only shown.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;
#[cfg(windows)]
mod windows;

#[cfg(target_os = "linux")]
pub(crate) use linux::show;
#[cfg(target_os = "macos")]
pub(crate) use macos::show;
#[cfg(windows)]
pub(crate) use windows::show;
