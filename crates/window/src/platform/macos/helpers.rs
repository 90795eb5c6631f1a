//! The two objects that AppKit calls: one that shows a password, one that looks at the clock.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use objc2::rc::Retained;
use objc2::runtime::{AnyObject, NSObject};
use objc2::{DefinedClass, MainThreadMarker, MainThreadOnly, define_class, msg_send, sel};
use objc2_app_kit::{NSButton, NSSecureTextField, NSTextField, NSWindow};
use objc2_foundation::{NSRunLoop, NSRunLoopCommonModes, NSTimer};

use crate::dead_time::DeadTime;

/// How often it is looked whether the dead time is over, in seconds.
const GLANCE: f64 = 0.02;

/// The two fields of one password, of which one is seen.
pub(super) struct Pair {
    pub(super) hidden: Retained<NSSecureTextField>,
    pub(super) shown: Retained<NSTextField>,
}

define_class!(
    // SAFETY: `NSObject` has no rules for who comes from it, and nothing is done when it goes.
    #[unsafe(super(NSObject))]
    #[thread_kind = MainThreadOnly]
    #[ivars = Pair]
    /// Shows or hides what is typed.
    pub(super) struct Revealer;

    impl Revealer {
        // SAFETY: an action has one argument, who sent it, and returns nothing.
        #[unsafe(method(toggle:))]
        fn toggle(&self, _: Option<&AnyObject>) {
            let Pair { hidden, shown } = self.ivars();
            let reveal = shown.isHidden();
            if reveal {
                shown.setStringValue(&hidden.stringValue());
            } else {
                hidden.setStringValue(&shown.stringValue());
            }
            shown.setHidden(!reveal);
            hidden.setHidden(reveal);
        }
    }
);

impl Revealer {
    pub(super) fn new(pair: Pair, main: MainThreadMarker) -> Retained<Self> {
        let this = Self::alloc(main).set_ivars(pair);
        // SAFETY: `init` of `NSObject` takes nothing and returns what it was given.
        unsafe { msg_send![super(this), init] }
    }

    /// The field that is seen, as the other one may be behind.
    pub(super) fn seen(&self) -> Retained<NSTextField> {
        let Pair { hidden, shown } = self.ivars();
        if shown.isHidden() { Retained::into_super(hidden.clone()) } else { shown.clone() }
    }
}

/// What the clock is looked at for.
pub(super) struct Watch {
    start: Instant,
    dead: RefCell<DeadTime>,
    /// Whether the window was in front when it was looked last.
    front: RefCell<bool>,
    /// What does nothing before that.
    wait: Vec<Retained<NSButton>>,
    window: Retained<NSWindow>,
}

define_class!(
    // SAFETY: `NSObject` has no rules for who comes from it, and nothing is done when it goes.
    #[unsafe(super(NSObject))]
    #[thread_kind = MainThreadOnly]
    #[ivars = Watch]
    /// Lets the buttons that allow, or send, wait for the end of the dead time.
    pub(super) struct Ticker;

    impl Ticker {
        // SAFETY: a timer sends itself, and takes nothing back.
        #[unsafe(method(tick:))]
        fn tick(&self, _: Option<&AnyObject>) {
            self.glance();
        }
    }
);

impl Ticker {
    /// Begins the dead time.
    pub(super) fn start(
        wait: Vec<Retained<NSButton>>,
        window: Retained<NSWindow>,
    ) -> Retained<Self> {
        let main = window.mtm();
        let this = Self::alloc(main).set_ivars(Watch {
            start: Instant::now(),
            dead: RefCell::new(DeadTime::begin(Duration::ZERO)),
            front: RefCell::new(false),
            wait,
            window,
        });
        // SAFETY: `init` of `NSObject` takes nothing and returns what it was given.
        let this: Retained<Self> = unsafe { msg_send![super(this), init] };
        this.glance();
        // SAFETY: the target has the method `tick:`, which takes one object; the timer keeps its target. The
        // common modes are those of alerts too.
        unsafe {
            let timer = NSTimer::timerWithTimeInterval_target_selector_userInfo_repeats(
                GLANCE,
                &this,
                sel!(tick:),
                None,
                true,
            );
            NSRunLoop::currentRunLoop().addTimer_forMode(&timer, NSRunLoopCommonModes);
        }
        this
    }

    /// Whether the dead time is over.
    pub(super) fn is_over(&self) -> bool {
        let watch = self.ivars();
        watch.dead.borrow_mut().is_over(watch.start.elapsed())
    }

    fn glance(&self) {
        let watch = self.ivars();
        let now = watch.start.elapsed();
        let front = watch.window.isKeyWindow();
        if front && !watch.front.replace(front) {
            watch.dead.borrow_mut().seen(now);
        }
        *watch.front.borrow_mut() = front;
        let over = watch.dead.borrow_mut().is_over(now);
        for button in watch.wait.iter().filter(|button| button.isEnabled() != over) {
            button.setEnabled(over);
        }
    }
}
