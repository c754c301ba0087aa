//! How many cases a property gets: its default, times one variable.

/// The variable that scales every property test; CONTRIBUTING.md lists the defaults.
const VARIABLE: &str = "QUAY_DOCTOR_TEST_SCALE";

/// The number of cases for a property with this default; never none.
pub fn cases(default: u32) -> u32 {
    let scale = std::env::var(VARIABLE)
        .ok()
        .and_then(|text| text.parse::<f64>().ok());
    let cases = f64::from(default) * scale.unwrap_or(1.0);
    (cases as u32).max(1)
}
