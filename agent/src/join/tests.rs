use std::{fs, os::unix::fs::PermissionsExt, sync::Arc};

use hafleet_proto::v1;
use tonic::Status;

use super::*;
use crate::uplink::tests::fake::{Authority, Behaviour, FakeCoordinator, GOOD};

fn token(ca: Fingerprint) -> JoinToken {
    format!("hat1.{ca}.0011223344556677.{}", "s".repeat(64)).parse().unwrap()
}

fn join(coordinator: &CoordinatorAddress, token: JoinToken) -> Join {
    Join {
        coordinators: vec![coordinator.clone()],
        token,
        node: "lb01".parse().unwrap(),
        site: "dc1".parse().unwrap(),
    }
}

/// A coordinator that lets everybody in with a certificate of `signer`.
fn open_house(servers: &Arc<Authority>, signer: &Arc<Authority>) -> FakeCoordinator {
    let (ca, signer) = (Arc::clone(servers), Arc::clone(signer));
    let enroll = move |request: EnrollRequest| {
        assert!(request.token.starts_with("hat1."));
        let certificate = signer.certify(&request.node, GOOD, &request.csr_der);
        Ok(v1::EnrollResponse {
            certificate_der: certificate.to_vec(),
            ca_der: ca.der.to_vec(),
            not_after_us: 0,
            site: request.site,
        })
    };
    let behaviour = Behaviour { enroll: Box::new(enroll), ..Behaviour::default() };
    FakeCoordinator::start_with(servers, servers, "127.0.0.1:0".parse().unwrap(), behaviour)
}

fn refusing(authority: &Authority, status: fn() -> Status) -> FakeCoordinator {
    let behaviour = Behaviour { enroll: Box::new(move |_| Err(status())), ..Behaviour::default() };
    FakeCoordinator::start_with(authority, authority, "127.0.0.1:0".parse().unwrap(), behaviour)
}

#[tokio::test]
async fn a_token_becomes_an_identity_that_only_root_can_read() {
    let authority = Arc::new(Authority::new());
    let coordinator = open_house(&authority, &authority);
    let state_dir = tempfile::tempdir().unwrap();
    let state_dir = state_dir.path().join("state");
    let join = join(&coordinator.address, token(authority.fingerprint()));
    join.run(&state_dir).await.unwrap();
    let first = Identity::load(&state_dir).unwrap();
    assert_eq!((first.node.as_str(), first.site.as_str()), ("lb01", "dc1"));
    assert_eq!(first.coordinators, std::slice::from_ref(&coordinator.address));
    assert_eq!(first.ca, authority.der);
    let mode = |name: &str| fs::metadata(state_dir.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("identity"), mode("identity/key.pem")), (0o700, 0o600));
    // Nothing of the token is kept.
    for file in fs::read_dir(state_dir.join("identity")).unwrap() {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        assert!(!text.contains("hat1") && !text.contains("ssss"), "{text}");
    }

    // Joining again replaces the whole identity.
    join.run(&state_dir).await.unwrap();
    let second = Identity::load(&state_dir).unwrap();
    assert_ne!(first.key.secret_der(), second.key.secret_der());
    let left: Vec<_> = fs::read_dir(&state_dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["identity"]);
}

