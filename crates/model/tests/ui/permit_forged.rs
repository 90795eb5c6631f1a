use strongroom_model::pipeline::Permit;

fn main() {
    let _ = Permit { request: (), rule: String::new() };
}
