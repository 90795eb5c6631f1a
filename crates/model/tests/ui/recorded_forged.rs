use strongroom_model::audit::{AuditId, Recorded};

fn main() {
    let _ = Recorded { audit_id: AuditId(String::new()) };
}
