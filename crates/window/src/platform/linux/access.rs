//! What a screen reader is told beside the texts.
//!
//! The bindings have this for GTK 4.10 and later only; the library itself has it from the beginning.

use std::ffi::c_int;

use gtk::ffi::GtkWidget;
use gtk::glib;
use gtk::glib::gobject_ffi::GValue;
use gtk::glib::object::IsA;
use gtk::glib::translate::{IntoGlib as _, ToGlibPtr as _};
use gtk::prelude::*;

#[expect(unsafe_code, reason = "the bindings have no call for it")]
unsafe extern "C" {
    // Every widget is a `GtkAccessible`.
    fn gtk_accessible_update_property_value(
        widget: *mut GtkWidget,
        count: c_int,
        properties: *mut c_int,
        values: *const GValue,
    );
    fn gtk_accessible_update_state_value(
        widget: *mut GtkWidget,
        count: c_int,
        states: *mut c_int,
        values: *const GValue,
    );
}

/// What the widget is called.
pub(super) fn name(widget: &impl IsA<gtk::Widget>, text: &str) {
    property(widget, gtk::AccessibleProperty::Label, &text.to_value());
}

/// What is said about it after its name.
pub(super) fn describe(widget: &impl IsA<gtk::Widget>, text: &str) {
    property(widget, gtk::AccessibleProperty::Description, &text.to_value());
}

/// Whether it must be filled in.
pub(super) fn required(widget: &impl IsA<gtk::Widget>, required: bool) {
    property(widget, gtk::AccessibleProperty::Required, &required.to_value());
}

/// Whether what stands in it cannot be taken.
#[expect(unsafe_code, reason = "the bindings have no call for it")]
pub(super) fn invalid(widget: &impl IsA<gtk::Widget>, invalid: bool) {
    let value = i32::from(invalid).to_value();
    let mut states = [gtk::AccessibleState::Invalid.into_glib()];
    // SAFETY: as for a property, and `GtkAccessibleInvalidState` is 0 for false and 1 for true.
    unsafe {
        gtk_accessible_update_state_value(
            widget.as_ref().to_glib_none().0,
            1,
            states.as_mut_ptr(),
            value.to_glib_none().0,
        );
    }
}

#[expect(unsafe_code, reason = "the bindings have no call for it")]
fn property(
    widget: &impl IsA<gtk::Widget>,
    property: gtk::AccessibleProperty,
    value: &glib::Value,
) {
    let mut properties = [property.into_glib()];
    // SAFETY: the widget lives, there is one property and one value of the type that its property has,
    // and the library copies the value before it returns.
    unsafe {
        gtk_accessible_update_property_value(
            widget.as_ref().to_glib_none().0,
            1,
            properties.as_mut_ptr(),
            value.to_glib_none().0,
        );
    }
}
