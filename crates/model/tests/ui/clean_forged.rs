use strongroom_model::redact::Clean;

fn main() {
    let _ = Clean("not redacted");
}