#[tokio::test]
async fn a_token_is_not_spent_when_its_identity_could_not_be_kept() {
    let authority = Arc::new(Authority::new());
    let asked = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let enroll = move |_| {
        count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Err(Status::permission_denied("the token is spent now"))
    };
    let behaviour = Behaviour { enroll: Box::new(enroll), ..Behaviour::default() };
    let socket = "127.0.0.1:0".parse().unwrap();
    let coordinator = FakeCoordinator::start_with(&authority, &authority, socket, behaviour);
    let state_dir = tempfile::tempdir().unwrap();
    for name in ["identity.join", "identity.new"] {
        // A file where the directory should be: neither removed as one nor made.
        fs::write(state_dir.path().join(name), "").unwrap();
    }
    let join = join(&coordinator.address, token(authority.fingerprint()));
    let error = join.run(state_dir.path()).await.unwrap_err();
    assert!(matches!(error, JoinError::Store(_)), "{}", crate::log::chain(&error));
    assert_eq!(asked.load(std::sync::atomic::Ordering::Relaxed), 0, "the token was spent");

    // With a place for it the coordinator is asked; what was prepared for nothing is removed.
    fs::remove_file(state_dir.path().join("identity.join")).unwrap();
    assert!(matches!(join.run(state_dir.path()).await, Err(JoinError::Refused { .. })));
    assert_eq!(asked.load(std::sync::atomic::Ordering::Relaxed), 1);
    assert!(!state_dir.path().join("identity.join").exists());
}

#[tokio::test]
async fn a_token_of_another_fleet_is_never_shown_to_this_one() {
    let (ours, theirs) = (Arc::new(Authority::new()), Authority::new());
    let coordinator = open_house(&ours, &ours);
    let state_dir = tempfile::tempdir().unwrap();
    let error =
        join(&coordinator.address, token(theirs.fingerprint())).run(state_dir.path()).await.unwrap_err();
    let text = crate::log::chain(&error);
    assert!(matches!(error, JoinError::Unreachable(_)), "{text}");
    assert!(
        text.contains("the token is for a CA with SHA-256")
            && text.contains(&theirs.fingerprint().to_string())
    );
    assert!(text.contains(&ours.fingerprint().to_string()), "{text}");
    assert!(matches!(Identity::load(state_dir.path()), Err(IdentityError::NotJoined(_))));
}

#[tokio::test]
async fn a_presented_authority_that_did_not_sign_the_coordinator_is_worth_nothing() {
    // Whoever is in between can present the true CA's certificate, which is public, but nothing signed by it.
    let (true_ca, impostor) = (Authority::new(), Authority::new());
    let coordinator = FakeCoordinator::start_presenting(&impostor, &true_ca.der);
    let state_dir = tempfile::tempdir().unwrap();
    let error =
        join(&coordinator.address, token(true_ca.fingerprint())).run(state_dir.path()).await.unwrap_err();
    assert!(crate::log::chain(&error).contains("not signed by the CA"), "{}", crate::log::chain(&error));
}

#[tokio::test]
async fn the_coordinators_refusal_is_told_in_its_own_words() {
    let authority = Authority::new();
    let coordinator =
        refusing(&authority, || Status::permission_denied("the token was used already, by lb07"));
    let state_dir = tempfile::tempdir().unwrap();
    let error =
        join(&coordinator.address, token(authority.fingerprint())).run(state_dir.path()).await.unwrap_err();
    let expected =
        format!("{} refuses to let this node in: the token was used already, by lb07", coordinator.address);
    assert_eq!(crate::log::chain(&error), expected);
    assert!(!state_dir.path().join("identity").exists());
}

#[tokio::test]
async fn an_answer_that_does_not_fit_the_key_is_not_kept() {
    let authority = Arc::new(Authority::new());
    let other = authority.identity("lb01", GOOD, &"127.0.0.1:1".parse().unwrap());
    let certificate = other.certificate.to_vec();
    let enroll = move |_| {
        let certificate_der = certificate.clone();
        Ok(v1::EnrollResponse { certificate_der, ..v1::EnrollResponse::default() })
    };
    let behaviour = Behaviour { enroll: Box::new(enroll), ..Behaviour::default() };
    let coordinator =
        FakeCoordinator::start_with(&authority, &authority, "127.0.0.1:0".parse().unwrap(), behaviour);
    let state_dir = tempfile::tempdir().unwrap();
    let error =
        join(&coordinator.address, token(authority.fingerprint())).run(state_dir.path()).await.unwrap_err();
    assert!(matches!(error, JoinError::Unusable { .. }), "{}", crate::log::chain(&error));
    assert!(!state_dir.path().join("identity").exists());
}

