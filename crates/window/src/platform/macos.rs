//! The window on macOS: AppKit, an alert with a form in it.
//!
//! The alert is the system's: its keys, its looks in light and dark, its scale. Escape cancels or denies.
//! A value of `NSTextField` is text and never markup.

#![expect(unsafe_code, reason = "targets and timers of AppKit are checked by nobody but us")]

mod helpers;
mod layout;

use objc2::MainThreadMarker;
use objc2::rc::Retained;
use objc2_app_kit::{
    NSAlert, NSAlertFirstButtonReturn, NSAlertSecondButtonReturn, NSAlertThirdButtonReturn,
    NSApplication, NSApplicationActivationPolicy, NSButton,
};
use objc2_foundation::NSString;
use strongroom_model::form::{Choice, Form, Kind, visible_line};

use self::helpers::Ticker;
use self::layout::Content;
use crate::ended::{Ended, Failed};
use crate::environment::Environment;
use crate::typed;
use crate::words;

/// Asks `form`, and waits for the person.
pub(crate) fn show(_: &Environment, form: Form) -> Result<Ended, Failed> {
    let main = MainThreadMarker::new().ok_or(Failed::Window)?;
    let app = NSApplication::sharedApplication(main);
    // A window, and no icon in the dock.
    app.setActivationPolicy(NSApplicationActivationPolicy::Accessory);
    let alert = NSAlert::new(main);
    alert.setMessageText(&string(&visible_line(&form.title)));
    let (subtitle, note) = (words::subtitle(form.kind), words::note(&form));
    alert.setInformativeText(&string(&format!("{subtitle}.\n{note}")));
    alert.window().setTitle(&string(&words::window_title(&form)));
    let content = Content::new(&form, main);
    alert.setAccessoryView(Some(content.view()));
    Ok(match form.kind {
        Kind::Fields => fill(&app, &alert, &content, &form),
        Kind::Consent => consent(&app, &alert),
    })
}

fn string(text: &str) -> Retained<NSString> {
    NSString::from_str(text)
}

/// Asks until it is cancelled, or everything can be taken.
fn fill(app: &NSApplication, alert: &NSAlert, content: &Content, form: &Form) -> Ended {
    let accept = alert.addButtonWithTitle(&string(words::ACCEPT));
    // The system gives Escape to the button of this name.
    alert.addButtonWithTitle(&string(words::CANCEL));
    let ticker = Ticker::start(vec![accept], alert.window());
    let mut place = 0;
    loop {
        alert.layout();
        alert.window().setInitialFirstResponder(content.entry_view(place).as_deref());
        in_front(app);
        if alert.runModal() != NSAlertFirstButtonReturn {
            return Ended::Cancelled;
        }
        // A press that came with the window was meant for another one.
        if !ticker.is_over() {
            continue;
        }
        let typed = content.typed();
        let mistakes = typed::mistakes(form, &typed);
        let Some((first, _)) = mistakes.first() else {
            let names = form.fields.iter().map(|field| field.name.clone());
            return Ended::Filled(names.zip(typed).collect());
        };
        place = *first;
        content.complain(&mistakes);
    }
}

fn consent(app: &NSApplication, alert: &NSAlert) -> Ended {
    let button = |title: &str, key: &str| -> Retained<NSButton> {
        let button = alert.addButtonWithTitle(&string(title));
        button.setKeyEquivalent(&string(key));
        button
    };
    // The first one would have Enter: here no key but Escape chooses by itself.
    let deny = button(words::DENY, "\u{1b}");
    let allow = vec![button(words::ALLOW, ""), button(words::ALLOW_SESSION, "")];
    alert.layout();
    let window = alert.window();
    window.setInitialFirstResponder(Some(&deny));
    let ticker = Ticker::start(allow, window);
    in_front(app);
    let response = alert.runModal();
    let over = ticker.is_over();
    Ended::Chosen(match response {
        response if response == NSAlertSecondButtonReturn && over => Choice::Allow,
        response if response == NSAlertThirdButtonReturn && over => Choice::AllowSession,
        _ => Choice::Deny,
    })
}

#[expect(deprecated, reason = "its successor does not come before the program that was in front")]
fn in_front(app: &NSApplication) {
    app.activateIgnoringOtherApps(true);
}
