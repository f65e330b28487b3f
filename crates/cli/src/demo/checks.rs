//! Telling the user what happens, and keeping count of what held.

/// Checks made so far.
pub(super) struct Checks {
    step: u32,
    passed: u32,
    failed: u32,
}

impl Checks {
    pub(super) fn new() -> Self {
        Self {
            step: 0,
            passed: 0,
            failed: 0,
        }
    }

    /// What goes before the first part.
    pub(super) fn say_first(&self, text: &str) {
        eprintln!("{text}");
    }

    /// What follows the last part.
    pub(super) fn say_last(&self, text: &str) {
        eprintln!("{text}");
    }

    /// Begins a numbered part of the demonstration.
    pub(super) fn step(&mut self, title: &str) {
        self.step += 1;
        eprintln!("\n{}. {title}", self.step);
    }

    /// Something worth knowing.
    pub(super) fn say(&self, text: String) {
        eprintln!("   {text}");
    }

    /// Something that must hold.
    pub(super) fn check(&mut self, claim: &str, holds: bool) {
        if holds {
            self.passed += 1;
            eprintln!("   ok    {claim}");
        } else {
            self.failed += 1;
            eprintln!("   FAIL  {claim}");
        }
    }

    /// How many held, and how many did not.
    pub(super) fn totals(&self) -> (u32, u32) {
        (self.passed, self.failed)
    }
}
