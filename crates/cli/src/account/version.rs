//! `trilith cluster-version`: which interface, gates and version a node has, against this tool's.
//!
//! The number that Solana's clients call the feature set names the ecosystem's gates only. Gates
//! that are ours are compared by id, which a node of another project cannot tell.

use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};
use trilith_engine_account::gates;
use trilith_gateway_account::API_VERSION;

use super::rpc::{Rpc, URL};
use crate::canister::report::{Answer, row};

/// The version of this tool.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Arguments of `trilith cluster-version`.
#[derive(Args, Clone, Debug)]
pub struct ClusterVersionArguments {
    /// Address of the node's JSON-RPC
    #[arg(long, value_name = "URL", default_value = URL)]
    url: String,
    /// Print one JSON document on stdout, or on stderr if the command fails
    #[arg(long)]
    json: bool,
}

impl ClusterVersionArguments {
    /// Whether the result is to be one JSON document.
    pub fn json(&self) -> bool {
        self.json
    }
}

/// What is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Version {
    /// The release whose interface is served.
    interface: String,
    /// The number of the ecosystem's gates.
    feature_set: Option<u64>,
    /// Version and ids of gates that are ours, on a network that is.
    own: Option<(String, Vec<String>)>,
}

/// Runs the command.
///
/// # Errors
/// If no node answers, or not as it should.
pub fn run(arguments: &ClusterVersionArguments) -> Result<()> {
    let rpc = Rpc::new(&arguments.url)?;
    let cluster = ask(&rpc)?;
    answer(&cluster, &Version::of_this_tool()).print(arguments.json)
}

fn ask(rpc: &Rpc) -> Result<Version> {
    let told = rpc.call("getVersion", json!([]))?;
    let Some(interface) = told["solana-core"].as_str() else {
        return Err(rpc.stranger());
    };
    let own = rpc.call_if_known("getTrilithVersion", json!([]))?;
    Ok(Version {
        interface: interface.to_owned(),
        feature_set: told["feature-set"].as_u64(),
        own: own.as_ref().and_then(read_own),
    })
}

fn read_own(told: &Value) -> Option<(String, Vec<String>)> {
    let ids = told["gates"].as_array()?.iter();
    let ids: Option<Vec<String>> = ids
        .map(|gate| gate["id"].as_str().map(str::to_owned))
        .collect();
    Some((told["version"].as_str()?.to_owned(), ids?))
}

impl Version {
    fn of_this_tool() -> Self {
        let ids = gates::own().iter().map(|gate| gate.id.to_string());
        Self {
            interface: API_VERSION.to_owned(),
            feature_set: Some(gates::feature_set().into()),
            own: Some((VERSION.to_owned(), ids.collect())),
        }
    }

    /// What differs, a sentence each.
    fn differences(&self, tool: &Self) -> Vec<String> {
        let mut found = Vec::new();
        let mut differ = |what: &str, here: &str, there: &str| {
            if here != there {
                found.push(format!(
                    "the cluster has the {what} {there}, this tool {here}"
                ));
            }
        };
        let number = |set: Option<u64>| set.map_or("(not told)".to_owned(), |set| set.to_string());
        differ("interface", &tool.interface, &self.interface);
        differ(
            "feature set",
            &number(tool.feature_set),
            &number(self.feature_set),
        );
        match (&self.own, &tool.own) {
            (Some((there, gates_there)), Some((here, gates_here))) => {
                differ("version", here, there);
                differ("own gates", &gates_here.join(" "), &gates_there.join(" "));
            }
            _ => found.push(
                "the cluster is of another project: it knows no gates that are ours".to_owned(),
            ),
        }
        found
    }

    fn text(&self) -> String {
        let set = self.feature_set.map_or("no feature set".to_owned(), |set| {
            format!("feature set {set}")
        });
        let own = self.own.as_ref();
        let own = own.map_or(String::new(), |(version, _)| format!(", trilith {version}"));
        format!("{}, {set}{own}", self.interface)
    }

    fn document(&self) -> Value {
        json!({
            "interface": self.interface,
            "feature_set": self.feature_set,
            "trilith": self.own.as_ref().map(|(version, _)| version),
            "own_gates": self.own.as_ref().map(|(_, gates)| gates),
        })
    }
}

fn answer(cluster: &Version, tool: &Version) -> Answer {
    let differences = cluster.differences(tool);
    let mut text = String::new();
    row(&mut text, "cluster", cluster.text());
    row(&mut text, "this tool", tool.text());
    if differences.is_empty() {
        text.push_str("cluster and tool match\n");
    } else {
        text.push_str("cluster and tool do not match:\n");
        for difference in &differences {
            text.push_str(&format!("  {difference}\n"));
        }
    }
    let document = json!({
        "cluster": cluster.document(),
        "tool": tool.document(),
        "match": differences.is_empty(),
        "differences": differences,
    });
    Answer::new(text, document)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_difference_is_said() {
        let tool = Version::of_this_tool();
        assert_eq!(tool.differences(&tool), Vec::<String>::new());
        let bent = |bend: &dyn Fn(&mut Version)| {
            let mut cluster = tool.clone();
            bend(&mut cluster);
            cluster.differences(&tool).join("; ")
        };
        let newer = bent(&|cluster| cluster.interface = "4.5.0".into());
        assert_eq!(
            newer,
            "the cluster has the interface 4.5.0, this tool 4.2.2"
        );
        let set = bent(&|cluster| cluster.feature_set = Some(7));
        assert!(set.contains("the feature set 7, this tool "), "{set}");
        let silent = bent(&|cluster| cluster.feature_set = None);
        assert!(silent.contains("(not told)"), "{silent}");
        let other = bent(&|cluster| cluster.own = None);
        assert!(other.contains("of another project"), "{other}");
        let fewer = bent(&|cluster| {
            if let Some((_, gates)) = &mut cluster.own {
                gates.pop();
            }
        });
        assert!(fewer.contains("the own gates"), "{fewer}");
    }

    #[test]
    fn what_another_node_says_is_read_or_left() {
        assert_eq!(read_own(&json!({})), None);
        assert_eq!(read_own(&json!({ "version": "1", "gates": [{}] })), None);
        let read = read_own(&json!({ "version": "1", "gates": [{ "id": "x" }] }));
        assert_eq!(read, Some(("1".to_owned(), vec!["x".to_owned()])));
    }
}
