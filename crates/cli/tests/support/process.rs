//! The node, started as a user starts it.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The command, with nothing on its standard input.
pub fn trilith() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trilith"));
    command.stdin(Stdio::null()).env_remove("TRILITH_LOG");
    command
}

/// Runs `trilith dev` on `data` where it is expected to end by itself.
pub fn dev_that_ends(data: &Path, arguments: &[&str]) -> Output {
    dev(data, arguments)
        .output()
        .expect("the binary can be started")
}

fn dev(data: &Path, arguments: &[&str]) -> Command {
    let mut command = trilith();
    command.arg("dev").arg("--data").arg(data).args(arguments);
    command
}

/// A running node. Dropping it kills it.
pub struct Node {
    child: Child,
    /// What it printed on stdout once it was ready.
    pub banner: Vec<String>,
    /// Where it listens.
    pub url: String,
    /// DER encoding of the root key in the banner.
    pub root_key_der: Vec<u8>,
    errors: Option<JoinHandle<String>>,
}

impl Node {
    /// Starts a node on a free port and waits for its banner.
    pub fn start(data: &Path) -> Self {
        Self::start_with(data, &[])
    }

    /// Like [`Node::start`], with further arguments.
    pub fn start_with(data: &Path, arguments: &[&str]) -> Self {
        let mut child = dev(data, &[&["--canister-port", "0"], arguments].concat())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary can be started");
        let mut stderr = child.stderr.take().expect("stderr is piped");
        let errors = std::thread::spawn(move || {
            let mut text = String::new();
            // What came before a failure to read is still worth showing.
            let _read = stderr.read_to_string(&mut text);
            text
        });
        let stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let mut banner = Vec::new();
        for line in stdout.lines() {
            let line = line.expect("the banner is text");
            let last = line.contains("Ctrl-C");
            banner.push(line);
            if last {
                break;
            }
        }
        let mut node = Self {
            child,
            url: field(&banner, "canister endpoint").unwrap_or_default(),
            root_key_der: field(&banner, "root key")
                .and_then(|text| hex::decode(text).ok())
                .unwrap_or_default(),
            banner,
            errors: Some(errors),
        };
        if node.url.is_empty() || node.root_key_der.is_empty() {
            let errors = node.end();
            panic!("the node said\n{}\nand\n{errors}", node.banner.join("\n"));
        }
        node
    }

    /// Its process id.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().try_into().expect("process ids are small"))
    }

    /// Kills it with SIGKILL, and waits until it is gone.
    pub fn kill(mut self) -> String {
        self.end()
    }

    /// Does what Ctrl-C does, and waits. Gives how it ended, and what it wrote to stderr.
    pub fn interrupt(self) -> (ExitStatus, String) {
        self.signal(Signal::SIGINT)
    }

    /// Sends a signal, and waits. Gives how it ended, and what it wrote to stderr.
    pub fn signal(mut self, signal: Signal) -> (ExitStatus, String) {
        kill(self.pid(), signal).expect("the node runs");
        let status = self.child.wait().expect("the node can be waited for");
        (status, self.end())
    }

    /// Waits until it ends by itself. Gives how it ended, and what it wrote to stderr.
    pub fn ended(mut self, patience: Duration) -> (ExitStatus, String) {
        let begun = Instant::now();
        loop {
            let status = self.child.try_wait().expect("the node can be waited for");
            if let Some(status) = status {
                return (status, self.end());
            }
            if begun.elapsed() > patience {
                panic!("the node goes on, and said {}", self.end());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn end(&mut self) -> String {
        // It may have ended already, which is as good.
        let _killed = self.child.kill();
        let _status = self.child.wait();
        let errors = self.errors.take().map(JoinHandle::join);
        errors.and_then(Result::ok).unwrap_or_default()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.end();
    }
}

/// The value of a line `name   value` of the banner.
fn field(banner: &[String], name: &str) -> Option<String> {
    let mut values = banner
        .iter()
        .filter_map(|line| line.trim().strip_prefix(name));
    values.next().map(|value| value.trim().to_owned())
}

/// A process below another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Descendant {
    /// Its process id.
    pub pid: i32,
    /// Processor time that it used, in clock ticks.
    pub ticks: u64,
}

/// All processes below `root`. What ends while they are listed is left out.
pub fn descendants(root: Pid) -> Vec<Descendant> {
    let mut processes = Vec::new();
    for entry in std::fs::read_dir("/proc").expect("/proc is there") {
        let name = entry.expect("/proc can be read").file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
            continue;
        };
        // The name of the executable, in parentheses, may hold anything; fields from 3 on follow.
        let Some((_, rest)) = stat.rsplit_once(") ") else {
            continue;
        };
        let fields: Vec<&str> = rest.split(' ').collect();
        let number = |field: usize| {
            fields
                .get(field - 3)
                .and_then(|text| text.parse::<u64>().ok())
        };
        if let (Some(parent), Some(user), Some(system)) = (number(4), number(14), number(15)) {
            let ticks = user + system;
            processes.push((parent, Descendant { pid, ticks }));
        }
    }
    let mut found: Vec<Descendant> = Vec::new();
    let mut parents = vec![u64::try_from(root.as_raw()).expect("process ids are positive")];
    while let Some(parent) = parents.pop() {
        for (_, child) in processes.iter().filter(|(of, _)| *of == parent) {
            parents.push(child.pid.try_into().expect("process ids are positive"));
            found.push(*child);
        }
    }
    found
}

/// Processor time that a process and all that it started used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    ticks: u64,
}

impl Usage {
    /// In seconds; Linux counts hundredths for user space.
    pub fn seconds(self) -> f64 {
        self.ticks as f64 / 100.0
    }
}

impl std::ops::Sub for Usage {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        let ticks = self.ticks.saturating_sub(earlier.ticks);
        Self { ticks }
    }
}

/// What a node and its sandboxes used so far; what sandboxes that have ended used is left out.
pub fn usage(node: Pid) -> Usage {
    let stat = std::fs::read_to_string(format!("/proc/{node}/stat")).expect("the node runs");
    let (_, rest) = stat.rsplit_once(") ").expect("the name is in parentheses");
    let fields = rest.split(' ').skip(11).take(2);
    let own: u64 = fields.filter_map(|field| field.parse::<u64>().ok()).sum();
    let others = descendants(node).into_iter().map(|process| process.ticks);
    Usage {
        ticks: own + others.sum::<u64>(),
    }
}

/// Memory of a node in bytes: its own share of what it and others map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Of the node's process.
    pub node: u64,
    /// With its sandboxes.
    pub all: u64,
}

/// What a node and its sandboxes hold in memory.
pub fn memory(node: Pid) -> Memory {
    let of = |pid: i32| {
        let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"));
        let kib = rollup.ok().and_then(|text| {
            let line = text.lines().find(|line| line.starts_with("Pss:"))?;
            line.split_whitespace().nth(1)?.parse::<u64>().ok()
        });
        kib.unwrap_or(0) * 1024
    };
    let own = of(node.as_raw());
    let others = descendants(node).into_iter().map(|process| of(process.pid));
    Memory {
        node: own,
        all: own + others.sum::<u64>(),
    }
}
