//! `trilith governance`: what stake decides.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};
use trilith_protocol::root::governance::{
    ActivateFeatures, CAST_VOTE, CancelUpgrade, ChangeParameters, GovernanceChanges,
    GovernanceEvent, KeymanagerChanges, Proposal, ProposalContent, ProposalMetadata, ProposalVote,
    RegistryChanges, SUBMIT_PROPOSAL, StakingChanges, Upgrade, Vote, VoteEntry,
};
use trilith_protocol::root::{FeatureId, GovernanceSummary, RawItem, Shape, VotesOf};
use trilith_protocol::{RootAnswer, RootEvent, RootQuery};

use super::act::{Act, Done, Session, Signing, lines, shown};
use super::document::read_file;
use super::feature::parse_feature;
use super::json;
use crate::canister::report::Answer;
use crate::output::{Failure, NextStep};

/// Most bytes of a file with changes or an upgrade. Own choice: eight for each that a transaction
/// may have.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// What was asked for and what came do not fit.
pub(super) const OTHER: &str = "the root gives another answer than was asked for";

#[derive(Subcommand, Clone, Debug)]
pub enum GovernanceCommand {
    /// List proposals with what became of them
    ///
    /// Example: trilith governance proposals
    Proposals,
    /// Show a proposal: what it is about, when it closes, who voted how
    ///
    /// Example: trilith governance show 1
    Show(ShowArguments),
    /// Propose other parameters, an upgrade, that one is cancelled, or features; for a deposit
    ///
    /// Changes are a JSON object of the parameters that are to be others, as in `trilith genesis
    /// show --form json`. The deposit comes back unless the proposal is rejected.
    ///
    /// Example: trilith governance propose --parameters staking --changes changes.json --vote yes
    Propose(Box<ProposeArguments>),
    /// Vote on a proposal, or vote anew; your stake counts when it closes
    ///
    /// Example: trilith governance vote 1 yes
    Vote(VoteArguments),
    /// Show what the rules of governance depend on, and which proposals are open
    ///
    /// Example: trilith governance parameters
    Parameters,
}

#[derive(Args, Clone, Debug)]
pub struct ShowArguments {
    /// Number of the proposal
    #[arg(value_name = "NUMBER")]
    proposal: u64,
}

/// Whose parameters can be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Module {
    /// Accounts and stake
    Staking,
    /// Entities, nodes and runtimes
    Registry,
    /// Proposals and votes
    Governance,
    /// Key managers
    Keymanager,
}

impl Module {
    const ALL: [Self; 4] = [
        Self::Staking,
        Self::Registry,
        Self::Governance,
        Self::Keymanager,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Staking => "staking",
            Self::Registry => "registry",
            Self::Governance => "governance",
            Self::Keymanager => "keymanager",
        }
    }

    fn shape(self) -> Shape {
        match self {
            Self::Staking => StakingChanges::shape(),
            Self::Registry => RegistryChanges::shape(),
            Self::Governance => GovernanceChanges::shape(),
            Self::Keymanager => KeymanagerChanges::shape(),
        }
    }
}

/// How somebody votes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Ballot {
    /// For the proposal
    Yes,
    /// Against it
    No,
    /// Neither
    Abstain,
}

impl Ballot {
    const fn vote(self) -> Vote {
        match self {
            Self::Yes => Vote::Yes,
            Self::No => Vote::No,
            Self::Abstain => Vote::Abstain,
        }
    }
}

#[derive(Args, Clone, Debug)]
#[command(group(clap::ArgGroup::new("kind").required(true).args(["parameters", "upgrade", "cancel_upgrade", "features"])))]
pub struct ProposeArguments {
    /// Change parameters of this service, as --changes says
    #[arg(long, value_enum, value_name = "SERVICE", requires = "changes")]
    parameters: Option<Module>,
    /// JSON file with the changes
    #[arg(long, value_name = "FILE", requires = "parameters")]
    changes: Option<PathBuf>,
    /// Upgrade as the descriptor in this JSON file says
    #[arg(long, value_name = "FILE")]
    upgrade: Option<PathBuf>,
    /// Cancel the pending upgrade of this proposal
    #[arg(long, value_name = "NUMBER")]
    cancel_upgrade: Option<u64>,
    /// Activate this feature; as often as needed
    #[arg(long = "feature", id = "features", value_name = "ID", value_parser = parse_feature)]
    features: Vec<FeatureId>,
    /// What it is about, where the network asks for that
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
    /// More about it
    #[arg(long, value_name = "TEXT", requires = "title")]
    description: Option<String>,
    /// Vote on it at once, with the same key
    #[arg(long, value_enum, value_name = "VOTE")]
    vote: Option<Ballot>,
    #[command(flatten)]
    signing: Signing,
}

