//! What the two kinds of sandboxes may do.

use trilith_jail::{Denial, Policy, Requirement, ResourceLimits, SyscallSet};

/// Most page files that go along with a request; one message of the kernel's carries them.
pub(super) const FILES_MAX: usize = 250;

/// A sandbox that runs compiled modules.
///
/// - Executable memory: the compiled code is mapped from the descriptor that the controller
///   passes, or copied and made executable.
/// - Memory files: changed pages are returned in them.
/// - The pagemap: the pages that a message wrote are found through it.
pub(super) fn execute(requirement: Requirement) -> Policy {
    Policy {
        name: "execute",
        requirement,
        syscalls: SyscallSet::computing()
            .with_executable_memory()
            .with_memory_files()
            .with_pagemap(),
        denial: Denial::Error,
        limits: ResourceLimits {
            // The kernel also counts descriptors under way for all jailed processes together
            // against this number.
            descriptors_max: 4096,
            // Memories reserve their largest size and guards around it.
            address_space_bytes_max: None,
            file_bytes_max: None,
            stack_bytes_max: None,
        },
        pagemap: true,
        userfaultfd: false,
    }
}

/// A sandbox that compiles a module. It runs nothing that it makes, so it gets no executable
/// memory.
pub(super) fn compile(requirement: Requirement) -> Policy {
    Policy {
        name: "compile",
        requirement,
        syscalls: SyscallSet::computing().with_memory_files(),
        denial: Denial::Error,
        limits: ResourceLimits {
            descriptors_max: 64,
            address_space_bytes_max: Some(16 << 30),
            file_bytes_max: Some(4 << 30),
            stack_bytes_max: None,
        },
        pagemap: false,
        userfaultfd: false,
    }
}
