//! People come, prove who they are, and go.

use hafleet_proto::v1::{self, watch_event::Event};
use tonic::Code;

use crate::rig::{Credential, Rig, SOON, eventually, key_and_request};

fn add(name: &str, role: v1::Role) -> v1::AddUserRequest {
    v1::AddUserRequest { name: name.into(), role: role.into(), ..Default::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_and_a_token_open_the_door_and_are_listed() {
    let rig = Rig::start().await;
    let token = rig.user_token("ann", v1::Role::Operator).await;
    let get = v1::GetFleetRequest {};
    rig.operator_with(&token).await.get_fleet(get).await.unwrap();

    let (key_der, csr_der) = key_and_request();
    let request = v1::AddUserRequest { csr_der, lifetime_s: 3600, ..add("ann", v1::Role::Operator) };
    let made = rig.operator().await.add_user(request).await.unwrap().into_inner();
    assert_eq!((made.token.as_str(), made.ca_pem.as_str()), ("", rig.ca().pem()));
    let certificate = crate::rig::der_of_certificate(&made.certificate_pem);
    let ann = Credential { certificate, key_der };
    rig.operator_as(&ann).await.get_fleet(get).await.unwrap();
    let error = rig.operator_as(&ann).await.list_users(v1::ListUsersRequest {}).await.unwrap_err();
    assert_eq!(error.code(), Code::PermissionDenied);
    assert!(error.message().contains("user/ann") && error.message().contains("operator"), "{error}");

    let listed = rig.operator().await.list_users(v1::ListUsersRequest {}).await.unwrap().into_inner();
    let names: Vec<&str> = listed.users.iter().map(|user| user.name.as_str()).collect();
    assert_eq!(names, ["admin", "ann"]);
    let ann = &listed.users[1];
    assert_eq!((ann.role(), ann.revoked), (v1::Role::Operator, false));
    let kinds: Vec<&str> = ann.credentials.iter().map(|credential| credential.kind.as_str()).collect();
    assert_eq!(kinds, ["certificate", "token"]);
    assert!(ann.credentials[0].id == made.id && ann.credentials[0].expires_at_us == made.expires_at_us);
    let secret = token.rsplit('.').next().unwrap();
    for row in rig.audit().await {
        assert!(!format!("{row:?}").contains(secret), "{row:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_person_is_out_on_open_streams_too() {
    let rig = Rig::start().await;
    let by_token = rig.user_token("ann", v1::Role::Viewer).await;
    let bob = rig.user("bob", ha_coordinator::store::Role::Viewer).await;
    let get = v1::WatchRequest {};
    let mut streams = [
        rig.operator_with(&by_token).await.watch(get).await.unwrap().into_inner(),
        rig.operator_as(&bob).await.watch(get).await.unwrap().into_inner(),
    ];
    for stream in &mut streams {
        let first = stream.message().await.unwrap().unwrap().event;
        assert!(matches!(first, Some(Event::Fleet(_))), "{first:?}");
    }
    for name in ["ann", "bob"] {
        rig.operator().await.revoke_user(v1::RevokeUserRequest { name: name.into() }).await.unwrap();
    }
    for stream in &mut streams {
        let end = async {
            loop {
                if let Err(status) = stream.message().await {
                    return status;
                }
            }
        };
        let status = tokio::time::timeout(SOON, end).await.expect("the stream goes on");
        assert_eq!(status.code(), Code::PermissionDenied, "{status}");
    }
    rig.refused("watch", &["user/ann", "revoked"]).await;
    rig.refused("watch", &["user/bob", "revoked"]).await;
    let again = rig.operator().await.add_user(add("ann", v1::Role::Viewer)).await.unwrap_err();
    assert_eq!(again.code(), Code::FailedPrecondition);
    rig.refused("user.add", &["user/admin", "user/ann", "refused for good"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_is_refused_and_written_down() {
    let rig = Rig::start().await;
    let mut admin = rig.operator().await;
    let bad = [
        ("name", v1::AddUserRequest { name: "../ann".into(), ..add("", v1::Role::Viewer) }),
        ("role", add("ann", v1::Role::Unspecified)),
        ("lifetime_s", v1::AddUserRequest { lifetime_s: 59, ..add("ann", v1::Role::Viewer) }),
        ("lifetime_s", v1::AddUserRequest { lifetime_s: u64::MAX, ..add("ann", v1::Role::Viewer) }),
        ("request", v1::AddUserRequest { csr_der: vec![1, 2, 3], ..add("ann", v1::Role::Viewer) }),
    ];
    for (field, request) in bad {
        let error = admin.add_user(request).await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument, "{field}: {error}");
        assert!(error.message().contains(field), "{field}: {error}");
    }
    let nobody = admin.revoke_user(v1::RevokeUserRequest { name: "eve".into() }).await.unwrap_err();
    assert_eq!(nobody.code(), Code::NotFound);
    let last = admin.revoke_user(v1::RevokeUserRequest { name: "admin".into() }).await.unwrap_err();
    assert_eq!(last.code(), Code::FailedPrecondition);
    rig.refused("user.revoke", &["user/admin", "the only admin"]).await;

    admin.add_user(add("ann", v1::Role::Viewer)).await.unwrap();
    let other = admin.add_user(add("ann", v1::Role::Admin)).await.unwrap_err();
    assert_eq!(other.code(), Code::FailedPrecondition);
    assert!(other.message().contains("viewer"), "{other}");
    let request = v1::AddUserRequest { change_role: true, ..add("ann", v1::Role::Admin) };
    let token = admin.add_user(request).await.unwrap().into_inner().token;
    // An admin by now, who may even take the first one's access.
    let mut ann = rig.operator_with(&token).await;
    ann.revoke_user(v1::RevokeUserRequest { name: "admin".into() }).await.unwrap();
    let error = admin.list_users(v1::ListUsersRequest {}).await.unwrap_err();
    assert_eq!(error.code(), Code::PermissionDenied);
    let rows = ann
        .list_audit(v1::ListAuditRequest {
            action: "user".into(),
            outcome: "done".into(),
            ..Default::default()
        })
        .await
        .unwrap()
        .into_inner()
        .records;
    let actions: Vec<(&str, &str)> =
        rows.iter().map(|row| (row.action.as_str(), row.subject.as_str())).collect();
    assert_eq!(actions, [("user.revoke", "user/admin"), ("user.add", "user/ann"), ("user.add", "user/ann")]);
    let wrong = v1::ListAuditRequest { outcome: "perhaps".into(), ..Default::default() };
    assert_eq!(ann.list_audit(wrong).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_token_makes_a_connection_one_that_may_say_more() {
    let rig = Rig::start().await;
    let token = rig.user_token("ann", v1::Role::Viewer).await;
    // More than a stranger may say in all.
    let mut ann = rig.operator_with(&token).await;
    for _ in 0..4 {
        let request = v1::ListTransitionsRequest { node: "x".repeat(30 << 10), ..Default::default() };
        ann.list_transitions(request).await.unwrap();
    }
    // A wrong one does not.
    let wrong = rig.operator_with("hut1.0.0").await;
    eventually("the stranger is cut", async || {
        let request = v1::ListTransitionsRequest { node: "x".repeat(30 << 10), ..Default::default() };
        let error = wrong.clone().list_transitions(request).await.unwrap_err();
        (error.code() != Code::Unauthenticated).then_some(())
    })
    .await;
}
