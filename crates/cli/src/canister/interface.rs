//! The interface of a canister: its own, from the metadata of its module, or one from a file.
//!
//! Metadata comes with a certificate that the agent verifies. What it says is still written by
//! whoever wrote the canister: sizes and nesting are bounded before anything is parsed.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use anyhow::Result;
use candid::types::{FuncMode, Function, Type, TypeEnv, TypeInner};
use candid_parser::{IDLProg, check_file, check_prog};
use ic_agent::AgentError;

use super::advice;
use super::connection::Session;
use super::names::Target;
use super::text::{Types, nearest, one_line};
use crate::output::Failure;

/// Name of the metadata with a canister's interface. Source: interface specification.
pub(super) const SERVICE_SECTION: &str = "candid:service";
/// Name of the metadata with the types of the initial arguments, as Motoko writes it.
pub(super) const ARGS_SECTION: &str = "candid:args";
/// Custom sections of a module have 1 MiB together. Source: interface specification.
const TEXT_BYTES_MAX: u64 = 1 << 20;
/// How deep types may be nested: far more than a person writes, far less than the parser bears.
const NESTING_MAX: usize = 200;

/// An interface.
pub(super) struct Interface {
    env: TypeEnv,
    service: Type,
}

impl Interface {
    /// Parses an interface. The reason of a refusal is a sentence.
    pub(super) fn from_text(text: &str) -> Result<Self, String> {
        if text.len() as u64 > TEXT_BYTES_MAX || nesting(text) > NESTING_MAX {
            return Err(format!(
                "it is larger than {TEXT_BYTES_MAX} bytes or nested deeper than {NESTING_MAX}"
            ));
        }
        let program: IDLProg = text
            .parse()
            .map_err(|error: candid_parser::Error| one_line(&error.to_string()))?;
        let mut env = TypeEnv::new();
        let service = check_prog(&mut env, &program);
        let service = service.map_err(|error| one_line(&error.to_string()))?;
        let service = service.ok_or("it has no service")?;
        Ok(Self { env, service })
    }

    /// Parses an interface and the types of its initial arguments, which stand apart.
    pub(super) fn with_init_arguments(service: &str, arguments: &str) -> Result<Self, String> {
        if nesting(arguments) > NESTING_MAX || arguments.len() as u64 > TEXT_BYTES_MAX {
            return Err("the types of the initial arguments are too large".to_owned());
        }
        let plain = Self::from_text(service)?;
        match candid_parser::utils::merge_init_args(service, arguments) {
            Ok((env, service)) => Ok(Self { env, service }),
            Err(_) => Ok(plain),
        }
    }

    /// Reads an interface from a file, with the files that it imports.
    pub(super) fn from_file(path: &Path) -> Result<Self> {
        let refuse = |cause: String| Failure {
            message: format!("the interface in {} cannot be used", path.display()),
            causes: vec![cause],
            next: Some("correct the file, or give another one with --did".to_owned()),
            usage: true,
            ..Failure::default()
        };
        let mut text = String::new();
        fs::File::open(path)
            .and_then(|file| file.take(TEXT_BYTES_MAX + 1).read_to_string(&mut text))
            .map_err(|error| refuse(error.to_string()))?;
        if text.contains("import") {
            let checked = check_file(path).map_err(|error| refuse(error.to_string()))?;
            let (env, Some(service), _) = checked else {
                return Err(refuse("it has no service".to_owned()).into());
            };
            return Ok(Self { env, service });
        }
        Ok(Self::from_text(&text).map_err(refuse)?)
    }

    /// Asks the network for a canister's own interface. There is none if the module has none, or
    /// has one that this user may not read.
    pub(super) async fn of_canister(session: &Session, target: &Target) -> Result<Option<Self>> {
        let Some(text) = metadata(session, target, SERVICE_SECTION).await? else {
            return Ok(None);
        };
        match Self::from_text(&String::from_utf8_lossy(&text)) {
            Ok(interface) => Ok(Some(interface)),
            Err(error) => {
                session.note(format!(
                    "note: the interface of {target} cannot be used: {error}"
                ));
                Ok(None)
            }
        }
    }

    /// The methods in their order.
    pub(super) fn methods(&self) -> Vec<(&str, &Function)> {
        let methods = self.env.as_service(&self.service).unwrap_or_default();
        let methods = methods.iter();
        methods
            .filter_map(|(name, ty)| Some((name.as_str(), self.env.as_func(ty).ok()?)))
            .collect()
    }

    /// The method `name`.
    pub(super) fn method(&self, name: &str) -> Option<&Function> {
        let methods = self.methods();
        let found = methods.into_iter().find(|(known, _)| *known == name);
        found.map(|(_, function)| function)
    }

    /// A list of types of this interface.
    pub(super) fn types<'a>(&'a self, types: &'a [Type]) -> Types<'a> {
        Types {
            env: &self.env,
            types,
        }
    }

