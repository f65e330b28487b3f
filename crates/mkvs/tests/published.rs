//! Roots that Oasis Core's own tests publish.
//!
//! Origin of the figures: Oasis Core, commit f9f1fdc60, `go/storage/mkvs/tree_test.go` and
//! `go/storage/mkvs/syncer_test.go`.

use trilith_mkvs::{Tree, root_of};

fn numbered(count: usize) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
    (0..count).map(|number| {
        (
            format!("key {number}").into_bytes(),
            format!("value {number}").into_bytes(),
        )
    })
}

#[test]
fn numbered_keys_give_the_roots() {
    let published = [
        (
            0,
            "c672b8d1ef56ed28ab87c3622c5114069bdd3ad7b8f9737498d0c01ecef0967a",
        ),
        (
            10,
            "59e67c2fdc08b8e10dd08bb6b8efe614fcc965ecb89625f97f17f87f07104613",
        ),
        (
            11,
            "a940b9ded7621a2b10497c846f46dc7778397979551d71bee2c07a9319e6aa45",
        ),
        (
            500,
            "cf6e9b6a26e10a8218b8658ac9302af1a4c1ae4e1b1a7633860a0f81fb759495",
        ),
        (
            1000,
            "2187c55627819b60069888ba86f83dc2a9f50c827624b0e31e31261806300ede",
        ),
    ];
    for (count, root) in published {
        assert_eq!(
            root_of(numbered(count)).unwrap().to_string(),
            root,
            "{count} keys"
        );
    }
}

#[test]
fn keys_that_are_prefixes_of_each_other_give_the_root() {
    let key = "Unlock the potential of your data without compromising security or privacy";
    let value = "The platform that puts data privacy first. From sharing medical records, to \
                 analyzing personal financial information, to training machine learning models, the \
                 Oasis platform supports applications that use even the most sensitive data without \
                 compromising privacy or performance.";
    let entries = (1..=key.len()).map(|len| (key[..len].into(), value.into()));
    let root = root_of(entries).unwrap().to_string();
    assert_eq!(
        root,
        "d829bb244a709bacf33bc2d8b4a016592e5310a10910aa980ef91cb3b4347dcb"
    );
}

#[test]
fn small_trees_give_the_roots_on_the_way_up_and_down() {
    let one = "db67c0572006673b488342a45e6590a75e8919265e6da706c80c6b2776017aa7";
    let two = "e627581db43e18410a52793e662e4f21ae6a4fca14e16915a85ec4c3e3e41a13";
    let mut tree = Tree::empty();
    tree.insert(b"foo", b"bar").unwrap();
    assert_eq!(tree.root().to_string(), one);
    tree.insert(b"moo", b"foo").unwrap();
    assert_eq!(tree.root().to_string(), two);
    assert!(tree.remove(b"moo").unwrap());
    assert_eq!(tree.root().to_string(), one);
    assert!(tree.remove(b"foo").unwrap());
    assert!(tree.is_empty() && tree.root().is_empty());
}
