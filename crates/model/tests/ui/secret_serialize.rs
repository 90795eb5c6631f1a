use strongroom_model::secret::Secret;

fn main() {
    let secret = Secret::new(Vec::new());
    let _ = serde_json::to_string(&secret);
}
