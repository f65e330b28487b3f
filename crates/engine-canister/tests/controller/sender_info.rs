//! A canister that signs for its users: what it attests reaches the canisters that they call, in
//! every round's judgement and through pauses.

use candid::Principal;
use trilith_engine_canister::ingress::{
    CallContent, Content, MODULE as INGRESS, SenderInfo, canister_key_der,
};
use trilith_engine_canister::query::{CallResult, QueryRequest, QueryResponse};
use trilith_protocol::ReceiptStatus;
use trilith_types::HashTree;
use trilith_types::cbor::Encoder;
use trilith_types::hash::sha256;

use crate::envelopes::{Parts, encode, signed_bytes};
use crate::network::*;
use crate::{installed, network};

const SEED: &[u8] = b"a user";

fn label(name: &[u8], child: HashTree) -> HashTree {
    HashTree::Labeled(name.to_vec(), Box::new(child))
}

/// Has `signer` certify signatures over `messages`, and gives them.
fn sign(network: &mut Network, signer: Principal, messages: [&[u8]; 2]) -> [Vec<u8>; 2] {
    let mut digests = messages.map(|message| sha256(&[message]));
    digests.sort_unstable();
    let [left, right] = digests.map(|digest| label(&digest, HashTree::Leaf(Vec::new())));
    let both = HashTree::Fork(Box::new(left), Box::new(right));
    let tree = label(b"sig", label(&sha256(&[SEED]), both));
    // Programs are text, so the digest is put where text goes.
    let digest = tree.digest();
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    replied(network.update(signer, "run", format!("certify_hex {hex}; reply ok")));
    let CallResult::Replied { arg } = network.query(signer, "look", "reply_certificate") else {
        panic!("no certificate")
    };
    messages.map(|_| {
        let mut e = Encoder::new();
        e.tag(55_799).map(2).text("certificate").bytes(&arg);
        e.text("tree");
        tree.encode(&mut e);
        e.finish()
    })
}

/// A user for whom `signer` signs, with attested information.
struct Attested {
    der: Vec<u8>,
    info: SenderInfo,
}

impl Attested {
    /// A call or query, signed by the canister.
    fn envelope(
        network: &mut Network,
        signer: Principal,
        canister: Principal,
        program: &str,
        wrap: fn(CallContent) -> Content,
    ) -> (Vec<u8>, Content) {
        let der = canister_key_der(signer, SEED);
        let message = b"\x0Eic-sender-infoname=ada".as_slice();
        let [sig, _] = sign(network, signer, [message, b"unused"]);
        let info = SenderInfo {
            info: b"name=ada".to_vec(),
            signer,
            sig,
        };
        let attested = Self { der, info };
        let method = match wrap(network.content(canister, "", Vec::new())) {
            Content::Query(_) => "look",
            _ => "run",
        };
        let content = wrap(CallContent {
            sender: Principal::self_authenticating(&attested.der),
            sender_info: Some(attested.info),
            ..network.content(canister, method, program.as_bytes().to_vec())
        });
        let request = signed_bytes(&content);
        let [signature, _] = sign(network, signer, [&request, b"unused"]);
        let parts = Parts {
            key: Some(&attested.der),
            signature: Some(&signature),
            ..Parts::unsigned(&content)
        };
        (encode(&parts), content)
    }
}

#[test]
fn canisters_see_what_is_attested_about_their_callers() {
    let mut network = network();
    let (signer, id) = (installed(&mut network), installed(&mut network));
    let attested = format!("name=ada by {signer}").into_bytes();
    let (envelope, content) =
        Attested::envelope(&mut network, signer, id, "reply_caller_info", Content::Call);
    let receipts = network.run(vec![envelope.clone()]);
    assert_eq!(receipts[0].status, ReceiptStatus::Accepted);
    // Its status is for the user that the canister speaks for; the network asks for itself here.
    assert_eq!(replied(network.status(content.request_id())), attested);

    let (envelope, _) = Attested::envelope(
        &mut network,
        signer,
        id,
        "reply_caller_info",
        Content::Query,
    );
    let answer = network.ask(&QueryRequest::Call {
        envelope,
        effective: id,
    });
    let Ok(QueryResponse::Call { result, .. }) = answer else {
        panic!("{answer:?}")
    };
    assert_eq!(
        result,
        CallResult::Replied {
            arg: attested.clone()
        }
    );

    // Callbacks of the call see it too; the canister that is called on does not.
    let program =
        format!("call {signer} run 0 - [reply_caller_info] [reply_caller_info] [reply_reject] []");
    let (envelope, content) = Attested::envelope(&mut network, signer, id, &program, Content::Call);
    network.run(vec![envelope]);
    network.settle();
    assert_eq!(replied(network.status(content.request_id())), attested);
    let program =
        format!("call {signer} run 0 - [reply_caller_info] [reply_arg] [reply_reject] []");
    let (envelope, content) = Attested::envelope(&mut network, signer, id, &program, Content::Call);
    network.run(vec![envelope]);
    network.settle();
    assert_eq!(replied(network.status(content.request_id())), b"");
    // Users without it have none.
    assert_eq!(replied(network.update(id, "run", "reply_caller_info")), b"");
}

#[test]
fn what_was_not_attested_is_refused_in_a_round() {
    let mut network = network();
    let (signer, id) = (installed(&mut network), installed(&mut network));
    let (mut envelope, _) =
        Attested::envelope(&mut network, signer, id, "reply_caller_info", Content::Call);
    let at = envelope
        .windows(8)
        .position(|window| window == b"name=ada")
        .unwrap();
    envelope[at] = b'N';
    let receipts = network.run(vec![envelope]);
    let ReceiptStatus::Rejected {
        module,
        code,
        message,
    } = &receipts[0].status
    else {
        panic!("accepted")
    };
    assert_eq!((module.as_str(), *code), (INGRESS, 111));
    assert!(
        message.contains("the canister signature of the request"),
        "{message}"
    );
}
