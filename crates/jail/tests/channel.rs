//! Frames between a parent and a jailed child, with peers that break the rules.

use std::fs::File;
use std::io::Write;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use trilith_jail::{Channel, ChannelError, FrameLimits, decode_readiness};

const LIMITS: FrameLimits = FrameLimits {
    payload_bytes_max: 4 << 20,
    descriptors_max: 600,
};

fn soon() -> Option<Instant> {
    Some(Instant::now() + Duration::from_secs(60))
}

#[test]
fn frames_of_any_size_arrive_whole() {
    let (left, right) = Channel::pair().unwrap();
    // Larger than the socket's buffer, so that both ends have to wait for each other.
    let long: Vec<u8> = (0..3_000_000_u32).map(|n| n as u8).collect();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            left.send(&long, &[], soon()).unwrap();
            left.send(b"", &[], None).unwrap();
        });
        assert_eq!(right.receive(&LIMITS, soon()).unwrap().payload, long);
        assert!(right.receive(&LIMITS, None).unwrap().payload.is_empty());
    });
}

#[test]
fn more_descriptors_than_fit_one_message_arrive_in_order() {
    let (left, right) = Channel::pair().unwrap();
    let files: Vec<File> = (0..260_u32)
        .map(|number| {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&number.to_be_bytes()).unwrap();
            file
        })
        .collect();
    let borrowed: Vec<_> = files.iter().map(AsFd::as_fd).collect();
    left.send(b"files", &borrowed, soon()).unwrap();
    let message = right.receive(&LIMITS, soon()).unwrap();
    assert_eq!(
        (message.payload.as_slice(), message.descriptors.len()),
        (&b"files"[..], 260)
    );
    for (number, descriptor) in message.descriptors.into_iter().enumerate() {
        let mut bytes = [0; 4];
        std::os::unix::fs::FileExt::read_exact_at(&File::from(descriptor), &mut bytes, 0).unwrap();
        assert_eq!(u32::from_be_bytes(bytes) as usize, number);
    }
}

#[test]
fn declared_sizes_are_checked_before_anything_is_read() {
    let limits = FrameLimits {
        payload_bytes_max: 10,
        descriptors_max: 1,
    };
    let (left, right) = Channel::pair().unwrap();
    left.send(&[0; 11], &[], None).unwrap();
    assert!(matches!(
        right.receive(&limits, None),
        Err(ChannelError::PayloadTooLong {
            bytes: 11,
            limit: 10
        })
    ));
    let (left, right) = Channel::pair().unwrap();
    let file = tempfile::tempfile().unwrap();
    left.send(&[], &[file.as_fd(), file.as_fd()], None).unwrap();
    assert!(matches!(
        right.receive(&limits, None),
        Err(ChannelError::TooManyDescriptors { count: 2, limit: 1 })
    ));
}

#[test]
fn declared_descriptors_that_do_not_come_are_noticed() {
    let (left, right) = Channel::pair().unwrap();
    left.stream()
        .write_all(&[0, 0, 0, 0, 0, 0, 0, 1, 0])
        .unwrap();
    assert!(matches!(
        right.receive(&LIMITS, soon()),
        Err(ChannelError::DescriptorsLost {
            expected: 1,
            found: 0
        })
    ));
}

#[test]
fn a_deadline_bounds_the_whole_frame() {
    let (left, right) = Channel::pair().unwrap();
    left.stream()
        .write_all(&[0, 0, 0, 9, 0, 0, 0, 0, 1])
        .unwrap();
    let deadline = Some(Instant::now() + Duration::from_millis(10));
    assert!(matches!(
        right.receive(&LIMITS, deadline),
        Err(ChannelError::TimedOut)
    ));
    // A peer that does not read is noticed too.
    let full = vec![0; 8 << 20];
    let deadline = Some(Instant::now() + Duration::from_millis(10));
    assert!(matches!(
        right.send(&full, &[], deadline),
        Err(ChannelError::TimedOut)
    ));
}

#[test]
fn a_closed_peer_is_told_apart() {
    let (left, right) = Channel::pair().unwrap();
    left.stream().write_all(&[0, 0]).unwrap();
    drop(left);
    assert!(matches!(
        right.receive(&LIMITS, None),
        Err(ChannelError::Closed)
    ));
    assert!(matches!(
        right.send(b"x", &[], None),
        Err(ChannelError::Closed)
    ));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_input_panics(input in prop::collection::vec(any::<u8>(), 0..200), zeros in 0_usize..8) {
        // Leading zeros make plausible headers likely.
        let (left, right) = Channel::pair().unwrap();
        let mut bytes = vec![0; zeros];
        bytes.extend(&input);
        left.stream().write_all(&bytes).unwrap();
        left.stream().shutdown(Shutdown::Write).unwrap();
        let limits = FrameLimits { payload_bytes_max: 100, descriptors_max: 3 };
        while let Ok(message) = right.receive(&limits, soon()) {
            prop_assert!(message.payload.len() <= 100 && message.descriptors.is_empty());
        }
        let _ = decode_readiness(&input);
    }
}