#[tokio::test]
async fn every_unreachable_coordinator_is_named() {
    let authority = Authority::new();
    let state_dir = tempfile::tempdir().unwrap();
    let mut join = join(&"127.0.0.1:1".parse().unwrap(), token(authority.fingerprint()));
    join.coordinators.push("nowhere.invalid:7443".parse().unwrap());
    let text = crate::log::chain(&join.run(state_dir.path()).await.unwrap_err());
    assert!(text.contains("cannot connect to 127.0.0.1:1: Connection refused"), "{text}");
    assert!(text.contains("cannot look up nowhere.invalid:7443"), "{text}");
}

#[test]
fn a_token_is_read_and_its_secret_never_shown() {
    let ca = "ab".repeat(32);
    let token: JoinToken = format!(" hat1.{ca}.id-1.secret \n").parse().unwrap();
    assert_eq!((token.id(), token.ca().to_string()), ("id-1", ca.clone()));
    assert_eq!(token.secret_text(), format!("hat1.{ca}.id-1.secret"));
    assert!(!format!("{token:?}").contains("secret"));
    for wrong in [
        "",
        "hat1",
        "hat2.x.y.z",
        &format!("hat1.{ca}.id"),
        &format!("hat1.{ca}..secret"),
        &format!("hat1.{ca}.id."),
        &format!("hat1.{ca}.id.secret.more"),
        &format!("hat1.{}.id.secret", &ca[1..]),
        &format!("hat1.{}g.id.secret", &ca[1..]),
        &format!("hat1.{ca}.id.sec ret"),
        &format!("hat1.{}.id.secret", "é".repeat(32)),
    ] {
        let error = wrong.parse::<JoinToken>().expect_err(wrong);
        assert!(!error.to_string().contains("id.s"), "{error}");
    }
}

#[test]
fn names_and_addresses_are_read_at_the_border() {
    for (text, shown) in [
        ("coord1", "coord1:7443"),
        ("coord1:1", "coord1:1"),
        ("192.0.2.10:7443", "192.0.2.10:7443"),
        ("[2001:db8::1]:7000", "[2001:db8::1]:7000"),
        ("[2001:db8::1]", "[2001:db8::1]:7443"),
    ] {
        assert_eq!(text.parse::<CoordinatorAddress>().unwrap().to_string(), shown);
    }
    for wrong in ["", ":7443", "a:0", "a:65536", "a:b", "2001:db8::1", "[::1", "[a]:1", "a b:1", "http://a:1"]
    {
        assert!(wrong.parse::<CoordinatorAddress>().is_err(), "{wrong}");
    }
    for wrong in ["", "-a", "a/b", "a b", &"x".repeat(64)] {
        assert!(wrong.parse::<Name>().is_err(), "{wrong}");
    }
    assert!("lb01.example_1-a".parse::<Name>().is_ok());
}

#[test]
fn an_interrupted_replacement_leaves_an_identity() {
    let authority = Authority::new();
    let state_dir = tempfile::tempdir().unwrap();
    let coordinator = "coord1:7443".parse().unwrap();
    let stored = authority.identity("lb01", GOOD, &coordinator);
    stored.store(state_dir.path()).unwrap();
    // As a file system without exchange leaves it between its two renames.
    fs::rename(state_dir.path().join("identity"), state_dir.path().join("identity.old")).unwrap();
    fs::create_dir(state_dir.path().join("identity.new")).unwrap();
    assert_eq!(Identity::load(state_dir.path()).unwrap().certificate, stored.certificate);
    authority.identity("lb02", GOOD, &coordinator).store(state_dir.path()).unwrap();
    assert_eq!(Identity::load(state_dir.path()).unwrap().node.as_str(), "lb02");
}