    /// The types of the arguments that an installation wants.
    pub(super) fn init_types(&self) -> Types<'_> {
        match self.service.as_ref() {
            TypeInner::Class(types, _) => self.types(types),
            _ => self.types(&[]),
        }
    }

    /// What is known about a method that is not there, and what its name may be a mistake for.
    pub(super) fn unknown_method(&self, method: &str) -> (String, Option<String>) {
        let methods = self.methods();
        let names: Vec<&str> = methods.iter().map(|(name, _)| *name).collect();
        let known = if names.is_empty() {
            "its interface has no methods".to_owned()
        } else {
            format!("its methods are {}", names.join(", "))
        };
        let likely = nearest(method, names).map(str::to_owned);
        (known, likely)
    }
}

/// A method as candid writes it, on one line.
pub(super) fn signature(name: &str, function: &Function) -> String {
    format!("{name} : {}", one_line(&function.to_string()))
}

/// Whether a method is to be called as a query.
pub(super) fn is_query(function: &Function) -> bool {
    let queries = [FuncMode::Query, FuncMode::CompositeQuery];
    function.modes.iter().any(|mode| queries.contains(mode))
}

/// Whether a method can be called as a query only.
pub(super) fn is_composite(function: &Function) -> bool {
    function.modes.contains(&FuncMode::CompositeQuery)
}

/// Reads a custom section of a canister's module, if it is there and this user may read it.
pub(super) async fn metadata(
    session: &Session,
    target: &Target,
    name: &str,
) -> Result<Option<Vec<u8>>> {
    let agent = &session.agent;
    match agent.read_state_canister_metadata(target.id, name).await {
        Ok(content) => Ok(Some(content)),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => {
            let what = format!("the metadata `{name}` of {target} cannot be read");
            Err(advice::explain(session, &what, target, None, error).await)
        }
    }
}

/// Whether an error of a read says that there is nothing, or nothing for this user.
pub(super) fn is_absent(error: &AgentError) -> bool {
    match error {
        AgentError::LookupPathAbsent(_) | AgentError::LookupPathUnknown(_) => true,
        AgentError::HttpError(payload) => payload.status == 403,
        _ => false,
    }
}

/// A bound on how deep the types in a text are nested: brackets that are open, and prefixes such
/// as `opt` before them.
fn nesting(text: &str) -> usize {
    let (mut open, mut prefixes, mut deepest) = (Vec::new(), 0_usize, 0_usize);
    let words = text.split_inclusive(|letter: char| !letter.is_ascii_alphanumeric());
    for word in words {
        let (name, mark) = match word.char_indices().last() {
            Some((at, last)) if !last.is_ascii_alphanumeric() => (&word[..at], Some(last)),
            _ => (word, None),
        };
        if matches!(name, "opt" | "vec") {
            prefixes += 1;
        }
        match mark {
            Some('{' | '(') => open.push(prefixes),
            Some('}' | ')') => prefixes = open.pop().unwrap_or(0),
            Some(';' | ',') => prefixes = open.last().copied().unwrap_or(0),
            _ => {}
        }
        deepest = deepest.max(open.len() + prefixes);
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nesting_is_bounded_before_parsing() {
        assert_eq!(nesting("service : { a : (nat) -> (opt vec nat) query }"), 4);
        assert_eq!(nesting("opt opt nat, opt nat; opt nat"), 2);
        let deep = format!(
            "service : {{ a : ({} nat) -> () }}",
            "opt ".repeat(NESTING_MAX + 1)
        );
        assert!(Interface::from_text(&deep).is_err());
        let deep = format!(
            "type t = {}nat{};",
            "record {".repeat(100_000),
            "}".repeat(100_000)
        );
        assert!(Interface::from_text(&deep).is_err());
    }

    #[test]
    fn methods_are_found_and_likened() {
        let interface = Interface::from_text(
            "type f = func (text) -> (text) composite_query; \
             service : (nat) -> { get : () -> (nat) query; greet : f; inc : () -> () }",
        )
        .unwrap();
        assert!(is_query(interface.method("get").unwrap()));
        assert!(is_composite(interface.method("greet").unwrap()));
        assert!(!is_query(interface.method("inc").unwrap()));
        assert!(interface.method("incc").is_none());
        let (known, likely) = interface.unknown_method("grete");
        assert_eq!(likely.as_deref(), Some("greet"));
        assert_eq!(known, "its methods are get, greet, inc");
        assert_eq!(interface.unknown_method("zzzz").1, None);
        assert_eq!(interface.init_types().signature(), "(nat)");
    }

    #[test]
    fn initial_arguments_may_stand_apart() {
        let interface = Interface::with_init_arguments("service : {}", "(text, opt nat)").unwrap();
        assert_eq!(interface.init_types().signature(), "(text, opt nat)");
        let none = Interface::with_init_arguments("service : {}", "not candid").unwrap();
        assert_eq!(none.init_types().signature(), "()");
        assert!(Interface::from_text("type a = nat;").is_err());
        assert!(Interface::from_text("service : { a : (b) -> () }").is_err());
    }
}
