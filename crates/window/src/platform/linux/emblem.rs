//! The shield: drawn, so that it needs no file and no theme.

use std::f64::consts::PI;

use gtk::cairo::{Context, Error};
use gtk::prelude::*;

const SIZE: i32 = 40;

pub(super) fn emblem() -> gtk::DrawingArea {
    let area = gtk::DrawingArea::builder()
        .content_width(SIZE)
        .content_height(SIZE)
        .valign(gtk::Align::Center)
        .accessible_role(gtk::AccessibleRole::Presentation)
        .build();
    area.set_draw_func(|_, context, width, height| {
        context.scale(f64::from(width) / 40.0, f64::from(height) / 40.0);
        // A picture that cannot be drawn is not there.
        let _ = draw(context);
    });
    area
}

/// A shield with a keyhole, on 40 by 40.
fn draw(context: &Context) -> Result<(), Error> {
    context.move_to(20.0, 2.0);
    context.curve_to(25.0, 6.0, 30.0, 7.5, 36.0, 8.0);
    context.curve_to(36.5, 22.0, 32.0, 32.0, 20.0, 38.0);
    context.curve_to(8.0, 32.0, 3.5, 22.0, 4.0, 8.0);
    context.curve_to(10.0, 7.5, 15.0, 6.0, 20.0, 2.0);
    context.close_path();
    context.set_source_rgb(0.15, 0.39, 0.68);
    context.fill_preserve()?;
    context.set_source_rgba(1.0, 1.0, 1.0, 0.35);
    context.set_line_width(1.0);
    context.stroke()?;

    context.set_source_rgb(1.0, 1.0, 1.0);
    context.arc(20.0, 16.5, 4.5, 0.0, 2.0 * PI);
    context.fill()?;
    context.move_to(18.4, 18.0);
    context.line_to(21.6, 18.0);
    context.line_to(23.2, 27.5);
    context.line_to(16.8, 27.5);
    context.close_path();
    context.fill()
}
