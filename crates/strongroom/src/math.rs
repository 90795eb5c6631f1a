//! The functions of C's mathematical library that this program has a use for.
//!
//! They are asked for three times: by SQLite's ranking of texts, by the runtime's statistics, and by the look
//! for secrets in configurations. To load the system's library for them costs every start some 70
//! microseconds, a twentieth of what `strongroom run` takes (see also `build.rs`). Whoever asks for another
//! function gets the system's, and pays for it.
#![expect(unsafe_code, reason = "the linker finds a function by its C name")]

// SAFETY: each has the name, the arguments and the meaning of the function in the C standard (7.12), and
// nobody else in this program defines it.
#[unsafe(no_mangle)]
extern "C" fn pow(base: f64, exponent: f64) -> f64 {
    libm::pow(base, exponent)
}

// SAFETY: as above.
#[unsafe(no_mangle)]
extern "C" fn log(value: f64) -> f64 {
    libm::log(value)
}

// SAFETY: as above.
#[unsafe(no_mangle)]
extern "C" fn log2(value: f64) -> f64 {
    libm::log2(value)
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;

    #[test]
    fn what_the_standard_library_calls_is_what_stands_here_and_is_right() {
        let close = |found: f64, right: f64| (found - right).abs() <= right.abs() * 1e-15;
        assert!(close(black_box(10_f64).ln(), std::f64::consts::LN_10));
        assert!(close(black_box(10_f64).log2(), std::f64::consts::LOG2_10));
        assert!(close(black_box(2_f64).powf(black_box(0.5)), std::f64::consts::SQRT_2));
        assert!(close(super::pow(3.0, 4.0), 81.0));
        assert!(close(super::log(1.0), 0.0));
        assert!(close(super::log2(1024.0), 10.0));
    }
}
