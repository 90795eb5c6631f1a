use strongroom_model::pipeline::Permit;

fn main() {
    let _ = Permit::new((), String::new(), Default::default(), None);
}
