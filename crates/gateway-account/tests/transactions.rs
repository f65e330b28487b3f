//! Transactions over QUIC: what peers send comes to the node, and what they send in excess does not.

mod double;

use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, Endpoint};
use rustls::DigitallySignedStruct;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use trilith_gateway_account::Limits;

use double::Served;

/// Believes any certificate, as Solana's clients do.
#[derive(Debug)]
struct Credulous;

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        vec![rustls::SignatureScheme::ED25519]
    }
}

async fn connect(served: &Served, protocol: &[u8]) -> Result<Connection, quinn::ConnectionError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Credulous))
        .with_no_client_auth();
    tls.alpn_protocols = vec![protocol.to_vec()];
    let crypto = QuicClientConfig::try_from(tls).unwrap();
    let mut endpoint = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    endpoint.set_default_client_config(ClientConfig::new(Arc::new(crypto)));
    endpoint.connect(served.tpu, "connect").unwrap().await
}

async fn send(connection: &Connection, bytes: &[u8]) {
    let mut stream = connection.open_uni().await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream.finish().unwrap();
}

/// What came to the node once there are `count` transactions, ascending.
async fn submitted(served: &Served, count: usize) -> Vec<Vec<u8>> {
    let all = async {
        loop {
            let mut taken = served.double.submitted.lock().unwrap().clone();
            if taken.len() >= count {
                taken.sort();
                return taken;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let wait = Duration::from_secs(30);
    tokio::time::timeout(wait, all)
        .await
        .expect("all transactions come to the node")
}

#[tokio::test]
async fn each_stream_brings_one_transaction() {
    let served = Served::start(Limits::STANDARD).await;
    let connection = connect(&served, b"solana-tpu").await.unwrap();
    let mut sent: Vec<Vec<u8>> = (0..300_u16).map(|n| n.to_be_bytes().repeat(100)).collect();
    for transaction in &sent {
        send(&connection, transaction).await;
    }
    sent.sort();
    assert_eq!(submitted(&served, sent.len()).await, sent);
    served.end().await;
}

#[tokio::test]
async fn a_transaction_that_is_too_long_or_never_ends_does_not_come_in() {
    let served = Served::start(Limits::STANDARD).await;
    let connection = connect(&served, b"solana-tpu").await.unwrap();
    let mut endless = connection.open_uni().await.unwrap();
    endless.write_all(b"never finished").await.unwrap();
    let mut long = connection.open_uni().await.unwrap();
    // The node stops reading; how much of it was written by then is of no importance.
    let _refused = long.write_all(&[7; 4_097]).await;
    let _refused = long.finish();
    send(&connection, &[1; 4_096]).await;
    send(&connection, b"").await;
    assert_eq!(submitted(&served, 2).await, [vec![], vec![1; 4_096]]);
    served.end().await;
}

#[tokio::test]
async fn other_protocols_and_too_many_connections_are_refused() {
    let limits = Limits {
        tpu_connections: 1,
        ..Limits::STANDARD
    };
    let served = Served::start(limits).await;
    assert!(connect(&served, b"h3").await.is_err());
    let first = connect(&served, b"solana-tpu").await.unwrap();
    send(&first, b"one").await;
    assert_eq!(submitted(&served, 1).await, [b"one".to_vec()]);
    assert!(connect(&served, b"solana-tpu").await.is_err());
    first.close(0_u32.into(), b"");
    let again = async {
        loop {
            if let Ok(connection) = connect(&served, b"solana-tpu").await {
                return connection;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let second = tokio::time::timeout(Duration::from_secs(30), again).await;
    let second = second.expect("a place that became free is given");
    send(&second, b"two").await;
    assert_eq!(
        submitted(&served, 2).await,
        [b"one".to_vec(), b"two".to_vec()]
    );
    served.end().await;
}
