use strongroom_model::canonical::CanonicalRequest;

fn change(request: &mut CanonicalRequest) {
    request.path = "/admin".to_owned();
    request.target.push_str("/../admin");
}

fn main() {
    let _ = change;
}
