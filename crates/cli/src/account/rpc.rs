//! A tool's side of a node's JSON-RPC: one call at a time, bounded in time and size.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::output::{Failure, NextStep};

/// Where a developer network listens unless another port is asked for.
pub(crate) const URL: &str = "http://127.0.0.1:8899";

/// Longest wait for an answer.
const WAIT: Duration = Duration::from_secs(30);

/// Most bytes of an answer: an account of the greatest length (10 MiB) in base64, and its proofs.
const ANSWER_BYTES_MAX: usize = 32 * 1024 * 1024;

/// The code of an answer to a method that the node does not have.
const NO_METHOD: i64 = -32601;

/// A node's JSON-RPC.
pub(crate) struct Rpc {
    url: String,
    client: reqwest::Client,
    runtime: tokio::runtime::Runtime,
}

impl Rpc {
    /// The JSON-RPC at an address. Nothing is sent yet.
    ///
    /// # Errors
    /// If this process cannot talk to networks.
    pub(crate) fn new(url: &str) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("starting the network thread")?;
        Ok(Self {
            url: url.to_owned(),
            client: reqwest::Client::builder().no_proxy().build()?,
            runtime,
        })
    }

    /// The address.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Calls a method and gives its result.
    ///
    /// # Errors
    /// If nobody answers, what answers is no JSON-RPC, or the node refuses.
    pub(crate) fn call(&self, method: &str, params: Value) -> Result<Value> {
        let mut response = self.exchange(method, params)?;
        if let Some(error) = response.get("error") {
            return Err(refusal(method, error).into());
        }
        match response.get_mut("result") {
            Some(result) => Ok(result.take()),
            None => Err(self.stranger()),
        }
    }

    /// Like [`Rpc::call`]; `None` if the node does not have the method.
    ///
    /// # Errors
    /// As of [`Rpc::call`].
    pub(crate) fn call_if_known(&self, method: &str, params: Value) -> Result<Option<Value>> {
        let mut response = self.exchange(method, params)?;
        match response.get("error") {
            Some(error) if error["code"].as_i64() == Some(NO_METHOD) => Ok(None),
            Some(error) => Err(refusal(method, error).into()),
            None => Ok(Some(response["result"].take())),
        }
    }

    fn exchange(&self, method: &str, params: Value) -> Result<Value> {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let url = &self.url;
        let bytes = self
            .runtime
            .block_on(async { tokio::time::timeout(WAIT, self.post(body.to_string())).await })
            .with_context(|| format!("{url} did not answer within {} s", WAIT.as_secs()))?
            .with_context(|| format!("{url} cannot be asked"))
            .context(NextStep(
                "start a network with: trilith dev; or name the node's JSON-RPC with --url",
            ))?;
        let response: Value = serde_json::from_slice(&bytes).map_err(|_| self.stranger())?;
        if response.is_object() {
            Ok(response)
        } else {
            Err(self.stranger())
        }
    }

    async fn post(&self, body: String) -> Result<Vec<u8>> {
        let request = self
            .client
            .post(&self.url)
            .header("content-type", "application/json")
            .body(body);
        let mut response = request.send().await?.error_for_status()?;
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if bytes.len() + chunk.len() > ANSWER_BYTES_MAX {
                bail!("the answer has more than {ANSWER_BYTES_MAX} bytes");
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    /// The failure to understand what answers.
    pub(crate) fn stranger(&self) -> anyhow::Error {
        let what = format!(
            "what answers at {} is no JSON-RPC of Solana's kind",
            self.url
        );
        anyhow::Error::msg(what).context(NextStep("name the node's JSON-RPC with --url"))
    }
}

/// What a node says instead of a result.
fn refusal(method: &str, error: &Value) -> Failure {
    let message = error["message"].as_str().unwrap_or("without a reason");
    let logs = error["data"]["logs"].as_array();
    let mut failure = Failure {
        message: format!("the node refuses: {message}"),
        causes: logs
            .into_iter()
            .flatten()
            .filter_map(|line| Some(format!("log: {}", line.as_str()?)))
            .collect(),
        next: Some(format!(
            "see what the arguments are; the guide of Solana clients lists the codes of {method}"
        )),
        ..Failure::default()
    };
    failure
        .details
        .insert("code".to_owned(), error["code"].clone());
    failure
}
