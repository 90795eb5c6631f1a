//! How it looks: the theme's colours, light or dark as the system is.

use gtk::gio;
use gtk::glib;
use gtk::prelude::*;

const CSS: &str = "
.brand { padding: 16px 24px; background: alpha(@theme_fg_color, 0.05);
         border-bottom: 1px solid alpha(@theme_fg_color, 0.12); }
.brand-name { font-weight: bold; font-size: 1.1em; }
.dim { color: alpha(@theme_fg_color, 0.72); font-size: 0.92em; }
.middle { padding: 20px 24px; }
.heading { font-weight: bold; font-size: 1.35em; }
.preformatted { font-family: monospace; font-size: 0.92em; }
.quoted { font-family: monospace; font-size: 0.92em; padding-left: 10px;
          border-left: 3px solid alpha(@theme_fg_color, 0.3); }
.sign { font-weight: bold; color: alpha(@theme_fg_color, 0.55); }
.framed { padding: 12px; border-radius: 6px; background: @theme_base_color;
          border: 1px solid alpha(@theme_fg_color, 0.15); }
.code-card { padding: 12px; border-radius: 8px; background: alpha(@theme_selected_bg_color, 0.12);
             border: 1px solid alpha(@theme_selected_bg_color, 0.45); }
.code-caption { font-weight: bold; font-size: 0.92em; }
.code { font-family: monospace; font-size: 2.1em; font-weight: bold; letter-spacing: 0.12em; }
.field-label { font-weight: bold; }
@define-color wrong mix(#e01b24, @theme_fg_color, 0.3);
.field-error { color: @wrong; font-size: 0.92em; font-weight: bold; }
entry.error { color: @theme_text_color; border-color: @wrong; outline-color: @wrong; }
scrolledwindow:focus { box-shadow: inset 0 0 0 2px alpha(@theme_selected_bg_color, 0.6); }
.foot { padding: 14px 24px 18px 24px; border-top: 1px solid alpha(@theme_fg_color, 0.12); }
.foot button { min-height: 24px; padding: 6px 18px; }
.foot button:focus { outline: 2px solid alpha(@theme_selected_bg_color, 0.8); outline-offset: 1px; }
";

const PORTAL: &str = "org.freedesktop.portal.Desktop";

/// For every window of this process.
pub(super) fn apply() {
    let provider = gtk::CssProvider::new();
    provider.load_from_data(CSS);
    if let Some(display) = gtk::gdk::Display::default() {
        let priority = gtk::STYLE_PROVIDER_PRIORITY_APPLICATION;
        gtk::style_context_add_provider_for_display(&display, &provider, priority);
    }
    follow_the_system();
}

/// Goes dark where the desktop says that it is. One that does not say so has its theme in the settings,
/// which the library follows by itself.
fn follow_the_system() {
    let none = gio::Cancellable::NONE;
    gio::bus_get(gio::BusType::Session, none, |bus| {
        let Ok(bus) = bus else { return };
        let about = ("org.freedesktop.appearance", "color-scheme").to_variant();
        bus.call(
            Some(PORTAL),
            "/org/freedesktop/portal/desktop",
            "org.freedesktop.portal.Settings",
            "Read",
            Some(&about),
            None,
            gio::DBusCallFlags::NO_AUTO_START,
            2_000,
            gio::Cancellable::NONE,
            |answer| {
                let dark = answer.ok().and_then(|answer| scheme(&answer)) == Some(1);
                if let (true, Some(settings)) = (dark, gtk::Settings::default()) {
                    settings.set_gtk_application_prefer_dark_theme(true);
                }
            },
        );
    });
}

/// The number inside, however often it is wrapped: 0 nothing, 1 dark, 2 light.
fn scheme(answer: &glib::Variant) -> Option<u32> {
    let mut value = answer.try_child_value(0)?;
    while let Some(inner) = value.as_variant() {
        value = inner;
    }
    value.get()
}
