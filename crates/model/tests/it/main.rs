//! What the compiler holds for us.

/// CR-12 and invariants I1, I2, I3, I8 and I9: a secret has one exit, and what proves that a step was
/// taken can be made by that step alone.
#[test]
fn secrets_do_not_slip_out_and_proofs_cannot_be_forged() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