#[derive(Args, Clone, Debug)]
pub struct VoteArguments {
    /// Number of the proposal
    #[arg(value_name = "NUMBER")]
    proposal: u64,
    /// The vote
    #[arg(value_enum, value_name = "VOTE")]
    vote: Ballot,
    #[command(flatten)]
    signing: Signing,
}

pub(super) fn run(session: &Session, command: &GovernanceCommand) -> Result<Answer> {
    match command {
        GovernanceCommand::Proposals => proposals(session),
        GovernanceCommand::Show(arguments) => show(session, arguments.proposal),
        GovernanceCommand::Propose(arguments) => {
            let content = content(arguments)?;
            let vote = arguments.vote.map(Ballot::vote);
            propose(session, &arguments.signing, &content, vote)
        }
        GovernanceCommand::Vote(arguments) => {
            let (id, vote) = (arguments.proposal, arguments.vote.vote());
            let done = cast(session, &arguments.signing, id, vote)?;
            Ok(done.answer(json!({ "proposal": id })))
        }
        GovernanceCommand::Parameters => {
            let (_, RootAnswer::Governance(summary)) =
                session.client()?.query(&RootQuery::Governance)?
            else {
                bail!(OTHER);
            };
            let document = shown(&summary.encode(), &GovernanceSummary::shape())?;
            Ok(Answer::new(lines(&document), document))
        }
    }
}

/// What is to be proposed.
fn content(arguments: &ProposeArguments) -> Result<ProposalContent> {
    let mut content = ProposalContent::default();
    if let Some(title) = &arguments.title {
        content.metadata = Some(ProposalMetadata {
            title: title.clone(),
            description: arguments.description.clone().unwrap_or_default(),
        });
    }
    if let (Some(module), Some(file)) = (arguments.parameters, &arguments.changes) {
        let changes = encoded(file, &module.shape(), "changes")?;
        content.change_parameters = Some(ChangeParameters {
            module: module.name().to_owned(),
            changes: RawItem(changes),
        });
    }
    if let Some(file) = &arguments.upgrade {
        let bytes = encoded(file, &Upgrade::shape(), "upgrade")?;
        content.upgrade = Some(Upgrade::decode(&bytes).context("the upgrade cannot be used")?);
    }
    content.cancel_upgrade = arguments
        .cancel_upgrade
        .map(|proposal_id| CancelUpgrade { proposal_id });
    if !arguments.features.is_empty() {
        let mut ids = arguments.features.clone();
        ids.sort_unstable();
        ids.dedup();
        content.activate_features = Some(ActivateFeatures { ids });
    }
    Ok(content)
}

/// A JSON file in its canonical form. A field that may be null can be left out.
fn encoded(file: &Path, shape: &Shape, what: &str) -> Result<Vec<u8>> {
    let bytes = read_file(file, FILE_BYTES_MAX)?;
    let read = || -> Result<Vec<u8>> {
        let mut value: Value = serde_json::from_slice(&bytes).context("it is no JSON")?;
        if let (Some(fields), Shape::Struct(known)) = (value.as_object_mut(), shape) {
            for field in known {
                if matches!(field.shape, Shape::Optional(_)) {
                    fields.entry(field.name).or_insert(Value::Null);
                }
            }
        }
        Ok(json::read(&value, shape, what)?)
    };
    read()
        .with_context(|| format!("{} cannot be proposed", file.display()))
        .context(NextStep(
            "correct the file; its fields are those of the service's parameters in `trilith \
             genesis show --form json`",
        ))
}

pub(super) fn propose(
    session: &Session,
    signing: &Signing,
    content: &ProposalContent,
    vote: Option<Vote>,
) -> Result<Answer> {
    let act = Act {
        what: format!("propose {}", kind(content)),
        method: SUBMIT_PROPOSAL,
        body: content.encode(),
    };
    let done = session.act(signing, act)?;
    let id = done.events().iter().find_map(|event| match event {
        RootEvent::Governance(GovernanceEvent::Submitted(event)) => Some(event.id),
        _ => None,
    });
    let id = id.context("the receipt does not say which proposal it is")?;
    let Some(vote) = vote else {
        return Ok(done.answer(json!({ "proposal": id })));
    };
    let voted = cast(session, signing, id, vote)
        .with_context(|| format!("proposal {id} was made, but the vote on it failed"))?;
    let (closes, state) = standing(session, id)?;
    Ok(done.answer(json!({
        "proposal": id,
        "vote": voted.document(),
        "closes_at_epoch": closes,
        "state": state,
    })))
}

