use strongroom_model::secret::Secret;

fn main() {
    let secret = Secret::new(Vec::new());
    let _ = secret.clone();
}