/// When a proposal closes, and what became of it.
fn standing(session: &Session, id: u64) -> Result<(u64, String)> {
    let proposal = proposal(session, id)?;
    Ok((proposal.closes_at.0, format!("{:?}", proposal.state)))
}

fn cast(session: &Session, signing: &Signing, id: u64, vote: Vote) -> Result<Done> {
    let act = Act {
        what: format!("vote {vote:?} on proposal {id}"),
        method: CAST_VOTE,
        body: ProposalVote { id, vote }.encode(),
    };
    session.act(signing, act)
}

/// What a proposal is about, in a few words.
fn kind(content: &ProposalContent) -> String {
    if let Some(change) = &content.change_parameters {
        return format!("other parameters of {}", change.module);
    }
    if let Some(upgrade) = &content.upgrade {
        return format!("an upgrade at epoch {}", upgrade.epoch);
    }
    if let Some(cancel) = &content.cancel_upgrade {
        return format!("to cancel the upgrade of proposal {}", cancel.proposal_id);
    }
    let ids = content.activate_features.iter().flat_map(|of| &of.ids);
    let ids: Vec<String> = ids.map(|id| hex::encode(id.0)).collect();
    format!("to activate {}", ids.join(" "))
}

/// A page of proposals from a number on.
fn page(session: &Session, first: u64) -> Result<Vec<Proposal>> {
    match session.client()?.query(&RootQuery::Proposals(first))? {
        (_, RootAnswer::Proposals(page)) => Ok(page),
        _ => bail!(OTHER),
    }
}

fn proposal(session: &Session, id: u64) -> Result<Proposal> {
    let found = page(session, id)?.into_iter().find(|of| of.id == id);
    found.ok_or_else(|| {
        Failure {
            message: format!("there is no proposal {id}"),
            next: Some("see which there are with `trilith governance proposals`".to_owned()),
            ..Failure::default()
        }
        .into()
    })
}

/// A proposal as JSON, with the changes of parameters in their own form.
fn document(proposal: &Proposal) -> Result<Value> {
    let mut document = shown(&proposal.encode(), &Proposal::shape())?;
    if let Some(change) = &proposal.content.change_parameters {
        let module = Module::ALL
            .into_iter()
            .find(|of| of.name() == change.module);
        if let Some(module) = module
            && let Ok(mut changes) = json::show(&change.changes.0, &module.shape())
        {
            // What stays as it is goes without saying.
            if let Some(fields) = changes.as_object_mut() {
                fields.retain(|_, value| !value.is_null());
            }
            document["content"]["change_parameters"]["changes"] = changes;
        }
    }
    document["about"] = json!(kind(&proposal.content));
    Ok(document)
}

fn proposals(session: &Session) -> Result<Answer> {
    let (mut text, mut rows) = (String::new(), Vec::new());
    let mut first = 0;
    loop {
        let page = page(session, first)?;
        let Some(last) = page.last() else { break };
        first = last.id + 1;
        for proposal in &page {
            let (id, state) = (proposal.id, proposal.state);
            let closes = proposal.closes_at;
            let about = kind(&proposal.content);
            text.push_str(&format!(
                "{id}  {state:?}  closes at epoch {closes}  {about}\n"
            ));
            rows.push(document(proposal)?);
        }
    }
    if rows.is_empty() {
        text.push_str("nothing was proposed\n");
    }
    Ok(Answer::new(text, json!({ "proposals": rows })))
}

fn show(session: &Session, id: u64) -> Result<Answer> {
    let proposal = proposal(session, id)?;
    let mut document = document(&proposal)?;
    let mut votes: Vec<Value> = Vec::new();
    let mut after = None;
    let mut client = session.client()?;
    loop {
        let query = RootQuery::Votes(VotesOf {
            proposal: id,
            after,
        });
        let (_, RootAnswer::Votes(page)) = client.query(&query)? else {
            bail!(OTHER);
        };
        let Some(last) = page.last() else { break };
        after = Some(last.voter);
        for vote in &page {
            votes.push(shown(&vote.encode(), &VoteEntry::shape())?);
        }
    }
    document["votes"] = json!(votes);
    Ok(Answer::new(lines(&document), document))
}
